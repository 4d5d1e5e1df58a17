// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include <cmath>
#include <cstring>
#include <random>
#include <string>

#include "tests/agent/core/device_harness.h"

namespace fieldloop::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatNear;

class MonitorTest : public AgentTest {
 protected:
  void SetUp() override { InstallModel(ModelBytes("one"), 3); }

  // Begins at a period of its own, with the plan.
  void UsePlan(uint32_t per_period, float share, uint32_t total = 0, uint32_t plan_id = 1) {
    v1::Settings settings = *server_.settings;
    settings.set_version(settings.version() + 1);
    settings.set_sketch_period_ms(100'000);
    settings.mutable_collection()->set_samples_per_period(per_period);
    settings.mutable_collection()->set_random_share(share);
    settings.mutable_collection()->set_samples_total(total);
    settings.mutable_collection()->set_plan_id(plan_id);
    server_.settings = settings;
    device_.Run(70'000);
    ASSERT_EQ(device_.agent->state.settings.version, settings.version());
    fl_agent_flush(device_.agent.get());
    device_.Run(5000);
    server_.sketches.clear();
    server_.sample_headers.clear();
    server_.sample_payloads.clear();
    device_.chosen.clear();
    device_.periods.clear();
  }
};

TEST_F(MonitorTest, ASketchCountsClassesAndBinsAndHasTheMoments) {
  UsePlan(0, 1);
  std::vector<float> values;
  std::mt19937 random(7);
  for (int i = 0; i < 101; ++i) {
    const float confidence = std::uniform_real_distribution<float>(0.3F, 1.0F)(random);
    device_.classifies = i % 10 != 9;
    if (device_.classifies && i < 100) values.push_back(confidence);
    device_.Observe(static_cast<uint32_t>(i) % 3, confidence);
  }
  device_.Run(5000);
  ASSERT_EQ(server_.sketches.size(), 1u);
  const v1::SketchReport& sketch = server_.sketches[0];
  EXPECT_EQ(sketch.model_digest(), Sha256(ModelBytes("one")));
  EXPECT_EQ(sketch.reference_id(), Device::kReferenceId);
  EXPECT_EQ(sketch.period_ms(), 100'000u);
  EXPECT_EQ(sketch.windows(), 90u);
  EXPECT_EQ(sketch.failures(), 10u);
  ASSERT_EQ(sketch.class_counts_size(), 3);
  EXPECT_EQ(sketch.class_counts(0) + sketch.class_counts(1) + sketch.class_counts(2), 90u);
  ASSERT_EQ(sketch.channels_size(), 1);
  const v1::ChannelSketch& channel = sketch.channels(0);
  uint32_t bins[3] = {0, 0, 0};
  double sum = 0;
  for (const float v : values) {
    ++bins[v < 0.5F ? 0 : v < 0.8F ? 1 : 2];
    sum += static_cast<double>(v);
  }
  EXPECT_THAT(channel.bins(), ElementsAre(bins[0], bins[1], bins[2]));
  const double mean = sum / static_cast<double>(values.size());
  double m2 = 0;
  for (const float v : values)
    m2 += (static_cast<double>(v) - mean) * (static_cast<double>(v) - mean);
  EXPECT_NEAR(static_cast<double>(channel.mean()), mean, 1e-5);
  EXPECT_NEAR(static_cast<double>(channel.m2()), m2, 1e-3);
  EXPECT_EQ(channel.min(), *std::min_element(values.begin(), values.end()));
  EXPECT_EQ(channel.max(), *std::max_element(values.begin(), values.end()));
}

TEST_F(MonitorTest, PeriodsFollowEachOtherAndAGapBeginsAnew) {
  UsePlan(0, 1);
  const uint64_t start = device_.signal_ms;
  for (int i = 0; i < 150; ++i) device_.Observe(0, 0.9F, 1500);
  device_.signal_ms += 1'000'000;
  const uint64_t after_gap = device_.signal_ms;
  device_.Observe();
  ASSERT_EQ(device_.periods.size(), 3u);
  EXPECT_EQ(device_.periods[0], std::make_pair(start, 100'000u));
  EXPECT_EQ(device_.periods[1], std::make_pair(start + 100'000, 100'000u));
  EXPECT_EQ(device_.periods[2], std::make_pair(start + 200'000, 25'000u)) << "cut short at the gap";
  fl_agent_flush(device_.agent.get());
  ASSERT_EQ(device_.periods.size(), 4u);
  EXPECT_EQ(device_.periods[3], std::make_pair(after_gap, 1000u));
}

TEST_F(MonitorTest, APeriodOfMoreWindowsThanItsCountersHoldIsCutInTwo) {
  UsePlan(0, 1);
  for (int i = 0; i < 70'000; ++i) device_.Observe(0, 0.9F, 1);  // Period of 100 s.
  fl_agent_flush(device_.agent.get());
  device_.Run(5000);
  ASSERT_EQ(server_.sketches.size(), 2u);
  EXPECT_EQ(server_.sketches[0].windows(), 65'535u);
  EXPECT_EQ(server_.sketches[0].period_ms(), 65'535u);
  EXPECT_EQ(server_.sketches[1].windows(), 70'000u - 65'535u);
  EXPECT_EQ(server_.sketches[1].start_ms(), server_.sketches[0].start_ms() + 65'535);
}

TEST_F(MonitorTest, ASampleCarriesItsWindowAndWhatTheModelSaid) {
  UsePlan(1, 1);
  const uint64_t start = device_.signal_ms;
  for (int i = 0; i < 100; ++i) device_.Observe(2, 0.75F);
  device_.Run(5000);
  ASSERT_EQ(server_.sample_headers.size(), 1u);
  const v1::SampleHeader& header = server_.sample_headers[0];
  EXPECT_EQ(header.reason(), v1::SAMPLE_REASON_RANDOM);
  EXPECT_THAT(header.probability(), FloatNear(0.01F, 1e-6F));
  EXPECT_EQ(header.predicted_class(), 2u);
  EXPECT_EQ(header.confidence(), 0.75F);
  EXPECT_EQ(header.encoding(), v1::SAMPLE_ENCODING_F32);
  EXPECT_EQ(header.payload_digest(), Sha256(server_.sample_payloads.begin()->second));
  EXPECT_EQ(header.axes(), 2u);
  EXPECT_EQ(header.frequency_hz(), 4.0F);
  EXPECT_EQ(header.model_digest(), Sha256(ModelBytes("one")));
  EXPECT_GE(header.start_ms(), start);
  EXPECT_EQ(header.first_reading(), (header.start_ms() - kNowMs) / 250);
  EXPECT_THAT(device_.chosen, ElementsAre(header.start_ms()));
  const std::string& payload = server_.sample_payloads.begin()->second;
  ASSERT_EQ(payload.size(), 32u);
  float last;
  std::memcpy(&last, payload.data() + 28, 4);
  EXPECT_EQ(last, static_cast<float>(header.start_ms() % 1000));
}

TEST_F(MonitorTest, EachWindowIsChosenAtRandomWithTheRecordedProbability) {
  UsePlan(5, 1);
  // 400 periods of 100 windows, 5 chosen of each: 20 expected at each place, deviation about 4.4.
  std::vector<int> chosen(100, 0);
  const uint64_t start = device_.signal_ms;
  for (int i = 0; i < 400 * 100; ++i) {
    device_.Observe();
    if (i % 100 == 99) {
      device_.RunUntil([&] { return device_.agent->outbox.live == 0; }, 10'000);
    }
  }
  for (const uint64_t at : device_.chosen) {
    ++chosen[static_cast<size_t>((at - start) % 100'000 / 1000)];
  }
  EXPECT_EQ(device_.chosen.size(), 2000u) << "exactly 5 of each period";
  double chi2 = 0;
  for (const int count : chosen) chi2 += (count - 20.0) * (count - 20.0) / 20.0;
  // 99 degrees of freedom: the 0.1 % and 99.9 % points are 61 and 149.
  EXPECT_GT(chi2, 55.0);
  EXPECT_LT(chi2, 149.0);
  for (const auto& header : server_.sample_headers) {
    EXPECT_THAT(header.probability(), FloatNear(0.05F, 1e-6F));
  }
}

TEST_F(MonitorTest, AtLeastTheShareIsRandomAndTheRestAreAboutTheMostUncertain) {
  UsePlan(8, 0.5F);
  std::mt19937 random(3);
  std::uniform_real_distribution<float> uniform(0.2F, 1.0F);
  for (int i = 0; i < 60 * 100; ++i) {
    device_.Observe(0, uniform(random));
    if (i % 50 == 49) device_.RunUntil([&] { return device_.agent->outbox.live == 0; }, 10'000);
  }
  int random_count = 0;
  std::vector<float> uncertain;
  for (const auto& header : server_.sample_headers) {
    if (header.reason() == v1::SAMPLE_REASON_RANDOM) {
      ++random_count;
    } else {
      EXPECT_EQ(header.probability(), 1.0F);
      uncertain.push_back(header.confidence());
    }
  }
  EXPECT_NEAR(random_count, 60 * 4, 4);
  EXPECT_LE(uncertain.size(), 60u * 4u);
  EXPECT_GE(uncertain.size(), 60u * 2u);
  // Half of the windows are below 0.6; the 4 lowest of 100 are below about 0.24.
  std::sort(uncertain.begin(), uncertain.end());
  EXPECT_LT(uncertain[uncertain.size() / 2], 0.26F);
  EXPECT_LT(uncertain.back(), 0.6F);
}

TEST_F(MonitorTest, WithAnAnomalyBlockHalfOfTheChosenOnesAreAboutTheMostAnomalous) {
  device_.has_anomaly = true;
  InstallModel(ModelBytes("with an anomaly block"), 4);
  UsePlan(8, 0.5F);
  std::mt19937 random(4);
  std::uniform_real_distribution<float> uniform(-1.0F, 1.0F);
  const uint64_t start = device_.signal_ms;
  std::vector<float> scores;
  for (int i = 0; i < 60 * 100; ++i) {
    device_.anomaly = uniform(random);
    scores.push_back(device_.anomaly);
    // Sure of all that is anomalous, so that what is chosen for the one is not for the other.
    device_.Observe(0, device_.anomaly > 0 ? 0.9F : 0.5F);
    if (i % 50 == 49) device_.RunUntil([&] { return device_.agent->outbox.live == 0; }, 10'000);
  }
  size_t uncertain = 0;
  std::vector<float> novel;
  for (const auto& header : server_.sample_headers) {
    const float score = scores[(header.start_ms() - start) / 1000];
    if (header.reason() == v1::SAMPLE_REASON_NOVEL) {
      EXPECT_EQ(header.probability(), 1.0F);
      novel.push_back(score);
    } else if (header.reason() == v1::SAMPLE_REASON_UNCERTAIN) {
      EXPECT_LE(score, 0);
      ++uncertain;
    }
  }
  EXPECT_LE(novel.size(), 60u * 2u);
  EXPECT_GE(novel.size(), 60u);
  EXPECT_EQ(uncertain, 60u * 2u);
  // Half of the windows are above 0; the 2 highest of 100 are above about 0.96.
  std::sort(novel.begin(), novel.end());
  EXPECT_GT(novel.front(), 0);
  EXPECT_GT(novel[novel.size() / 2], 0.94F);
}

TEST_F(MonitorTest, WithoutAnAnomalyBlockNoneIsNovel) {
  UsePlan(8, 0.5F);
  device_.anomaly = 5;
  for (int i = 0; i < 500; ++i) {
    device_.Observe(0, 0.5F);
    if (i % 50 == 49) device_.Run(2000);
  }
  EXPECT_EQ(server_.sample_headers.size(), 40u);
  for (const auto& header : server_.sample_headers) {
    EXPECT_NE(header.reason(), v1::SAMPLE_REASON_NOVEL);
  }
}

TEST_F(MonitorTest, AModelThatIsSureOfAllSendsRandomOnesOnly) {
  UsePlan(8, 0.5F);
  for (int i = 0; i < 500; ++i) {
    device_.Observe(0, 0.95F);
    if (i % 50 == 49) device_.Run(2000);
  }
  EXPECT_EQ(server_.sample_headers.size(), 20u);
  for (const auto& header : server_.sample_headers) {
    EXPECT_EQ(header.reason(), v1::SAMPLE_REASON_RANDOM);
  }
}

TEST_F(MonitorTest, AWindowTooLargeForARecordingIsCountedButNotSent) {
  UsePlan(1, 1);
  const std::vector<int16_t> values(32'769);  // One more than 64 KiB hold.
  const uint8_t bin = 0;
  const float value = 0.9F;
  fl_observation_t observation = {};
  observation.stride_ms = 100'000;  // One window a period: it is chosen for certain.
  observation.start_ms = device_.signal_ms;
  observation.classified = true;
  observation.confidence = value;
  observation.channel_bin = &bin;
  observation.channel_value = &value;
  observation.values_int16 = values.data();
  observation.value_count = values.size();
  fl_agent_observe(device_.agent.get(), &observation);
  fl_agent_flush(device_.agent.get());
  ASSERT_TRUE(device_.RunUntil([&] { return !server_.sketches.empty(); }));
  EXPECT_EQ(server_.sketches[0].windows(), 1u);
  EXPECT_TRUE(server_.sample_headers.empty());
}

TEST_F(MonitorTest, APlanWithoutSamplesSendsNone) {
  UsePlan(0, 1);
  for (int i = 0; i < 500; ++i) device_.Observe(0, 0.3F);
  device_.Run(5000);
  EXPECT_TRUE(server_.sample_headers.empty());
}

TEST_F(MonitorTest, ThePlansTotalIsKeptAcrossRestartsAndANewPlanBeginsAnew) {
  UsePlan(4, 1, 10, 7);
  // Periods that are cut short at once must not use the plan up.
  for (int boot = 0; boot < 5; ++boot) {
    for (int i = 0; i < 3; ++i) device_.Observe();
    fl_agent_flush(device_.agent.get());
    device_.Run(2000);
    ASSERT_EQ(device_.Boot(), FL_OK);
  }
  for (int boot = 0; boot < 4; ++boot) {
    for (int i = 0; i < 250; ++i) {
      device_.Observe();
      if (i % 50 == 49) device_.Run(2000);
    }
    fl_agent_flush(device_.agent.get());
    device_.Run(2000);
    ASSERT_EQ(device_.Boot(), FL_OK);
    device_.Run(70'000);
  }
  EXPECT_EQ(server_.sample_headers.size(), 10u);
  UsePlan(4, 1, 10, 8);
  for (int i = 0; i < 250; ++i) {
    device_.Observe();
    if (i % 50 == 49) device_.Run(2000);
  }
  EXPECT_GE(server_.sample_headers.size(), 8u);
}

TEST_F(MonitorTest, ASampleOfManyChunksArrivesWholeAfterTheLinkWasCutInTheMiddle) {
  UsePlan(1, 1);
  std::vector<float> values(2000);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  const uint8_t bin = 0;
  const float value = 0.9F;
  fl_observation_t observation = {};
  observation.stride_ms = 100'000;  // One window a period: it is chosen for certain.
  observation.start_ms = device_.signal_ms;
  observation.classified = true;
  observation.confidence = value;
  observation.channel_bin = &bin;
  observation.channel_value = &value;
  observation.values = values.data();
  observation.value_count = values.size();
  fl_agent_observe(device_.agent.get(), &observation);
  server_.frames_until_cut = 3;
  ASSERT_TRUE(device_.RunUntil([&] { return !server_.sample_payloads.empty(); }, 400'000));
  const std::string& payload = server_.sample_payloads.begin()->second;
  ASSERT_EQ(payload.size(), 8000u);
  EXPECT_EQ(std::memcmp(payload.data(), values.data(), 8000), 0);
  EXPECT_EQ(server_.connections, 3);
}

TEST_F(MonitorTest, ASignalOfIntegersIsSentAsIntegers) {
  UsePlan(1, 1);
  const std::vector<int16_t> values = {1, -2, 32767, -32768};
  const uint8_t bin = 0;
  const float value = 0.9F;
  fl_observation_t observation = {};
  observation.stride_ms = 100'000;  // One window a period: it is chosen for certain.
  observation.start_ms = device_.signal_ms;
  observation.classified = true;
  observation.confidence = value;
  observation.channel_bin = &bin;
  observation.channel_value = &value;
  observation.values_int16 = values.data();
  observation.value_count = values.size();
  fl_agent_observe(device_.agent.get(), &observation);
  ASSERT_TRUE(device_.RunUntil([&] { return !server_.sample_payloads.empty(); }, 400'000));
  EXPECT_EQ(server_.sample_headers[0].encoding(), v1::SAMPLE_ENCODING_I16);
  EXPECT_EQ(server_.sample_headers[0].scale(), 1.0F);
  const std::string& payload = server_.sample_payloads.begin()->second;
  ASSERT_EQ(payload.size(), 8u);
  EXPECT_EQ(std::memcmp(payload.data(), values.data(), 8), 0);
  EXPECT_EQ(server_.sample_headers[0].payload_digest(), Sha256(payload));
}

TEST_F(MonitorTest, WhatTheOldModelCountedIsReportedBeforeTheNewOneStarts) {
  UsePlan(0, 1);
  for (int i = 0; i < 30; ++i) device_.Observe();
  InstallModel(ModelBytes("two"), 4);
  ASSERT_FALSE(server_.sketches.empty());
  EXPECT_EQ(server_.sketches[0].model_digest(), Sha256(ModelBytes("one")));
  EXPECT_GE(server_.sketches[0].windows(), 30u);
  EXPECT_LT(server_.sketches[0].period_ms(), 100'000u);
}

}  // namespace
}  // namespace fieldloop::agent
