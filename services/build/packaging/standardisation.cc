// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/packaging/standardisation.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace fieldloop::build {
namespace {

// Deviations below this share of the mean are rounding of float features.
constexpr double kRoundingShare = 1e-6;
constexpr double kLeastDeviation = 1e-12;

}  // namespace

Standardisation FitStandardisation(const FeatureTable& features,
                                   const std::vector<std::size_t>& rows) {
  const auto count = static_cast<double>(rows.size());
  std::vector<double> mean(features.columns, 0.0);
  std::vector<double> squares(features.columns, 0.0);
  for (const std::size_t row : rows) {
    for (std::size_t i = 0; i < features.columns; ++i) {
      mean[i] += static_cast<double>(features.row(row)[i]);
    }
  }
  for (double& value : mean) {
    value /= count;
  }
  for (const std::size_t row : rows) {
    for (std::size_t i = 0; i < features.columns; ++i) {
      const double difference = static_cast<double>(features.row(row)[i]) - mean[i];
      squares[i] += difference * difference;
    }
  }
  Standardisation result;
  for (std::size_t i = 0; i < features.columns; ++i) {
    const double deviation = std::sqrt(squares[i] / count);
    const bool varies = deviation > std::max(kLeastDeviation, kRoundingShare * std::abs(mean[i]));
    result.mean.push_back(static_cast<float>(mean[i]));
    result.inverse_deviation.push_back(varies ? static_cast<float>(1.0 / deviation) : 1.0F);
  }
  return result;
}

FeatureTable Standardise(const Standardisation& standardisation, const FeatureTable& features,
                         const std::vector<std::size_t>& rows) {
  FeatureTable result(rows.size(), features.columns);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const float* in = features.row(rows[i]);
    float* out = result.row(i);
    for (std::size_t j = 0; j < features.columns; ++j) {
      const float z = (in[j] - standardisation.mean[j]) * standardisation.inverse_deviation[j];
      out[j] = std::clamp(z, -standardisation.clip, standardisation.clip);
    }
  }
  return result;
}

Standardisation FromProto(const fieldloop::agent::v1::Standardisation& proto) {
  return {.mean = {proto.mean().begin(), proto.mean().end()},
          .inverse_deviation = {proto.inverse_deviation().begin(), proto.inverse_deviation().end()},
          .clip = proto.clip()};
}

void ToProto(const Standardisation& standardisation, fieldloop::agent::v1::Standardisation& proto) {
  proto.Clear();
  proto.mutable_mean()->Add(standardisation.mean.begin(), standardisation.mean.end());
  proto.mutable_inverse_deviation()->Add(standardisation.inverse_deviation.begin(),
                                         standardisation.inverse_deviation.end());
  proto.set_clip(standardisation.clip);
}

}  // namespace fieldloop::build
