// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// samples

#include <algorithm>
#include <atomic>
#include <cmath>
#include <iostream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <fieldloop/ingestion/v1/ingestion_service.grpc.pb.h>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "services/cli/client/output.h"
#include "services/cli/client/repeat.h"
#include "services/cli/commands/arguments.h"
#include "services/cli/commands/commands.h"
#include "services/cli/commands/paging.h"
#include "services/cli/commands/sample_filter.h"
#include "services/cli/import/sample_sender.h"
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

struct Upload {
  std::string path;
  std::string file_name;
  std::string split;
  std::string label;      // Of the whole recording.
  nlohmann::json ranges;  // Or ranges in milliseconds.
  std::map<std::string, std::string> metadata;
};

// A label range in milliseconds from the start becomes one in readings.
absl::StatusOr<iv::LabelRange> RangeOf(const nlohmann::json& json, const iv::Sample& sample) {
  if (!json.is_object() || !json.contains("start_ms") || !json.contains("end_ms") ||
      !json.contains("label") || !json["start_ms"].is_number() || !json["end_ms"].is_number() ||
      !json["label"].is_string()) {
    return absl::InvalidArgumentError(
        absl::StrCat("ranges: got ", json.dump(), ", want {\"start_ms\", \"end_ms\", \"label\"}"));
  }
  const double per_ms = sample.frequency_hz() / 1000.0;
  iv::LabelRange range;
  range.set_start_reading(
      static_cast<std::int64_t>(std::ceil(json["start_ms"].get<double>() * per_ms - 1e-6)));
  // A range ends before its end: two that touch share no reading.
  range.set_end_reading(std::min(
      static_cast<std::int64_t>(std::ceil(json["end_ms"].get<double>() * per_ms - 1e-6)) - 1,
      sample.readings() - 1));
  range.set_label(json["label"].get<std::string>());
  return range;
}

absl::StatusOr<iv::UploadSampleResponse> UploadOne(Client& client, Stub& stub,
                                                   const Upload& upload) {
  iv::UploadSpec spec;
  FIELDLOOP_ASSIGN_OR_RETURN(*spec.mutable_parent(), client.Project());
  spec.set_file_name(upload.file_name);
  FIELDLOOP_ASSIGN_OR_RETURN(const iv::Split split, SplitOf(upload.split));
  spec.set_split(split);
  Assign(*spec.mutable_metadata(), upload.metadata);
  if (!upload.label.empty()) {
    iv::LabelRange& range = *spec.add_labels();
    range.set_end_reading(-1);
    range.set_label(upload.label);
  }
  SampleSender sender(stub, {.attempts = 6, .wait = absl::SleepFor});
  std::atomic<std::int64_t> sent_bytes = 0;
  const absl::StatusOr<iv::UploadSampleResponse> sent = sender.Send(upload.path, spec, sent_bytes);
  if (!sent.ok()) {
    return absl::Status(sent.status().code(),
                        absl::StrCat(upload.path, ": ", sent.status().message()));
  }
  const iv::UploadSampleResponse& response = *sent;
  // Not "unless it was there before": an upload whose answer was lost is a duplicate the next time.
  if (!upload.ranges.is_null() && response.sample().labels().empty()) {
    iv::CreateLabelsRequest request;
    request.set_parent(spec.parent());
    iv::Label& label = *request.add_labels();
    label.set_sample(response.sample().name());
    label.set_source("import");
    for (const nlohmann::json& json : upload.ranges) {
      FIELDLOOP_ASSIGN_OR_RETURN(const iv::LabelRange range, RangeOf(json, response.sample()));
      if (range.end_reading() >= range.start_reading()) {
        *label.add_ranges() = range;
      }
    }
    FIELDLOOP_ASSIGN_OR_RETURN(const iv::CreateLabelsResponse labelled,
                               Patiently([&] {  // A label that comes twice says the same.
                                 return CallUnary(stub, &Stub::CreateLabels, request);
                               }));
    if (labelled.refusals_size() > 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(upload.path, ": ", labelled.refusals(0).message()));
    }
  }
  return response;
}

absl::StatusOr<Upload> UploadOf(const std::string& line, const std::string& folder) {
  const nlohmann::json json = nlohmann::json::parse(line, nullptr, false);
  if (!json.is_object() || !json.contains("path") || !json["path"].is_string()) {
    return absl::InvalidArgumentError("want a JSON object with a path");
  }
  Upload upload;
  upload.path = json["path"].get<std::string>();
  if (upload.path.front() != '/') {
    upload.path = absl::StrCat(folder, "/", upload.path);
  }
  upload.file_name = json.value("file_name", ShortName(upload.path));
  upload.split = json.value("split", "");
  upload.label = json.value("label", "");
  if (json.contains("ranges")) {
    if (!json["ranges"].is_array()) {
      return absl::InvalidArgumentError("ranges: want a list");
    }
    upload.ranges = json["ranges"];
  }
  if (json.contains("metadata")) {
    for (const auto& [key, value] : json["metadata"].items()) {
      if (!value.is_string()) {
        return absl::InvalidArgumentError(absl::StrCat("metadata.", key, ": want a string"));
      }
      upload.metadata[key] = value.get<std::string>();
    }
  }
  return upload;
}

struct UploadFlags {
  std::vector<std::string> files;
  std::string manifest;
  std::string label;
  std::string split = "auto";
  std::vector<std::string> metadata;
};

absl::Status UploadSamples(Client& client, const UploadFlags& flags) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  FIELDLOOP_ASSIGN_OR_RETURN(const auto metadata, KeyValues("--metadata", flags.metadata));
  std::vector<Upload> uploads;
  for (const std::string& path : flags.files) {
    uploads.push_back({.path = path,
                       .file_name = ShortName(path),
                       .split = flags.split,
                       .label = flags.label,
                       .ranges = nullptr,
                       .metadata = metadata});
  }
  if (!flags.manifest.empty()) {
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string text, ReadFile(flags.manifest));
    const std::size_t slash = flags.manifest.rfind('/');
    const std::string folder = slash == std::string::npos ? "." : flags.manifest.substr(0, slash);
    std::istringstream lines(text);
    std::string line;
    for (int number = 1; std::getline(lines, line); ++number) {
      if (absl::StripAsciiWhitespace(line).empty()) {
        continue;
      }
      absl::StatusOr<Upload> upload = UploadOf(line, folder);
      if (!upload.ok()) {
        return absl::InvalidArgumentError(
            absl::StrCat(flags.manifest, " line ", number, ": ", upload.status().message()));
      }
      uploads.push_back(*std::move(upload));
    }
  }
  if (uploads.empty()) {
    return absl::InvalidArgumentError("nothing to upload: name files, or --manifest FILE");
  }
  ProgressLine progress;
  int stored = 0;
  int duplicates = 0;
  for (const Upload& upload : uploads) {
    FIELDLOOP_ASSIGN_OR_RETURN(const iv::UploadSampleResponse response,
                               UploadOne(client, *stub, upload));
    ++(response.duplicate() ? duplicates : stored);
    if (client.json()) {
      PrintJson(response);
    } else if (uploads.size() == 1) {
      const iv::Sample& sample = response.sample();
      std::cout << sample.name() << (response.duplicate() ? " was there already\n" : "\n");
    } else {
      progress.Show(absl::StrCat(stored + duplicates, " of ", uploads.size(), " recordings, ",
                                 duplicates, " were there already"));
    }
  }
  return absl::OkStatus();
}

absl::Status ListSamples(Client& client, const FilterFlags& flags) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  iv::ListSamplesRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_parent(), client.Project());
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_filter(), FilterOf(client, flags));
  Table table({"SAMPLE", "FILE", "SOURCE", "SPLIT", "SECONDS", "LABELS", "FLAGS", "CREATED"});
  FIELDLOOP_RETURN_IF_ERROR(ForEachPage(*stub, &Stub::ListSamples, request, [&](const auto& page) {
    for (const iv::Sample& sample : page.samples()) {
      if (client.json()) {
        PrintJson(sample);
        continue;
      }
      const double seconds = sample.frequency_hz() > 0
                                 ? static_cast<double>(sample.readings()) / sample.frequency_hz()
                                 : 0.0;
      table.Row({ShortName(sample.name()), sample.file_name(),
                 StateText(iv::SampleSource_Name(sample.source()), "SAMPLE_SOURCE_"),
                 StateText(iv::Split_Name(sample.split()), "SPLIT_"), NumberText(seconds, 1),
                 LabelsText(sample), absl::StrJoin(sample.flags(), ","),
                 TimeText(sample.create_time())});
    }
  }));
  if (!client.json()) {
    table.Print("no samples match");
  }
  return absl::OkStatus();
}

absl::Status CountSamples(Client& client, const FilterFlags& flags) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  iv::CountSamplesRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_parent(), client.Project());
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_filter(), FilterOf(client, flags));
  FIELDLOOP_ASSIGN_OR_RETURN(const iv::CountSamplesResponse response,
                             CallUnary(*stub, &Stub::CountSamples, request));
  if (client.json()) {
    PrintJson(response);
    return absl::OkStatus();
  }
  std::cout << response.total() << " samples, " << response.labelled() << " labelled\n";
  std::map<std::string, std::pair<std::int64_t, std::int64_t>> labels;
  for (const auto& [label, count] : response.training()) labels[label].first = count;
  for (const auto& [label, count] : response.testing()) labels[label].second = count;
  Table table({"LABEL", "TRAINING", "TESTING"});
  for (const auto& [label, counts] : labels) {
    table.Row({label, absl::StrCat(counts.first), absl::StrCat(counts.second)});
  }
  table.Print("no labels");
  return absl::OkStatus();
}

absl::Status GetSample(Client& client, const std::string& id) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  iv::GetSampleRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_name(), client.Name("samples", id));
  FIELDLOOP_ASSIGN_OR_RETURN(const iv::GetSampleResponse response,
                             CallUnary(*stub, &Stub::GetSample, request));
  const iv::Sample& sample = response.sample();
  PrintRecord(client, sample,
              {{"sample", sample.name()},
               {"file", sample.file_name()},
               {"digest", sample.digest()},
               {"size", SizeText(sample.size_bytes())},
               {"axes", absl::StrJoin(sample.axes(), " ")},
               {"units", absl::StrJoin(sample.units(), " ")},
               {"readings", absl::StrCat(sample.readings(), " at ",
                                         NumberText(sample.frequency_hz(), 2), " Hz")},
               {"resampling", sample.resampling()},
               {"split", StateText(iv::Split_Name(sample.split()), "SPLIT_")},
               {"split by", sample.split_group()},
               {"labels", LabelsText(sample)},
               {"device", sample.device().device()},
               {"chosen", sample.device().reason()},
               {"flags", absl::StrJoin(sample.flags(), ",")},
               {"created", TimeText(sample.create_time())}});
  return absl::OkStatus();
}

absl::Status DownloadSample(Client& client, const std::string& id, const std::string& out,
                            bool canonical) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  iv::DownloadSampleRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_name(), client.Name("samples", id));
  request.set_canonical(canonical);
  grpc::ClientContext context;
  const auto reader = stub->DownloadSample(&context, request);
  std::string data;
  iv::DownloadSampleResponse piece;
  while (reader->Read(&piece)) {
    data += piece.data();
  }
  FIELDLOOP_RETURN_IF_ERROR(FromGrpcStatus(reader->Finish()));
  FIELDLOOP_RETURN_IF_ERROR(WriteFile(out, data));
  std::cout << out << ": " << SizeText(static_cast<std::int64_t>(data.size())) << "\n";
  return absl::OkStatus();
}

absl::Status DeleteSample(Client& client, const std::string& id) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  iv::DeleteSampleRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_name(), client.Name("samples", id));
  FIELDLOOP_RETURN_IF_ERROR(CallUnary(*stub, &Stub::DeleteSample, request).status());
  if (!client.json()) {
    std::cout << "deleted " << request.name() << "\n";
  }
  return absl::OkStatus();
}

absl::Status ListVersionsOfSample(Client& client, const std::string& id) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto stub, StubOf(client));
  iv::ListSampleDatasetVersionsRequest request;
  FIELDLOOP_ASSIGN_OR_RETURN(*request.mutable_parent(), client.Name("samples", id));
  Table table({"DATASET VERSION"});
  FIELDLOOP_RETURN_IF_ERROR(
      ForEachPage(*stub, &Stub::ListSampleDatasetVersions, request, [&](const auto& page) {
        for (const std::string& name : page.dataset_versions()) {
          if (client.json()) {
            std::cout << nlohmann::json{{"dataset_version", name}}.dump() << "\n";
          }
          table.Row({name});
        }
      }));
  if (!client.json()) {
    table.Print("no dataset version holds it");
  }
  return absl::OkStatus();
}

}  // namespace

void AddSamples(Program& program) {
  Client& client = program.client;
  CLI::App* noun = program.app.add_subcommand("samples", "Recordings");
  noun->require_subcommand(1);
  auto upload_flags = std::make_shared<UploadFlags>();
  CLI::App* upload =
      program.Verb(noun, "upload", "Uploads recordings (CSV, JSON, WAV)",
                   [&client, upload_flags] { return UploadSamples(client, *upload_flags); });
  upload->add_option("files", upload_flags->files, "recordings");
  upload->add_option("--manifest", upload_flags->manifest,
                     "JSON lines {path, split, label or ranges: [{start_ms, end_ms, label}], "
                     "metadata}; paths relative to it");
  upload->add_option("--label", upload_flags->label, "label of the named files");
  upload->add_option("--split", upload_flags->split, "training, testing or auto")
      ->check(CLI::IsMember({"training", "testing", "auto"}))
      ->capture_default_str();
  upload->add_option("--metadata", upload_flags->metadata, "key=value; repeatable");
  AddSampleImport(program, noun);
  auto filter = std::make_shared<FilterFlags>();
  CLI::App* list = program.Verb(noun, "list", "Lists recordings, newest first",
                                [&client, filter] { return ListSamples(client, *filter); });
  filter->AddTo(list);
  CLI::App* count = program.Verb(noun, "count", "Counts recordings by label and split",
                                 [&client, filter] { return CountSamples(client, *filter); });
  filter->AddTo(count);
  auto id = std::make_shared<std::string>();
  auto out = std::make_shared<std::string>();
  auto canonical = std::make_shared<bool>(false);
  CLI::App* get = program.Verb(noun, "get", "Shows a recording",
                               [&client, id] { return GetSample(client, *id); });
  get->add_option("sample", *id)->required();
  CLI::App* download = program.Verb(
      noun, "download", "Writes a recording to a file",
      [&client, id, out, canonical] { return DownloadSample(client, *id, *out, *canonical); });
  download->add_option("sample", *id)->required();
  download->add_option("--out", *out, "file")->required();
  download->add_flag("--canonical", *canonical, "float32 at an even rate instead of the original");
  CLI::App* remove =
      program.Verb(noun, "delete", "Deletes a recording that no dataset version holds",
                   [&client, id] { return DeleteSample(client, *id); });
  remove->add_option("sample", *id)->required();
  CLI::App* versions =
      program.Verb(noun, "versions", "Lists the dataset versions that hold a recording",
                   [&client, id] { return ListVersionsOfSample(client, *id); });
  versions->add_option("sample", *id)->required();
}

}  // namespace fieldloop::cli
