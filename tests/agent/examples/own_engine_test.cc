// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "agent/examples/own_engine.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/agent/core/device_harness.h"

namespace fieldloop::agent {
namespace {

// A board on the simulated device: a window a second, restarts as the agent asks.
class OwnEngineTest : public AgentTest {
 protected:
  OwnEngineTest() {
    board_.context = this;
    board_.port = &device_.port();
    board_.config = &device_.config();
    board_.wait = [](void* context, uint64_t until_ms, own_engine_window_t* window) {
      return static_cast<OwnEngineTest*>(context)->Wait(until_ms, window);
    };
  }

  // Runs the example, start after start, for a time on the device's clock.
  void Run(uint64_t ms) {
    end_ms_ = device_.now + ms;
    while (device_.now < end_ms_) {
      device_.rebooting = false;
      server_.Disconnect();
      ASSERT_EQ(own_engine_run(&agent_, &board_), FL_OK);
    }
  }

  own_engine_event_t Wait(uint64_t until_ms, own_engine_window_t* window) {
    if (device_.rebooting || device_.now >= end_ms_) return OWN_ENGINE_END;
    const uint64_t window_ms = next_window_ms_;
    if (until_ms < window_ms) {
      device_.now = std::max(device_.now, until_ms);
      return OWN_ENGINE_TIME;
    }
    device_.now = std::max(device_.now, window_ms);
    next_window_ms_ += 1000;
    window->start_ms = kNowMs + window_ms;
    std::fill(std::begin(window->readings), std::end(window->readings), reading_);
    return OWN_ENGINE_WINDOW;
  }

  static std::string Threshold(float value) {
    return {reinterpret_cast<const char*>(&value), sizeof value};
  }

  fl_agent_t agent_ = {};
  own_engine_board_t board_ = {};
  uint64_t end_ms_ = 0;
  uint64_t next_window_ms_ = 1000;
  float reading_ = 12;
};

TEST_F(OwnEngineTest, GetsUpdatesAndSendsSketches) {
  server_.OfferModel(Threshold(10), 1);
  Run(120'000);
  EXPECT_THAT(server_.Phases(),
              ::testing::ElementsAre(v1::UPDATE_PHASE_ACCEPTED, v1::UPDATE_PHASE_DOWNLOADED,
                                     v1::UPDATE_PHASE_TRIAL, v1::UPDATE_PHASE_CONFIRMED));
  ASSERT_FALSE(server_.sketches.empty());
  const v1::SketchReport& sketch = server_.sketches.back();
  EXPECT_EQ(sketch.model_digest(), Sha256(Threshold(10)));
  EXPECT_EQ(sketch.windows(), 10u);
  EXPECT_THAT(sketch.class_counts(), ::testing::ElementsAre(0, 10));
  EXPECT_THAT(sketch.channels(0).bins(), ::testing::ElementsAre(0, 10));
}

TEST_F(OwnEngineTest, AModelThatTheEngineCallsUnfitIsReverted) {
  server_.OfferModel(Threshold(10), 1);
  Run(120'000);
  server_.OfferModel(Threshold(-1), 2);
  Run(120'000);
  EXPECT_EQ(server_.reports.back().phase(), v1::UPDATE_PHASE_REVERTED);
  EXPECT_EQ(server_.reports.back().cause(), v1::UPDATE_CAUSE_SELF_TEST);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(agent_.model.digest), 32),
            Sha256(Threshold(10)));
}

TEST(OwnEngine, FitsOnAPage) {
  std::ifstream file(FIELDLOOP_OWN_ENGINE_SOURCE);
  const auto lines = std::count(std::istreambuf_iterator<char>(file), {}, '\n');
  EXPECT_GT(lines, 0);
  EXPECT_LE(lines, 60);
}

}  // namespace
}  // namespace fieldloop::agent
