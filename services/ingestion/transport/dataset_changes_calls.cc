// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// The calls of IngestionHandler that compare dataset versions.

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "services/common/grpc/call_access.h"
#include "services/common/grpc/grpc_status.h"
#include "services/common/status/status_macros.h"
#include "services/ingestion/transport/ingestion_handler.h"
#include "services/ingestion/transport/proto_conversion.h"

namespace fieldloop::ingestion {
namespace {

struct VersionPair {
  std::string project;
  VersionKey first;
  VersionKey second;
};

absl::StatusOr<VersionPair> ParsePair(const std::string& first, const std::string& second) {
  FIELDLOOP_ASSIGN_OR_RETURN(DatasetVersionName a, ParseDatasetVersionName("first", first));
  FIELDLOOP_ASSIGN_OR_RETURN(DatasetVersionName b, ParseDatasetVersionName("second", second));
  if (a.project != b.project) {
    return absl::InvalidArgumentError(
        absl::StrCat("second: got a version of project ", b.project, ", want one of ", a.project));
  }
  return VersionPair{.project = std::move(a.project),
                     .first = {.dataset_id = std::move(a.dataset_id), .number = a.number},
                     .second = {.dataset_id = std::move(b.dataset_id), .number = b.number}};
}

}  // namespace

grpc::Status IngestionHandler::DiffDatasetVersions(grpc::ServerContext* context,
                                                   const v1::DiffDatasetVersionsRequest* request,
                                                   v1::DiffDatasetVersionsResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(access_, *context, request->first(), Role::kViewer).status());
    FIELDLOOP_ASSIGN_OR_RETURN(const VersionPair pair,
                               ParsePair(request->first(), request->second()));
    FIELDLOOP_ASSIGN_OR_RETURN(const VersionDiff diff,
                               datasets_.Diff(pair.project, pair.first, pair.second,
                                              {request->keys().begin(), request->keys().end()}));
    *response->mutable_total() = ToProto(diff.total);
    for (const DatasetDifference& difference : diff.labels) {
      *response->add_labels() = ToProto(difference);
    }
    for (const DatasetDifference& difference : diff.keys) {
      *response->add_keys() = ToProto(difference);
    }
    return absl::OkStatus();
  }());
}

grpc::Status IngestionHandler::ListDatasetVersionChanges(
    grpc::ServerContext* context, const v1::ListDatasetVersionChangesRequest* request,
    v1::ListDatasetVersionChangesResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(access_, *context, request->first(), Role::kViewer).status());
    FIELDLOOP_ASSIGN_OR_RETURN(const VersionPair pair,
                               ParsePair(request->first(), request->second()));
    FIELDLOOP_ASSIGN_OR_RETURN(VersionChangePage page,
                               datasets_.ListChanges(pair.project, pair.first, pair.second,
                                                     request->page_size(), request->page_token()));
    for (const VersionChange& change : page.changes) {
      *response->add_changes() = ToProto(pair.project, change);
    }
    response->set_next_page_token(std::move(page.next_page_token));
    return absl::OkStatus();
  }());
}

grpc::Status IngestionHandler::ListSampleDatasetVersions(
    grpc::ServerContext* context, const v1::ListSampleDatasetVersionsRequest* request,
    v1::ListSampleDatasetVersionsResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(access_, *context, request->parent(), Role::kViewer).status());
    FIELDLOOP_ASSIGN_OR_RETURN(const SampleName name, ParseSampleName("parent", request->parent()));
    FIELDLOOP_ASSIGN_OR_RETURN(
        VersionKeyPage page, datasets_.VersionsOfSample(name.project, name.id, request->page_size(),
                                                        request->page_token()));
    for (const VersionKey& key : page.versions) {
      response->add_dataset_versions(absl::StrCat("projects/", name.project, "/datasets/",
                                                  key.dataset_id, "/versions/", key.number));
    }
    response->set_next_page_token(std::move(page.next_page_token));
    return absl::OkStatus();
  }());
}

}  // namespace fieldloop::ingestion
