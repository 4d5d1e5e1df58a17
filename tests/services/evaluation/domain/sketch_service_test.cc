// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/evaluation/domain/sketch_service.h"

#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/common/sql/database.h"
#include "services/common/status/error_reason.h"
#include "services/evaluation/storage/sql_stores.h"
#include "tests/services/common/temporary_folder.h"
#include "tests/services/evaluation/support/fakes.h"
#include "tests/support/fake_clock.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::evaluation {
namespace {

using ::fieldloop::testing::FakeClock;
using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::fieldloop::testing::TemporaryFolder;
using ::testing::HasSubstr;

constexpr char kProject[] = "projects/x";

class SketchServiceTest : public ::testing::Test {
 protected:
  SketchServiceTest() { models_.AddModel(1, "aa"); }

  static Sketch NewSketch(int device, std::uint64_t sequence, std::size_t bin) {
    Sketch sketch;
    sketch.device = absl::StrCat("projects/x/devices/", device);
    sketch.sequence = sequence;
    sketch.model_digest = "aa";
    sketch.reference_id = 7;
    sketch.start_time = absl::FromUnixSeconds(static_cast<std::int64_t>(300 * sequence));
    sketch.period_ms = 300'000;
    sketch.windows = 10;
    sketch.class_counts = {4, 6};
    ChannelSketch channel;
    channel.bins.assign(4, 0);
    channel.bins[bin] = 10;
    channel.mean = 0.5;
    sketch.channels = {channel, channel};
    return sketch;
  }

  // One period of a fleet of 24.
  void Period(std::uint64_t sequence, std::size_t bin) {
    for (int device = 0; device < 24; ++device) {
      ASSERT_THAT(service_.Record(kProject, NewSketch(device, sequence, bin)), IsOk());
    }
  }

  const TemporaryFolder folder_;
  const std::unique_ptr<Database> database_ =
      *Database::Open({.connection = "sqlite3://" + (folder_ / "e.db")}, EvaluationMigrations());
  FakeClock clock_;
  ChangeSignal changed_;
  Telemetry telemetry_;
  SqlSketchStore store_{*database_};
  SqlPolicyStore policies_{*database_};
  testing::FakeRegistry models_;
  SketchService service_{store_, models_, clock_, changed_, telemetry_};
  DriftWorker worker_{store_,
                      policies_,
                      models_,
                      [](const std::string&) -> absl::StatusOr<Policy> {
                        Policy policy;
                        policy.trigger.drift = DriftPolicy();
                        policy.trigger.drift->baseline_periods = 9;
                        policy.trigger.drift->recent_periods = 3;
                        return policy;
                      },
                      clock_,
                      changed_,
                      telemetry_};
};

TEST_F(SketchServiceTest, ASketchMustFitItsModel) {
  EXPECT_THAT(service_.Record(kProject, NewSketch(0, 1, 0)), IsOk());
  EXPECT_THAT(service_.Record(kProject, NewSketch(0, 1, 0)), IsOk());  // A repeat.

  Sketch sketch = NewSketch(0, 2, 0);
  sketch.model_digest = "unknown";
  EXPECT_EQ(ReasonOf(service_.Record(kProject, sketch)), "UNKNOWN_MODEL");
  sketch = NewSketch(0, 2, 0);
  sketch.reference_id = 8;
  EXPECT_EQ(ReasonOf(service_.Record(kProject, sketch)), "OTHER_REFERENCE");
  sketch = NewSketch(0, 2, 0);
  sketch.channels[1].bins[0] = 9;
  const absl::Status sum = service_.Record(kProject, sketch);
  EXPECT_THAT(sum, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(std::string(sum.message()),
              HasSubstr("channels[1].bins: got counts that sum to 9, want 10 windows"));
  sketch = NewSketch(0, 2, 0);
  sketch.channels.pop_back();
  EXPECT_THAT(service_.Record(kProject, sketch), StatusIs(absl::StatusCode::kInvalidArgument));
  sketch = NewSketch(0, 2, 0);
  sketch.class_counts = {10};
  EXPECT_THAT(service_.Record(kProject, sketch), StatusIs(absl::StatusCode::kInvalidArgument));
  sketch = NewSketch(0, 2, 0);
  sketch.class_counts = {-1, 11};
  EXPECT_THAT(service_.Record(kProject, sketch), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(*store_.CountSketches(), 1);
}

TEST_F(SketchServiceTest, FieldMetricsAreOfSpansOfSensorTime) {
  ASSERT_THAT(service_.Record(kProject, NewSketch(0, 1, 3)), IsOk());
  ASSERT_THAT(service_.Record(kProject, NewSketch(1, 1, 1)), IsOk());
  ASSERT_THAT(service_.Record(kProject, NewSketch(1, 2, 3)), IsOk());
  const Page<FieldMetrics> page =
      *service_.ListFieldMetrics(kProject, absl::UnixEpoch(), 300, 10, "");
  ASSERT_EQ(page.rows.size(), 2U);
  EXPECT_EQ(page.rows[0].start_time, absl::FromUnixSeconds(300));
  EXPECT_EQ(page.rows[0].device_count, 2);
  EXPECT_EQ(page.rows[0].windows, 20);
  EXPECT_DOUBLE_EQ(page.rows[0].mean_confidence, 0.5);
  EXPECT_DOUBLE_EQ(page.rows[0].estimated_accuracy, 0.8);  // Half at 1.0, half at 0.6.
  EXPECT_DOUBLE_EQ(page.rows[0].class_shares[1], 0.6);
  EXPECT_EQ(page.rows[1].device_count, 1);
  // A span that began earlier is left out as a whole.
  EXPECT_EQ(
      service_.ListFieldMetrics(kProject, absl::FromUnixSeconds(301), 300, 10, "")->rows.size(),
      1U);
  EXPECT_EQ(service_.ListFieldMetrics(kProject, absl::UnixEpoch(), 600, 10, "")->rows.size(), 2U);
  EXPECT_THAT(service_.ListFieldMetrics(kProject, absl::UnixEpoch(), 0.5, 10, ""),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(SketchServiceTest, FieldMetricsPageWithoutRepeatOrGap) {
  models_.AddModel(2, "bb");
  for (std::uint64_t sequence = 1; sequence <= 3; ++sequence) {
    ASSERT_THAT(service_.Record(kProject, NewSketch(0, sequence, 0)), IsOk());
    Sketch other = NewSketch(1, sequence, 0);
    other.model_digest = "bb";
    ASSERT_THAT(service_.Record(kProject, other), IsOk());
  }
  std::vector<std::string> got;
  std::string token;
  do {
    const Page<FieldMetrics> page =
        *service_.ListFieldMetrics(kProject, absl::UnixEpoch(), 300, 1, token);
    ASSERT_EQ(page.rows.size(), 1U);
    got.push_back(
        absl::StrCat(absl::ToUnixSeconds(page.rows[0].start_time), page.rows[0].model_digest));
    token = page.next_page_token;
  } while (!token.empty());
  EXPECT_THAT(got, ::testing::ElementsAre("300aa", "300bb", "600aa", "600bb", "900aa", "900bb"));
}

TEST_F(SketchServiceTest, LooksFollowThePeriodsAndFindAChange) {
  ASSERT_THAT(policies_.Put(kProject, "policy", clock_.Now()), IsOk());
  std::uint64_t sequence = 1;
  for (; sequence <= 11; ++sequence) {
    Period(sequence, 1);
    EXPECT_EQ(*worker_.RunDue(), 1);
    EXPECT_EQ(*worker_.RunDue(), 0);  // Nothing new.
  }
  DriftReport report = service_.ListDriftReports(kProject, 1, "")->rows[0];
  EXPECT_EQ(report.verdict, DriftVerdict::kLearning);
  EXPECT_THAT(report.explanation, HasSubstr("11 of 12"));

  Period(sequence++, 1);
  EXPECT_EQ(*worker_.RunDue(), 1);
  report = service_.ListDriftReports(kProject, 1, "")->rows[0];
  EXPECT_EQ(report.verdict, DriftVerdict::kSteady);
  EXPECT_EQ(report.look, 1);
  EXPECT_EQ(report.device_count, 24);

  for (int i = 0; i < 3; ++i) {
    Period(sequence++, 3);
    EXPECT_EQ(*worker_.RunDue(), 1);
  }
  report = service_.ListDriftReports(kProject, 1, "")->rows[0];
  EXPECT_EQ(report.verdict, DriftVerdict::kDrift);
  EXPECT_EQ(report.look, 4);
  EXPECT_EQ(report.drifted_devices, 24);
  EXPECT_NEAR(report.channels[0].mean_shift_bins, 2, 1e-9);
}

TEST_F(SketchServiceTest, AModelThatIsNotKnownForNowKeepsNoOtherFromBeingLookedAt) {
  ASSERT_THAT(policies_.Put(kProject, "policy", clock_.Now()), IsOk());
  for (std::uint64_t sequence = 1; sequence <= 12; ++sequence) {
    Period(sequence, 1);
  }
  models_.down = absl::UnavailableError("build: connection refused");
  EXPECT_EQ(*worker_.RunDue(), 0);
  models_.down = absl::OkStatus();
  EXPECT_EQ(*worker_.RunDue(), 1);
}

}  // namespace
}  // namespace fieldloop::evaluation
