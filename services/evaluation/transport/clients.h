// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_EVALUATION_TRANSPORT_CLIENTS_H_
#define FIELDLOOP_SERVICES_EVALUATION_TRANSPORT_CLIENTS_H_

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fieldloop/build/v1/build_service.grpc.pb.h>
#include <fieldloop/distribution/v1/distribution_service.grpc.pb.h>
#include <fieldloop/ingestion/v1/ingestion_service.grpc.pb.h>

#include "absl/base/thread_annotations.h"
#include "services/common/sync/mutex.h"
#include "services/evaluation/domain/neighbours.h"

namespace fieldloop::evaluation {

// The other services over gRPC: translate, call, translate back. Errors as FromGrpcStatus.

class RemoteModelRegistry final : public ModelRegistry {
 public:
  explicit RemoteModelRegistry(std::unique_ptr<build::v1::BuildService::StubInterface> stub);

  absl::StatusOr<Model> GetModel(const std::string& name) override;
  absl::StatusOr<Model> FindModel(const std::string& project, const std::string& digest) override;
  absl::StatusOr<std::string> DownloadModel(const std::string& name) override;
  absl::StatusOr<std::string> CreateBuild(const std::string& project,
                                          const std::string& dataset_version,
                                          const std::string& impulse, std::uint32_t seed,
                                          const std::string& request_id) override;
  absl::StatusOr<BuildStatus> GetBuild(const std::string& name) override;
  absl::Status CancelBuild(const std::string& name) override;
  absl::StatusOr<ReleaseStatus> CreateRelease(const std::string& project, const std::string& model,
                                              const std::vector<std::string>& hardware_ids,
                                              const std::string& request_id) override;
  absl::StatusOr<ReleaseStatus> GetRelease(const std::string& name) override;
  absl::Status SetAlias(const std::string& project, const std::string& alias,
                        const std::string& model, const std::string& reason) override;

 private:
  const std::unique_ptr<build::v1::BuildService::StubInterface> stub_;
  Mutex mutex_;
  // By project and digest. Models never change, so nothing is ever stale; a fleet runs a handful.
  std::map<std::pair<std::string, std::string>, Model> by_digest_ ABSL_GUARDED_BY(mutex_);
};

class RemoteSampleArchive final : public SampleArchive {
 public:
  explicit RemoteSampleArchive(
      std::unique_ptr<ingestion::v1::IngestionService::StubInterface> stub);

  absl::StatusOr<SampleCounts> CountLabelled(const std::string& project, bool devices_only,
                                             bool testing_only, absl::Time created_after) override;
  absl::Status EnsureDataset(const std::string& dataset) override;
  absl::StatusOr<std::string> CreateDatasetVersion(const std::string& dataset) override;
  absl::Status ForEachTestingSample(
      const std::string& dataset_version,
      absl::FunctionRef<absl::Status(const TestingSample& sample, double share)> sink) override;

 private:
  const std::unique_ptr<ingestion::v1::IngestionService::StubInterface> stub_;
};

class RemoteFleet final : public Fleet {
 public:
  explicit RemoteFleet(std::unique_ptr<distribution::v1::DistributionService::StubInterface> stub);

  absl::Status OpenCollection(const std::string& project, const Collection& collection) override;
  absl::Status CloseCollection(const std::string& project, const Collection& collection) override;
  absl::StatusOr<std::string> CreateRollout(const std::string& project, const std::string& release,
                                            const RolloutPolicy& plan,
                                            const std::string& request_id) override;
  absl::StatusOr<RolloutStatus> GetRollout(const std::string& name) override;
  absl::Status CancelRollout(const std::string& name, const std::string& reason) override;

 private:
  const std::unique_ptr<distribution::v1::DistributionService::StubInterface> stub_;
};

}  // namespace fieldloop::evaluation

#endif  // FIELDLOOP_SERVICES_EVALUATION_TRANSPORT_CLIENTS_H_
