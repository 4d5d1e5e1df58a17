// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_CLI_EXPORT_VERSION_READER_H_
#define FIELDLOOP_SERVICES_CLI_EXPORT_VERSION_READER_H_

#include <string>
#include <vector>

#include <fieldloop/ingestion/v1/ingestion_service.grpc.pb.h>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace fieldloop::cli {

// One recording of a dataset version, at an even rate.
struct ExportedSample {
  ingestion::v1::Sample sample;  // With labels and side as the version fixed them.
  std::vector<float> values;     // values[reading * axes + axis].
};

absl::StatusOr<ingestion::v1::DatasetVersion> GetVersion(
    ingestion::v1::IngestionService::StubInterface& stub, const std::string& name);

// Calls `sink` with each sample of a version, in the order of the digest; stops at its first error
// and returns it.
absl::Status ForEachSample(ingestion::v1::IngestionService::StubInterface& stub,
                           const std::string& version,
                           absl::FunctionRef<absl::Status(const ExportedSample&)> sink);

}  // namespace fieldloop::cli

#endif  // FIELDLOOP_SERVICES_CLI_EXPORT_VERSION_READER_H_
