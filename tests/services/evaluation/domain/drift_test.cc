// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/evaluation/domain/drift.h"

#include <array>
#include <cmath>
#include <iostream>
#include <random>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace fieldloop::evaluation {
namespace {

constexpr int kBins = 16;
constexpr int kClasses = 5;
constexpr int kWindows = 300;
const std::vector<std::string> kChannels = {"confidence", "novelty"};

double Uniform(std::mt19937_64& engine) {
  return static_cast<double>(RandomBelow(engine, 1U << 30)) / static_cast<double>(1U << 30);
}

// How what people do changes on a device that is well.
enum class Activity {
  kSteadyMix,  // Bouts of activities in a fixed mix of its own.
  kHourlyMix,  // Another mix each hour, for each device.
};

// A device whose windows come in bouts of one activity; each activity has its place in the bins.
class SimulatedDevice {
 public:
  SimulatedDevice(std::mt19937_64& engine, Activity activity)
      : engine_(engine), activity_(activity) {
    for (auto& channel : centre_) {
      for (double& centre : channel) {
        centre = 3 + 9 * Uniform(engine_);
      }
    }
    DrawMix();
  }

  // From now on all activities lie elsewhere, on each device in a direction of its own.
  void Drift() {
    const double sign = Uniform(engine_) < 0.5 ? -1 : 1;
    for (auto& channel : centre_) {
      for (double& centre : channel) {
        centre += sign * (3 + 3 * Uniform(engine_));
      }
    }
  }

  Period Next() {
    if (activity_ == Activity::kHourlyMix && periods_ % 12 == 0) {
      DrawMix();
    }
    Period period;
    period.start_time = absl::FromUnixSeconds(300 * periods_++);
    period.period_ms = 300'000;
    period.channels.assign(kChannels.size(), Histogram(kBins, 0));
    for (int i = 0; i < kWindows; ++i) {
      if (left_in_bout_ == 0) {
        double share = Uniform(engine_);
        current_ = 0;
        while (current_ + 1 < kClasses && share >= mix_[current_]) {
          share -= mix_[current_++];
        }
        left_in_bout_ = 10 + static_cast<int>(-180 * std::log(1 - Uniform(engine_)));
      }
      --left_in_bout_;
      for (std::size_t c = 0; c < kChannels.size(); ++c) {
        // A triangular spread of two bins.
        const double at = centre_[c][current_] + 2 * (Uniform(engine_) + Uniform(engine_) - 1);
        ++period.channels[c][static_cast<std::size_t>(std::min(std::max(at, 0.0), 15.0))];
      }
    }
    return period;
  }

 private:
  void DrawMix() {
    double sum = 0;
    for (double& share : mix_) {
      share = -std::log(1 - Uniform(engine_));
      sum += share;
    }
    for (double& share : mix_) {
      share /= sum;
    }
  }

  std::mt19937_64& engine_;
  const Activity activity_;
  std::array<std::array<double, kClasses>, 2> centre_{};
  std::array<double, kClasses> mix_{};
  std::size_t current_ = 0;
  int left_in_bout_ = 0;
  int periods_ = 0;
};

class SimulatedFleet {
 public:
  SimulatedFleet(std::uint64_t seed, Activity activity, int devices, const DriftPolicy& policy)
      : engine_(seed), policy_(policy) {
    for (int d = 0; d < devices; ++d) {
      devices_.emplace_back(engine_, activity);
      DevicePeriods periods;
      periods.device = "projects/x/devices/" + std::to_string(d);
      for (int i = 0; i < policy.baseline_periods; ++i) {
        periods.baseline.push_back(devices_.back().Next());
      }
      for (int i = 0; i < policy.recent_periods; ++i) {
        periods.recent.push_back(devices_.back().Next());
      }
      periods_.push_back(std::move(periods));
    }
  }

  DriftReport Look() { return AnalyseDrift(periods_, kChannels, policy_, ++look_); }

  void Step() {
    for (std::size_t d = 0; d < devices_.size(); ++d) {
      periods_[d].recent.erase(periods_[d].recent.begin());
      periods_[d].recent.push_back(devices_[d].Next());
    }
  }

  // Runs `hours` of signal. True at the first alarm.
  bool Alarms(int hours) {
    for (int i = 0; i < 12 * hours; ++i) {
      if (Look().verdict == DriftVerdict::kDrift) {
        return true;
      }
      Step();
    }
    return false;
  }

  void Drift(std::size_t count) {
    for (std::size_t d = 0; d < count && d < devices_.size(); ++d) {
      devices_[d].Drift();
    }
  }

 private:
  std::mt19937_64 engine_;
  const DriftPolicy policy_;
  std::vector<SimulatedDevice> devices_;
  std::vector<DevicePeriods> periods_;
  int look_ = 0;
};

// Alarms among `runs` fleets of 24 devices that are well, each watched for five hours after its
// baselines.
int FalseAlarms(Activity activity, int runs) {
  int alarms = 0;
  for (int run = 0; run < runs; ++run) {
    SimulatedFleet fleet(1000 + static_cast<std::uint64_t>(run), activity, 24, DriftPolicy());
    alarms += fleet.Alarms(5) ? 1 : 0;
  }
  return alarms;
}

TEST(DriftSimulation, AFleetThatIsWellRaisesNoAlarmForHours) {
  constexpr int kRuns = 40;
  const int steady = FalseAlarms(Activity::kSteadyMix, kRuns);
  const int hourly = FalseAlarms(Activity::kHourlyMix, kRuns);
  std::cout << "false alarms in 5 h after the baselines, 24 devices: " << steady << " of " << kRuns
            << " fleets with a steady mix of activities, " << hourly << " of " << kRuns
            << " whose devices change their mix every hour\n";
  RecordProperty("false_alarms_steady_mix", steady);
  RecordProperty("false_alarms_hourly_mix", hourly);
  EXPECT_LE(steady, 2);
  EXPECT_LE(hourly, 2);
}

TEST(DriftSimulation, AFleetThatChangesItsSensorAlarmsWithinAnHourOfSignal) {
  constexpr int kRuns = 20;
  int found = 0;
  for (int run = 0; run < kRuns; ++run) {
    SimulatedFleet fleet(5000 + static_cast<std::uint64_t>(run), Activity::kSteadyMix, 24,
                         DriftPolicy());
    EXPECT_FALSE(fleet.Alarms(1));
    fleet.Drift(24);
    for (int i = 0; i < 12 && found <= run; ++i) {
      fleet.Step();
      found += fleet.Look().verdict == DriftVerdict::kDrift ? 1 : 0;
    }
  }
  std::cout << "drift of all 24 devices, each in its own direction: found within an hour in "
            << found << " of " << kRuns << " fleets\n";
  EXPECT_EQ(found, kRuns);
}

// A device that replays the same signal: what a demonstration does.
DevicePeriods Replay(int device, int shift, const DriftPolicy& policy) {
  DevicePeriods periods;
  periods.device = "projects/x/devices/" + std::to_string(device);
  const auto at = [device](int i, int by) {
    Period period;
    period.start_time = absl::FromUnixSeconds(300 * i);
    period.period_ms = 300'000;
    period.channels.assign(kChannels.size(), Histogram(kBins, 0));
    const auto bin = static_cast<std::size_t>(5 + device % 3 + by);
    for (Histogram& channel : period.channels) {
      channel[bin] = 200 + (i * 7 + device) % 5;
      channel[bin + 1] = 100 - (i * 7 + device) % 5;
    }
    return period;
  };
  for (int i = 0; i < policy.baseline_periods; ++i) {
    periods.baseline.push_back(at(i, 0));
  }
  for (int i = 0; i < policy.recent_periods; ++i) {
    periods.recent.push_back(at(policy.baseline_periods + i, shift));
  }
  return periods;
}

TEST(AnalyseDriftTest, ThreeDevicesOfTwentyFourAreFoundByThemselves) {
  const DriftPolicy policy;
  std::vector<DevicePeriods> fleet;
  for (int d = 0; d < 24; ++d) {
    fleet.push_back(Replay(d, d < 3 ? 4 : 0, policy));
  }
  const DriftReport report = AnalyseDrift(fleet, kChannels, policy, 1);
  EXPECT_EQ(report.verdict, DriftVerdict::kDrift);
  EXPECT_EQ(report.drifted_devices, 3);
  EXPECT_LT(report.statistic, report.limit);
  EXPECT_THAT(report.explanation, ::testing::HasSubstr("Enough single devices have moved"));
}

TEST(AnalyseDriftTest, TwoDevicesAreReportedButRaiseNoAlarm) {
  const DriftPolicy policy;
  std::vector<DevicePeriods> fleet;
  for (int d = 0; d < 24; ++d) {
    fleet.push_back(Replay(d, d < 2 ? 4 : 0, policy));
  }
  const DriftReport report = AnalyseDrift(fleet, kChannels, policy, 1);
  EXPECT_EQ(report.verdict, DriftVerdict::kSteady);
  EXPECT_EQ(report.drifted_devices, 2);
}

TEST(AnalyseDriftTest, AShareBelowThePolicyRaisesNoAlarm) {
  DriftPolicy policy;
  policy.min_drifted_percent = 20;
  std::vector<DevicePeriods> fleet;
  for (int d = 0; d < 24; ++d) {
    fleet.push_back(Replay(d, d < 3 ? 4 : 0, policy));
  }
  EXPECT_EQ(AnalyseDrift(fleet, kChannels, policy, 1).verdict, DriftVerdict::kSteady);
}

TEST(AnalyseDriftTest, ACertainChangeThatIsTooSmallToMatterRaisesNoAlarm) {
  DriftPolicy policy;
  policy.min_effect_bins = 5;
  std::vector<DevicePeriods> fleet;
  for (int d = 0; d < 24; ++d) {
    fleet.push_back(Replay(d, 4, policy));
  }
  const DriftReport report = AnalyseDrift(fleet, kChannels, policy, 1);
  EXPECT_EQ(report.verdict, DriftVerdict::kSteady);
  EXPECT_GT(report.statistic, report.limit);
  EXPECT_THAT(report.explanation, ::testing::HasSubstr("too small to matter"));
}

TEST(AnalyseDriftTest, ReportsNumbersOfAShift) {
  const DriftPolicy policy;
  std::vector<DevicePeriods> fleet;
  for (int d = 0; d < 24; ++d) {
    fleet.push_back(Replay(d, 4, policy));
  }
  const DriftReport report = AnalyseDrift(fleet, kChannels, policy, 3);
  EXPECT_EQ(report.verdict, DriftVerdict::kDrift);
  ASSERT_EQ(report.channels.size(), 2U);
  EXPECT_NEAR(report.channels[0].mean_shift_bins, 4, 0.01);
  EXPECT_NEAR(report.channels[0].mean_w1_bins, 4, 0.01);
  EXPECT_NEAR(report.limit, -std::log10(AlphaAtLook(0.01, 3)), 1e-12);
  EXPECT_EQ(report.device_count, 24);
  EXPECT_EQ(report.recent_start_time, absl::FromUnixSeconds(300 * 36));
  EXPECT_EQ(report.recent_end_time, absl::FromUnixSeconds(300 * 44));
}

DeviceProgress Progress(int device, std::int64_t periods, std::int64_t looked) {
  return {.device = std::to_string(device), .periods = periods, .looked_periods = looked};
}

TEST(LookDueTest, WaitsForFourOfFiveDevices) {
  std::vector<DeviceProgress> fleet;
  for (int d = 0; d < 10; ++d) {
    fleet.push_back(Progress(d, d < 7 ? 51 : 50, 50));
  }
  EXPECT_EQ(LookDue(fleet, DriftPolicy()), LookKind::kNone);
  fleet[7].periods = 51;
  EXPECT_EQ(LookDue(fleet, DriftPolicy()), LookKind::kTest);
}

TEST(LookDueTest, DevicesThatFellSilentDoNotHoldTheLooksUp) {
  std::vector<DeviceProgress> fleet;
  for (int d = 0; d < 10; ++d) {
    fleet.push_back(Progress(d, d < 5 ? 58 : 50, 50));
  }
  // Five have a whole recent time that nobody looked at.
  EXPECT_EQ(LookDue(fleet, DriftPolicy()), LookKind::kTest);
  // From then on the other five are known to be silent.
  for (int d = 0; d < 10; ++d) {
    const auto i = static_cast<std::size_t>(d);
    fleet[i] = Progress(d, d < 4 ? 59 : fleet[i].periods, d < 5 ? 58 : 50);
    fleet[i].silent = d >= 5;
  }
  EXPECT_EQ(LookDue(fleet, DriftPolicy()), LookKind::kTest);
}

TEST(LookDueTest, LearnsUntilHalfOfTheDevicesHaveBaselineAndRecentPeriods) {
  std::vector<DeviceProgress> fleet;
  for (int d = 0; d < 10; ++d) {
    fleet.push_back(Progress(d, d < 4 ? 44 : 20, d < 4 ? 43 : 19));
  }
  EXPECT_EQ(LookDue(fleet, DriftPolicy()), LookKind::kLearning);
  EXPECT_THAT(LearningReport(fleet, DriftPolicy()).explanation,
              ::testing::HasSubstr("4 of 10 devices"));
  fleet[4] = Progress(4, 44, 43);
  EXPECT_EQ(LookDue(fleet, DriftPolicy()), LookKind::kTest);
}

TEST(LookDueTest, NothingNewIsNoReasonToLook) {
  EXPECT_EQ(LookDue({}, DriftPolicy()), LookKind::kNone);
  EXPECT_EQ(LookDue({Progress(0, 50, 50)}, DriftPolicy()), LookKind::kNone);
}

}  // namespace
}  // namespace fieldloop::evaluation
