// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/trainer/quantisation.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/build/packaging/standardisation.h"

namespace fieldloop::build::trainer {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::FloatEq;

FeatureTable Table(std::size_t columns, std::vector<float> values) {
  FeatureTable table(values.size() / columns, columns);
  table.values = std::move(values);
  return table;
}

TEST(StandardisationTest, TakesMeanAndPopulationDeviationOfTheGivenRows) {
  const FeatureTable table = Table(2, {1, 10, 3, 10, 100, 100});
  const Standardisation fitted = FitStandardisation(table, {0, 1});
  EXPECT_THAT(fitted.mean, ElementsAre(FloatEq(2), FloatEq(10)));
  EXPECT_THAT(fitted.inverse_deviation, ElementsAre(FloatEq(1), FloatEq(1)));
}

TEST(StandardisationTest, AFeatureThatDoesNotVaryIsNotBlownUp) {
  const FeatureTable table = Table(1, {9.81F, 9.81F, 9.81F});
  EXPECT_THAT(FitStandardisation(table, {0, 1, 2}).inverse_deviation, ElementsAre(1.0F));
}

TEST(StandardisationTest, ClipsAtSixDeviations) {
  const FeatureTable table = Table(1, {-1, 1, 100, -100});
  const FeatureTable z = Standardise(FitStandardisation(table, {0, 1}), table, {3, 0, 2});
  EXPECT_THAT(z.values, ElementsAre(-6, -1, 6));
}

TEST(QuantisationTest, ARangeIsWidenedToHoldZero) {
  const QuantisedRange positive = RangeOf(2, 5.1F);
  EXPECT_FLOAT_EQ(positive.scale, 5.1F / 255);
  EXPECT_EQ(positive.zero_point, -128);
  const QuantisedRange negative = RangeOf(-5.1F, -2);
  EXPECT_FLOAT_EQ(negative.scale, 5.1F / 255);
  EXPECT_EQ(negative.zero_point, 127);
  const QuantisedRange both = RangeOf(-1, 3);
  EXPECT_FLOAT_EQ(both.scale, 4.0F / 255);
  EXPECT_EQ(both.zero_point, -64);  // -128 + 63.75, rounded.
}

TEST(QuantisationTest, ARangeOfNothingButZeroHasAScale) {
  EXPECT_GT(RangeOf(0, 0).scale, 0);
  EXPECT_EQ(RangeOf(0, 0).zero_point, -128);
}

TEST(QuantisationTest, WeightsAreSymmetricWithHalvesAwayFromZero) {
  const DenseLayer layer{
      .inputs = 3, .outputs = 2, .weights = {127, 1.5F, -1.5F, 2.5F, -127, 0}, .bias = {0, 0}};
  const QuantisedLayer quantised = QuantiseLayer(layer, 1, {});
  EXPECT_FLOAT_EQ(quantised.weight_scale, 1);
  EXPECT_THAT(quantised.weights, ElementsAre(127, 2, -2, 3, -127, 0));
}

TEST(QuantisationTest, ABiasHasTheScaleOfInputTimesWeight) {
  const DenseLayer layer{.inputs = 1, .outputs = 2, .weights = {0.5F, 0.25F}, .bias = {1, -2}};
  const QuantisedLayer quantised = QuantiseLayer(layer, 0.125F, {});
  EXPECT_FLOAT_EQ(quantised.weight_scale, 0.5F / 127);
  EXPECT_FLOAT_EQ(quantised.bias_scale, 0.125F * 0.5F / 127);
  EXPECT_THAT(quantised.bias, ElementsAre(2032, -4064));
}

TEST(QuantisationTest, ABiasThatIsLargeBesideTheWeightsStillFits) {
  const DenseLayer layer{.inputs = 1, .outputs = 1, .weights = {1e-12F}, .bias = {1000}};
  const QuantisedLayer quantised = QuantiseLayer(layer, 0.01F, {});
  EXPECT_NEAR(static_cast<double>(quantised.bias[0]) * static_cast<double>(quantised.bias_scale),
              1000, 0.01);
}

TEST(QuantisationTest, ALayerWithoutWeightsKeepsItsBias) {
  const DenseLayer layer{.inputs = 2, .outputs = 1, .weights = {0, 0}, .bias = {0.5F}};
  const QuantisedLayer quantised = QuantiseLayer(layer, 0.1F, {});
  EXPECT_THAT(quantised.weights, Each(0));
  EXPECT_NEAR(static_cast<double>(quantised.bias[0]) * static_cast<double>(quantised.bias_scale),
              0.5, 0.001);
}

TEST(QuantisationTest, RangesAreTheExtremesOfEveryLayer) {
  const DenseNetwork network{
      .layers = {{.inputs = 1, .outputs = 2, .weights = {1, -2}, .bias = {0, 0}},
                 {.inputs = 2, .outputs = 1, .weights = {1, -1}, .bias = {0}}}};
  // Hidden: max(x, 0), max(-2x, 0); logit: x for x > 0, 2x below.
  const QuantisedNetwork quantised = Quantise(network, Table(1, {-1, 3}));
  EXPECT_FLOAT_EQ(quantised.input.scale, 4.0F / 255);
  EXPECT_FLOAT_EQ(quantised.layers[0].output.scale, 3.0F / 255);
  EXPECT_EQ(quantised.layers[0].output.zero_point, -128);
  EXPECT_FLOAT_EQ(quantised.layers[1].output.scale, 5.0F / 255);
  EXPECT_EQ(quantised.layers[1].output.zero_point, -26);  // -128 + 102.
}

}  // namespace
}  // namespace fieldloop::build::trainer
