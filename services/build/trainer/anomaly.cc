// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/trainer/anomaly.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numbers>
#include <vector>

namespace fieldloop::build::trainer {
namespace {

using fieldloop::agent::v1::Anomaly;

constexpr int kMaxSteps = 100;
// Of a component of a mixture, in deviations of the training data.
constexpr double kLeastDeviation = 0.05;
constexpr double kLeastShare = 1e-6;
constexpr double kEnough = 1e-6;  // Change of the mean log density that ends the steps.

using Point = std::vector<double>;

double SquaredDistance(const Point& a, const Point& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    sum += (a[i] - b[i]) * (a[i] - b[i]);
  }
  return sum;
}

std::size_t NearestOf(const std::vector<Point>& centres, const Point& point, double& squared) {
  std::size_t nearest = 0;
  squared = std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < centres.size(); ++i) {
    const double distance = SquaredDistance(centres[i], point);
    if (distance < squared) {
      squared = distance;
      nearest = i;
    }
  }
  return nearest;
}

// Each further centre is a point, with a probability that grows with the square of its distance to
// the nearest one so far.
std::vector<Point> FirstCentres(const std::vector<Point>& points, std::size_t count,
                                Random& random) {
  std::vector<Point> centres = {points[random.Below(points.size())]};
  std::vector<double> squared(points.size(), std::numeric_limits<double>::infinity());
  while (centres.size() < count) {
    double sum = 0;
    for (std::size_t i = 0; i < points.size(); ++i) {
      squared[i] = std::min(squared[i], SquaredDistance(points[i], centres.back()));
      sum += squared[i];
    }
    if (!(sum > 0)) {
      break;  // Every point is a centre.
    }
    double rest = random.Uniform() * sum;
    std::size_t chosen = points.size();
    for (std::size_t i = 0; i < points.size(); ++i) {
      if (squared[i] > 0) {
        chosen = i;
        rest -= squared[i];
        if (rest < 0) {
          break;
        }
      }
    }
    centres.push_back(points[chosen]);
  }
  return centres;
}

struct Clusters {
  std::vector<Point> centres;
  std::vector<std::size_t> cluster;  // Of each point.
};

Clusters FindClusters(const std::vector<Point>& points, std::size_t count, Random& random) {
  Clusters clusters{.centres = FirstCentres(points, count, random),
                    .cluster = std::vector<std::size_t>(points.size(), SIZE_MAX)};
  for (int step = 0; step < kMaxSteps; ++step) {
    bool moved = false;
    for (std::size_t i = 0; i < points.size(); ++i) {
      double squared = 0;
      const std::size_t nearest = NearestOf(clusters.centres, points[i], squared);
      moved |= nearest != clusters.cluster[i];
      clusters.cluster[i] = nearest;
    }
    if (!moved) {
      break;
    }
    std::vector<Point> sums(clusters.centres.size(), Point(points.front().size(), 0.0));
    std::vector<double> counts(clusters.centres.size(), 0.0);
    for (std::size_t i = 0; i < points.size(); ++i) {
      counts[clusters.cluster[i]] += 1;
      for (std::size_t j = 0; j < points[i].size(); ++j) {
        sums[clusters.cluster[i]][j] += points[i][j];
      }
    }
    for (std::size_t i = 0; i < sums.size(); ++i) {
      for (std::size_t j = 0; j < sums[i].size() && counts[i] > 0; ++j) {
        clusters.centres[i][j] = sums[i][j] / counts[i];
      }
    }
  }
  return clusters;
}

void ToProto(const Clusters& clusters, const std::vector<Point>& points,
             fieldloop::agent::v1::KMeans& proto) {
  for (const Point& centre : clusters.centres) {
    for (const double value : centre) {
      proto.add_centres(static_cast<float>(value));
    }
  }
  std::vector<double> radii(clusters.centres.size(), 0.0);
  for (const Point& point : points) {
    double squared = 0;
    double& radius = radii[NearestOf(clusters.centres, point, squared)];
    radius = std::max(radius, std::sqrt(squared));
  }
  for (const double radius : radii) {
    proto.add_radii(static_cast<float>(radius));
  }
}

struct Component {
  double share = 0;
  Point mean;
  Point variance;

  // ln(share * density).
  double LogDensity(const Point& point) const {
    double sum = std::log(share);
    for (std::size_t i = 0; i < point.size(); ++i) {
      const double difference = point[i] - mean[i];
      sum -= 0.5 *
             (difference * difference / variance[i] + std::log(2 * std::numbers::pi * variance[i]));
    }
    return sum;
  }
};

// Fits a component to points with weights.
Component FitComponent(const std::vector<Point>& points, const std::vector<double>& weights) {
  Component component{.share = 0,
                      .mean = Point(points.front().size(), 0.0),
                      .variance = Point(points.front().size(), 0.0)};
  double sum = 0;
  for (std::size_t i = 0; i < points.size(); ++i) {
    sum += weights[i];
    for (std::size_t j = 0; j < points[i].size(); ++j) {
      component.mean[j] += weights[i] * points[i][j];
    }
  }
  component.share = sum / static_cast<double>(points.size());
  if (component.share < kLeastShare) {
    return component;
  }
  for (double& value : component.mean) {
    value /= sum;
  }
  for (std::size_t i = 0; i < points.size(); ++i) {
    for (std::size_t j = 0; j < points[i].size(); ++j) {
      const double difference = points[i][j] - component.mean[j];
      component.variance[j] += weights[i] * difference * difference;
    }
  }
  for (double& value : component.variance) {
    value = std::max(value / sum, kLeastDeviation * kLeastDeviation);
  }
  return component;
}

// One row of weights for each component; returns the mean log density.
double Expect(const std::vector<Component>& mixture, const std::vector<Point>& points,
              std::vector<std::vector<double>>& weights) {
  weights.assign(mixture.size(), std::vector<double>(points.size(), 0.0));
  double sum = 0;
  std::vector<double> logs(mixture.size());
  for (std::size_t i = 0; i < points.size(); ++i) {
    for (std::size_t k = 0; k < mixture.size(); ++k) {
      logs[k] = mixture[k].LogDensity(points[i]);
    }
    const double largest = *std::max_element(logs.begin(), logs.end());
    double total = 0;
    for (std::size_t k = 0; k < mixture.size(); ++k) {
      weights[k][i] = std::exp(logs[k] - largest);
      total += weights[k][i];
    }
    for (std::size_t k = 0; k < mixture.size(); ++k) {
      weights[k][i] /= total;
    }
    sum += largest + std::log(total);
  }
  return sum / static_cast<double>(points.size());
}

std::vector<Component> FitMixture(const std::vector<Point>& points, const Clusters& clusters) {
  std::vector<std::vector<double>> weights(clusters.centres.size(),
                                           std::vector<double>(points.size(), 0.0));
  for (std::size_t i = 0; i < points.size(); ++i) {
    weights[clusters.cluster[i]][i] = 1;
  }
  std::vector<Component> mixture;
  double before = -std::numeric_limits<double>::infinity();
  for (int step = 0; step < kMaxSteps; ++step) {
    mixture.clear();
    for (const std::vector<double>& row : weights) {
      Component component = FitComponent(points, row);
      if (component.share >= kLeastShare) {
        mixture.push_back(std::move(component));
      }
    }
    const double now = Expect(mixture, points, weights);
    if (now - before < kEnough) {
      break;
    }
    before = now;
  }
  return mixture;
}

void ToProto(const std::vector<Component>& mixture, fieldloop::agent::v1::GaussianMixture& proto) {
  for (const Component& component : mixture) {
    proto.add_log_weights(static_cast<float>(component.LogDensity(component.mean)));
    for (std::size_t i = 0; i < component.mean.size(); ++i) {
      proto.add_means(static_cast<float>(component.mean[i]));
      proto.add_inverse_deviations(static_cast<float>(1 / std::sqrt(component.variance[i])));
    }
  }
}

}  // namespace

Anomaly FitAnomaly(const AnomalyOptions& options, const FeatureTable& features,
                   const std::vector<std::size_t>& columns, Random& random) {
  std::vector<Point> points(features.rows);
  for (std::size_t row = 0; row < features.rows; ++row) {
    for (const std::size_t column : columns) {
      points[row].push_back(static_cast<double>(features.row(row)[column]));
    }
  }
  const Clusters clusters =
      FindClusters(points, static_cast<std::size_t>(options.components), random);
  Anomaly anomaly;
  for (const std::size_t column : columns) {
    anomaly.add_features(static_cast<std::uint32_t>(column));
  }
  if (options.method == AnomalyMethod::kKMeans) {
    ToProto(clusters, points, *anomaly.mutable_k_means());
  } else {
    ToProto(FitMixture(points, clusters), *anomaly.mutable_gaussian_mixture());
  }
  return anomaly;
}

float AnomalyThreshold(std::vector<float> scores, double quantile) {
  std::sort(scores.begin(), scores.end());
  const double rank = std::ceil(quantile * static_cast<double>(scores.size()));
  return scores[static_cast<std::size_t>(std::max(rank, 1.0)) - 1];
}

}  // namespace fieldloop::build::trainer
