// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/packaging/reference.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "services/common/crypto/digest.h"

namespace fieldloop::build {
namespace {

using fieldloop::agent::v1::Calibration;
using fieldloop::agent::v1::ChannelKind;
using fieldloop::agent::v1::Impulse;
using fieldloop::agent::v1::Reference;
using fieldloop::agent::v1::ReferenceChannel;

constexpr std::size_t kBins = 16;
constexpr double kMaxCorrelation = 0.7;
constexpr std::size_t kUncertainShare = 5;  // One in five.

// Values of one column.
std::vector<float> Column(const FeatureTable& features, std::size_t column) {
  std::vector<float> values;
  values.reserve(features.rows);
  for (std::size_t row = 0; row < features.rows; ++row) {
    values.push_back(features.row(row)[column]);
  }
  return values;
}

double Mean(const std::vector<float>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double Correlation(const std::vector<float>& a, const std::vector<float>& b) {
  const double mean_a = Mean(a);
  const double mean_b = Mean(b);
  double aa = 0;
  double bb = 0;
  double ab = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double da = static_cast<double>(a[i]) - mean_a;
    const double db = static_cast<double>(b[i]) - mean_b;
    aa += da * da;
    bb += db * db;
    ab += da * db;
  }
  return aa > 0 && bb > 0 ? ab / std::sqrt(aa * bb) : 0;
}

// One-way analysis of variance; 0 for a column that does not vary.
double FStatistic(const std::vector<float>& values, const std::vector<int>& labels,
                  std::size_t classes) {
  std::vector<double> sums(classes, 0.0);
  std::vector<double> counts(classes, 0.0);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto label = static_cast<std::size_t>(labels[i]);
    sums[label] += static_cast<double>(values[i]);
    counts[label] += 1;
  }
  const double mean = Mean(values);
  double between = 0;
  for (std::size_t label = 0; label < classes; ++label) {
    if (counts[label] > 0) {
      const double difference = sums[label] / counts[label] - mean;
      between += counts[label] * difference * difference;
    }
  }
  double within = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto label = static_cast<std::size_t>(labels[i]);
    const double difference = static_cast<double>(values[i]) - sums[label] / counts[label];
    within += difference * difference;
  }
  const double freedom = static_cast<double>(values.size()) - static_cast<double>(classes);
  if (between <= 0) {
    return 0;
  }
  constexpr double kPerfect = 1e300;
  return within <= 0 ? kPerfect
                     : between / static_cast<double>(classes - 1) * std::max(freedom, 1.0) / within;
}

void AddChannel(ChannelKind kind, std::size_t feature, const std::string& name,
                const std::vector<float>& values, Reference& reference) {
  ReferenceChannel& channel = *reference.add_channels();
  channel.set_kind(kind);
  channel.set_feature_index(static_cast<std::uint32_t>(feature));
  channel.set_name(name);
  const std::vector<float> edges = QuantileEdges(values);
  std::vector<std::size_t> counts(edges.size() + 1, 0);
  for (const float value : values) {
    ++counts[BinOf(edges, value)];
  }
  channel.mutable_edges()->Add(edges.begin(), edges.end());
  for (const std::size_t count : counts) {
    channel.add_shares(
        static_cast<float>(static_cast<double>(count) / static_cast<double>(values.size())));
  }
}

// First 4 bytes, big endian, of the SHA-256 over all edges as little-endian floats.
std::uint32_t ReferenceId(const Reference& reference) {
  Sha256 digest;
  for (const ReferenceChannel& channel : reference.channels()) {
    for (const float edge : channel.edges()) {
      const auto bits = std::bit_cast<std::uint32_t>(edge);
      const char bytes[] = {static_cast<char>(bits & 0xFF), static_cast<char>(bits >> 8 & 0xFF),
                            static_cast<char>(bits >> 16 & 0xFF),
                            static_cast<char>(bits >> 24 & 0xFF)};
      digest.Update(absl::string_view(bytes, sizeof bytes));
    }
  }
  const std::string hash = digest.Finish();
  std::uint32_t id = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    id = id << 8 | static_cast<unsigned char>(hash[i]);
  }
  return id;
}

// Accuracy in each bin; bins without predictions are interpolated between their neighbours, or have
// the value of the only one.
std::vector<double> BinAccuracy(const std::vector<HeldOutPrediction>& predictions,
                                const std::vector<float>& edges) {
  std::vector<double> right(edges.size() + 1, 0.0);
  std::vector<double> count(edges.size() + 1, 0.0);
  for (const HeldOutPrediction& prediction : predictions) {
    const std::size_t bin = BinOf(edges, prediction.confidence);
    count[bin] += 1;
    right[bin] += prediction.predicted == prediction.label ? 1 : 0;
  }
  std::vector<double> accuracy(right.size(), 0.0);
  for (std::size_t bin = 0; bin < right.size(); ++bin) {
    std::size_t below = bin;
    while (below > 0 && count[below] == 0) {
      --below;
    }
    std::size_t above = bin;
    while (above + 1 < right.size() && count[above] == 0) {
      ++above;
    }
    below = count[below] > 0 ? below : above;
    above = count[above] > 0 ? above : below;
    const double low = right[below] / count[below];
    const double high = right[above] / count[above];
    const double share =
        above == below ? 0 : static_cast<double>(bin - below) / static_cast<double>(above - below);
    accuracy[bin] = low + (high - low) * share;
  }
  return accuracy;
}

}  // namespace

std::vector<float> QuantileEdges(std::vector<float> values) {
  std::sort(values.begin(), values.end());
  std::vector<float> edges;
  float last = values.front();
  for (std::size_t i = 1; i < kBins; ++i) {
    const float edge = values[i * values.size() / kBins];
    if (edge > last) {
      edges.push_back(edge);
      last = edge;
    }
  }
  if (edges.empty()) {
    // Nearly all values are equal: what is above them is the one thing worth telling apart.
    edges.push_back(values.back());
  }
  return edges;
}

std::size_t BinOf(const std::vector<float>& edges, float value) {
  return static_cast<std::size_t>(std::upper_bound(edges.begin(), edges.end(), value) -
                                  edges.begin());
}

std::vector<std::size_t> ChooseFeatures(const FeatureTable& features,
                                        const std::vector<int>& labels, std::size_t classes,
                                        std::size_t most) {
  std::vector<double> score;
  for (std::size_t i = 0; i < features.columns; ++i) {
    score.push_back(FStatistic(Column(features, i), labels, classes));
  }
  std::vector<std::size_t> order(features.columns);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&score](std::size_t a, std::size_t b) { return score[a] > score[b]; });
  std::vector<std::size_t> chosen;
  for (const std::size_t candidate : order) {
    if (chosen.size() == most || score[candidate] <= 0) {
      break;
    }
    const std::vector<float> values = Column(features, candidate);
    const bool is_new = std::all_of(chosen.begin(), chosen.end(), [&](std::size_t other) {
      return std::abs(Correlation(values, Column(features, other))) < kMaxCorrelation;
    });
    if (is_new) {
      chosen.push_back(candidate);
    }
  }
  return chosen;
}

absl::StatusOr<std::vector<std::size_t>> FindFeatures(const std::vector<std::string>& wanted,
                                                      const std::vector<std::string>& names) {
  std::vector<std::size_t> found;
  for (const std::string& name : wanted) {
    const auto place = std::find(names.begin(), names.end(), name);
    if (place == names.end()) {
      constexpr std::size_t kShown = 20;
      const auto shown_end =
          names.begin() + static_cast<std::ptrdiff_t>(std::min(names.size(), kShown));
      return absl::InvalidArgumentError(absl::StrCat(
          "train_input.json: reference_channels: got \"", name, "\", want a feature such as ",
          absl::StrJoin(names.begin(), shown_end, ", ")));
    }
    found.push_back(static_cast<std::size_t>(place - names.begin()));
  }
  return found;
}

void DescribeReference(const std::vector<HeldOutPrediction>& predictions,
                       const FeatureTable& features, const std::vector<std::size_t>& chosen,
                       const std::vector<std::string>& names, Impulse& impulse) {
  std::vector<float> confidence;
  std::vector<float> novelty;
  std::vector<float> anomaly;
  std::vector<double> class_counts(static_cast<std::size_t>(impulse.classes_size()), 0.0);
  for (const HeldOutPrediction& prediction : predictions) {
    confidence.push_back(prediction.confidence);
    novelty.push_back(prediction.novelty);
    anomaly.push_back(prediction.anomaly);
    class_counts[static_cast<std::size_t>(prediction.predicted)] += 1;
  }
  Reference& reference = *impulse.mutable_reference();
  reference.Clear();
  AddChannel(fieldloop::agent::v1::CHANNEL_KIND_CONFIDENCE, 0, "confidence", confidence, reference);
  AddChannel(fieldloop::agent::v1::CHANNEL_KIND_NOVELTY, 0, "novelty", novelty, reference);
  if (impulse.has_anomaly()) {
    AddChannel(fieldloop::agent::v1::CHANNEL_KIND_ANOMALY, 0, "anomaly", anomaly, reference);
  }
  for (const std::size_t feature : chosen) {
    AddChannel(fieldloop::agent::v1::CHANNEL_KIND_FEATURE, feature, names[feature],
               Column(features, feature), reference);
  }
  for (const double count : class_counts) {
    reference.add_class_shares(static_cast<float>(count / static_cast<double>(predictions.size())));
  }
  reference.set_id(ReferenceId(reference));

  const auto& edges = reference.channels(0).edges();
  impulse.mutable_calibration()->Clear();
  for (const double accuracy : BinAccuracy(predictions, {edges.begin(), edges.end()})) {
    impulse.mutable_calibration()->add_bin_accuracy(static_cast<float>(accuracy));
  }
  std::sort(confidence.begin(), confidence.end());
  impulse.set_uncertain_below(confidence[confidence.size() / kUncertainShare]);
}

}  // namespace fieldloop::build
