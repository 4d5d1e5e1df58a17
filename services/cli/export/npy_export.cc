// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/cli/export/npy_export.h"

#include <array>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <system_error>
#include <utility>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "services/cli/commands/arguments.h"
#include "services/cli/export/version_reader.h"
#include "services/common/npy/npy_writer.h"
#include "services/common/signal/windows.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::cli {
namespace {

namespace iv = ingestion::v1;
using json = nlohmann::ordered_json;

constexpr double kPure = 1.0;

// The two files of one side.
struct Side {
  std::unique_ptr<NpyWriter> x;
  std::unique_ptr<NpyWriter> y;

  absl::Status Open(const std::string& folder, const std::string& side, std::size_t values) {
    FIELDLOOP_ASSIGN_OR_RETURN(x, NpyWriter::Create(absl::StrCat(folder, "/X_split_", side, ".npy"),
                                                    NpyType::kFloat32, values));
    FIELDLOOP_ASSIGN_OR_RETURN(
        y, NpyWriter::Create(absl::StrCat(folder, "/Y_split_", side, ".npy"), NpyType::kInt32, 4));
    return absl::OkStatus();
  }
  absl::Status Finish() {
    FIELDLOOP_RETURN_IF_ERROR(x->Finish(x->rows()));
    return y->Finish(y->rows());
  }
};

std::vector<std::string> ClassesOf(const iv::DatasetVersion& version) {
  std::set<std::string> classes;
  for (const auto& [label, readings] : version.training_readings()) {
    classes.insert(label);
  }
  for (const auto& [label, readings] : version.testing_readings()) {
    classes.insert(label);
  }
  return {classes.begin(), classes.end()};
}

class Writer {
 public:
  Writer(const NpyExportOptions& options, std::string folder, std::vector<std::string> classes)
      : options_(options), folder_(std::move(folder)) {
    summary_.classes = std::move(classes);
    for (const std::string& label : summary_.classes) {
      index_[label] = static_cast<std::int32_t>(index_.size()) + 1;
    }
  }

  absl::Status Add(const ExportedSample& exported) {
    if (!training_.has_value()) {
      FIELDLOOP_RETURN_IF_ERROR(Open(exported.sample));
    }
    const iv::Sample& sample = exported.sample;
    const Recording whole{.values = exported.values,
                          .axes = sample.axes_size(),
                          .frequency_hz = sample.frequency_hz()};
    const absl::StatusOr<Recording> selected =
        SelectAxes(whole, {sample.axes().begin(), sample.axes().end()}, options_.axes);
    if (!selected.ok() || sample.frequency_hz() <= 0) {
      summary_.left_out.push_back(sample.name());
      return absl::OkStatus();
    }
    const Recording recording = Resample(*selected, options_.frequency_hz);
    std::vector<ReadingRange> ranges;
    for (const iv::LabelRange& range : sample.labels()) {
      ranges.push_back(ResampleRange(
          {.start = range.start_reading(), .end = range.end_reading(), .label = range.label()},
          sample.frequency_hz(), options_.frequency_hz));
    }
    const auto readings = static_cast<std::int64_t>(recording.values.size() / options_.axes.size());
    if (readings < length_) {
      summary_.left_out.push_back(sample.name());
      return absl::OkStatus();
    }
    Side& side = sample.split() == iv::SPLIT_TESTING ? *testing_ : *training_;
    ++sample_id_;
    for (const LabelledWindow& window : CutWindows(readings, length_, stride_, kPure, ranges)) {
      FIELDLOOP_RETURN_IF_ERROR(
          side.x->AppendRow(recording.values.data() +
                            window.start * static_cast<std::int64_t>(options_.axes.size())));
      const std::array<std::int32_t, 4> row = {index_[window.label], sample_id_,
                                               Milliseconds(window.start),
                                               Milliseconds(window.start + length_)};
      FIELDLOOP_RETURN_IF_ERROR(side.y->AppendRow(row.data()));
    }
    json ranges_json = json::array();
    for (const iv::LabelRange& range : sample.labels()) {
      ranges_json.push_back({{"startIndex", range.start_reading()},
                             {"endIndex", range.end_reading()},
                             {"label", range.label()}});
    }
    details_.push_back({{"sampleId", sample_id_},
                        {"name", sample.name()},
                        {"fileName", sample.file_name()},
                        {"category", sample.split() == iv::SPLIT_TESTING ? "testing" : "training"},
                        {"digest", sample.digest()},
                        {"labels", std::move(ranges_json)}});
    return absl::OkStatus();
  }

  absl::StatusOr<NpyExportSummary> Finish(const iv::DatasetVersion& version) {
    FIELDLOOP_RETURN_IF_ERROR(training_->Finish());
    FIELDLOOP_RETURN_IF_ERROR(testing_->Finish());
    summary_.training_windows = static_cast<std::int64_t>(training_->x->rows());
    summary_.testing_windows = static_cast<std::int64_t>(testing_->x->rows());
    const json document = {{"version", version.name()},
                           {"digest", version.digest()},
                           {"classes", summary_.classes},
                           {"axes", options_.axes},
                           {"frequencyHz", options_.frequency_hz},
                           {"windowReadings", length_},
                           {"strideReadings", stride_},
                           {"samples", details_}};
    FIELDLOOP_RETURN_IF_ERROR(WriteFile(absl::StrCat(folder_, "/sample_id_details.json"),
                                        absl::StrCat(document.dump(1), "\n")));
    return std::move(summary_);
  }

 private:
  absl::Status Open(const iv::Sample& first) {
    if (options_.axes.empty()) {
      options_.axes.assign(first.axes().begin(), first.axes().end());
    }
    if (options_.frequency_hz <= 0) {
      options_.frequency_hz = first.frequency_hz();
    }
    length_ = static_cast<int>(std::lround(options_.window_ms * options_.frequency_hz / 1000));
    stride_ = options_.stride_ms > 0
                  ? static_cast<int>(std::lround(options_.stride_ms * options_.frequency_hz / 1000))
                  : length_;
    if (length_ < 1 || stride_ < 1) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--window and --stride: got ", options_.window_ms, " and ", options_.stride_ms, " ms at ",
          options_.frequency_hz, " Hz, want at least one reading"));
    }
    const std::size_t values = static_cast<std::size_t>(length_) * options_.axes.size();
    FIELDLOOP_RETURN_IF_ERROR(training_.emplace().Open(folder_, "train", values));
    return testing_.emplace().Open(folder_, "test", values);
  }

  std::int32_t Milliseconds(std::int64_t reading) const {
    return static_cast<std::int32_t>(
        std::lround(static_cast<double>(reading) * 1000 / options_.frequency_hz));
  }

  NpyExportOptions options_;
  const std::string folder_;
  NpyExportSummary summary_;
  std::map<std::string, std::int32_t> index_;
  std::optional<Side> training_;
  std::optional<Side> testing_;
  int length_ = 0;
  int stride_ = 0;
  std::int32_t sample_id_ = 0;
  json details_ = json::array();
};

}  // namespace

absl::StatusOr<NpyExportSummary> ExportNpy(
    iv::IngestionService::StubInterface& stub, const iv::DatasetVersion& version,
    const NpyExportOptions& options, const std::string& folder,
    const std::function<void(std::int64_t samples)>& progress) {
  if (!(options.window_ms > 0)) {
    return absl::InvalidArgumentError(
        "--window: want the length of a window in milliseconds, above 0");
  }
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) {
    return absl::UnavailableError(absl::StrCat("cannot make ", folder, ": ", error.message()));
  }
  Writer writer(options, folder, ClassesOf(version));
  std::int64_t done = 0;
  const absl::Status written =
      ForEachSample(stub, version.name(), [&](const ExportedSample& sample) -> absl::Status {
        FIELDLOOP_RETURN_IF_ERROR(writer.Add(sample));
        progress(++done);
        return absl::OkStatus();
      });
  FIELDLOOP_RETURN_IF_ERROR(written);
  return writer.Finish(version);
}

}  // namespace fieldloop::cli
