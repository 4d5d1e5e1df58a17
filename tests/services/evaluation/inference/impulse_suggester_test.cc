// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/evaluation/inference/impulse_suggester.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/common/status/error_reason.h"
#include "tests/services/evaluation/support/fakes.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::evaluation {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::testing::ElementsAre;

// Takes the first value of a window as the probability of WALKING and the second as its novelty.
class EchoClassifier final : public WindowClassifier {
 public:
  int Classify(const float* /*window*/) override { return -1; }
  std::optional<WindowOpinion> Describe(const float* window) override {
    const auto walking = static_cast<double>(window[0]);
    return WindowOpinion{.probabilities = {1 - walking, walking},
                         .novelty = static_cast<double>(window[1])};
  }
};

// Samples that nobody has labelled, and what was said of them.
class FakeDesk final : public SuggestionDesk {
 public:
  std::vector<TestingSample> waiting;
  std::vector<Suggestion> stored;
  std::vector<std::size_t> batches;
  std::string asked_digest;

  absl::Status ForEachUnlabelled(
      const std::string& /*project*/, const std::string& model_digest,
      absl::FunctionRef<bool(const TestingSample& sample)> wanted,
      absl::FunctionRef<absl::StatusOr<bool>(const TestingSample& sample)> sink) override {
    asked_digest = model_digest;
    for (const TestingSample& sample : waiting) {
      if (!wanted(sample)) {
        continue;
      }
      const absl::StatusOr<bool> more = sink(sample);
      if (!more.ok() || !*more) {
        return more.status();
      }
    }
    return absl::OkStatus();
  }
  absl::StatusOr<int> Store(const std::string& /*project*/,
                            const std::vector<Suggestion>& suggestions) override {
    stored.insert(stored.end(), suggestions.begin(), suggestions.end());
    batches.push_back(suggestions.size());
    return static_cast<int>(suggestions.size());
  }
};

// `windows` windows of 4 readings every 2 at 10 Hz, with constant values.
TestingSample SampleOf(const std::string& name, int windows, float x, float y) {
  TestingSample sample;
  sample.name = "projects/x/samples/" + name;
  sample.axes = {"x", "y"};
  sample.frequency_hz = 10;
  for (int i = 0; i < 2 + 2 * windows; ++i) {
    sample.values.push_back(x);
    sample.values.push_back(y);
  }
  return sample;
}

class ImpulseSuggesterTest : public ::testing::Test {
 protected:
  ImpulseSuggesterTest() {
    models_.AddModel(1, "aa");
    models_.champion = "projects/x/models/1";
  }
  absl::StatusOr<SuggestionCounts> Suggest(int max_samples = 1000) {
    return suggester_.Suggest("projects/x", "projects/x/models/champion", max_samples);
  }

  testing::FakeRegistry models_;
  FakeDesk desk_;
  absl::Status open_error_;
  ImpulseSuggester suggester_{
      models_, desk_,
      [this](const Model& /*model*/,
             std::string /*tflite*/) -> absl::StatusOr<std::unique_ptr<WindowClassifier>> {
        if (!open_error_.ok()) {
          return open_error_;
        }
        return std::make_unique<EchoClassifier>();
      }};
};

TEST(SumUp, TheLabelOfMostWindowsWithItsMeanProbability) {
  const std::vector<WindowOpinion> windows = {{.probabilities = {0.6, 0.4, 0}, .novelty = 1},
                                              {.probabilities = {0.6, 0.4, 0}, .novelty = 2},
                                              {.probabilities = {0, 1, 0}, .novelty = 6}};
  const Suggestion suggestion = SumUp(windows, {"a", "b", "c"});
  EXPECT_EQ(suggestion.label, "a");
  EXPECT_NEAR(suggestion.confidence, 0.4, 1e-12);
  EXPECT_NEAR(suggestion.novelty, 3, 1e-12);
}

TEST(SumUp, OfEqualVotesTheMoreProbableWins) {
  const std::vector<WindowOpinion> windows = {{.probabilities = {0.6, 0.4}, .novelty = 0},
                                              {.probabilities = {0.1, 0.9}, .novelty = 0}};
  EXPECT_EQ(SumUp(windows, {"a", "b"}).label, "b");
}

TEST_F(ImpulseSuggesterTest, EverySampleGetsOneSuggestionOfTheModelThatTheNameMeans) {
  desk_.waiting = {SampleOf("a", 3, 0.75F, 2), SampleOf("b", 1, 0.25F, 0.5F)};
  const absl::StatusOr<SuggestionCounts> counts = Suggest();
  ASSERT_THAT(counts, IsOk());
  EXPECT_EQ(counts->suggested, 2);
  EXPECT_EQ(counts->unreadable, 0);
  EXPECT_EQ(desk_.asked_digest, "aa");
  ASSERT_EQ(desk_.stored.size(), 2U);
  EXPECT_EQ(desk_.stored[0].sample, "projects/x/samples/a");
  EXPECT_EQ(desk_.stored[0].model_digest, "aa");
  EXPECT_EQ(desk_.stored[0].label, "WALKING");
  EXPECT_NEAR(desk_.stored[0].confidence, 0.75, 1e-6);
  EXPECT_NEAR(desk_.stored[0].novelty, 2, 1e-6);
  EXPECT_EQ(desk_.stored[1].label, "SITTING");
}

TEST_F(ImpulseSuggesterTest, SamplesThatTheModelCannotReadAreCountedAndLeftOut) {
  TestingSample other_axes = SampleOf("other", 2, 1, 1);
  other_axes.axes = {"x", "z"};
  TestingSample no_rate = SampleOf("no rate", 2, 1, 1);
  no_rate.frequency_hz = 0;
  desk_.waiting = {other_axes, SampleOf("short", 0, 1, 1), no_rate, SampleOf("good", 1, 1, 1)};
  const absl::StatusOr<SuggestionCounts> counts = Suggest();
  ASSERT_THAT(counts, IsOk());
  EXPECT_EQ(counts->suggested, 1);
  EXPECT_EQ(counts->unreadable, 3);
}

TEST_F(ImpulseSuggesterTest, NoMoreThanAskedForAreLookedAt) {
  for (int i = 0; i < 150; ++i) {
    desk_.waiting.push_back(SampleOf(std::to_string(i), 1, 1, 1));
  }
  EXPECT_EQ(Suggest(3)->suggested, 3);
  desk_.batches.clear();
  EXPECT_EQ(Suggest(150)->suggested, 150);
  EXPECT_THAT(desk_.batches, ElementsAre(100U, 50U));
}

TEST_F(ImpulseSuggesterTest, AModelThatCannotBeOpenedIsUnreadable) {
  open_error_ = absl::InvalidArgumentError("projects/x/models/1: opening: corrupt");
  const absl::StatusOr<SuggestionCounts> counts = Suggest();
  EXPECT_THAT(counts, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(ReasonOf(counts.status()), "MODEL_UNREADABLE");
  open_error_ = absl::UnavailableError("away");
  EXPECT_THAT(Suggest(), StatusIs(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace fieldloop::evaluation
