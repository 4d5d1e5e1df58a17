// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_CLI_EXPORT_NPY_EXPORT_H_
#define FIELDLOOP_SERVICES_CLI_EXPORT_NPY_EXPORT_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <fieldloop/ingestion/v1/ingestion_service.grpc.pb.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace fieldloop::cli {

struct NpyExportOptions {
  double window_ms = 0;
  double stride_ms = 0;           // 0: the window.
  double frequency_hz = 0;        // 0: that of the first sample.
  std::vector<std::string> axes;  // Empty: those of the first sample.
};

struct NpyExportSummary {
  std::int64_t training_windows = 0;
  std::int64_t testing_windows = 0;
  std::vector<std::string> classes;   // By index, from 1.
  std::vector<std::string> left_out;  // Samples without the axes or shorter than a window.
};

// Writes a dataset version as the files that the field's custom learning blocks read:
// X_split_{train,test}.npy (float32, windows x readings x axes in a row), Y_split_{train,test}.npy
// (int32: label from 1, sample id, start ms, end ms) and sample_id_details.json. A window is kept
// if one label covers it. INVALID_ARGUMENT naming the flag.
absl::StatusOr<NpyExportSummary> ExportNpy(
    ingestion::v1::IngestionService::StubInterface& stub,
    const ingestion::v1::DatasetVersion& version, const NpyExportOptions& options,
    const std::string& folder, const std::function<void(std::int64_t samples)>& progress);

}  // namespace fieldloop::cli

#endif  // FIELDLOOP_SERVICES_CLI_EXPORT_NPY_EXPORT_H_
