// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// labels

#include <algorithm>
#include <cstring>
#include <iostream>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <unistd.h>
#include <utility>
#include <vector>

#include <fieldloop/evaluation/v1/evaluation_service.grpc.pb.h>
#include <fieldloop/ingestion/v1/ingestion_service.grpc.pb.h>
#include <google/protobuf/util/time_util.h>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "services/cli/client/output.h"
#include "services/cli/client/repeat.h"
#include "services/cli/commands/arguments.h"
#include "services/cli/commands/commands.h"
#include "services/cli/commands/paging.h"
#include "services/cli/commands/sample_filter.h"
#include "services/common/grpc/client_call.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::cli {
namespace {

namespace iv = ingestion::v1;
namespace ev = evaluation::v1;
using Service = iv::IngestionService;
using Stub = Service::Stub;

constexpr int kLabelsPerCall = 500;
constexpr int kMostTasks = 100;

absl::StatusOr<std::unique_ptr<Stub>> StubOf(Client& client) {
  return client.Stub<Service>("ingestion");
}

std::string ReasonText(iv::LabellingReason reason) {
  return StateText(iv::LabellingReason_Name(reason), "LABELLING_REASON_");
}

// Sends up to kLabelsPerCall labels; adds what was refused to `refused`.
absl::Status SendLabels(Stub& stub, iv::CreateLabelsRequest& request,
                        std::vector<std::string>& refused) {
  if (request.labels_size() == 0) {
    return absl::OkStatus();
  }
  FIELDLOOP_ASSIGN_OR_RETURN(const iv::CreateLabelsResponse response,
                             Patiently([&] {  // A label that comes twice says the same.
                               return CallUnary(stub, &Stub::CreateLabels, request,
                                                absl::Minutes(2));
                             }));
  for (const auto& refusal : response.refusals()) {
    refused.push_back(
        absl::StrCat(request.labels(refusal.index()).sample(), ": ", refusal.message()));
  }
  request.clear_labels();
  return absl::OkStatus();
}

absl::Status ReportLabels(const Client& client, int given,
                          const std::vector<std::string>& refused) {
  const int stored = given - static_cast<int>(refused.size());
  if (client.json()) {
    std::cout << nlohmann::json{{"stored", stored}, {"refused", refused}}.dump() << "\n";
  } else {
    std::cout << stored << " labels stored\n";
  }
  if (!refused.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(refused.size(), " labels refused:\n  ", absl::StrJoin(refused, "\n  ")));
  }
  return absl::OkStatus();
}

absl::Status ImportLabels(Client& client, const std::string& path) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  iv::CreateLabelsRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_parent(), client.Project());
  std::istringstream lines(text);
  std::string line;
  std::vector<std::string> refused;
  int given = 0;
  for (int number = 1; std::getline(lines, line); ++number) {
    if (absl::StripAsciiWhitespace(line).empty()) {
      continue;
    }
    const nlohmann::json json = nlohmann::json::parse(line, nullptr, false);
    if (!json.is_object() || !json.contains("sample") || !json["sample"].is_string() ||
        !json.contains("label") || !json["label"].is_string()) {
      return absl::InvalidArgumentError(absl::StrCat(
          path, " line ", number,
          ": want {\"sample\": \"...\", \"label\": \"...\"}; the lines before it are stored"));
    }
    iv::Label& label = *request.add_labels();
    FIELDLOOP_ASSIGN_OR_RETURN(*label.mutable_sample(),
                               client.Name("samples", json["sample"].get<std::string>()));
    label.set_source(json.value("source", "import"));
    iv::LabelRange& range = *label.add_ranges();
    range.set_end_reading(-1);
    range.set_label(json["label"].get<std::string>());
    ++given;
    if (request.labels_size() == kLabelsPerCall) {
      FIELDLOOP_RETURN_IF_ERROR(SendLabels(*stub, request, refused));
    }
  }
  FIELDLOOP_RETURN_IF_ERROR(SendLabels(*stub, request, refused));
  return ReportLabels(client, given, refused);
}

absl::Status ListLabels(Client& client, const std::string& sample) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  iv::ListLabelsRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_parent(), client.Name("samples", sample));
  Table table({"LABEL", "RANGES", "AUTHOR", "SOURCE", "WHY", "TIME"});
  FIELDLOOP_RETURN_IF_ERROR(ForEachPage(*stub, &Stub::ListLabels, request, [&](const auto& page) {
    for (const iv::Label& label : page.labels()) {
      if (client.json()) {
        PrintJson(label);
        continue;
      }
      std::vector<std::string> ranges;
      for (const iv::LabelRange& range : label.ranges()) {
        ranges.push_back(
            absl::StrCat(range.start_reading(), ":", range.end_reading(), ":", range.label()));
      }
      std::string why;
      if (!label.undoes().empty()) {
        why = absl::StrCat("undoes ", ShortName(label.undoes()));
      } else if (label.reason() != iv::LABELLING_REASON_UNSPECIFIED) {
        why = ReasonText(label.reason());
      }
      table.Row({ShortName(label.name()), absl::StrJoin(ranges, " "), label.author(),
                 label.source(), why, TimeText(label.create_time())});
    }
  }));
  if (!client.json()) {
    table.Print("no labels yet");
  }
  return absl::OkStatus();
}

std::string SuggestionText(const iv::Suggestion& suggestion) {
  return absl::StrCat(suggestion.label(), ", ", NumberText(suggestion.confidence() * 100, 0),
                      " % sure (model ", suggestion.model_digest().substr(0, 12), ")");
}

// The course of one axis of a recording, in a line of `columns` bars.
std::string Bars(const std::string& data, std::size_t axis, std::size_t axes, std::size_t columns) {
  static constexpr const char* kBars[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  const std::size_t readings = data.size() / sizeof(float) / axes;
  columns = std::min(columns, readings);
  std::vector<double> means(columns, 0);
  std::vector<std::size_t> counts(columns, 0);
  for (std::size_t i = 0; i < readings; ++i) {
    float value = 0;
    std::memcpy(&value, data.data() + (i * axes + axis) * sizeof(float), sizeof(float));
    means[i * columns / readings] += static_cast<double>(value);
    ++counts[i * columns / readings];
  }
  for (std::size_t i = 0; i < columns; ++i) {
    means[i] /= static_cast<double>(counts[i]);
  }
  std::string line;
  const auto [low, high] = std::minmax_element(means.begin(), means.end());
  for (const double mean : means) {
    const double share = *high > *low ? (mean - *low) / (*high - *low) : 0;
    line += kBars[std::min<std::size_t>(7, static_cast<std::size_t>(share * 8))];
  }
  return line;
}

// Shows a task to a person at a terminal.
absl::Status ShowTask(Stub& stub, const iv::LabellingTask& task) {
  constexpr int kShownAxes = 6;
  constexpr std::size_t kColumns = 60;
  const iv::Sample& sample = task.sample();
  std::cout << "\n"
            << sample.file_name() << "  " << sample.name() << "\n  " << ReasonText(task.reason());
  if (sample.frequency_hz() > 0) {
    std::cout << ", "
              << NumberText(static_cast<double>(sample.readings()) / sample.frequency_hz(), 1)
              << " s";
  }
  if (!sample.device().device().empty()) {
    std::cout << ", from " << ShortName(sample.device().device());
  }
  if (sample.flags_size() > 0) {
    std::cout << ", flags " << absl::StrJoin(sample.flags(), ",");
  }
  std::cout << "\n";
  iv::DownloadSampleRequest request;
  request.set_name(sample.name());
  request.set_canonical(true);
  grpc::ClientContext context;
  const auto reader = stub.DownloadSample(&context, request);
  std::string data;
  iv::DownloadSampleResponse piece;
  while (reader->Read(&piece)) {
    data += piece.data();
  }
  FIELDLOOP_RETURN_IF_ERROR(FromGrpcStatus(reader->Finish()));
  std::size_t width = 0;
  for (const std::string& axis : sample.axes()) {
    width = std::max(width, axis.size());
  }
  for (int axis = 0; axis < std::min(sample.axes_size(), kShownAxes); ++axis) {
    std::cout << "  " << sample.axes(axis) << std::string(width - sample.axes(axis).size() + 2, ' ')
              << Bars(data, static_cast<std::size_t>(axis),
                      static_cast<std::size_t>(sample.axes_size()), kColumns)
              << "\n";
  }
  if (sample.labels_size() > 0) {
    std::cout << "  labelled " << LabelsText(sample) << "\n";
  }
  if (task.has_suggestion()) {
    std::cout << "  a model suggests " << SuggestionText(task.suggestion()) << "\n";
  }
  return absl::OkStatus();
}

absl::StatusOr<iv::Label> SetLabel(Stub& stub, const std::string& project,
                                   const std::string& sample, const std::string& text,
                                   const std::string& suggested_by) {
  iv::CreateLabelsRequest request;
  request.set_parent(project);
  iv::Label& label = *request.add_labels();
  label.set_sample(sample);
  label.set_source("person");
  label.set_suggested_by(suggested_by);
  if (!text.empty()) {
    iv::LabelRange& range = *label.add_ranges();
    range.set_end_reading(-1);
    range.set_label(text);
  }
  FIELDLOOP_ASSIGN_OR_RETURN(const iv::CreateLabelsResponse response,
                             CallUnary(stub, &Stub::CreateLabels, request));
  if (response.refusals_size() > 0) {
    return absl::InvalidArgumentError(response.refusals(0).message());
  }
  return response.labels(0);
}

// Asks a person for one label after another, until they stop or nothing waits.
class Dialogue {
 public:
  Dialogue(Stub& stub, iv::LeaseLabellingTasksRequest request)
      : stub_(stub), request_(std::move(request)) {}

  absl::Status Run() {
    std::cout
        << "Type a label and Enter. Enter alone takes the suggestion. :s skips, :u undoes the "
           "last, :q stops.\n";
    absl::Status status;
    bool more = true;
    const int count = request_.count();
    while (more && status.ok()) {
      // What was skipped stays leased, so that it does not come again.
      request_.set_count(std::min(kMostTasks, count + static_cast<int>(skipped_.size())));
      absl::StatusOr<iv::LeaseLabellingTasksResponse> leased =
          CallUnary(stub_, &Stub::LeaseLabellingTasks, request_);
      status = leased.status();
      more = status.ok() && AskAbout(*leased, status);
    }
    // What was not labelled is there for others.
    iv::ReleaseLabellingTasksRequest release;
    release.set_parent(request_.parent());
    const absl::Status released = CallUnary(stub_, &Stub::ReleaseLabellingTasks, release).status();
    std::cout << labelled_ << " labelled\n";
    return status.ok() ? released : status;
  }

 private:
  // False when the person stops, nothing waits, or `status` is an error.
  bool AskAbout(const iv::LeaseLabellingTasksResponse& leased, absl::Status& status) {
    bool any = false;
    for (const iv::LabellingTask& task : leased.tasks()) {
      if (skipped_.count(task.sample().name()) > 0) {
        continue;
      }
      any = true;
      std::cout << "\n" << leased.waiting() << " wait";
      status = ShowTask(stub_, task);
      if (!status.ok() || !AskAbout(task, status)) {
        return false;
      }
    }
    if (!any) {
      std::cout << "nothing waits for a label\n";
    }
    return any;
  }

  bool AskAbout(const iv::LabellingTask& task, absl::Status& status) {
    for (;;) {
      std::cout << "label> " << std::flush;
      std::string line;
      if (!std::getline(std::cin, line) || line == ":q") {
        return false;
      }
      line = std::string(absl::StripAsciiWhitespace(line));
      if (line == ":s") {
        skipped_.insert(task.sample().name());
        return true;
      }
      if (line == ":u") {
        if (last_.empty()) {
          std::cout << "nothing to undo\n";
          continue;
        }
        iv::UndoLabelRequest undo;
        undo.set_name(std::exchange(last_, ""));
        const absl::Status undone = CallUnary(stub_, &Stub::UndoLabel, undo).status();
        std::cout << (undone.ok() ? "undone" : std::string(undone.message())) << "\n";
        labelled_ -= undone.ok() ? 1 : 0;
        continue;
      }
      if (line.empty()) {
        if (!task.has_suggestion()) {
          continue;
        }
        line = task.suggestion().label();
      }
      const absl::StatusOr<iv::Label> label = SetLabel(
          stub_, request_.parent(), task.sample().name(), line, task.suggestion().model_digest());
      if (label.ok()) {
        last_ = label->name();
        ++labelled_;
        return true;
      }
      if (!absl::IsInvalidArgument(label.status())) {
        status = label.status();
        return false;
      }
      std::cout << label.status().message() << "\n";
    }
  }

  Stub& stub_;
  iv::LeaseLabellingTasksRequest request_;
  std::set<std::string> skipped_;
  std::string last_;  // Name of the last label of this dialogue.
  int labelled_ = 0;
};

struct NextFlags {
  FilterFlags filter;
  int count = 10;
  std::string lease = "15m";
  double random = 0.5;
  double second = 0;
  bool json = false;
  bool release = false;
};

absl::Status LabelNext(Client& client, const NextFlags& flags) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string project, client.Project());
  if (flags.release) {
    iv::ReleaseLabellingTasksRequest request;
    request.set_parent(project);
    FIELDLOOP_ASSIGN_OR_RETURN(const iv::ReleaseLabellingTasksResponse response,
                               CallUnary(*stub, &Stub::ReleaseLabellingTasks, request));
    std::cout << response.released() << " given back\n";
    return absl::OkStatus();
  }
  iv::LeaseLabellingTasksRequest request;
  request.set_parent(project);
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_filter(), FilterOf(client, flags.filter));
  request.set_count(flags.count);
  FIELDLOOP_ASSIGN_OR_RETURN(const absl::Duration lease, DurationOf("--lease", flags.lease));
  *request.mutable_lease() =
      google::protobuf::util::TimeUtil::MicrosecondsToDuration(absl::ToInt64Microseconds(lease));
  request.set_random_share(flags.random);
  request.set_second_opinion_share(flags.second);
  const bool json = flags.json || client.json();
  if (!json && ::isatty(STDIN_FILENO) == 1) {
    return Dialogue(*stub, std::move(request)).Run();
  }
  FIELDLOOP_ASSIGN_OR_RETURN(const iv::LeaseLabellingTasksResponse response,
                             CallUnary(*stub, &Stub::LeaseLabellingTasks, request));
  Table table({"SAMPLE", "FILE", "WHY", "SUGGESTION", "UNTIL"});
  for (const iv::LabellingTask& task : response.tasks()) {
    if (json) {
      PrintJson(task);
      continue;
    }
    table.Row({ShortName(task.sample().name()), task.sample().file_name(),
               ReasonText(task.reason()),
               task.has_suggestion() ? SuggestionText(task.suggestion()) : "",
               TimeText(task.lease_expire_time())});
  }
  if (!json) {
    table.Print("nothing waits for a label");
    std::cout << response.waiting() << " wait\n";
  }
  return absl::OkStatus();
}

absl::Status SetOneLabel(Client& client, const std::string& sample, const std::string& text) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string project, client.Project());
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string name, client.Name("samples", sample));
  FIELDLOOP_ASSIGN_OR_RETURN(const iv::Label label,
                             SetLabel(*stub, project, name, text, /*suggested_by=*/""));
  PrintRecord(client, label, {{"label", label.name()}});
  return absl::OkStatus();
}

absl::Status UndoLabel(Client& client, const std::string& name) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string sample, client.Name("samples", name));
  iv::UndoLabelRequest request;
  if (absl::StrContains(sample, "/labels/")) {
    request.set_name(sample);
  } else {
    iv::ListLabelsRequest list;
    list.set_parent(sample);
    FIELDLOOP_RETURN_IF_ERROR(ForEachPage(*stub, &Stub::ListLabels, list, [&](const auto& page) {
      if (page.labels_size() > 0) {
        request.set_name(page.labels(page.labels_size() - 1).name());
      }
    }));
    if (request.name().empty()) {
      return absl::FailedPreconditionError(absl::StrCat(sample, " has no label to undo"));
    }
  }
  FIELDLOOP_ASSIGN_OR_RETURN(const iv::UndoLabelResponse response,
                             CallUnary(*stub, &Stub::UndoLabel, request));
  iv::Sample stands;
  *stands.mutable_labels() = response.label().ranges();
  const std::string labels = LabelsText(stands);
  PrintRecord(
      client, response.label(),
      {{"undid", response.label().undoes()}, {"now", labels.empty() ? "no label" : labels}});
  return absl::OkStatus();
}

absl::Status ShowAgreement(Client& client, const FilterFlags& flags) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  iv::GetLabelAgreementRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_parent(), client.Project());
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_filter(), FilterOf(client, flags));
  FIELDLOOP_ASSIGN_OR_RETURN(const iv::GetLabelAgreementResponse response,
                             CallUnary(*stub, &Stub::GetLabelAgreement, request, absl::Minutes(2)));
  if (client.json()) {
    PrintJson(response);
    return absl::OkStatus();
  }
  std::cout << response.samples() << " samples were labelled by two or more people\n";
  if (response.has_alpha()) {
    std::cout << "Krippendorff's alpha " << NumberText(response.alpha()) << "\n";
  }
  Table table({"LABELLER", "LABELLER", "SAMPLES", "AGREE", "COHEN'S KAPPA"});
  for (const auto& pair : response.pairs()) {
    table.Row({pair.first(), pair.second(), absl::StrCat(pair.samples()),
               absl::StrCat(NumberText(pair.agreement() * 100, 1), " %"),
               pair.has_kappa() ? NumberText(pair.kappa()) : "-"});
  }
  table.Print("no two people labelled the same sample; `labels next --second 0.2` asks for it");
  for (const std::string& sample : response.disagreeing()) {
    std::cout << "they disagree on " << sample << "\n";
  }
  return absl::OkStatus();
}

absl::Status SuggestLabels(Client& client, const std::string& model, int most) {
  constexpr int kPerCall = 200;
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, client.Stub<ev::EvaluationService>("evaluation"));
  ev::SuggestLabelsRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_parent(), client.Project());
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_model(), client.Name("models", model));
  ev::SuggestLabelsResponse total;
  ProgressLine progress;
  for (int asked = 0; asked < most;) {
    request.set_max_samples(std::min(kPerCall, most - asked));
    FIELDLOOP_ASSIGN_OR_RETURN(
        const ev::SuggestLabelsResponse response,
        CallUnary(*stub, &ev::EvaluationService::Stub::SuggestLabels, request, absl::Minutes(10)));
    total.set_suggested(total.suggested() + response.suggested());
    total.set_unreadable(response.unreadable());  // Each call sees them again.
    asked += response.suggested();
    if (!client.json()) {
      progress.Show(absl::StrCat(total.suggested(), " suggestions, ", total.unreadable(),
                                 " samples that the model cannot read"));
    }
    if (response.suggested() < request.max_samples()) {
      break;
    }
  }
  if (client.json()) {
    PrintJson(total);
  }
  return absl::OkStatus();
}

}  // namespace

void AddLabels(Program& program) {
  Client& client = program.client;
  CLI::App* noun = program.app.add_subcommand("labels", "What recordings are");
  noun->require_subcommand(1);
  auto sample = std::make_shared<std::string>();
  auto label = std::make_shared<std::string>();
  auto path = std::make_shared<std::string>();
  CLI::App* set = program.Verb(
      noun, "set", "Labels a recording as a whole; an empty label takes its label away",
      [&client, sample, label] { return SetOneLabel(client, *sample, *label); });
  set->add_option("sample", *sample)->required();
  set->add_option("label", *label)->required();
  CLI::App* import = program.Verb(noun, "import", "Labels many recordings from JSON lines",
                                  [&client, path] { return ImportLabels(client, *path); });
  import->add_option("file", *path, "lines of {\"sample\", \"label\"}")->required();
  CLI::App* list = program.Verb(noun, "list", "Lists every label a recording ever had",
                                [&client, sample] { return ListLabels(client, *sample); });
  list->add_option("sample", *sample)->required();
  CLI::App* undo =
      program.Verb(noun, "undo", "Takes a recording's newest label back; again brings it back",
                   [&client, sample] { return UndoLabel(client, *sample); });
  undo->add_option("sample", *sample, "recording, or name of the label")->required();

  auto next_flags = std::make_shared<NextFlags>();
  CLI::App* next = program.Verb(
      noun, "next",
      "Labels what is most worth it: asks at a terminal, else lists tasks and keeps them leased",
      [&client, next_flags] { return LabelNext(client, *next_flags); });
  next_flags->filter.AddTo(next, /*with_label_state=*/false);
  next->add_option("--count", next_flags->count, "tasks at a time, 1 to 100")
      ->capture_default_str()
      ->check(CLI::Range(1, kMostTasks));
  next->add_option("--lease", next_flags->lease, "time for which they are yours, 1m to 24h")
      ->capture_default_str();
  next->add_option("--random", next_flags->random, "share drawn by chance, 0 to 1")
      ->capture_default_str();
  next->add_option("--second", next_flags->second, "share of second opinions, 0 to 1")
      ->capture_default_str();
  next->add_flag("--json", next_flags->json, "list the tasks as JSON lines");
  next->add_flag("--release", next_flags->release, "give back all that you hold");

  auto filter = std::make_shared<FilterFlags>();
  CLI::App* agreement = program.Verb(noun, "agreement", "Shows how far people who label agree",
                                     [&client, filter] { return ShowAgreement(client, *filter); });
  filter->AddTo(agreement);

  auto model = std::make_shared<std::string>("champion");
  auto most = std::make_shared<int>(200);
  CLI::App* suggest =
      program.Verb(noun, "suggest", "Asks a model what recordings without a person's label are",
                   [&client, model, most] { return SuggestLabels(client, *model, *most); });
  suggest->add_option("--model", *model, "number or alias")->capture_default_str();
  suggest
      ->add_option("--max", *most,
                   "recordings, newest first; those it was asked about are left out")
      ->capture_default_str()
      ->check(CLI::Range(1, 1'000'000));
}

}  // namespace fieldloop::cli
