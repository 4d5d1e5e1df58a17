// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_EVALUATION_STORAGE_SQL_STORES_H_
#define FIELDLOOP_SERVICES_EVALUATION_STORAGE_SQL_STORES_H_

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "services/common/sql/database.h"
#include "services/evaluation/domain/stores.h"

namespace fieldloop::evaluation {

// The schema of this service, for Database::Open.
const std::vector<Migration>& EvaluationMigrations();

// Each store keeps its rows in `database`, which must outlive it.

class SqlEvaluationStore final : public EvaluationStore {
 public:
  explicit SqlEvaluationStore(Database& database) : database_(database) {}
  absl::StatusOr<Evaluation> Insert(const Evaluation& evaluation,
                                    const std::string& request_id) override;
  absl::StatusOr<Evaluation> Get(const std::string& project, std::int64_t number) override;
  absl::StatusOr<Page<Evaluation>> List(const std::string& project, int page_size,
                                        const std::string& page_token) override;
  absl::Status Save(const Evaluation& evaluation) override;
  absl::StatusOr<std::optional<Evaluation>> NextUnfinished() override;
  absl::StatusOr<std::map<EvaluationState, std::int64_t>> CountByState() override;

 private:
  Database& database_;
};

class SqlPolicyStore final : public PolicyStore {
 public:
  explicit SqlPolicyStore(Database& database) : database_(database) {}
  absl::StatusOr<PolicyVersion> Put(const std::string& project, const std::string& yaml,
                                    absl::Time now) override;
  absl::StatusOr<PolicyVersion> Get(const std::string& project, int version) override;

 private:
  Database& database_;
};

class SqlCycleStore final : public CycleStore {
 public:
  explicit SqlCycleStore(Database& database) : database_(database) {}
  absl::StatusOr<Cycle> EnsureActive(const std::string& project, int policy_version,
                                     absl::Time now) override;
  absl::StatusOr<Cycle> Get(const std::string& project, std::int64_t number) override;
  absl::StatusOr<std::optional<Cycle>> Active(const std::string& project) override;
  absl::StatusOr<std::optional<Cycle>> FindByRequest(const std::string& project,
                                                     const std::string& request_id) override;
  absl::StatusOr<Page<Cycle>> List(const std::string& project, int page_size,
                                   const std::string& page_token) override;
  absl::StatusOr<Cycle> Update(const std::string& project, std::int64_t number,
                               absl::FunctionRef<absl::Status(Cycle&)> change) override;
  absl::StatusOr<std::vector<CycleWork>> ListWork() override;
  absl::StatusOr<std::vector<std::pair<std::string, int>>> ListIdleProjects() override;
  absl::StatusOr<std::map<CycleState, std::int64_t>> CountByState() override;

 private:
  Database& database_;
};

class SqlSketchStore final : public SketchStore {
 public:
  explicit SqlSketchStore(Database& database) : database_(database) {}
  absl::StatusOr<bool> Record(const Sketch& sketch, absl::Time now) override;
  absl::Status ForEach(const std::string& project, absl::Time start,
                       absl::FunctionRef<bool(const Sketch&)> sink) override;
  absl::StatusOr<std::vector<FreshModel>> ListFreshModels() override;
  absl::StatusOr<std::vector<DeviceProgress>> ListProgress(
      const std::string& project, const std::string& model_digest) override;
  absl::StatusOr<std::vector<DevicePeriods>> LoadPeriods(const std::string& project,
                                                         const std::string& model_digest,
                                                         const std::vector<DeviceProgress>& devices,
                                                         int baseline, int recent) override;
  absl::StatusOr<int> LastLook(const std::string& project,
                               const std::string& model_digest) override;
  absl::StatusOr<DriftReport> SaveLook(const DriftReport& report,
                                       const std::vector<DeviceProgress>& seen) override;
  absl::StatusOr<Page<DriftReport>> ListReports(const std::string& project, int page_size,
                                                const std::string& page_token) override;
  absl::StatusOr<std::optional<DriftReport>> LatestReport(const std::string& project,
                                                          const std::string& model_digest,
                                                          absl::Time since,
                                                          bool only_drift) override;
  absl::StatusOr<std::vector<DriftReport>> ListNewestTests() override;
  absl::StatusOr<std::int64_t> Prune(absl::Time before) override;
  absl::StatusOr<std::int64_t> CountSketches() override;

 private:
  Database& database_;
};

}  // namespace fieldloop::evaluation

#endif  // FIELDLOOP_SERVICES_EVALUATION_STORAGE_SQL_STORES_H_
