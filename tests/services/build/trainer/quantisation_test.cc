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

Layer Dense(std::size_t inputs, std::size_t outputs, std::vector<float> weights,
            std::vector<float> bias) {
  return {.form = {.kind = LayerKind::kDense,
                   .input = {.channels = inputs},
                   .output = {.channels = outputs}},
          .weights = std::move(weights),
          .bias = std::move(bias)};
}

// What bias `index` stands for.
double RealBias(const QuantisedLayer& layer, QuantisedRange input, std::size_t index) {
  return static_cast<double>(layer.bias[index]) * static_cast<double>(input.scale) *
         static_cast<double>(layer.weight_scale(index));
}

TEST(QuantisationTest, WeightsAreSymmetricWithHalvesAwayFromZero) {
  const Layer layer = Dense(3, 2, {127, 1.5F, -1.5F, 2.5F, -127, 0}, {0, 0});
  const QuantisedLayer quantised = QuantiseLayer(layer, {}, {});
  EXPECT_THAT(quantised.weight_scales, ElementsAre(FloatEq(1)));
  EXPECT_THAT(quantised.weights, ElementsAre(127, 2, -2, 3, -127, 0));
}

TEST(QuantisationTest, ConvolutionsHaveAScaleForEachOutputChannel) {
  const Shape image = {.height = 2, .width = 2, .channels = 2};
  // Outputs x height x width x inputs.
  const Layer convolution{
      .form = {.kind = LayerKind::kConvolution, .input = image, .output = image},
      .weights = {127, 1, 0.5F, -254},
      .bias = {0, 0}};
  const QuantisedLayer quantised = QuantiseLayer(convolution, {}, {});
  EXPECT_THAT(quantised.weight_scales, ElementsAre(FloatEq(1), FloatEq(2)));
  EXPECT_THAT(quantised.weights, ElementsAre(127, 1, 0, -127));
  // Height x width x channels.
  const Layer depthwise{.form = {.kind = LayerKind::kDepthwise,
                                 .input = image,
                                 .output = image,
                                 .kernel_height = 1,
                                 .kernel_width = 2},
                        .weights = {127, 10, 63.5F, 254},
                        .bias = {1, 1}};
  const QuantisedLayer other = QuantiseLayer(depthwise, {.scale = 0.5F}, {});
  EXPECT_THAT(other.weight_scales, ElementsAre(FloatEq(1), FloatEq(2)));
  EXPECT_THAT(other.weights, ElementsAre(127, 5, 64, 127));
  EXPECT_THAT(other.bias, ElementsAre(2, 1));
}

TEST(QuantisationTest, ABiasHasTheScaleOfInputTimesWeight) {
  const QuantisedRange input = {.scale = 0.125F};
  const QuantisedLayer quantised = QuantiseLayer(Dense(1, 2, {0.5F, 0.25F}, {1, -2}), input, {});
  EXPECT_THAT(quantised.weight_scales, ElementsAre(FloatEq(0.5F / 127)));
  EXPECT_THAT(quantised.bias, ElementsAre(2032, -4064));
}

TEST(QuantisationTest, ABiasThatIsLargeBesideTheWeightsStillFits) {
  const QuantisedRange input = {.scale = 0.01F};
  const QuantisedLayer quantised = QuantiseLayer(Dense(1, 1, {1e-12F}, {1000}), input, {});
  EXPECT_NEAR(RealBias(quantised, input, 0), 1000, 0.01);
}

TEST(QuantisationTest, ALayerWithoutWeightsKeepsItsBias) {
  const QuantisedRange input = {.scale = 0.1F};
  const QuantisedLayer quantised = QuantiseLayer(Dense(2, 1, {0, 0}, {0.5F}), input, {});
  EXPECT_THAT(quantised.weights, Each(0));
  EXPECT_NEAR(RealBias(quantised, input, 0), 0.5, 0.001);
}

TEST(QuantisationTest, RangesAreTheExtremesOfEveryLayer) {
  const Network network{.layers = {Dense(1, 2, {1, -2}, {0, 0}), Dense(2, 1, {1, -1}, {0})}};
  Network with_relu = network;
  with_relu.layers[0].form.relu = true;
  // Hidden: max(x, 0), max(-2x, 0); logit: x for x > 0, 2x below.
  const QuantisedNetwork quantised = Quantise(with_relu, Table(1, {-1, 3}));
  EXPECT_FLOAT_EQ(quantised.input.scale, 4.0F / 255);
  EXPECT_FLOAT_EQ(quantised.layers[0].output.scale, 3.0F / 255);
  EXPECT_EQ(quantised.layers[0].output.zero_point, -128);
  EXPECT_FLOAT_EQ(quantised.layers[1].output.scale, 5.0F / 255);
  EXPECT_EQ(quantised.layers[1].output.zero_point, -26);  // -128 + 102.
}

TEST(QuantisationTest, APoolHasTheRangeOfItsInput) {
  const Shape image = {.height = 2, .width = 1, .channels = 1};
  const LayerForm pool = {.kind = LayerKind::kAveragePool,
                          .input = image,
                          .output = {},
                          .kernel_height = 2,
                          .stride_height = 2};
  const Network network{
      .layers = {{.form = pool, .weights = {}, .bias = {}}, Dense(1, 1, {1}, {0})}};
  const QuantisedNetwork quantised = Quantise(network, Table(2, {0, 10}));
  EXPECT_EQ(quantised.layers[0].output.scale, quantised.input.scale);
  EXPECT_EQ(quantised.layers[0].output.zero_point, quantised.input.zero_point);
  EXPECT_FLOAT_EQ(quantised.layers[1].output.scale, 5.0F / 255);
}

TEST(QuantisationTest, WithTheScalesOfAParentEqualWeightsGiveEqualBytesAndLargerOnesAreCut) {
  const Network network{.layers = {Dense(2, 1, {0.3F, -1}, {0.25F})}};
  const QuantisedNetwork parent = Quantise(network, Table(2, {1, 2, -1, 1}));
  const Network same = Dequantise(parent);
  EXPECT_EQ(QuantiseLike(parent, same).layers[0].weights, parent.layers[0].weights);
  EXPECT_EQ(QuantiseLike(parent, same).layers[0].bias, parent.layers[0].bias);
  Network larger = same;
  larger.layers[0].weights = {5, -5};
  const QuantisedNetwork cut = QuantiseLike(parent, larger);
  EXPECT_THAT(cut.layers[0].weights, ElementsAre(127, -127));
  EXPECT_EQ(cut.layers[0].weight_scales, parent.layers[0].weight_scales);
  EXPECT_EQ(cut.layers[0].output.scale, parent.layers[0].output.scale);
}

}  // namespace
}  // namespace fieldloop::build::trainer
