// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_TRANSPORT_GRPC_DATASET_SOURCE_H_
#define FIELDLOOP_SERVICES_BUILD_TRANSPORT_GRPC_DATASET_SOURCE_H_

#include <memory>
#include <stop_token>
#include <string>

#include <fieldloop/ingestion/v1/ingestion_service.grpc.pb.h>
#include <grpcpp/channel.h>

#include "services/build/domain/dataset_source.h"

namespace fieldloop::build {

// Dataset versions of the ingestion service.
class GrpcDatasetSource final : public DatasetSource {
 public:
  explicit GrpcDatasetSource(const std::shared_ptr<grpc::Channel>& ingestion);

  absl::StatusOr<DatasetVersionInfo> GetVersion(absl::string_view name) override;
  absl::Status Export(absl::string_view name, std::stop_token stop,
                      absl::FunctionRef<absl::Status(const SourceSample&)> sink) override;
  absl::Status ExportTesting(absl::string_view name, std::stop_token stop,
                             absl::FunctionRef<absl::Status(const SourceSample&)> sink) override;

 private:
  absl::Status Stream(const ingestion::v1::ExportDatasetVersionRequest& request,
                      std::stop_token stop,
                      absl::FunctionRef<absl::Status(const SourceSample&)> sink);

  const std::unique_ptr<ingestion::v1::IngestionService::StubInterface> stub_;
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_TRANSPORT_GRPC_DATASET_SOURCE_H_
