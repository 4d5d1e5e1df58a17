// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// samples import

#include <algorithm>
#include <atomic>
#include <cmath>
#include <csignal>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <unistd.h>
#include <utility>
#include <vector>

#include <fieldloop/ingestion/v1/ingestion_service.grpc.pb.h>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "services/cli/client/output.h"
#include "services/cli/commands/arguments.h"
#include "services/cli/commands/commands.h"
#include "services/cli/import/import_plan.h"
#include "services/cli/import/importer.h"
#include "services/cli/import/sample_sender.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::cli {
namespace {

using Service = ingestion::v1::IngestionService;
using PathAndReason = std::pair<std::string, std::string>;

constexpr std::size_t kShownReasons = 20;
constexpr int kBarCells = 20;
constexpr int kSteps = 10;  // Lines of progress where there is no terminal.

std::atomic<bool> stop_requested = false;

struct ImportFlags {
  std::string folder;
  std::string pattern;
  std::vector<std::string> testing;
  std::string split = "auto";
  std::string split_key;
  std::string label;
  std::vector<std::string> metadata;
  int streams = 4;
  bool dry_run = false;
};

absl::StatusOr<ImportOptions> OptionsOf(const Client& client, const ImportFlags& flags) {
  ImportOptions options;
  FIELDLOOP_ASSIGN_OR_RETURN(options.project, client.Project());
  if (!flags.pattern.empty()) {
    FIELDLOOP_ASSIGN_OR_RETURN(options.pattern, NamePattern::Parse(flags.pattern));
  }
  for (const std::string& text : flags.testing) {
    FIELDLOOP_ASSIGN_OR_RETURN(FieldRule rule, FieldRule::Parse("--testing", text));
    options.testing.push_back(std::move(rule));
  }
  options.split = flags.split;
  options.split_key = flags.split_key;
  options.label = flags.label;
  FIELDLOOP_ASSIGN_OR_RETURN(options.metadata, KeyValues("--metadata", flags.metadata));
  return options;
}

// Shows a bar that moves on a terminal, and a line for each tenth elsewhere.
class ImportBar {
 public:
  void Show(const ImportProgress& progress) {
    const double share = progress.total == 0 ? 1
                                             : static_cast<double>(progress.done) /
                                                   static_cast<double>(progress.total);
    const int step = static_cast<int>(share * kSteps);
    if (!is_terminal_ && step == step_) {
      return;
    }
    step_ = step;
    const double seconds = absl::ToDoubleSeconds(absl::Now() - start_);
    const int cells = static_cast<int>(share * kBarCells);
    std::string left;
    if (is_terminal_ && share > 0 && share < 1) {
      left = absl::StrFormat(", %.0f s left", std::ceil(seconds / share * (1 - share)));
    }
    line_.Show(absl::StrFormat("[%s%s] %3.0f %%  %d of %d recordings, %s sent%s",
                               std::string(static_cast<std::size_t>(cells), '#'),
                               std::string(static_cast<std::size_t>(kBarCells - cells), '.'),
                               share * 100, progress.done, progress.total, SizeText(progress.bytes),
                               left));
  }

 private:
  const absl::Time start_ = absl::Now();
  const bool is_terminal_ = ::isatty(STDOUT_FILENO) == 1;
  int step_ = 0;
  ProgressLine line_;
};

void PrintReasons(const char* what, const std::vector<PathAndReason>& paths) {
  if (paths.empty()) {
    return;
  }
  std::cout << paths.size() << " " << what << ":\n";
  for (std::size_t i = 0; i < std::min(paths.size(), kShownReasons); ++i) {
    std::cout << "  " << paths[i].first << ": " << paths[i].second << "\n";
  }
  if (paths.size() > kShownReasons) {
    std::cout << "  and " << paths.size() - kShownReasons << " more\n";
  }
}

nlohmann::json JsonOf(const std::vector<PathAndReason>& paths) {
  nlohmann::json list = nlohmann::json::array();
  for (const auto& [path, reason] : paths) {
    list.push_back({{"path", path}, {"reason", reason}});
  }
  return list;
}

void PrintPlan(const Client& client, const ImportPlan& plan) {
  if (client.json()) {
    for (const PlannedRecording& recording : plan.recordings) {
      PrintJson(recording.spec);
    }
    return;
  }
  Table table({"FILE", "SPLIT", "LABELS", "METADATA"});
  for (const PlannedRecording& recording : plan.recordings) {
    std::string labels;
    for (const auto& range : recording.spec.labels()) {
      absl::StrAppend(&labels, labels.empty() ? "" : ",", range.label());
    }
    std::string metadata;
    for (const auto& [key, value] : std::map<std::string, std::string>(
             recording.spec.metadata().begin(), recording.spec.metadata().end())) {
      absl::StrAppend(&metadata, metadata.empty() ? "" : " ", key, "=", value);
    }
    const auto split = recording.spec.split();
    table.Row({recording.path,
               split == ingestion::v1::SPLIT_UNSPECIFIED
                   ? "auto"
                   : StateText(ingestion::v1::Split_Name(split), "SPLIT_"),
               labels, metadata});
  }
  table.Print("no recordings");
  PrintReasons("files skipped", plan.skipped);
  PrintReasons("recordings refused", plan.refused);
}

absl::Status ImportSamples(Client& client, const ImportFlags& flags) {
  FIELDLOOP_ASSIGN_OR_RETURN(const ImportOptions options, OptionsOf(client, flags));
  FIELDLOOP_ASSIGN_OR_RETURN(const ImportPlan plan, PlanImport(flags.folder, options));
  if (flags.dry_run) {
    PrintPlan(client, plan);
    return absl::OkStatus();
  }
  if (plan.recordings.empty() && plan.refused.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(flags.folder, ": no recordings in it; ",
                                                   plan.skipped.size(), " files skipped"));
  }
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, client.Stub<Service>("ingestion"));
  // Ctrl-C lets what is on its way arrive.
  std::signal(SIGINT, [](int /*signal*/) { stop_requested = true; });
  const auto wait = [](absl::Duration time) {
    for (const absl::Time end = absl::Now() + time; absl::Now() < end && !stop_requested;) {
      absl::SleepFor(absl::Milliseconds(50));
    }
  };
  SampleSender sender(*stub, {.attempts = 8, .wait = wait});
  ImportSummary summary;
  {
    ImportBar bar;
    summary = Import(plan.recordings, sender, flags.streams, stop_requested,
                     [&](const ImportProgress& progress) {
                       if (!client.json()) {
                         bar.Show(progress);
                       }
                     });
  }
  summary.refused.insert(summary.refused.end(), plan.refused.begin(), plan.refused.end());
  const std::size_t total = plan.recordings.size() + plan.refused.size();
  if (client.json()) {
    std::cout << nlohmann::json{{"recordings", total},
                                {"stored", summary.stored},
                                {"there", summary.there},
                                {"refused", JsonOf(summary.refused)},
                                {"skipped", JsonOf(plan.skipped)}}
                     .dump()
              << "\n";
  } else {
    PrintReasons("files skipped", plan.skipped);
    PrintReasons("recordings refused", summary.refused);
    std::cout << summary.stored << " recordings stored, " << summary.there
              << " were there already, " << summary.refused.size() << " refused\n";
  }
  if (!summary.stopped.ok()) {
    return absl::Status(
        summary.stopped.code(),
        absl::StrCat(total - summary.stored - summary.there - summary.refused.size(), " of ", total,
                     " recordings are left: ", summary.stopped.message(),
                     "; run it again to go on"));
  }
  if (!summary.refused.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(summary.refused.size(), " of ", total, " recordings were refused, see above"));
  }
  return absl::OkStatus();
}

}  // namespace

void AddSampleImport(Program& program, CLI::App* noun) {
  Client& client = program.client;
  auto flags = std::make_shared<ImportFlags>();
  CLI::App* import = program.Verb(
      noun, "import", "Uploads a folder of recordings; run again, it sends only what is missing",
      [&client, flags] { return ImportSamples(client, *flags); });
  import
      ->add_option("folder", flags->folder,
                   "with an info.labels, what that lists; otherwise WAV, CSV, JSON and CBOR files, "
                   "in folders that are their labels, with ranges from structured_labels.labels")
      ->required();
  import->add_option("--pattern", flags->pattern,
                     "what names say, such as {label}_{speaker}_{index} or "
                     "{person}/{_}_{run}_{device}: label, split, and the rest as metadata; folders "
                     "are no labels then, other files are skipped");
  import->add_option("--testing", flags->testing,
                     "recordings for testing, such as index<5 or person=s01,s02; others are for "
                     "training; repeatable");
  import->add_option("--split", flags->split, "training, testing or auto")
      ->check(CLI::IsMember({"training", "testing", "auto"}))
      ->capture_default_str();
  import->add_option("--split-key", flags->split_key,
                     "metadata key, such as person, that --split auto keeps on one side");
  import->add_option("--label", flags->label, "label of all recordings");
  import->add_option("--metadata", flags->metadata, "key=value; repeatable");
  import->add_option("--streams", flags->streams, "uploads at a time")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  import->add_flag("--dry-run", flags->dry_run, "only shows what would be sent");
}

}  // namespace fieldloop::cli
