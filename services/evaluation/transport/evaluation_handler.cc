// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/evaluation/transport/evaluation_handler.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "services/common/grpc/call_access.h"
#include "services/common/grpc/grpc_status.h"
#include "services/common/grpc/proto_time.h"
#include "services/common/grpc/watch.h"
#include "services/common/resource/resource_name.h"
#include "services/common/status/status_macros.h"
#include "services/evaluation/transport/proto_conversion.h"

namespace fieldloop::evaluation {
namespace {

constexpr std::size_t kMostRequestIdBytes = 63;
constexpr int kUsualSuggestions = 200;
constexpr int kMostSuggestions = 1000;

struct Numbered {
  std::string project;  // "projects/x".
  std::int64_t number = 0;
};

absl::StatusOr<Numbered> ParseNumbered(absl::string_view kind, const std::string& name) {
  FIELDLOOP_ASSIGN_OR_RETURN(
      const std::vector<std::string> parts,
      ParseResourceName("name", absl::StrCat("projects/*/", kind, "/*"), name));
  Numbered parsed{.project = absl::StrCat("projects/", parts[0]), .number = 0};
  if (!absl::SimpleAtoi(parts[1], &parsed.number)) {
    return absl::InvalidArgumentError(
        absl::StrCat("name: got \"", name, "\", want a number at the end"));
  }
  return parsed;
}

absl::Status CheckProject(const std::string& parent) {
  return ParseResourceName("parent", "projects/*", parent).status();
}

absl::Status CheckRequestId(const std::string& request_id) {
  return request_id.size() <= kMostRequestIdBytes
             ? absl::OkStatus()
             : absl::InvalidArgumentError(absl::StrCat("request_id: got ", request_id.size(),
                                                       " bytes, want at most ",
                                                       kMostRequestIdBytes));
}

// Rows of one page, and the token of the next.
template <typename Row, typename Add>
std::string FillPage(const Page<Row>& page, Add add) {
  for (const Row& row : page.rows) {
    *add() = ToProto(row);
  }
  return page.next_page_token.empty() ? "" : EncodePageToken(page.next_page_token);
}

template <typename Response>
absl::Status Respond(const absl::StatusOr<Cycle>& cycle, Response* response) {
  FIELDLOOP_RETURN_IF_ERROR(cycle.status());
  *response->mutable_cycle() = ToProto(*cycle);
  return absl::OkStatus();
}

}  // namespace

EvaluationHandler::EvaluationHandler(Access& access, Domain domain, std::function<bool()> stopping)
    : access_(access), domain_(domain), stopping_(std::move(stopping)) {}

grpc::Status EvaluationHandler::CreateEvaluation(grpc::ServerContext* context,
                                                 const v1::CreateEvaluationRequest* request,
                                                 v1::CreateEvaluationResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(access_, *context, request->parent(), Role::kOperator).status());
    FIELDLOOP_RETURN_IF_ERROR(CheckProject(request->parent()));
    FIELDLOOP_RETURN_IF_ERROR(CheckRequestId(request->request_id()));
    Evaluation wanted = FromProto(request->evaluation());
    wanted.project = request->parent();
    FIELDLOOP_ASSIGN_OR_RETURN(const Evaluation made,
                               domain_.evaluations.Create(wanted, request->request_id()));
    *response->mutable_evaluation() = ToProto(made);
    return absl::OkStatus();
  }());
}

grpc::Status EvaluationHandler::GetEvaluation(grpc::ServerContext* context,
                                              const v1::GetEvaluationRequest* request,
                                              v1::GetEvaluationResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(access_, *context, request->name(), Role::kViewer).status());
    FIELDLOOP_ASSIGN_OR_RETURN(const Numbered key, ParseNumbered("evaluations", request->name()));
    FIELDLOOP_ASSIGN_OR_RETURN(const Evaluation found,
                               domain_.evaluations.Get(key.project, key.number));
    *response->mutable_evaluation() = ToProto(found);
    return absl::OkStatus();
  }());
}

grpc::Status EvaluationHandler::ListEvaluations(grpc::ServerContext* context,
                                                const v1::ListEvaluationsRequest* request,
                                                v1::ListEvaluationsResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(access_, *context, request->parent(), Role::kViewer).status());
    FIELDLOOP_RETURN_IF_ERROR(CheckProject(request->parent()));
    FIELDLOOP_ASSIGN_OR_RETURN(const int page_size, PageSize(request->page_size()));
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string token, DecodePageToken(request->page_token()));
    FIELDLOOP_ASSIGN_OR_RETURN(const Page<Evaluation> page,
                               domain_.evaluations.List(request->parent(), page_size, token));
    response->set_next_page_token(FillPage(page, [&] { return response->add_evaluations(); }));
    return absl::OkStatus();
  }());
}

grpc::Status EvaluationHandler::WatchEvaluation(
    grpc::ServerContext* context, const v1::WatchEvaluationRequest* request,
    grpc::ServerWriter<v1::WatchEvaluationResponse>* writer) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(access_, *context, request->name(), Role::kViewer).status());
    FIELDLOOP_ASSIGN_OR_RETURN(const Numbered key, ParseNumbered("evaluations", request->name()));
    const auto look = [&]() -> absl::StatusOr<Sight<v1::WatchEvaluationResponse>> {
      FIELDLOOP_ASSIGN_OR_RETURN(const Evaluation found,
                                 domain_.evaluations.Get(key.project, key.number));
      Sight<v1::WatchEvaluationResponse> sight{.last = found.done()};
      *sight.response.mutable_evaluation() = ToProto(found);
      return sight;
    };
    return WatchOne(*context, *writer, domain_.changed, stopping_, look);
  }());
}

grpc::Status EvaluationHandler::SuggestLabels(grpc::ServerContext* context,
                                              const v1::SuggestLabelsRequest* request,
                                              v1::SuggestLabelsResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(access_, *context, request->parent(), Role::kOperator).status());
    FIELDLOOP_RETURN_IF_ERROR(CheckProject(request->parent()));
    FIELDLOOP_ASSIGN_OR_RETURN(const std::vector<std::string> parts,
                               ParseResourceName("model", "projects/*/models/*", request->model()));
    if (absl::StrCat("projects/", parts[0]) != request->parent()) {
      return absl::InvalidArgumentError(
          absl::StrCat("model: got \"", request->model(), "\", want one of ", request->parent()));
    }
    if (request->max_samples() < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("max_samples: got ", request->max_samples(), ", want 0 or more"));
    }
    const int max_samples = request->max_samples() == 0
                                ? kUsualSuggestions
                                : std::min(request->max_samples(), kMostSuggestions);
    FIELDLOOP_ASSIGN_OR_RETURN(
        const SuggestionCounts counts,
        domain_.suggester.Suggest(request->parent(), request->model(), max_samples));
    response->set_suggested(counts.suggested);
    response->set_unreadable(counts.unreadable);
    return absl::OkStatus();
  }());
}

grpc::Status EvaluationHandler::RecordSketch(grpc::ServerContext* context,
                                             const v1::RecordSketchRequest* request,
                                             v1::RecordSketchResponse* /*response*/) {
  return ToGrpcStatus([&]() -> absl::Status {
    const std::string& device = request->sketch().device();
    FIELDLOOP_RETURN_IF_ERROR(CheckCall(access_, *context, device, Role::kAdmin).status());
    if (CallerOf(*context).service.empty()) {
      return absl::PermissionDeniedError("only a service may record sketches");
    }
    FIELDLOOP_ASSIGN_OR_RETURN(const std::vector<std::string> parts,
                               ParseResourceName("sketch.device", "projects/*/devices/*", device));
    FIELDLOOP_ASSIGN_OR_RETURN(const Sketch sketch, FromProto(request->sketch()));
    return domain_.sketches.Record(absl::StrCat("projects/", parts[0]), sketch);
  }());
}

grpc::Status EvaluationHandler::ListFieldMetrics(grpc::ServerContext* context,
                                                 const v1::ListFieldMetricsRequest* request,
                                                 v1::ListFieldMetricsResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(access_, *context, request->parent(), Role::kViewer).status());
    FIELDLOOP_RETURN_IF_ERROR(CheckProject(request->parent()));
    if (request->page_size() < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("page_size: got ", request->page_size(), ", want 0 or more"));
    }
    const int page_size = request->page_size() == 0 ? 1000 : std::min(request->page_size(), 10000);
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string token, DecodePageToken(request->page_token()));
    absl::Time start = absl::UnixEpoch();
    if (request->has_start_time()) {
      FIELDLOOP_ASSIGN_OR_RETURN(start, FromTimestamp("start_time", request->start_time()));
    }
    const double span = request->span_seconds() == 0 ? 300 : request->span_seconds();
    FIELDLOOP_ASSIGN_OR_RETURN(
        const Page<FieldMetrics> page,
        domain_.sketches.ListFieldMetrics(request->parent(), start, span, page_size, token));
    response->set_next_page_token(FillPage(page, [&] { return response->add_field_metrics(); }));
    return absl::OkStatus();
  }());
}

grpc::Status EvaluationHandler::ListDriftReports(grpc::ServerContext* context,
                                                 const v1::ListDriftReportsRequest* request,
                                                 v1::ListDriftReportsResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(access_, *context, request->parent(), Role::kViewer).status());
    FIELDLOOP_RETURN_IF_ERROR(CheckProject(request->parent()));
    FIELDLOOP_ASSIGN_OR_RETURN(const int page_size, PageSize(request->page_size()));
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string token, DecodePageToken(request->page_token()));
    FIELDLOOP_ASSIGN_OR_RETURN(
        const Page<DriftReport> page,
        domain_.sketches.ListDriftReports(request->parent(), page_size, token));
    response->set_next_page_token(FillPage(page, [&] { return response->add_drift_reports(); }));
    return absl::OkStatus();
  }());
}

grpc::Status EvaluationHandler::SetPolicy(grpc::ServerContext* context,
                                          const v1::SetPolicyRequest* request,
                                          v1::SetPolicyResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(access_, *context, request->parent(), Role::kOperator).status());
    FIELDLOOP_RETURN_IF_ERROR(CheckProject(request->parent()));
    FIELDLOOP_ASSIGN_OR_RETURN(const PolicyVersion policy,
                               domain_.cycles.SetPolicy(request->parent(), request->yaml()));
    *response->mutable_policy() = ToProto(policy);
    return absl::OkStatus();
  }());
}

grpc::Status EvaluationHandler::GetPolicy(grpc::ServerContext* context,
                                          const v1::GetPolicyRequest* request,
                                          v1::GetPolicyResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(access_, *context, request->name(), Role::kViewer).status());
    FIELDLOOP_ASSIGN_OR_RETURN(const std::vector<std::string> parts,
                               ParseResourceName("name", "projects/*/policy", request->name()));
    FIELDLOOP_ASSIGN_OR_RETURN(const PolicyVersion policy,
                               domain_.cycles.GetPolicy(absl::StrCat("projects/", parts[0])));
    *response->mutable_policy() = ToProto(policy);
    return absl::OkStatus();
  }());
}

grpc::Status EvaluationHandler::CreateCycle(grpc::ServerContext* context,
                                            const v1::CreateCycleRequest* request,
                                            v1::CreateCycleResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_ASSIGN_OR_RETURN(const Grant grant,
                               CheckCall(access_, *context, request->parent(), Role::kOperator));
    FIELDLOOP_RETURN_IF_ERROR(CheckProject(request->parent()));
    FIELDLOOP_RETURN_IF_ERROR(CheckRequestId(request->request_id()));
    return Respond(domain_.cycles.Create(request->parent(), grant.principal, request->reason(),
                                         request->request_id()),
                   response);
  }());
}

grpc::Status EvaluationHandler::GetCycle(grpc::ServerContext* context,
                                         const v1::GetCycleRequest* request,
                                         v1::GetCycleResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(access_, *context, request->name(), Role::kViewer).status());
    FIELDLOOP_ASSIGN_OR_RETURN(const Numbered key, ParseNumbered("cycles", request->name()));
    return Respond(domain_.cycles.Get(key.project, key.number), response);
  }());
}

grpc::Status EvaluationHandler::ListCycles(grpc::ServerContext* context,
                                           const v1::ListCyclesRequest* request,
                                           v1::ListCyclesResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(access_, *context, request->parent(), Role::kViewer).status());
    FIELDLOOP_RETURN_IF_ERROR(CheckProject(request->parent()));
    FIELDLOOP_ASSIGN_OR_RETURN(const int page_size, PageSize(request->page_size()));
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string token, DecodePageToken(request->page_token()));
    FIELDLOOP_ASSIGN_OR_RETURN(const Page<Cycle> page,
                               domain_.cycles.List(request->parent(), page_size, token));
    response->set_next_page_token(FillPage(page, [&] { return response->add_cycles(); }));
    return absl::OkStatus();
  }());
}

grpc::Status EvaluationHandler::WatchCycle(grpc::ServerContext* context,
                                           const v1::WatchCycleRequest* request,
                                           grpc::ServerWriter<v1::WatchCycleResponse>* writer) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(access_, *context, request->name(), Role::kViewer).status());
    FIELDLOOP_ASSIGN_OR_RETURN(const Numbered key, ParseNumbered("cycles", request->name()));
    const auto look = [&]() -> absl::StatusOr<Sight<v1::WatchCycleResponse>> {
      FIELDLOOP_ASSIGN_OR_RETURN(const Cycle cycle, domain_.cycles.Get(key.project, key.number));
      Sight<v1::WatchCycleResponse> sight{.last = IsFinal(cycle.state)};
      *sight.response.mutable_cycle() = ToProto(cycle);
      return sight;
    };
    return WatchOne(*context, *writer, domain_.changed, stopping_, look);
  }());
}

grpc::Status EvaluationHandler::ApproveCycle(grpc::ServerContext* context,
                                             const v1::ApproveCycleRequest* request,
                                             v1::ApproveCycleResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_ASSIGN_OR_RETURN(const Grant grant,
                               CheckCall(access_, *context, request->name(), Role::kOperator));
    FIELDLOOP_ASSIGN_OR_RETURN(const Numbered key, ParseNumbered("cycles", request->name()));
    return Respond(
        domain_.cycles.Approve(key.project, key.number, grant.principal, request->comment()),
        response);
  }());
}

grpc::Status EvaluationHandler::CancelCycle(grpc::ServerContext* context,
                                            const v1::CancelCycleRequest* request,
                                            v1::CancelCycleResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_ASSIGN_OR_RETURN(const Grant grant,
                               CheckCall(access_, *context, request->name(), Role::kOperator));
    FIELDLOOP_ASSIGN_OR_RETURN(const Numbered key, ParseNumbered("cycles", request->name()));
    return Respond(
        domain_.cycles.Cancel(key.project, key.number, grant.principal, request->reason()),
        response);
  }());
}

}  // namespace fieldloop::evaluation
