// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_DOMAIN_DATASET_SOURCE_H_
#define FIELDLOOP_SERVICES_BUILD_DOMAIN_DATASET_SOURCE_H_

#include <cstdint>
#include <map>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/common/signal/windows.h"

namespace fieldloop::build {

// What is known of a dataset version before its content is read.
struct DatasetVersionInfo {
  std::string digest;  // Hex.
  std::int64_t sample_count = 0;
};

// One recording of a dataset version, with labels and side as the version fixed them.
struct SourceSample {
  std::string name;
  std::string digest;
  std::vector<std::string> axes;
  double frequency_hz = 0;
  bool testing = false;
  bool from_device = false;
  std::string device;  // Name of the device; empty for uploads.
  std::map<std::string, std::string> metadata;
  std::vector<ReadingRange> labels;
  std::vector<float> values;  // Axes within a reading.
};

// Where dataset versions come from. Thread-safe.
class DatasetSource {
 public:
  DatasetSource() = default;
  DatasetSource(const DatasetSource&) = delete;
  DatasetSource& operator=(const DatasetSource&) = delete;
  virtual ~DatasetSource() = default;

  // NOT_FOUND; UNAVAILABLE.
  virtual absl::StatusOr<DatasetVersionInfo> GetVersion(absl::string_view name) = 0;

  // Gives the samples to `sink` one by one in the order of the version's digest. Ends with the
  // sink's error if it returns one; CANCELLED when `stop` is requested; UNAVAILABLE; DATA_LOSS if
  // the stream is not what the contract says.
  virtual absl::Status Export(absl::string_view name, std::stop_token stop,
                              absl::FunctionRef<absl::Status(const SourceSample&)> sink) = 0;
  // The same for the samples of the testing side only.
  virtual absl::Status ExportTesting(absl::string_view name, std::stop_token stop,
                                     absl::FunctionRef<absl::Status(const SourceSample&)> sink) = 0;
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_DOMAIN_DATASET_SOURCE_H_
