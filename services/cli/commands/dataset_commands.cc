// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// datasets, retention

#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fieldloop/ingestion/v1/ingestion_service.grpc.pb.h>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "services/cli/client/output.h"
#include "services/cli/commands/arguments.h"
#include "services/cli/commands/commands.h"
#include "services/cli/commands/paging.h"
#include "services/cli/commands/sample_filter.h"
#include "services/cli/export/folder_digest.h"
#include "services/cli/export/folder_export.h"
#include "services/cli/export/npy_export.h"
#include "services/cli/export/version_reader.h"
#include "services/common/grpc/client_call.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::cli {
namespace {

namespace iv = ingestion::v1;
using Service = iv::IngestionService;
using Stub = Service::Stub;

absl::StatusOr<std::unique_ptr<Stub>> StubOf(Client& client) {
  return client.Stub<Service>("ingestion");
}

absl::Status CreateDataset(Client& client, const std::string& id, const FilterFlags& flags) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  iv::CreateDatasetRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_dataset()->mutable_name(),
                             client.Name("datasets", id));
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_dataset()->mutable_filter(), FilterOf(client, flags));
  FIELDLOOP_ASSIGN_OR_RETURN(const iv::CreateDatasetResponse response,
                             CallUnary(*stub, &Stub::CreateDataset, request));
  PrintRecord(client, response.dataset(), {{"created", response.dataset().name()}});
  return absl::OkStatus();
}

absl::Status ListDatasets(Client& client) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  iv::ListDatasetsRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_parent(), client.Project());
  Table table({"DATASET", "CREATED"});
  FIELDLOOP_RETURN_IF_ERROR(ForEachPage(*stub, &Stub::ListDatasets, request, [&](const auto& page) {
    for (const iv::Dataset& dataset : page.datasets()) {
      if (client.json()) {
        PrintJson(dataset);
      }
      table.Row({ShortName(dataset.name()), TimeText(dataset.create_time())});
    }
  }));
  if (!client.json()) {
    table.Print("no datasets");
  }
  return absl::OkStatus();
}

void PrintVersion(const Client& client, const iv::DatasetVersion& version) {
  PrintRecord(client, version,
              {{"version", version.name()},
               {"digest", version.digest()},
               {"samples", absl::StrCat(version.sample_count())}});
  if (client.json()) {
    return;
  }
  Table table({"LABEL", "TRAINING READINGS", "TESTING READINGS"});
  std::map<std::string, std::pair<std::int64_t, std::int64_t>> labels;
  for (const auto& [label, count] : version.training_readings()) labels[label].first = count;
  for (const auto& [label, count] : version.testing_readings()) labels[label].second = count;
  for (const auto& [label, counts] : labels) {
    table.Row({label, absl::StrCat(counts.first), absl::StrCat(counts.second)});
  }
  table.Print("no labels");
}

absl::Status FixDataset(Client& client, const std::string& id) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  iv::CreateDatasetVersionRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_parent(), client.Name("datasets", id));
  FIELDLOOP_ASSIGN_OR_RETURN(
      const iv::CreateDatasetVersionResponse response,
      CallUnary(*stub, &Stub::CreateDatasetVersion, request, absl::Minutes(5)));
  PrintVersion(client, response.dataset_version());
  return absl::OkStatus();
}

absl::Status ListVersions(Client& client, const std::string& id) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  iv::ListDatasetVersionsRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_parent(), client.Name("datasets", id));
  Table table({"VERSION", "SAMPLES", "DIGEST", "CREATED"});
  FIELDLOOP_RETURN_IF_ERROR(
      ForEachPage(*stub, &Stub::ListDatasetVersions, request, [&](const auto& page) {
        for (const iv::DatasetVersion& version : page.dataset_versions()) {
          if (client.json()) {
            PrintJson(version);
          }
          table.Row({ShortName(version.name()), absl::StrCat(version.sample_count()),
                     version.digest().substr(0, 16), TimeText(version.create_time())});
        }
      }));
  if (!client.json()) {
    table.Print("no versions; fix one with `fieldloop datasets fix DATASET`");
  }
  return absl::OkStatus();
}

// "all/versions/1" or a whole name.
absl::StatusOr<std::string> VersionName(const Client& client, const std::string& version) {
  return client.Name("datasets", version);
}

std::string KindText(iv::DatasetVersionChange::Kind kind) {
  return StateText(iv::DatasetVersionChange::Kind_Name(kind), "KIND_");
}

std::string RangesText(const google::protobuf::RepeatedPtrField<iv::LabelRange>& ranges) {
  iv::Sample sample;
  *sample.mutable_labels() = ranges;
  return LabelsText(sample);
}

absl::Status DiffVersions(Client& client, const std::string& first, const std::string& second,
                          const std::vector<std::string>& keys, bool samples) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  iv::DiffDatasetVersionsRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_first(), VersionName(client, first));
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_second(), VersionName(client, second));
  if (samples) {
    iv::ListDatasetVersionChangesRequest list;
    list.set_first(request.first());
    list.set_second(request.second());
    Table table({"SAMPLE", "CHANGE", "FIRST", "SECOND"});
    FIELDLOOP_RETURN_IF_ERROR(
        ForEachPage(*stub, &Stub::ListDatasetVersionChanges, list, [&](const auto& page) {
          for (const iv::DatasetVersionChange& change : page.changes()) {
            if (client.json()) {
              PrintJson(change);
              continue;
            }
            table.Row({ShortName(change.sample()), KindText(change.kind()),
                       RangesText(change.first_labels()), RangesText(change.second_labels())});
          }
        }));
    if (!client.json()) {
      table.Print("the two versions are the same");
    }
    return absl::OkStatus();
  }
  request.mutable_keys()->Assign(keys.begin(), keys.end());
  FIELDLOOP_ASSIGN_OR_RETURN(
      const iv::DiffDatasetVersionsResponse response,
      CallUnary(*stub, &Stub::DiffDatasetVersions, request, absl::Minutes(5)));
  if (client.json()) {
    PrintJson(response);
    return absl::OkStatus();
  }
  Table table({"", "ADDED", "REMOVED", "RELABELLED", "MOVED"});
  const auto row = [&table](const std::string& name, const iv::DatasetDifference& difference) {
    table.Row({name, absl::StrCat(difference.added()), absl::StrCat(difference.removed()),
               absl::StrCat(difference.relabelled()), absl::StrCat(difference.moved())});
  };
  row("all", response.total());
  for (const iv::DatasetDifference& difference : response.labels()) {
    row(difference.group(), difference);
  }
  for (const iv::DatasetDifference& difference : response.keys()) {
    row(difference.group(), difference);
  }
  table.Print("");
  return absl::OkStatus();
}

struct ExportFlags {
  std::string version;
  std::string out;
  std::string format = "folder";
  NpyExportOptions npy;
};

absl::Status ExportVersion(Client& client, const ExportFlags& flags) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string name, VersionName(client, flags.version));
  FIELDLOOP_ASSIGN_OR_RETURN(const iv::DatasetVersion version, GetVersion(*stub, name));
  {
    ProgressLine progress;
    const auto show = [&](std::int64_t samples) {
      if (!client.json() && (samples % 50 == 0 || samples == version.sample_count())) {
        progress.Show(absl::StrCat(samples, " of ", version.sample_count(), " recordings"));
      }
    };
    if (flags.format == "npy") {
      FIELDLOOP_ASSIGN_OR_RETURN(const NpyExportSummary summary,
                                 ExportNpy(*stub, version, flags.npy, flags.out, show));
      if (!client.json()) {
        progress.Show(absl::StrCat(summary.training_windows, " windows for training, ",
                                   summary.testing_windows, " for testing, ",
                                   summary.left_out.size(), " recordings left out"));
      }
    } else {
      FIELDLOOP_RETURN_IF_ERROR(ExportFolder(*stub, version, flags.out, show));
    }
  }
  PrintRecord(client, version, {{"digest", version.digest()}, {"folder", flags.out}});
  return absl::OkStatus();
}

absl::Status VerifyFolder(const Client& client, const std::string& folder) {
  FIELDLOOP_ASSIGN_OR_RETURN(const FolderDigest digest, DigestOfFolder(folder));
  if (client.json()) {
    std::cout << nlohmann::json{{"version", digest.version},
                                {"stated", digest.stated},
                                {"computed", digest.computed},
                                {"samples", digest.samples},
                                {"wrong", digest.wrong}}
                     .dump()
              << "\n";
  }
  if (!digest.wrong.empty() || digest.computed != digest.stated) {
    std::string message = absl::StrCat(folder, ": got digest ", digest.computed, ", want ",
                                       digest.stated, ", that of ", digest.version);
    for (const std::string& wrong : digest.wrong) {
      absl::StrAppend(&message, "\n  ", wrong);
    }
    return absl::DataLossError(message);
  }
  if (!client.json()) {
    std::cout << digest.computed << "  " << digest.samples << " recordings, as " << digest.version
              << "\n";
  }
  return absl::OkStatus();
}

absl::Status ApplyRetention(Client& client, bool dry_run) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  iv::ApplyRetentionRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_parent(), client.Project());
  request.set_dry_run(dry_run);
  FIELDLOOP_ASSIGN_OR_RETURN(const iv::ApplyRetentionResponse response,
                             CallUnary(*stub, &Stub::ApplyRetention, request, absl::Minutes(30)));
  PrintRecord(
      client, response,
      {{dry_run ? "would delete" : "deleted",
        absl::StrCat(response.samples(), " recordings, ", SizeText(response.bytes()))},
       {"held", absl::StrCat(response.held(), " due ones stay: a dataset version holds them")}});
  return absl::OkStatus();
}

}  // namespace

void AddDatasets(Program& program) {
  Client& client = program.client;
  CLI::App* noun = program.app.add_subcommand("datasets", "Selections of recordings and versions");
  noun->require_subcommand(1);
  auto id = std::make_shared<std::string>();
  auto filter = std::make_shared<FilterFlags>();
  CLI::App* create =
      program.Verb(noun, "create", "Creates a dataset: a name and a filter",
                   [&client, id, filter] { return CreateDataset(client, *id, *filter); });
  create->add_option("dataset", *id)->required();
  filter->AddTo(create);
  program.Verb(noun, "list", "Lists datasets", [&client] { return ListDatasets(client); });
  CLI::App* fix = program.Verb(noun, "fix", "Fixes what a dataset selects now as a version",
                               [&client, id] { return FixDataset(client, *id); });
  fix->add_option("dataset", *id)->required();
  CLI::App* versions = program.Verb(noun, "versions", "Lists the versions of a dataset",
                                    [&client, id] { return ListVersions(client, *id); });
  versions->add_option("dataset", *id)->required();

  auto first = std::make_shared<std::string>();
  auto second = std::make_shared<std::string>();
  auto keys = std::make_shared<std::vector<std::string>>();
  auto samples = std::make_shared<bool>(false);
  CLI::App* diff = program.Verb(noun, "diff", "Says how two versions differ",
                                [&client, first, second, keys, samples] {
                                  return DiffVersions(client, *first, *second, *keys, *samples);
                                });
  diff->add_option("first", *first, "version, such as all/versions/1")->required();
  diff->add_option("second", *second, "another one")->required();
  diff->add_option("--key", *keys, "metadata key to count by; repeatable");
  diff->add_flag("--samples", *samples, "list the recordings instead of counting them");

  auto flags = std::make_shared<ExportFlags>();
  CLI::App* exported = program.Verb(noun, "export", "Writes a version into a folder",
                                    [&client, flags] { return ExportVersion(client, *flags); });
  exported->add_option("version", flags->version, "such as all/versions/1")->required();
  exported->add_option("--out", flags->out, "folder")->required();
  exported
      ->add_option("--format", flags->format,
                   "folder: the files as they came, with info.labels; npy: windows for a "
                   "learning block")
      ->check(CLI::IsMember({"folder", "npy"}))
      ->capture_default_str();
  exported->add_option("--window", flags->npy.window_ms, "npy: length of a window in ms");
  exported->add_option("--stride", flags->npy.stride_ms,
                       "npy: from window to window in ms; default: the window");
  exported->add_option("--frequency", flags->npy.frequency_hz,
                       "npy: Hz to resample to; default: that of the first recording");
  exported->add_option("--axes", flags->npy.axes, "npy: axes, comma-separated; default: all")
      ->delimiter(',');
  auto folder = std::make_shared<std::string>();
  CLI::App* verify = program.Verb(noun, "verify", "Checks the digest of an exported folder",
                                  [&client, folder] { return VerifyFolder(client, *folder); });
  verify->add_option("folder", *folder)->required();
}

void AddRetention(Program& program) {
  Client& client = program.client;
  CLI::App* noun = program.app.add_subcommand("retention", "What is deleted after which time");
  noun->require_subcommand(1);
  auto dry_run = std::make_shared<bool>(false);
  CLI::App* apply =
      program.Verb(noun, "apply", "Deletes what the project's settings let go, as once an hour",
                   [&client, dry_run] { return ApplyRetention(client, *dry_run); });
  apply->add_flag("--dry-run", *dry_run, "count only");
}

}  // namespace fieldloop::cli
