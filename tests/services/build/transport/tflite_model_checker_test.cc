// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/transport/tflite_model_checker.h"

#include <functional>
#include <ostream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/services/build/support/small_model.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::build {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::testing::HasSubstr;

TEST(TfliteModelChecker, AModelOfTheRecipeIsTakenWithItsMetadata) {
  TfliteModelChecker checker;
  const absl::StatusOr<CheckedModel> checked =
      checker.Check(SmallModel(), SmallRecipe(), SmallClasses());
  ASSERT_THAT(checked, IsOk());
  EXPECT_GT(checked->arena_bytes, 0);
  agent::v1::Impulse impulse;
  ASSERT_TRUE(impulse.ParseFromString(checked->metadata));
  EXPECT_EQ(impulse.self_test().output().size(), 2U);
}

struct Broken {
  std::string name;
  std::string why;
  std::function<void(agent::v1::Impulse&)> change;
  friend void PrintTo(const Broken& broken, std::ostream* os) { *os << broken.name; }
};

class BrokenModel : public ::testing::TestWithParam<Broken> {};

TEST_P(BrokenModel, IsRefusedAndTheSentenceSaysWhy) {
  agent::v1::Impulse impulse = SmallImpulse();
  AddSelfTest(impulse);
  GetParam().change(impulse);
  TfliteModelChecker checker;
  const absl::StatusOr<CheckedModel> checked =
      checker.Check(SmallNetwork(impulse.SerializeAsString()), SmallRecipe(), SmallClasses());
  ASSERT_THAT(checked, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(std::string(checked.status().message()), HasSubstr(GetParam().why));
}

INSTANTIATE_TEST_SUITE_P(
    Models, BrokenModel,
    ::testing::Values(
        Broken{"OfAnotherFormat", "format", [](auto& m) { m.set_format(2); }},
        Broken{"OfAnotherWindow", "window", [](auto& m) { m.mutable_window()->set_stride(1); }},
        Broken{"OfOtherAxes", "window", [](auto& m) { m.mutable_window()->set_axes(0, "z"); }},
        Broken{"WithAMagnitude", "magnitude", [](auto& m) { m.add_magnitudes()->set_count(2); }},
        Broken{"OfOtherBlocks", "blocks",
               [](auto& m) { m.mutable_blocks(0)->mutable_raw()->set_scale(2); }},
        Broken{"OfOtherClasses", "classes", [](auto& m) { m.set_classes(1, "swim"); }},
        Broken{"WithoutASelfTest", "self-test", [](auto& m) { m.clear_self_test(); }},
        Broken{"ThatGivesAnotherOutput", "self-test",
               [](auto& m) { (*m.mutable_self_test()->mutable_output())[0] ^= 1; }},
        Broken{"WithAShortStandardisation", "a device",
               [](auto& m) { m.mutable_standardisation()->mutable_mean()->RemoveLast(); }}),
    [](const auto& param_info) { return param_info.param.name; });

TEST(TfliteModelChecker, ANetworkThatIsNotRunIsRefusedWithTheReasonAndItsOperator) {
  std::string model = SmallModel();
  const float probability_scale = 1.0F / 256;
  const std::string bytes(reinterpret_cast<const char*>(&probability_scale), sizeof(float));
  model[model.find(bytes) + 2] ^= 1;
  TfliteModelChecker checker;
  const absl::StatusOr<CheckedModel> checked = checker.Check(model, SmallRecipe(), SmallClasses());
  ASSERT_THAT(checked, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(std::string(checked.status().message()),
            "a device cannot run its network: a probability has not scale 1/256 and zero point "
            "-128, at operator 1 (FL_ERR_UNSUPPORTED)");
}

TEST(TfliteModelChecker, BytesThatAreNoModelAreRefused) {
  TfliteModelChecker checker;
  const std::string model = SmallModel();
  EXPECT_THAT(checker.Check("", SmallRecipe(), SmallClasses()),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(checker.Check("not a model at all", SmallRecipe(), SmallClasses()),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(checker.Check(model.substr(0, model.size() / 2), SmallRecipe(), SmallClasses()),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace fieldloop::build
