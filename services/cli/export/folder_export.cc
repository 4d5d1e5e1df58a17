// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/cli/export/folder_export.h"

#include <filesystem>
#include <map>
#include <set>
#include <system_error>
#include <utility>

#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "services/cli/client/output.h"
#include "services/cli/commands/arguments.h"
#include "services/cli/export/folder_digest.h"
#include "services/cli/export/version_reader.h"
#include "services/common/crypto/digest.h"
#include "services/common/grpc/grpc_status.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::cli {
namespace {

namespace iv = ingestion::v1;
using json = nlohmann::ordered_json;
using Stub = iv::IngestionService::StubInterface;

absl::StatusOr<std::string> Download(Stub& stub, const std::string& sample) {
  iv::DownloadSampleRequest request;
  request.set_name(sample);
  grpc::ClientContext context;
  const auto reader = stub.DownloadSample(&context, request);
  std::string data;
  iv::DownloadSampleResponse piece;
  while (reader->Read(&piece)) {
    data += piece.data();
  }
  FIELDLOOP_RETURN_IF_ERROR(FromGrpcStatus(reader->Finish()));
  return data;
}

absl::string_view EndingOf(iv::SampleFormat format) {
  switch (format) {
    case iv::SAMPLE_FORMAT_JSON:
      return ".json";
    case iv::SAMPLE_FORMAT_CBOR:
      return ".cbor";
    case iv::SAMPLE_FORMAT_WAV:
      return ".wav";
    case iv::SAMPLE_FORMAT_F32:
      return ".f32";
    default:
      return ".csv";
  }
}

// A name for a file that every file system takes, ends as the format does, and is not taken yet.
std::string FileNameOf(const iv::Sample& sample, std::set<std::string>& taken) {
  const absl::string_view ending = EndingOf(sample.format());
  std::string stem;
  for (const char c : sample.file_name()) {
    const bool plain = absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '-' ||
                       c == '_' || c == ' ';
    stem += plain ? c : '_';
  }
  stem = std::string(absl::StripSuffix(stem, ending));
  if (stem.empty() || stem.front() == '.') {
    stem = absl::StrCat("_", stem);
  }
  std::string name = absl::StrCat(stem, ending);
  // Upper and lower case may be the same to a file system.
  if (!taken.insert(absl::AsciiStrToLower(name)).second) {
    name = absl::StrCat(stem, ".", ShortName(sample.name()), ending);
    taken.insert(absl::AsciiStrToLower(name));
  }
  return name;
}

json LabelOf(const iv::Sample& sample) {
  if (sample.labels_size() == 1 && sample.labels(0).start_reading() == 0 &&
      sample.labels(0).end_reading() == sample.readings() - 1) {
    return {{"type", "label"}, {"label", sample.labels(0).label()}};
  }
  json ranges = json::array();
  for (const iv::LabelRange& range : sample.labels()) {
    ranges.push_back({{"startIndex", range.start_reading()},
                      {"endIndex", range.end_reading()},
                      {"label", range.label()}});
  }
  return {{"type", "multi-label"}, {"labels", ranges}};
}

absl::Status MakeFolder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  return error ? absl::UnavailableError(absl::StrCat("cannot make ", path, ": ", error.message()))
               : absl::OkStatus();
}

// OK if `folder` holds nothing of another version.
absl::Status CheckFolder(const std::string& folder, const iv::DatasetVersion& version) {
  const std::string path = absl::StrCat(folder, "/", kVersionFile);
  std::error_code error;
  const bool is_export = std::filesystem::exists(path, error);
  if (!is_export && std::filesystem::exists(folder, error) &&
      !std::filesystem::is_empty(folder, error)) {
    return absl::InvalidArgumentError(
        absl::StrCat(folder, ": want an empty folder, or one that this version was exported to"));
  }
  if (is_export) {
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
    const json there = json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (!there.is_object() || there.value("digest", json()) != version.digest()) {
      return absl::InvalidArgumentError(
          absl::StrCat(folder, " holds another dataset version; want an empty folder"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ExportFolder(Stub& stub, const iv::DatasetVersion& version, const std::string& folder,
                          const std::function<void(std::int64_t samples)>& progress) {
  FIELDLOOP_RETURN_IF_ERROR(CheckFolder(folder, version));
  for (const char* side : {"training", "testing"}) {
    FIELDLOOP_RETURN_IF_ERROR(MakeFolder(absl::StrCat(folder, "/", side)));
  }
  FIELDLOOP_RETURN_IF_ERROR(WriteFile(absl::StrCat(folder, "/", kVersionFile),
                                      absl::StrCat(json{{"name", version.name()},
                                                        {"digest", version.digest()},
                                                        {"samples", version.sample_count()}}
                                                       .dump(2),
                                                   "\n")));
  std::set<std::string> taken;
  json files = json::array();
  std::int64_t done = 0;
  const absl::Status written =
      ForEachSample(stub, version.name(), [&](const ExportedSample& exported) -> absl::Status {
        const iv::Sample& sample = exported.sample;
        const std::string category = sample.split() == iv::SPLIT_TESTING ? "testing" : "training";
        const std::string path = absl::StrCat(category, "/", FileNameOf(sample, taken));
        const std::string whole_path = absl::StrCat(folder, "/", path);
        const absl::StatusOr<std::string> there = ReadFile(whole_path);
        if (!there.ok() || ToHex(Sha256Of(*there)) != sample.digest()) {
          FIELDLOOP_ASSIGN_OR_RETURN(const std::string bytes, Download(stub, sample.name()));
          FIELDLOOP_RETURN_IF_ERROR(WriteFile(whole_path, bytes));
        }
        json file = {{"path", path},
                     {"name", sample.file_name()},
                     {"category", category},
                     {"label", LabelOf(sample)},
                     {"digest", sample.digest()},
                     {"readings", sample.readings()}};
        json metadata = json::object();
        for (const auto& [key, value] : std::map<std::string, std::string>(
                 sample.metadata().begin(), sample.metadata().end())) {
          metadata[key] = value;
        }
        file["metadata"] = std::move(metadata);
        if (sample.format() == iv::SAMPLE_FORMAT_F32) {  // The bytes do not say it themselves.
          file["axes"] = std::vector<std::string>(sample.axes().begin(), sample.axes().end());
          file["frequencyHz"] = sample.frequency_hz();
        }
        files.push_back(std::move(file));
        progress(++done);
        return absl::OkStatus();
      });
  FIELDLOOP_RETURN_IF_ERROR(written);
  return WriteFile(absl::StrCat(folder, "/", kIndexFile),
                   absl::StrCat(json{{"version", 1}, {"files", std::move(files)}}.dump(1), "\n"));
}

}  // namespace fieldloop::cli
