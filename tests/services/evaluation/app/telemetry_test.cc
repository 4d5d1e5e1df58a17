// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/evaluation/app/telemetry.h"

#include <memory>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/text_serializer.h>

#include "services/evaluation/storage/sql_stores.h"
#include "tests/services/common/temporary_folder.h"
#include "tests/support/fake_clock.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::evaluation {
namespace {

using ::fieldloop::testing::FakeClock;
using ::fieldloop::testing::IsOk;
using ::testing::HasSubstr;
using ::testing::Not;

// Of one process of several on the same database.
class Replica {
 public:
  explicit Replica(Database& database)
      : cycles_(database), evaluations_(database), sketches_(database) {}
  // A look that this replica makes.
  void Look(DriftVerdict verdict, int look, double statistic, absl::Time time) {
    DriftReport report;
    report.project = "projects/motion";
    report.model_digest = "aa";
    report.verdict = verdict;
    report.look = look;
    report.statistic = statistic;
    report.limit = 4;
    report.drifted_devices = 7;
    report.create_time = time;
    ASSERT_THAT(sketches_.SaveLook(report, {}), IsOk());
    telemetry_.LookMade(report);
  }
  std::string Metrics() {
    EXPECT_THAT(telemetry_.Refresh(cycles_, evaluations_, sketches_, clock_), IsOk());
    return prometheus::TextSerializer().Serialize(registry_.Collect());
  }

 private:
  FakeClock clock_;
  SqlCycleStore cycles_;
  SqlEvaluationStore evaluations_;
  SqlSketchStore sketches_;
  prometheus::Registry registry_;
  PrometheusTelemetry telemetry_{registry_};
};

constexpr char kStatistic[] = "fieldloop_evaluation_drift_statistic{project=\"motion\"} ";

class TelemetryTest : public ::testing::Test {
 protected:
  const ::fieldloop::testing::TemporaryFolder folder_;
  const std::unique_ptr<Database> database_ =
      *Database::Open({.connection = "sqlite3://" + (folder_ / "e.db")}, EvaluationMigrations());
  Replica one_{*database_};
  Replica other_{*database_};
};

TEST_F(TelemetryTest, AllReplicasSayTheSameOfDriftWhicheverLooked) {
  one_.Look(DriftVerdict::kDrift, 1, 5.5, absl::FromUnixSeconds(1));
  EXPECT_THAT(other_.Metrics(), HasSubstr(std::string(kStatistic) + "5.5\n"));
  EXPECT_THAT(one_.Metrics(), HasSubstr(std::string(kStatistic) + "5.5\n"));
  other_.Look(DriftVerdict::kSteady, 2, 1.25, absl::FromUnixSeconds(2));
  for (Replica* replica : {&one_, &other_}) {
    const std::string metrics = replica->Metrics();
    EXPECT_THAT(metrics, HasSubstr(std::string(kStatistic) + "1.25\n"));
    EXPECT_THAT(metrics, HasSubstr("fieldloop_evaluation_drift_limit{project=\"motion\"} 4\n"));
    EXPECT_THAT(metrics, HasSubstr("fieldloop_evaluation_drifted_devices{project=\"motion\"} 7\n"));
  }
}

TEST_F(TelemetryTest, WhatIsLearntIsNoTestAndATestThatIsNotKeptHasNoFigures) {
  one_.Look(DriftVerdict::kLearning, 0, 0, absl::FromUnixSeconds(1));
  EXPECT_THAT(one_.Metrics(), Not(HasSubstr(kStatistic)));
  one_.Look(DriftVerdict::kSteady, 1, 1.25, absl::FromUnixSeconds(2));
  one_.Look(DriftVerdict::kLearning, 0, 0, absl::FromUnixSeconds(3));
  EXPECT_THAT(one_.Metrics(), HasSubstr(std::string(kStatistic) + "1.25\n"));
  SqlSketchStore sketches(*database_);
  ASSERT_THAT(sketches.Prune(absl::FromUnixSeconds(3)), IsOk());
  EXPECT_THAT(one_.Metrics(), Not(HasSubstr(kStatistic)));
}

}  // namespace
}  // namespace fieldloop::evaluation
