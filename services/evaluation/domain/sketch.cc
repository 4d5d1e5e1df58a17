// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/evaluation/domain/sketch.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "services/common/status/error_reason.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::evaluation {
namespace {

absl::Status CheckCounts(const std::string& field, const std::vector<std::int64_t>& counts,
                         std::size_t size, std::int64_t windows) {
  if (counts.size() != size) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ": got ", counts.size(), " counts, want ", size));
  }
  // Each count is checked before the sum, so that the sum cannot overflow.
  for (const std::int64_t count : counts) {
    if (count < 0 || count > windows) {
      return absl::InvalidArgumentError(
          absl::StrCat(field, ": got a count of ", count, ", want 0 to ", windows));
    }
  }
  const std::int64_t sum = std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
  if (sum != windows) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ": got counts that sum to ", sum, ", want ", windows, " windows"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ValidateSketch(const Sketch& sketch, const Model& model) {
  constexpr std::int64_t kMostWindows = std::int64_t{1} << 32;
  constexpr std::int64_t kDayMs = 86'400'000;
  if (sketch.reference_id != model.reference_id) {
    return ErrorWithReason(absl::StatusCode::kFailedPrecondition, "OTHER_REFERENCE",
                           absl::StrCat("reference_id: got ", sketch.reference_id, ", want ",
                                        model.reference_id, " as in ", model.name));
  }
  if (sketch.windows < 0 || sketch.windows > kMostWindows) {
    return absl::InvalidArgumentError(
        absl::StrCat("windows: got ", sketch.windows, ", want 0 to ", kMostWindows));
  }
  if (sketch.failures < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("failures: got ", sketch.failures, ", want 0 or more"));
  }
  if (sketch.period_ms < 1 || sketch.period_ms > kDayMs) {
    return absl::InvalidArgumentError(
        absl::StrCat("period_ms: got ", sketch.period_ms, ", want 1 to ", kDayMs));
  }
  FIELDLOOP_RETURN_IF_ERROR(
      CheckCounts("class_counts", sketch.class_counts, model.classes.size(), sketch.windows));
  if (sketch.channels.size() != model.channels.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("channels: got ", sketch.channels.size(), ", want ", model.channels.size()));
  }
  for (std::size_t i = 0; i < sketch.channels.size(); ++i) {
    const ChannelSketch& channel = sketch.channels[i];
    const std::string field = absl::StrCat("channels[", i, "]");
    FIELDLOOP_RETURN_IF_ERROR(CheckCounts(absl::StrCat(field, ".bins"), channel.bins,
                                          static_cast<std::size_t>(model.channels[i].bins),
                                          sketch.windows));
    for (const double value : {channel.mean, channel.m2, channel.min, channel.max}) {
      if (!std::isfinite(value)) {
        return absl::InvalidArgumentError(
            absl::StrCat(field, ": got a moment that is not finite, want numbers"));
      }
    }
  }
  return absl::OkStatus();
}

void FieldMetricsSum::Add(const Sketch& sketch) {
  const auto place = std::lower_bound(devices_.begin(), devices_.end(), sketch.device);
  if (place == devices_.end() || *place != sketch.device) {
    devices_.insert(place, sketch.device);
  }
  windows_ += sketch.windows;
  class_counts_.resize(std::max(class_counts_.size(), sketch.class_counts.size()), 0);
  for (std::size_t i = 0; i < sketch.class_counts.size(); ++i) {
    class_counts_[i] += sketch.class_counts[i];
  }
  channels_.resize(std::max(channels_.size(), sketch.channels.size()));
  value_sums_.resize(channels_.size(), 0.0);
  for (std::size_t c = 0; c < sketch.channels.size(); ++c) {
    const ChannelSketch& channel = sketch.channels[c];
    channels_[c].resize(std::max(channels_[c].size(), channel.bins.size()), 0);
    for (std::size_t i = 0; i < channel.bins.size(); ++i) {
      channels_[c][i] += channel.bins[i];
    }
    value_sums_[c] += channel.mean * static_cast<double>(sketch.windows);
  }
}

FieldMetrics FieldMetricsSum::Finish(const Model* model) const {
  FieldMetrics metrics;
  metrics.device_count = static_cast<int>(devices_.size());
  metrics.windows = windows_;
  const double windows = static_cast<double>(windows_);
  for (const std::int64_t count : class_counts_) {
    metrics.class_shares.push_back(windows > 0 ? static_cast<double>(count) / windows : 0.0);
  }
  if (model != nullptr && model->confidence_channel >= 0 && windows > 0) {
    const auto channel = static_cast<std::size_t>(model->confidence_channel);
    if (channel < channels_.size()) {
      metrics.mean_confidence = value_sums_[channel] / windows;
      metrics.estimated_accuracy = EstimatedAccuracy(channels_[channel], model->bin_accuracy);
    }
  }
  return metrics;
}

}  // namespace fieldloop::evaluation
