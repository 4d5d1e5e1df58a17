// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// The calls of IngestionHandler that delete.

#include <string>

#include "services/common/grpc/call_access.h"
#include "services/common/grpc/grpc_status.h"
#include "services/common/status/status_macros.h"
#include "services/ingestion/transport/ingestion_handler.h"
#include "services/ingestion/transport/proto_conversion.h"

namespace fieldloop::ingestion {

grpc::Status IngestionHandler::DeleteSample(grpc::ServerContext* context,
                                            const v1::DeleteSampleRequest* request,
                                            v1::DeleteSampleResponse* /*response*/) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(access_, *context, request->name(), Role::kOperator).status());
    FIELDLOOP_ASSIGN_OR_RETURN(const SampleName name, ParseSampleName("name", request->name()));
    return retention_.DeleteSample(name.project, name.id);
  }());
}

grpc::Status IngestionHandler::ApplyRetention(grpc::ServerContext* context,
                                              const v1::ApplyRetentionRequest* request,
                                              v1::ApplyRetentionResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    const Role role = request->dry_run() ? Role::kViewer : Role::kOperator;
    FIELDLOOP_RETURN_IF_ERROR(CheckCall(access_, *context, request->parent(), role).status());
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string project, ProjectIdOf("parent", request->parent()));
    FIELDLOOP_ASSIGN_OR_RETURN(const RetentionResult result,
                               retention_.Apply(project, request->dry_run()));
    response->set_samples(result.samples);
    response->set_bytes(result.bytes);
    response->set_held(result.held);
    return absl::OkStatus();
  }());
}

}  // namespace fieldloop::ingestion
