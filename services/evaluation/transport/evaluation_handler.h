// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_EVALUATION_TRANSPORT_EVALUATION_HANDLER_H_
#define FIELDLOOP_SERVICES_EVALUATION_TRANSPORT_EVALUATION_HANDLER_H_

#include <functional>

#include <fieldloop/evaluation/v1/evaluation_service.grpc.pb.h>

#include "services/common/access/access.h"
#include "services/common/sync/change_signal.h"
#include "services/evaluation/domain/cycle_service.h"
#include "services/evaluation/domain/evaluation_service.h"
#include "services/evaluation/domain/sketch_service.h"
#include "services/evaluation/domain/suggestions.h"

namespace fieldloop::evaluation {

// Checks access, translates RPCs into calls of the domain, and back. Holds no rule of its own.
class EvaluationHandler final : public v1::EvaluationService::Service {
 public:
  struct Domain {
    EvaluationService& evaluations;
    SketchService& sketches;
    CycleService& cycles;
    LabelSuggester& suggester;
    ChangeSignal& changed;
  };

  // All must outlive this object. Watch streams end once `stopping` says true.
  EvaluationHandler(Access& access, Domain domain, std::function<bool()> stopping);

  grpc::Status CreateEvaluation(grpc::ServerContext* context,
                                const v1::CreateEvaluationRequest* request,
                                v1::CreateEvaluationResponse* response) override;
  grpc::Status GetEvaluation(grpc::ServerContext* context, const v1::GetEvaluationRequest* request,
                             v1::GetEvaluationResponse* response) override;
  grpc::Status ListEvaluations(grpc::ServerContext* context,
                               const v1::ListEvaluationsRequest* request,
                               v1::ListEvaluationsResponse* response) override;
  grpc::Status WatchEvaluation(grpc::ServerContext* context,
                               const v1::WatchEvaluationRequest* request,
                               grpc::ServerWriter<v1::WatchEvaluationResponse>* writer) override;
  grpc::Status SuggestLabels(grpc::ServerContext* context, const v1::SuggestLabelsRequest* request,
                             v1::SuggestLabelsResponse* response) override;
  grpc::Status RecordSketch(grpc::ServerContext* context, const v1::RecordSketchRequest* request,
                            v1::RecordSketchResponse* response) override;
  grpc::Status ListFieldMetrics(grpc::ServerContext* context,
                                const v1::ListFieldMetricsRequest* request,
                                v1::ListFieldMetricsResponse* response) override;
  grpc::Status ListDriftReports(grpc::ServerContext* context,
                                const v1::ListDriftReportsRequest* request,
                                v1::ListDriftReportsResponse* response) override;
  grpc::Status SetPolicy(grpc::ServerContext* context, const v1::SetPolicyRequest* request,
                         v1::SetPolicyResponse* response) override;
  grpc::Status GetPolicy(grpc::ServerContext* context, const v1::GetPolicyRequest* request,
                         v1::GetPolicyResponse* response) override;
  grpc::Status CreateCycle(grpc::ServerContext* context, const v1::CreateCycleRequest* request,
                           v1::CreateCycleResponse* response) override;
  grpc::Status GetCycle(grpc::ServerContext* context, const v1::GetCycleRequest* request,
                        v1::GetCycleResponse* response) override;
  grpc::Status ListCycles(grpc::ServerContext* context, const v1::ListCyclesRequest* request,
                          v1::ListCyclesResponse* response) override;
  grpc::Status WatchCycle(grpc::ServerContext* context, const v1::WatchCycleRequest* request,
                          grpc::ServerWriter<v1::WatchCycleResponse>* writer) override;
  grpc::Status ApproveCycle(grpc::ServerContext* context, const v1::ApproveCycleRequest* request,
                            v1::ApproveCycleResponse* response) override;
  grpc::Status CancelCycle(grpc::ServerContext* context, const v1::CancelCycleRequest* request,
                           v1::CancelCycleResponse* response) override;

 private:
  Access& access_;
  const Domain domain_;
  const std::function<bool()> stopping_;
};

}  // namespace fieldloop::evaluation

#endif  // FIELDLOOP_SERVICES_EVALUATION_TRANSPORT_EVALUATION_HANDLER_H_
