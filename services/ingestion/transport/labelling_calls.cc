// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// The calls of IngestionHandler that are about labelling beyond single labels.

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "services/common/grpc/call_access.h"
#include "services/common/grpc/grpc_status.h"
#include "services/common/resource/resource_name.h"
#include "services/common/status/status_macros.h"
#include "services/ingestion/transport/ingestion_handler.h"
#include "services/ingestion/transport/proto_conversion.h"

namespace fieldloop::ingestion {
namespace {

// Ids of samples by their names, which must be of `project`.
template <typename Names>
absl::StatusOr<std::vector<std::string>> SampleIdsOf(absl::string_view field,
                                                     const std::string& project,
                                                     const Names& names) {
  std::vector<std::string> ids;
  for (int i = 0; i < names.size(); ++i) {
    const std::string place = absl::StrCat(field, "[", i, "]");
    FIELDLOOP_ASSIGN_OR_RETURN(SampleName name, ParseSampleName(place, names.Get(i)));
    if (name.project != project) {
      return absl::InvalidArgumentError(absl::StrCat(place, ": got a sample of project ",
                                                     name.project, ", want one of ", project));
    }
    ids.push_back(std::move(name.id));
  }
  return ids;
}

}  // namespace

grpc::Status IngestionHandler::UndoLabel(grpc::ServerContext* context,
                                         const v1::UndoLabelRequest* request,
                                         v1::UndoLabelResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_ASSIGN_OR_RETURN(const Grant grant,
                               CheckCall(access_, *context, request->name(), Role::kOperator));
    FIELDLOOP_ASSIGN_OR_RETURN(
        const std::vector<std::string> ids,
        ParseResourceName("name", "projects/*/samples/*/labels/*", request->name()));
    std::int64_t number = 0;
    if (!absl::SimpleAtoi(ids[2], &number)) {
      return absl::InvalidArgumentError(
          absl::StrCat("name: got label \"", ids[2], "\", want a number from 1"));
    }
    FIELDLOOP_ASSIGN_OR_RETURN(const Label label,
                               labelling_.Undo(ids[0], ids[1], number, grant.principal));
    *response->mutable_label() = ToProto(label);
    return absl::OkStatus();
  }());
}

grpc::Status IngestionHandler::CreateSuggestions(grpc::ServerContext* context,
                                                 const v1::CreateSuggestionsRequest* request,
                                                 v1::CreateSuggestionsResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(access_, *context, request->parent(), Role::kOperator).status());
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string project, ProjectIdOf("parent", request->parent()));
    std::vector<Suggestion> suggestions;
    for (int i = 0; i < request->suggestions_size(); ++i) {
      const std::string place = absl::StrCat("suggestions[", i, "]");
      FIELDLOOP_ASSIGN_OR_RETURN(Suggestion suggestion, FromProto(place, request->suggestions(i)));
      if (suggestion.project != project) {
        return absl::InvalidArgumentError(absl::StrCat(
            place, ".sample: got one of project ", suggestion.project, ", want one of ", project));
      }
      suggestions.push_back(std::move(suggestion));
    }
    FIELDLOOP_ASSIGN_OR_RETURN(const int stored,
                               labelling_.CreateSuggestions(std::move(suggestions)));
    response->set_stored(stored);
    return absl::OkStatus();
  }());
}

grpc::Status IngestionHandler::LeaseLabellingTasks(grpc::ServerContext* context,
                                                   const v1::LeaseLabellingTasksRequest* request,
                                                   v1::LeaseLabellingTasksResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_ASSIGN_OR_RETURN(const Grant grant,
                               CheckCall(access_, *context, request->parent(), Role::kOperator));
    FIELDLOOP_ASSIGN_OR_RETURN(LabellingWish wish, FromProto(*request));
    wish.labeller = grant.principal;
    FIELDLOOP_ASSIGN_OR_RETURN(const LeasedTasks leased, labelling_.Lease(wish));
    for (const LabellingTask& task : leased.tasks) {
      *response->add_tasks() = ToProto(task);
    }
    response->set_waiting(leased.waiting);
    return absl::OkStatus();
  }());
}

grpc::Status IngestionHandler::ReleaseLabellingTasks(
    grpc::ServerContext* context, const v1::ReleaseLabellingTasksRequest* request,
    v1::ReleaseLabellingTasksResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_ASSIGN_OR_RETURN(const Grant grant,
                               CheckCall(access_, *context, request->parent(), Role::kOperator));
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string project, ProjectIdOf("parent", request->parent()));
    FIELDLOOP_ASSIGN_OR_RETURN(const std::vector<std::string> ids,
                               SampleIdsOf("samples", project, request->samples()));
    FIELDLOOP_ASSIGN_OR_RETURN(const int released,
                               labelling_.Release(project, grant.principal, ids));
    response->set_released(released);
    return absl::OkStatus();
  }());
}

grpc::Status IngestionHandler::GetLabelAgreement(grpc::ServerContext* context,
                                                 const v1::GetLabelAgreementRequest* request,
                                                 v1::GetLabelAgreementResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(access_, *context, request->parent(), Role::kViewer).status());
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string project, ProjectIdOf("parent", request->parent()));
    FIELDLOOP_ASSIGN_OR_RETURN(const SampleFilter filter, FromProto("filter", request->filter()));
    FIELDLOOP_ASSIGN_OR_RETURN(const Agreement agreement, labelling_.GetAgreement(project, filter));
    *response = ToProto(project, agreement);
    return absl::OkStatus();
  }());
}

}  // namespace fieldloop::ingestion
