// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/transport/build_handler.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include <google/protobuf/timestamp.pb.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "services/build/domain/names.h"
#include "services/build/transport/model_export.h"
#include "services/build/transport/proto_conversion.h"
#include "services/build/transport/recipe_differences.h"
#include "services/build/transport/utf8.h"
#include "services/common/grpc/call_access.h"
#include "services/common/grpc/grpc_status.h"
#include "services/common/grpc/proto_time.h"
#include "services/common/grpc/watch.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::build {
namespace {

constexpr std::size_t kPieceBytes = std::size_t{256} << 10;
constexpr std::size_t kMaxPieceBytes = std::size_t{1} << 20;

absl::Status StreamClosed() { return absl::CancelledError("the client closed the stream"); }

// Fills `field` of a response with a value of the domain, or passes on why there is none.
template <typename Value, typename Field>
absl::Status Fill(const absl::StatusOr<Value>& value, Field* field) {
  FIELDLOOP_RETURN_IF_ERROR(value.status());
  *field = ToProto(*value);
  return absl::OkStatus();
}

// The same where the translation can fail.
template <typename Value, typename Field>
absl::Status FillChecked(const absl::StatusOr<Value>& value, Field* field) {
  FIELDLOOP_RETURN_IF_ERROR(value.status());
  FIELDLOOP_ASSIGN_OR_RETURN(*field, ToProto(*value));
  return absl::OkStatus();
}

// Streams pieces of a file.
template <typename Response>
auto PieceSink(grpc::ServerWriter<Response>& writer) {
  return [&writer](absl::string_view piece) {
    Response response;
    response.set_data(piece.data(), piece.size());
    return writer.Write(response) ? absl::OkStatus() : StreamClosed();
  };
}

// The file behind the first message of an import or an upload, of at most `max_bytes`.
template <typename Request>
absl::StatusOr<std::string> ReadPieces(grpc::ServerReader<Request>& reader,
                                       std::int64_t max_bytes) {
  std::string file;
  Request message;
  while (reader.Read(&message)) {
    if (message.has_spec()) {
      return absl::InvalidArgumentError("spec: got it again, want it in the first message only");
    }
    if (message.data().size() > kMaxPieceBytes) {
      return absl::InvalidArgumentError(absl::StrCat("data: got ", message.data().size(),
                                                     " bytes, want at most ", kMaxPieceBytes));
    }
    if (static_cast<std::int64_t>(file.size() + message.data().size()) > max_bytes) {
      return absl::InvalidArgumentError(
          absl::StrCat("data: got more than ", max_bytes, " bytes in all"));
    }
    file += message.data();
  }
  return file;
}

}  // namespace

BuildHandler::BuildHandler(const Parts& parts, std::function<bool()> stopping)
    : parts_(parts), stopping_(std::move(stopping)) {}

grpc::Status BuildHandler::CreateImpulse(grpc::ServerContext* context,
                                         const v1::CreateImpulseRequest* request,
                                         v1::CreateImpulseResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(parts_.access, *context, request->parent(), Role::kOperator).status());
    return Fill(parts_.impulses.Create(request->parent(), request->impulse_id(),
                                       FromProto(request->recipe())),
                response->mutable_impulse());
  }());
}

grpc::Status BuildHandler::GetImpulse(grpc::ServerContext* context,
                                      const v1::GetImpulseRequest* request,
                                      v1::GetImpulseResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(parts_.access, *context, request->name(), Role::kViewer).status());
    return Fill(parts_.impulses.Get(request->name()), response->mutable_impulse());
  }());
}

grpc::Status BuildHandler::ListImpulses(grpc::ServerContext* context,
                                        const v1::ListImpulsesRequest* request,
                                        v1::ListImpulsesResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(parts_.access, *context, request->parent(), Role::kViewer).status());
    FIELDLOOP_ASSIGN_OR_RETURN(
        Page<Impulse> page,
        parts_.impulses.List(request->parent(), request->page_size(), request->page_token()));
    for (const Impulse& impulse : page.items) {
      *response->add_impulses() = ToProto(impulse);
    }
    response->set_next_page_token(std::move(page.next_page_token));
    return absl::OkStatus();
  }());
}

grpc::Status BuildHandler::CreateBuild(grpc::ServerContext* context,
                                       const v1::CreateBuildRequest* request,
                                       v1::CreateBuildResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(parts_.access, *context, request->parent(), Role::kOperator).status());
    const v1::Build& build = request->build();
    return Fill(parts_.builds.Create(request->parent(),
                                     {.dataset_version = build.dataset_version(),
                                      .impulse = build.impulse(),
                                      .seed = build.seed(),
                                      .parent_model = build.parent_model(),
                                      .trainer = build.trainer()},
                                     request->request_id()),
                response->mutable_build());
  }());
}

grpc::Status BuildHandler::GetBuild(grpc::ServerContext* context,
                                    const v1::GetBuildRequest* request,
                                    v1::GetBuildResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(parts_.access, *context, request->name(), Role::kViewer).status());
    return Fill(parts_.builds.Get(request->name()), response->mutable_build());
  }());
}

grpc::Status BuildHandler::ListBuilds(grpc::ServerContext* context,
                                      const v1::ListBuildsRequest* request,
                                      v1::ListBuildsResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(parts_.access, *context, request->parent(), Role::kViewer).status());
    FIELDLOOP_ASSIGN_OR_RETURN(
        Page<Build> page,
        parts_.builds.List(request->parent(), request->page_size(), request->page_token()));
    for (const Build& build : page.items) {
      *response->add_builds() = ToProto(build);
    }
    response->set_next_page_token(std::move(page.next_page_token));
    return absl::OkStatus();
  }());
}

grpc::Status BuildHandler::WatchBuild(grpc::ServerContext* context,
                                      const v1::WatchBuildRequest* request,
                                      grpc::ServerWriter<v1::WatchBuildResponse>* writer) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(parts_.access, *context, request->name(), Role::kViewer).status());
    const auto look = [&]() -> absl::StatusOr<Sight<v1::WatchBuildResponse>> {
      FIELDLOOP_ASSIGN_OR_RETURN(const Build build, parts_.builds.Get(request->name()));
      Sight<v1::WatchBuildResponse> sight{.last = IsDone(build.state)};
      *sight.response.mutable_build() = ToProto(build);
      return sight;
    };
    return WatchOne(*context, *writer, parts_.changes, stopping_, look);
  }());
}

grpc::Status BuildHandler::CancelBuild(grpc::ServerContext* context,
                                       const v1::CancelBuildRequest* request,
                                       v1::CancelBuildResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(parts_.access, *context, request->name(), Role::kOperator).status());
    return Fill(parts_.builds.Cancel(request->name()), response->mutable_build());
  }());
}

grpc::Status BuildHandler::GetBuildLog(grpc::ServerContext* context,
                                       const v1::GetBuildLogRequest* request,
                                       v1::GetBuildLogResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(parts_.access, *context, request->name(), Role::kViewer).status());
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string log, parts_.builds.Log(request->name()));
    response->set_log(ToUtf8(log));
    return absl::OkStatus();
  }());
}

grpc::Status BuildHandler::ListTrainers(grpc::ServerContext* context,
                                        const v1::ListTrainersRequest* /*request*/,
                                        v1::ListTrainersResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    // Trainers are the installation's, not a project's.
    FIELDLOOP_RETURN_IF_ERROR(CheckCall(parts_.access, *context, "", Role::kViewer).status());
    for (const TrainerIdentity& trainer : parts_.trainers.List()) {
      *response->add_trainers() = ToProto(trainer);
    }
    return absl::OkStatus();
  }());
}

grpc::Status BuildHandler::GetModel(grpc::ServerContext* context,
                                    const v1::GetModelRequest* request,
                                    v1::GetModelResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(parts_.access, *context, request->name(), Role::kViewer).status());
    return FillChecked(parts_.models.Get(request->name()), response->mutable_model());
  }());
}

grpc::Status BuildHandler::ListModels(grpc::ServerContext* context,
                                      const v1::ListModelsRequest* request,
                                      v1::ListModelsResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(parts_.access, *context, request->parent(), Role::kViewer).status());
    FIELDLOOP_ASSIGN_OR_RETURN(
        Page<Model> page,
        parts_.models.List(request->parent(),
                           {.digest = request->digest(),
                            .dataset_versions = {request->dataset_versions().begin(),
                                                 request->dataset_versions().end()}},
                           request->page_size(), request->page_token()));
    for (const Model& model : page.items) {
      FIELDLOOP_ASSIGN_OR_RETURN(*response->add_models(), ToProto(model));
    }
    response->set_next_page_token(std::move(page.next_page_token));
    return absl::OkStatus();
  }());
}

absl::StatusOr<std::vector<std::string>> BuildHandler::DifferencesOf(const Model& first,
                                                                     const Model& second) {
  if (first.impulse.empty() || second.impulse.empty()) {
    return std::vector<std::string>();
  }
  FIELDLOOP_ASSIGN_OR_RETURN(const Impulse of_first, parts_.impulses.Get(first.impulse));
  FIELDLOOP_ASSIGN_OR_RETURN(const Impulse of_second, parts_.impulses.Get(second.impulse));
  return RecipeDifferences(ToProto(of_first.recipe), ToProto(of_second.recipe));
}

grpc::Status BuildHandler::CompareModels(grpc::ServerContext* context,
                                         const v1::CompareModelsRequest* request,
                                         v1::CompareModelsResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(parts_.access, *context, request->first(), Role::kViewer).status());
    FIELDLOOP_ASSIGN_OR_RETURN(
        const ModelComparison comparison,
        parts_.comparer.Compare(
            {.first = request->first(),
             .second = request->second(),
             .dataset_version = request->dataset_version(),
             .slice_keys = {request->slice_keys().begin(), request->slice_keys().end()}},
            [context] { return context->IsCancelled(); }));
    *response->mutable_comparison() = ToProto(comparison);
    FIELDLOOP_ASSIGN_OR_RETURN(const std::vector<std::string> differences,
                               DifferencesOf(comparison.first, comparison.second));
    response->mutable_comparison()->mutable_recipe_differences()->Assign(differences.begin(),
                                                                         differences.end());
    return absl::OkStatus();
  }());
}

grpc::Status BuildHandler::GetModelLineage(grpc::ServerContext* context,
                                           const v1::GetModelLineageRequest* request,
                                           v1::GetModelLineageResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(parts_.access, *context, request->name(), Role::kViewer).status());
    FIELDLOOP_ASSIGN_OR_RETURN(const std::vector<Model> line, parts_.models.Line(request->name()));
    for (const Model& model : line) {
      *response->mutable_lineage()->add_steps() = ToLineageStep(model);
    }
    return absl::OkStatus();
  }());
}

grpc::Status BuildHandler::ExportModel(grpc::ServerContext* context,
                                       const v1::ExportModelRequest* request,
                                       grpc::ServerWriter<v1::ExportModelResponse>* writer) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(parts_.access, *context, request->name(), Role::kViewer).status());
    FIELDLOOP_ASSIGN_OR_RETURN(const Model model, parts_.models.Get(request->name()));
    std::string file;
    // By its number: an alias may move meanwhile.
    const absl::Status read = parts_.models.Download(ModelName(model.project, model.number),
                                                     [&file](absl::string_view piece) {
                                                       file.append(piece.data(), piece.size());
                                                       return absl::OkStatus();
                                                     });
    FIELDLOOP_RETURN_IF_ERROR(read);
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string archive,
                               ExportArchive(model, file, request->format()));
    const auto send = PieceSink(*writer);
    for (std::size_t at = 0; at < archive.size(); at += kPieceBytes) {
      FIELDLOOP_RETURN_IF_ERROR(send(absl::string_view(archive).substr(at, kPieceBytes)));
    }
    return absl::OkStatus();
  }());
}

grpc::Status BuildHandler::ImportModel(grpc::ServerContext* context,
                                       grpc::ServerReader<v1::ImportModelRequest>* reader,
                                       v1::ImportModelResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    v1::ImportModelRequest message;
    if (!reader->Read(&message) || !message.has_spec()) {
      return absl::InvalidArgumentError("spec: got none, want it in the first message");
    }
    const v1::ImportSpec spec = message.spec();
    FIELDLOOP_ASSIGN_OR_RETURN(const Grant grant,
                               CheckCall(parts_.access, *context, spec.parent(), Role::kOperator));
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string file, ReadPieces(*reader, kMaxModelBytes));
    return FillChecked(
        parts_.importer.Import(spec.parent(),
                               {.impulse = spec.impulse(),
                                .classes = {spec.classes().begin(), spec.classes().end()},
                                .dataset_version = spec.dataset_version(),
                                .author = grant.principal},
                               file),
        response->mutable_model());
  }());
}

grpc::Status BuildHandler::DownloadModel(grpc::ServerContext* context,
                                         const v1::DownloadModelRequest* request,
                                         grpc::ServerWriter<v1::DownloadModelResponse>* writer) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(parts_.access, *context, request->name(), Role::kViewer).status());
    return parts_.models.Download(request->name(), PieceSink(*writer));
  }());
}

grpc::Status BuildHandler::SetModelAlias(grpc::ServerContext* context,
                                         const v1::SetModelAliasRequest* request,
                                         v1::SetModelAliasResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_ASSIGN_OR_RETURN(
        const Grant grant, CheckCall(parts_.access, *context, request->parent(), Role::kOperator));
    return Fill(parts_.models.SetAlias(request->parent(), request->alias(), request->model(),
                                       request->reason(), grant.principal),
                response->mutable_change());
  }());
}

grpc::Status BuildHandler::ListAliasChanges(grpc::ServerContext* context,
                                            const v1::ListAliasChangesRequest* request,
                                            v1::ListAliasChangesResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(parts_.access, *context, request->parent(), Role::kViewer).status());
    FIELDLOOP_ASSIGN_OR_RETURN(
        Page<AliasChange> page,
        parts_.models.ListAliasChanges(request->parent(), request->alias(), request->page_size(),
                                       request->page_token()));
    for (const AliasChange& change : page.items) {
      *response->add_changes() = ToProto(change);
    }
    response->set_next_page_token(std::move(page.next_page_token));
    return absl::OkStatus();
  }());
}

grpc::Status BuildHandler::UploadArtifact(grpc::ServerContext* context,
                                          grpc::ServerReader<v1::UploadArtifactRequest>* reader,
                                          v1::UploadArtifactResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    v1::UploadArtifactRequest message;
    if (!reader->Read(&message) || !message.has_spec()) {
      return absl::InvalidArgumentError("spec: got none, want it in the first message");
    }
    const v1::ArtifactSpec spec = message.spec();
    FIELDLOOP_ASSIGN_OR_RETURN(const Grant grant,
                               CheckCall(parts_.access, *context, spec.parent(), Role::kOperator));
    FIELDLOOP_ASSIGN_OR_RETURN(const ComponentKind kind, KindOf("spec.kind", spec.kind()));
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string file, ReadPieces(*reader, kMaxArtifactBytes));
    return Fill(parts_.artifacts.Upload(
                    spec.parent(),
                    {.kind = kind, .version = spec.version(), .author = grant.principal}, file),
                response->mutable_artifact());
  }());
}

grpc::Status BuildHandler::GetArtifact(grpc::ServerContext* context,
                                       const v1::GetArtifactRequest* request,
                                       v1::GetArtifactResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(parts_.access, *context, request->name(), Role::kViewer).status());
    return Fill(parts_.artifacts.Get(request->name()), response->mutable_artifact());
  }());
}

grpc::Status BuildHandler::ListArtifacts(grpc::ServerContext* context,
                                         const v1::ListArtifactsRequest* request,
                                         v1::ListArtifactsResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(parts_.access, *context, request->parent(), Role::kViewer).status());
    std::optional<ComponentKind> kind;
    if (request->kind() != agent::v1::COMPONENT_KIND_UNSPECIFIED) {
      FIELDLOOP_ASSIGN_OR_RETURN(kind, KindOf("kind", request->kind()));
    }
    FIELDLOOP_ASSIGN_OR_RETURN(Page<Artifact> page,
                               parts_.artifacts.List(request->parent(), kind, request->page_size(),
                                                     request->page_token()));
    for (const Artifact& artifact : page.items) {
      *response->add_artifacts() = ToProto(artifact);
    }
    response->set_next_page_token(std::move(page.next_page_token));
    return absl::OkStatus();
  }());
}

grpc::Status BuildHandler::CreateRelease(grpc::ServerContext* context,
                                         const v1::CreateReleaseRequest* request,
                                         v1::CreateReleaseResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(parts_.access, *context, request->parent(), Role::kOperator).status());
    ReleaseRequest release{
        .model = request->model(),
        .firmware = request->firmware(),
        .configuration = request->configuration(),
        .hardware_ids = {request->hardware_ids().begin(), request->hardware_ids().end()},
        .expire_time = std::nullopt};
    if (request->has_expire_time()) {
      FIELDLOOP_ASSIGN_OR_RETURN(release.expire_time,
                                 FromTimestamp("expire_time", request->expire_time()));
    }
    return FillChecked(parts_.releases.Create(request->parent(), release, request->request_id()),
                       response->mutable_release());
  }());
}

grpc::Status BuildHandler::GetRelease(grpc::ServerContext* context,
                                      const v1::GetReleaseRequest* request,
                                      v1::GetReleaseResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(parts_.access, *context, request->name(), Role::kViewer).status());
    return FillChecked(parts_.releases.Get(request->name()), response->mutable_release());
  }());
}

grpc::Status BuildHandler::ListReleases(grpc::ServerContext* context,
                                        const v1::ListReleasesRequest* request,
                                        v1::ListReleasesResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(parts_.access, *context, request->parent(), Role::kViewer).status());
    FIELDLOOP_ASSIGN_OR_RETURN(
        Page<Release> page,
        parts_.releases.List(request->parent(), request->page_size(), request->page_token()));
    for (const Release& release : page.items) {
      FIELDLOOP_ASSIGN_OR_RETURN(*response->add_releases(), ToProto(release));
    }
    response->set_next_page_token(std::move(page.next_page_token));
    return absl::OkStatus();
  }());
}

grpc::Status BuildHandler::AddReleaseSignature(grpc::ServerContext* context,
                                               const v1::AddReleaseSignatureRequest* request,
                                               v1::AddReleaseSignatureResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(parts_.access, *context, request->name(), Role::kOperator).status());
    return FillChecked(
        parts_.releases.AddSignature(request->name(), FromProto(request->signature())),
        response->mutable_release());
  }());
}

grpc::Status BuildHandler::DownloadArtifact(
    grpc::ServerContext* context, const v1::DownloadArtifactRequest* request,
    grpc::ServerWriter<v1::DownloadArtifactResponse>* writer) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(parts_.access, *context, request->parent(), Role::kAdmin).status());
    return parts_.artifacts.Download(request->parent(), request->digest(), PieceSink(*writer));
  }());
}

grpc::Status BuildHandler::ListRoots(grpc::ServerContext* context,
                                     const v1::ListRootsRequest* request,
                                     v1::ListRootsResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    // Roots are the installation's, not a project's.
    FIELDLOOP_RETURN_IF_ERROR(CheckCall(parts_.access, *context, "", Role::kViewer).status());
    for (const Root& root : parts_.roots.roots()) {
      if (root.version > request->after_version()) {
        *response->add_roots() = ToProto(root.payload, root.signatures);
      }
    }
    return absl::OkStatus();
  }());
}

}  // namespace fieldloop::build
