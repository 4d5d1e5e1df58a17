// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_TRANSPORT_TRAINER_RUN_HANDLER_H_
#define FIELDLOOP_SERVICES_BUILD_TRANSPORT_TRAINER_RUN_HANDLER_H_

#include <fieldloop/build/v1/trainer_run_service.grpc.pb.h>
#include <grpcpp/grpcpp.h>

#include "services/build/domain/trainer_runs.h"

namespace fieldloop::build {

// Serves TrainerRunService. Thread-safe.
class TrainerRunHandler final : public v1::TrainerRunService::Service {
 public:
  // `runs` must outlive this object.
  explicit TrainerRunHandler(TrainerRuns& runs) : runs_(runs) {}

  grpc::Status FetchInputs(grpc::ServerContext* context, const v1::FetchInputsRequest* request,
                           grpc::ServerWriter<v1::FetchInputsResponse>* writer) override;
  grpc::Status FinishRun(grpc::ServerContext* context,
                         grpc::ServerReader<v1::FinishRunRequest>* reader,
                         v1::FinishRunResponse* response) override;

 private:
  TrainerRuns& runs_;
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_TRANSPORT_TRAINER_RUN_HANDLER_H_
