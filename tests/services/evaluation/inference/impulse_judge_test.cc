// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/evaluation/inference/impulse_judge.h"

#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/agent/impulse/proto_writer.h"
#include "tests/agent/impulse/tflite_builder.h"
#include "tests/services/evaluation/support/fakes.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::evaluation {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::testing::ElementsAre;

// Says WALKING when the first value of the window is above 0, and nothing when it is not finite.
class SignClassifier final : public WindowClassifier {
 public:
  int Classify(const float* window) override {
    first_values.push_back(window[0]);
    return std::isfinite(window[0]) ? (window[0] > 0 ? 1 : 0) : -1;
  }
  std::optional<WindowOpinion> Describe(const float* /*window*/) override { return std::nullopt; }
  std::vector<float> first_values;
};

// Two axes at 10 Hz: y, then x; x counts the readings, less 10.
TestingSample Sample(int readings) {
  TestingSample sample;
  sample.name = "projects/x/samples/s";
  sample.axes = {"y", "x"};
  sample.frequency_hz = 10;
  for (int i = 0; i < readings; ++i) {
    sample.values.push_back(-1);
    sample.values.push_back(static_cast<float>(i - 10));
  }
  sample.ranges = {{.start = 0, .end = 9, .label = "SITTING"},
                   {.start = 10, .end = -1, .label = "WALKING"}};
  return sample;
}

class ImpulseJudgeTest : public ::testing::Test {
 protected:
  ImpulseJudgeTest() {
    models_.AddModel(1, "aa");
    models_.AddModel(2, "bb");
  }
  const Model& model(int number) {
    return models_.models.at(absl::StrCat("projects/x/models/", number));
  }

  testing::FakeRegistry models_;
  testing::FakeArchive samples_;
};

TEST_F(ImpulseJudgeTest, CutsPureWindowsWithTheModelsOwnLengthStrideAndAxes) {
  SignClassifier classifier;
  const absl::StatusOr<JudgedSample> judged =
      JudgeSample(Sample(20), {}, {.model = model(1), .classifier = classifier}, nullptr);
  ASSERT_THAT(judged, IsOk());
  // Windows of 4 every 2: those that start at 8 hold both labels.
  std::vector<std::string> labels;
  for (const JudgedWindow& window : judged->windows) {
    labels.push_back(window.label);
  }
  EXPECT_THAT(labels, ElementsAre("SITTING", "SITTING", "SITTING", "SITTING", "WALKING", "WALKING",
                                  "WALKING", "WALKING"));
  // The axis x comes first for the model.
  EXPECT_THAT(classifier.first_values, ElementsAre(-10, -8, -6, -4, 0, 2, 4, 6));
  EXPECT_THAT(judged->slices, ElementsAre("source=upload"));
  EXPECT_EQ(judged->group, "projects/x/samples/s");
}

TEST_F(ImpulseJudgeTest, GroupsAndSlicesComeFromPersonDeviceAndMetadata) {
  SignClassifier classifier;
  TestingSample sample = Sample(20);
  sample.device = "projects/x/devices/d";
  sample.metadata = {{"hand", "left"}, {"site", "north"}};
  JudgedSample judged = *JudgeSample(sample, {"hand", "shoe"},
                                     {.model = model(1), .classifier = classifier}, nullptr);
  EXPECT_EQ(judged.group, "projects/x/devices/d");
  EXPECT_THAT(judged.slices, ElementsAre("source=device", "hand=left"));
  sample.metadata["person"] = "s07";
  judged = *JudgeSample(sample, {}, {.model = model(1), .classifier = classifier}, nullptr);
  EXPECT_EQ(judged.group, "person=s07");
}

TEST_F(ImpulseJudgeTest, ABaselineOfAnotherLengthAndRateSeesTheSameTimes) {
  SignClassifier classifier;
  SignClassifier other;
  Model slow = model(2);
  slow.frequency_hz = 5;
  slow.window_length = 3;  // 0.6 s instead of 0.4 s.
  const OpenedModel baseline{.model = slow, .classifier = other};
  const absl::StatusOr<JudgedSample> judged =
      JudgeSample(Sample(20), {}, {.model = model(1), .classifier = classifier}, &baseline);
  ASSERT_THAT(judged, IsOk());
  EXPECT_EQ(judged->windows.size(), other.first_values.size());
  for (std::size_t i = 0; i < other.first_values.size(); ++i) {
    EXPECT_EQ(classifier.first_values[i], other.first_values[i]);
    EXPECT_EQ(judged->windows[i].baseline_class, other.first_values[i] > 0 ? "WALKING" : "SITTING");
  }
  EXPECT_LT(judged->windows.size(), 8U);  // Longer windows are pure less often.
}

TEST_F(ImpulseJudgeTest, AShortRecordingIsOneWindowIfTheModelPadsIt) {
  SignClassifier classifier;
  TestingSample sample = Sample(2);
  sample.ranges = {{.start = 0, .end = -1, .label = "SITTING"}};
  Model padding = model(1);
  EXPECT_TRUE(JudgeSample(sample, {}, {.model = padding, .classifier = classifier}, nullptr)
                  ->windows.empty());
  padding.pad_short = true;
  const absl::StatusOr<JudgedSample> judged =
      JudgeSample(sample, {}, {.model = padding, .classifier = classifier}, nullptr);
  ASSERT_THAT(judged, IsOk());
  ASSERT_EQ(judged->windows.size(), 1U);
  EXPECT_EQ(judged->windows[0].label, "SITTING");
  EXPECT_THAT(classifier.first_values, ElementsAre(0)) << "begins with a zero";
}

TEST_F(ImpulseJudgeTest, AMissingAxisNamesSampleModelAndAxis) {
  SignClassifier classifier;
  TestingSample sample = Sample(20);
  sample.axes = {"y", "z"};
  const absl::StatusOr<JudgedSample> judged =
      JudgeSample(sample, {}, {.model = model(1), .classifier = classifier}, nullptr);
  ASSERT_THAT(judged, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(std::string(judged.status().message()), ::testing::HasSubstr("want x"));
  EXPECT_THAT(std::string(judged.status().message()), ::testing::HasSubstr("models/1"));
}

TEST_F(ImpulseJudgeTest, AWindowThatCannotBeClassifiedIsLeftOut) {
  SignClassifier classifier;
  TestingSample sample = Sample(20);
  sample.values[1] = NAN;
  EXPECT_EQ(JudgeSample(sample, {}, {.model = model(1), .classifier = classifier}, nullptr)
                ->windows.size(),
            7U);
}

TEST_F(ImpulseJudgeTest, JudgesEverySampleAndReportsProgress) {
  samples_.testing = {Sample(20), Sample(20)};
  samples_.testing[1].name = "projects/x/samples/t";
  std::vector<std::string> opened;
  ImpulseJudge judge(models_, samples_, [&](const Model& model, std::string tflite) {
    opened.push_back(model.name);
    EXPECT_EQ(tflite, model.name);  // The fake's file.
    return std::make_unique<SignClassifier>();
  });
  Evaluation evaluation;
  evaluation.model = "projects/x/models/2";
  evaluation.baseline_model = "projects/x/models/1";
  std::vector<double> progress;
  const absl::StatusOr<WindowJudge::Judgement> judgement =
      judge.Judge(evaluation, [&](double share) {
        progress.push_back(share);
        return absl::OkStatus();
      });
  ASSERT_THAT(judgement, IsOk());
  EXPECT_EQ(judgement->samples.size(), 2U);
  EXPECT_THAT(judgement->classes, ElementsAre("SITTING", "WALKING"));
  EXPECT_THAT(opened, ElementsAre("projects/x/models/2", "projects/x/models/1"));
  EXPECT_THAT(progress, ElementsAre(0, 0.5, 1));
}

TEST_F(ImpulseJudgeTest, StopsWhenProgressSaysSo) {
  samples_.testing = {Sample(20), Sample(20)};
  ImpulseJudge judge(models_, samples_,
                     [](const Model&, std::string) { return std::make_unique<SignClassifier>(); });
  Evaluation evaluation;
  evaluation.model = "projects/x/models/1";
  EXPECT_THAT(judge.Judge(evaluation, [](double) { return absl::AbortedError("stop"); }),
              StatusIs(absl::StatusCode::kAborted));
}

// A real .tflite file: two readings of two axes, z = 2 (x - 1), three classes that are sums of z.
std::string Tflite(const std::string& self_test_output) {
  using ::fieldloop::testing::ByteOption;
  using ::fieldloop::testing::FloatOption;
  using ::fieldloop::testing::ProtoWriter;
  ProtoWriter impulse = ::fieldloop::testing::ImpulseMessage(
      ::fieldloop::testing::WindowMessage(2, 2), {::fieldloop::testing::RawBlockMessage(1)});
  impulse.Message(5, ProtoWriter().Floats(1, {1, 1, 1, 1}).Floats(2, {2, 2, 2, 2}).Float(3, 8.0F));
  for (const char* name : {"idle", "walk", "run"}) {
    impulse.Bytes(6, name);
  }
  impulse.Message(7, ProtoWriter().Varint(1, 77));
  if (!self_test_output.empty()) {
    const std::vector<float> window = {1, 2, 1.5F, 1};
    std::string bytes(16, '\0');
    std::memcpy(bytes.data(), window.data(), bytes.size());
    impulse.Message(9, ProtoWriter().Bytes(1, bytes).Bytes(2, self_test_output));
  }
  impulse.Float(10, 0.5F);
  ::fieldloop::testing::TfliteBuilder builder;
  const auto input = builder.AddActivation({1, 4}, 0.0625F, 0);
  const auto weights =
      builder.AddWeights({3, 4}, {100, 0, 0, 0, 0, 100, 0, 0, 0, 0, 100, 100}, {0.01F}, 0);
  const auto logits = builder.AddActivation({1, 3}, 0.125F, 0);
  const auto output = builder.AddActivation({1, 3}, 1.0F / 256, -128);
  builder.AddOperator({9, {input, weights, -1}, {logits}, 8, {ByteOption(0, 0)}});
  builder.AddOperator({25, {logits}, {output}, 9, {FloatOption(0, 1)}});
  builder.AddMetadata("fieldloop.impulse", impulse.bytes());
  const std::vector<std::uint8_t> model = builder.Build(input, output);
  return {model.begin(), model.end()};
}

Model TfliteModel() {
  Model model;
  model.name = "projects/x/models/1";
  model.classes = {"idle", "walk", "run"};
  model.window_length = 2;
  model.window_stride = 2;
  model.frequency_hz = 50;
  model.axes = {"x", "y"};
  return model;
}

TEST(OpenImpulseTest, ClassifiesWithTheCodeOfTheDevices) {
  const auto opened = OpenImpulse(TfliteModel(), Tflite(""));
  ASSERT_THAT(opened.status(), IsOk());
  const std::vector<float> walk = {1, 2, 1.5F, 1};
  const std::vector<float> run = {1, 1, 2, 2};
  const std::vector<float> nothing = {1, NAN, 2, 2};
  EXPECT_EQ((*opened)->Classify(walk.data()), 1);
  EXPECT_EQ((*opened)->Classify(run.data()), 2);
  EXPECT_EQ((*opened)->Classify(nothing.data()), -1);
}

TEST(OpenImpulseTest, AModelThatFailsItsSelfTestIsRefused) {
  const auto opened = OpenImpulse(TfliteModel(), Tflite(std::string(3, '\x05')));
  ASSERT_THAT(opened.status(), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(std::string(opened.status().message()), ::testing::HasSubstr("self-test"));
}

TEST(OpenImpulseTest, MetadataOfAnotherModelAreRefused) {
  Model model = TfliteModel();
  model.window_length = 3;
  EXPECT_THAT(OpenImpulse(model, Tflite("")).status(),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(ImpulseJudgeTest, AFileThatIsNoModelIsRefusedByName) {
  const auto opened = OpenImpulse(model(1), "this is not a model");
  ASSERT_THAT(opened.status(), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(std::string(opened.status().message()), ::testing::HasSubstr("projects/x/models/1"));
}

}  // namespace
}  // namespace fieldloop::evaluation
