// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_CLI_EXPORT_FOLDER_EXPORT_H_
#define FIELDLOOP_SERVICES_CLI_EXPORT_FOLDER_EXPORT_H_

#include <cstdint>
#include <functional>
#include <string>

#include <fieldloop/ingestion/v1/ingestion_service.grpc.pb.h>

#include "absl/status/status.h"

namespace fieldloop::cli {

// Writes a dataset version as a folder that `samples import` reads back to the same digest: the
// bytes of every recording as they came, in training/ and testing/, an index "info.labels" and a
// "dataset.json" with the version's name and digest; see docs/datasets.md. A recording that is
// there with the right bytes is kept, so a broken export goes on. INVALID_ARGUMENT if `folder`
// holds another version. `progress` hears how many samples are written.
absl::Status ExportFolder(ingestion::v1::IngestionService::StubInterface& stub,
                          const ingestion::v1::DatasetVersion& version, const std::string& folder,
                          const std::function<void(std::int64_t samples)>& progress);

}  // namespace fieldloop::cli

#endif  // FIELDLOOP_SERVICES_CLI_EXPORT_FOLDER_EXPORT_H_
