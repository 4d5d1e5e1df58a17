// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/trainer/training_data.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::build::trainer {
namespace {

constexpr std::size_t kLabelColumns = 4;  // Label from 1, sample, start ms, end ms.
constexpr std::int32_t kDevice = 1;

absl::Status Refuse(absl::string_view file, absl::string_view got, absl::string_view want) {
  return absl::InvalidArgumentError(absl::StrCat(file, ": got ", got, ", want ", want));
}

template <typename T>
absl::Status CheckShape(absl::string_view file, const NpyArray<T>& array, std::size_t rows,
                        std::size_t columns) {
  if (array.rows() != rows) {
    return Refuse(file, absl::StrCat(array.rows(), " rows"), absl::StrCat(rows));
  }
  if (rows > 0 && array.columns() != columns) {
    return Refuse(file, absl::StrCat(array.columns(), " columns"), absl::StrCat(columns));
  }
  return absl::OkStatus();
}

// Reads windows_<split>.npy and labels_<split>.npy; puts the samples of the windows into `samples`.
absl::StatusOr<LabelledWindows> ReadSplit(const std::string& directory, const std::string& split,
                                          const TrainInput& input,
                                          std::vector<std::int32_t>& samples) {
  const std::string windows_file = absl::StrCat("windows_", split, ".npy");
  const std::string labels_file = absl::StrCat("labels_", split, ".npy");
  LabelledWindows result;
  FIELDLOOP_ASSIGN_OR_RETURN(result.windows,
                             ReadNpy<float>(absl::StrCat(directory, "/", windows_file)));
  FIELDLOOP_RETURN_IF_ERROR(
      CheckShape(windows_file, result.windows, result.windows.rows(), input.window_values()));
  const std::vector<float>& values = result.windows.values;
  const auto bad =
      std::find_if(values.begin(), values.end(), [](float value) { return !std::isfinite(value); });
  if (bad != values.end()) {
    const auto row = static_cast<std::size_t>(bad - values.begin()) / result.windows.columns();
    return Refuse(absl::StrCat(windows_file, ": row ", row), "a value that is not finite",
                  "finite values");
  }

  FIELDLOOP_ASSIGN_OR_RETURN(const NpyArray<std::int32_t> labels,
                             ReadNpy<std::int32_t>(absl::StrCat(directory, "/", labels_file)));
  FIELDLOOP_RETURN_IF_ERROR(CheckShape(labels_file, labels, result.windows.rows(), kLabelColumns));
  for (std::size_t row = 0; row < labels.rows(); ++row) {
    const std::int32_t label = labels.row(row)[0];
    if (label < 1 || static_cast<std::size_t>(label) > input.classes.size()) {
      return Refuse(absl::StrCat(labels_file, ": row ", row, ": label"), absl::StrCat(label),
                    absl::StrCat("1 to ", input.classes.size()));
    }
    result.labels.push_back(label - 1);
    samples.push_back(labels.row(row)[1]);
  }
  return result;
}

absl::StatusOr<std::vector<std::int32_t>> ReadColumn(const std::string& directory,
                                                     const std::string& file, std::size_t rows) {
  FIELDLOOP_ASSIGN_OR_RETURN(NpyArray<std::int32_t> column,
                             ReadNpy<std::int32_t>(absl::StrCat(directory, "/", file)));
  FIELDLOOP_RETURN_IF_ERROR(CheckShape(file, column, rows, 1));
  return std::move(column.values);
}

std::size_t CountDistinct(const std::vector<std::int32_t>& values) {
  return std::set<std::int32_t>(values.begin(), values.end()).size();
}

}  // namespace

absl::StatusOr<TrainingData> ReadTrainingData(const std::string& directory,
                                              const TrainInput& input) {
  TrainingData data;
  std::vector<std::int32_t> samples;
  FIELDLOOP_ASSIGN_OR_RETURN(data.train, ReadSplit(directory, "train", input, samples));
  const std::size_t count = data.train.size();
  for (std::size_t i = 0; i < input.classes.size(); ++i) {
    const auto label = static_cast<int>(i);
    if (std::count(data.train.labels.begin(), data.train.labels.end(), label) == 0) {
      return Refuse("labels_train.npy", absl::StrCat("no window of \"", input.classes[i], "\""),
                    "at least one of each class");
    }
  }

  FIELDLOOP_ASSIGN_OR_RETURN(data.train.groups, ReadColumn(directory, "groups_train.npy", count));
  if (CountDistinct(data.train.groups) < 2) {
    if (CountDistinct(samples) < 2) {
      return Refuse("labels_train.npy", "windows of one sample",
                    "at least two samples, since one part is held out");
    }
    data.train.groups = std::move(samples);
  }

  FIELDLOOP_ASSIGN_OR_RETURN(const std::vector<std::int32_t> sources,
                             ReadColumn(directory, "source_train.npy", count));
  for (std::size_t row = 0; row < count; ++row) {
    if (sources[row] != 0 && sources[row] != kDevice) {
      return Refuse(absl::StrCat("source_train.npy: row ", row), absl::StrCat(sources[row]),
                    "0 (uploaded) or 1 (device)");
    }
    data.train.from_device.push_back(sources[row] == kDevice);
  }

  std::vector<std::int32_t> test_samples;
  FIELDLOOP_ASSIGN_OR_RETURN(data.test, ReadSplit(directory, "test", input, test_samples));
  return data;
}

}  // namespace fieldloop::build::trainer
