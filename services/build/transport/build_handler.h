// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_TRANSPORT_BUILD_HANDLER_H_
#define FIELDLOOP_SERVICES_BUILD_TRANSPORT_BUILD_HANDLER_H_

#include <functional>
#include <string>
#include <vector>

#include <fieldloop/build/v1/build_service.grpc.pb.h>
#include <grpcpp/grpcpp.h>

#include "services/build/domain/artifact_registry.h"
#include "services/build/domain/build_queue.h"
#include "services/build/domain/impulse_catalog.h"
#include "services/build/domain/model_comparison.h"
#include "services/build/domain/model_importer.h"
#include "services/build/domain/model_registry.h"
#include "services/build/domain/release_desk.h"
#include "services/build/domain/trainer.h"
#include "services/build/domain/trust.h"
#include "services/common/access/access.h"
#include "services/common/sync/change_signal.h"

namespace fieldloop::build {

// Serves BuildService: checks access, translates, calls the domain, translates back. Thread-safe.
class BuildHandler final : public v1::BuildService::Service {
 public:
  // All must outlive the handler.
  struct Parts {
    Access& access;
    ImpulseCatalog& impulses;
    BuildQueue& builds;
    ModelRegistry& models;
    ModelComparer& comparer;
    ModelImporter& importer;
    ArtifactRegistry& artifacts;
    ReleaseDesk& releases;
    const TrainerSet& trainers;
    const RootChain& roots;
    const ChangeSignal& changes;
  };
  // `stopping` turns true when streams must end.
  BuildHandler(const Parts& parts, std::function<bool()> stopping);

  grpc::Status CreateImpulse(grpc::ServerContext* context, const v1::CreateImpulseRequest* request,
                             v1::CreateImpulseResponse* response) override;
  grpc::Status GetImpulse(grpc::ServerContext* context, const v1::GetImpulseRequest* request,
                          v1::GetImpulseResponse* response) override;
  grpc::Status ListImpulses(grpc::ServerContext* context, const v1::ListImpulsesRequest* request,
                            v1::ListImpulsesResponse* response) override;

  grpc::Status CreateBuild(grpc::ServerContext* context, const v1::CreateBuildRequest* request,
                           v1::CreateBuildResponse* response) override;
  grpc::Status GetBuild(grpc::ServerContext* context, const v1::GetBuildRequest* request,
                        v1::GetBuildResponse* response) override;
  grpc::Status ListBuilds(grpc::ServerContext* context, const v1::ListBuildsRequest* request,
                          v1::ListBuildsResponse* response) override;
  grpc::Status WatchBuild(grpc::ServerContext* context, const v1::WatchBuildRequest* request,
                          grpc::ServerWriter<v1::WatchBuildResponse>* writer) override;
  grpc::Status CancelBuild(grpc::ServerContext* context, const v1::CancelBuildRequest* request,
                           v1::CancelBuildResponse* response) override;
  grpc::Status GetBuildLog(grpc::ServerContext* context, const v1::GetBuildLogRequest* request,
                           v1::GetBuildLogResponse* response) override;

  grpc::Status ListTrainers(grpc::ServerContext* context, const v1::ListTrainersRequest* request,
                            v1::ListTrainersResponse* response) override;

  grpc::Status GetModel(grpc::ServerContext* context, const v1::GetModelRequest* request,
                        v1::GetModelResponse* response) override;
  grpc::Status ListModels(grpc::ServerContext* context, const v1::ListModelsRequest* request,
                          v1::ListModelsResponse* response) override;
  grpc::Status CompareModels(grpc::ServerContext* context, const v1::CompareModelsRequest* request,
                             v1::CompareModelsResponse* response) override;
  grpc::Status GetModelLineage(grpc::ServerContext* context,
                               const v1::GetModelLineageRequest* request,
                               v1::GetModelLineageResponse* response) override;
  grpc::Status ExportModel(grpc::ServerContext* context, const v1::ExportModelRequest* request,
                           grpc::ServerWriter<v1::ExportModelResponse>* writer) override;
  grpc::Status ImportModel(grpc::ServerContext* context,
                           grpc::ServerReader<v1::ImportModelRequest>* reader,
                           v1::ImportModelResponse* response) override;
  grpc::Status DownloadModel(grpc::ServerContext* context, const v1::DownloadModelRequest* request,
                             grpc::ServerWriter<v1::DownloadModelResponse>* writer) override;
  grpc::Status SetModelAlias(grpc::ServerContext* context, const v1::SetModelAliasRequest* request,
                             v1::SetModelAliasResponse* response) override;
  grpc::Status ListAliasChanges(grpc::ServerContext* context,
                                const v1::ListAliasChangesRequest* request,
                                v1::ListAliasChangesResponse* response) override;

  grpc::Status UploadArtifact(grpc::ServerContext* context,
                              grpc::ServerReader<v1::UploadArtifactRequest>* reader,
                              v1::UploadArtifactResponse* response) override;
  grpc::Status GetArtifact(grpc::ServerContext* context, const v1::GetArtifactRequest* request,
                           v1::GetArtifactResponse* response) override;
  grpc::Status ListArtifacts(grpc::ServerContext* context, const v1::ListArtifactsRequest* request,
                             v1::ListArtifactsResponse* response) override;

  grpc::Status CreateRelease(grpc::ServerContext* context, const v1::CreateReleaseRequest* request,
                             v1::CreateReleaseResponse* response) override;
  grpc::Status GetRelease(grpc::ServerContext* context, const v1::GetReleaseRequest* request,
                          v1::GetReleaseResponse* response) override;
  grpc::Status ListReleases(grpc::ServerContext* context, const v1::ListReleasesRequest* request,
                            v1::ListReleasesResponse* response) override;
  grpc::Status AddReleaseSignature(grpc::ServerContext* context,
                                   const v1::AddReleaseSignatureRequest* request,
                                   v1::AddReleaseSignatureResponse* response) override;
  grpc::Status DownloadArtifact(grpc::ServerContext* context,
                                const v1::DownloadArtifactRequest* request,
                                grpc::ServerWriter<v1::DownloadArtifactResponse>* writer) override;
  grpc::Status ListRoots(grpc::ServerContext* context, const v1::ListRootsRequest* request,
                         v1::ListRootsResponse* response) override;

 private:
  // What the recipes of two models differ in; nothing for a model without an impulse version.
  absl::StatusOr<std::vector<std::string>> DifferencesOf(const Model& first, const Model& second);

  const Parts parts_;
  const std::function<bool()> stopping_;
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_TRANSPORT_BUILD_HANDLER_H_
