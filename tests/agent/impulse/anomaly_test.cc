// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "agent/impulse/anomaly.h"

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/agent/impulse/proto_writer.h"

namespace {

using fieldloop::testing::ImpulseMessage;
using fieldloop::testing::KMeansMessage;
using fieldloop::testing::MixtureMessage;
using fieldloop::testing::ProtoWriter;
using fieldloop::testing::RawBlockMessage;
using fieldloop::testing::WindowMessage;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Packed indices below 128.
std::string Indices(const std::vector<int>& indices) {
  return std::string(indices.begin(), indices.end());
}

// An impulse whose features are the four readings of a window.
class Opened {
 public:
  explicit Opened(const std::vector<ProtoWriter>& anomalies) {
    ProtoWriter impulse = ImpulseMessage(WindowMessage(4, 1), {RawBlockMessage(1)});
    for (const ProtoWriter& anomaly : anomalies) impulse.Message(11, anomaly);
    metadata_ = impulse.bytes();
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(metadata_.data());
    fl_dsp_t dsp;
    status_ = fl_dsp_open(&dsp, bytes, metadata_.size());
    if (status_ == FL_OK) status_ = fl_anomaly_open(&anomaly_, &dsp, bytes, metadata_.size());
  }

  [[nodiscard]] fl_status_t status() const { return status_; }
  [[nodiscard]] float Score(const std::vector<float>& features) const {
    return fl_anomaly_score(&anomaly_, features.data());
  }

 private:
  std::string metadata_;
  fl_anomaly_t anomaly_{};
  fl_status_t status_ = FL_OK;
};

fl_status_t StatusOf(const ProtoWriter& anomaly) { return Opened({anomaly}).status(); }

TEST(Anomaly, AnImpulseWithoutTheBlockHasNone) { EXPECT_EQ(Opened({}).status(), FL_ERR_NOT_FOUND); }

TEST(Anomaly, KMeansScoresTheDistanceBeyondTheRadiusOfTheClusterThatIsNearest) {
  // Looks at the features 3 and 1, in this order.
  const Opened anomaly({KMeansMessage(Indices({3, 1}), {0, 0, 10, 0}, {1, 4}, 0)});
  ASSERT_EQ(anomaly.status(), FL_OK);
  EXPECT_EQ(anomaly.Score({99, 0, 99, 0}), -4.0F + 3.0F);
  EXPECT_EQ(anomaly.Score({99, 4, 99, 3}), 4.0F);
  EXPECT_EQ(anomaly.Score({99, 4, 99, 13}), 1.0F);
  EXPECT_EQ(anomaly.Score({99, 0, 99, 10}), -4.0F);
}

TEST(Anomaly, AMixtureScoresTheNegativeLogarithmOfItsDensity) {
  const Opened one({MixtureMessage(Indices({0}), {-1}, {2}, {0.5F}, 0)});
  ASSERT_EQ(one.status(), FL_OK);
  EXPECT_EQ(one.Score({2, 0, 0, 0}), 1.0F);
  EXPECT_EQ(one.Score({6, 0, 0, 0}), 3.0F);
  // Two equal components have twice the density.
  const Opened two({MixtureMessage(Indices({0}), {-1, -1}, {2, 2}, {0.5F, 0.5F}, 0)});
  ASSERT_EQ(two.status(), FL_OK);
  EXPECT_NEAR(two.Score({6, 0, 0, 0}), 3 - 0.6931472, 1e-6);
}

TEST(Anomaly, FarFromAllComponentsTheScoreStillGrows) {
  const Opened anomaly({MixtureMessage(Indices({0}), {0, 0}, {0, 1}, {1, 1}, 0)});
  ASSERT_EQ(anomaly.status(), FL_OK);
  EXPECT_NEAR(anomaly.Score({-1000, 0, 0, 0}), 500000, 1);
  EXPECT_NEAR(anomaly.Score({-2000, 0, 0, 0}), 2000000, 1);
}

TEST(Anomaly, TheScoreIsLimited) {
  const Opened k_means({KMeansMessage(Indices({0}), {-3e38F}, {0}, 0)});
  EXPECT_EQ(k_means.Score({3e38F, 0, 0, 0}), FL_ANOMALY_MAX_SCORE);
  const Opened wide({KMeansMessage(Indices({0}), {0}, {3e38F}, 0)});
  EXPECT_EQ(wide.Score({0, 0, 0, 0}), -FL_ANOMALY_MAX_SCORE);
  const Opened mixture({MixtureMessage(Indices({0}), {0}, {-3e38F}, {3e38F}, 0)});
  EXPECT_EQ(mixture.Score({3e38F, 0, 0, 0}), FL_ANOMALY_MAX_SCORE);
  const Opened dense({MixtureMessage(Indices({0}), {3e38F}, {0}, {1}, 0)});
  EXPECT_EQ(dense.Score({0, 0, 0, 0}), -FL_ANOMALY_MAX_SCORE);
}

TEST(Anomaly, ABlockHasExactlyOneMethod) {
  const ProtoWriter k_means = ProtoWriter().Floats(1, {0}).Floats(2, {1});
  const ProtoWriter mixture = ProtoWriter().Floats(1, {0}).Floats(2, {0}).Floats(3, {1});
  const ProtoWriter features = ProtoWriter().Bytes(1, Indices({0}));
  EXPECT_EQ(StatusOf(ProtoWriter(features).Message(2, k_means)), FL_OK);
  EXPECT_EQ(StatusOf(ProtoWriter(features).Message(3, mixture)), FL_OK);
  EXPECT_EQ(StatusOf(features), FL_ERR_CORRUPT);
  EXPECT_EQ(StatusOf(ProtoWriter(features).Message(2, k_means).Message(3, mixture)),
            FL_ERR_CORRUPT);
  EXPECT_EQ(StatusOf(ProtoWriter(features).Message(2, k_means).Message(2, k_means)),
            FL_ERR_CORRUPT);
  const ProtoWriter whole = KMeansMessage(Indices({0}), {0}, {1}, 0);
  EXPECT_EQ(Opened({whole, whole}).status(), FL_ERR_CORRUPT);
}

TEST(Anomaly, FeaturesThatDoNotExistAreRefused) {
  const auto status = [](const std::string& features, std::size_t count) {
    return StatusOf(KMeansMessage(features, std::vector<float>(count, 0), {1}, 0));
  };
  EXPECT_EQ(status(Indices({3}), 1), FL_OK);
  EXPECT_EQ(status(Indices({4}), 1), FL_ERR_UNSUPPORTED);
  EXPECT_EQ(status("", 0), FL_ERR_UNSUPPORTED);
  EXPECT_EQ(status(std::string(32, '\x01'), 32), FL_OK);
  EXPECT_EQ(status(std::string(33, '\x01'), 33), FL_ERR_UNSUPPORTED);
  EXPECT_EQ(status("\x80", 1), FL_ERR_CORRUPT);
  EXPECT_EQ(status("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 1), FL_ERR_CORRUPT);
}

TEST(Anomaly, ArraysThatDoNotFitEachOtherAreRefused) {
  const std::string features = Indices({0, 2});
  EXPECT_EQ(StatusOf(KMeansMessage(features, {1, 2, 3, 4}, {1, 1}, 0)), FL_OK);
  EXPECT_EQ(StatusOf(KMeansMessage(features, {1, 2, 3, 4}, {1}, 0)), FL_ERR_CORRUPT);
  EXPECT_EQ(StatusOf(KMeansMessage(features, {1, 2, 3}, {1, 1}, 0)), FL_ERR_CORRUPT);
  EXPECT_EQ(StatusOf(KMeansMessage(features, {}, {}, 0)), FL_ERR_UNSUPPORTED);
  EXPECT_EQ(
      StatusOf(KMeansMessage(features, std::vector<float>(66, 0), std::vector<float>(33, 1), 0)),
      FL_ERR_UNSUPPORTED);
  EXPECT_EQ(StatusOf(ProtoWriter()
                         .Bytes(1, features)
                         .Message(2, ProtoWriter().Floats(1, {1, 2}).Bytes(2, "12345"))),
            FL_ERR_CORRUPT);
  const std::vector<float> four = {1, 1, 1, 1};
  EXPECT_EQ(StatusOf(MixtureMessage(features, {0, 0}, four, four, 0)), FL_OK);
  EXPECT_EQ(StatusOf(MixtureMessage(features, {0, 0}, {1, 1}, four, 0)), FL_ERR_CORRUPT);
  EXPECT_EQ(StatusOf(MixtureMessage(features, {0, 0}, four, {1, 1}, 0)), FL_ERR_CORRUPT);
  EXPECT_EQ(StatusOf(MixtureMessage(features, {0}, four, four, 0)), FL_ERR_CORRUPT);
}

TEST(Anomaly, ValuesOutOfRangeAreRefused) {
  const std::string features = Indices({0});
  for (const float bad : {kNan, kInfinity, -kInfinity}) {
    EXPECT_EQ(StatusOf(KMeansMessage(features, {bad}, {1}, 0)), FL_ERR_UNSUPPORTED);
    EXPECT_EQ(StatusOf(KMeansMessage(features, {0}, {bad}, 0)), FL_ERR_UNSUPPORTED);
    EXPECT_EQ(StatusOf(KMeansMessage(features, {0}, {1}, bad)), FL_ERR_UNSUPPORTED);
    EXPECT_EQ(StatusOf(MixtureMessage(features, {bad}, {0}, {1}, 0)), FL_ERR_UNSUPPORTED);
    EXPECT_EQ(StatusOf(MixtureMessage(features, {0}, {bad}, {1}, 0)), FL_ERR_UNSUPPORTED);
    EXPECT_EQ(StatusOf(MixtureMessage(features, {0}, {0}, {bad}, 0)), FL_ERR_UNSUPPORTED);
  }
  EXPECT_EQ(StatusOf(KMeansMessage(features, {0}, {-1}, 0)), FL_ERR_UNSUPPORTED);
  EXPECT_EQ(StatusOf(MixtureMessage(features, {0}, {0}, {0}, 0)), FL_ERR_UNSUPPORTED);
  EXPECT_EQ(StatusOf(MixtureMessage(features, {0}, {0}, {-1}, 0)), FL_ERR_UNSUPPORTED);
}

}  // namespace
