// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/packaging/feature_extractor.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace fieldloop::build {
namespace {

using fieldloop::agent::v1::DspBlock;
using fieldloop::agent::v1::Impulse;

constexpr std::size_t kMaxNameBytes = 31;
constexpr std::array<absl::string_view, 7> kFlattenNames = {
    "average", "minimum", "maximum", "rms", "deviation", "skewness", "kurtosis"};
constexpr std::size_t kFlattenNamesWithoutShape = 5;
// The mean is removed first, so that the root mean square is the deviation.
constexpr std::array<absl::string_view, 3> kSpectralNames = {"deviation", "skewness", "kurtosis"};

// "axis what", with the axis cut where both do not fit; never inside a character.
std::string Name(absl::string_view axis, absl::string_view what) {
  std::size_t room = std::min(axis.size(), kMaxNameBytes - 1 - what.size());
  while (room > 0 && room < axis.size() &&
         (static_cast<unsigned char>(axis[room]) & 0xC0) == 0x80) {
    --room;
  }
  return absl::StrCat(axis.substr(0, room), " ", what);
}

bool Passes(const fieldloop::agent::v1::Filter& filter, double hertz) {
  const auto cutoff = static_cast<double>(filter.cutoff_hz());
  switch (filter.kind()) {
    case fieldloop::agent::v1::Filter::KIND_LOW_PASS:
      return hertz <= cutoff;
    case fieldloop::agent::v1::Filter::KIND_HIGH_PASS:
      return hertz >= cutoff;
    default:
      return true;
  }
}

// Frames of a mel filter bank: "x_acc frame 3 filter 12", from 0.
void AddFrameNames(const DspBlock& block, const Impulse& impulse,
                   const std::vector<std::string>& axes, std::vector<std::string>& names) {
  const std::size_t width =
      block.has_mfe() ? block.mfe().filter_count() : block.mfcc().coefficient_count();
  const std::size_t count = CountFeatures(impulse, block) / axes.size();
  for (const std::string& axis : axes) {
    for (std::size_t i = 0; i < count; ++i) {
      names.push_back(Name(axis, absl::StrCat("frame ", i / width,
                                              block.has_mfe() ? " filter " : " coef ", i % width)));
    }
  }
}

void AddNames(const DspBlock& block, const Impulse& impulse, const std::vector<std::string>& axes,
              std::vector<std::string>& names) {
  if (block.has_mfe() || block.has_mfcc()) {
    AddFrameNames(block, impulse, axes, names);
    return;
  }
  if (block.has_raw()) {
    for (std::uint32_t reading = 0; reading < impulse.window().length(); ++reading) {
      for (const std::string& axis : axes) {
        names.push_back(Name(axis, absl::StrCat("[", reading, "]")));
      }
    }
    return;
  }
  for (const std::string& axis : axes) {
    if (block.has_flatten()) {
      const std::size_t count =
          block.flatten().without_shape() ? kFlattenNamesWithoutShape : kFlattenNames.size();
      for (std::size_t i = 0; i < count; ++i) {
        names.push_back(Name(axis, kFlattenNames[i]));
      }
    } else if (block.has_spectral()) {
      for (const absl::string_view what : kSpectralNames) {
        names.push_back(Name(axis, what));
      }
      const std::uint32_t length = block.spectral().fft_length();
      for (std::uint32_t bin = 1; bin <= length / 2; ++bin) {
        const double hertz = static_cast<double>(impulse.window().frequency_hz()) * bin / length;
        if (!Passes(block.spectral().filter(), hertz)) {
          continue;
        }
        names.push_back(Name(axis, absl::StrCat(std::round(hertz * 100) / 100, " Hz")));
      }
    }
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<FeatureExtractor>> FeatureExtractor::Open(const Impulse& impulse) {
  std::unique_ptr<FeatureExtractor> extractor = absl::WrapUnique(new FeatureExtractor);
  extractor->metadata_ = impulse.SerializeAsString();
  const fl_status_t status = fl_dsp_open(
      &extractor->dsp_, reinterpret_cast<const std::uint8_t*>(extractor->metadata_.data()),
      extractor->metadata_.size());
  if (status != FL_OK) {
    return absl::InvalidArgumentError(absl::StrCat(
        "train_input.json: impulse: got signal processing that a device does not run (",
        fl_status_text(status), "), want what impulse.proto allows"));
  }
  extractor->scratch_.resize(extractor->dsp_.scratch_size / sizeof(std::uint64_t) + 1);
  return extractor;
}

absl::Status FeatureExtractor::Compute(const float* window, float* features) {
  const fl_status_t status =
      fl_dsp_features(&dsp_, window, features, reinterpret_cast<std::uint8_t*>(scratch_.data()));
  const bool finite = status == FL_OK && std::all_of(features, features + dsp_.feature_count,
                                                     [](float x) { return std::isfinite(x); });
  return finite
             ? absl::OkStatus()
             : absl::InvalidArgumentError("got a feature that is not finite, want smaller values");
}

std::size_t CountFeatures(const Impulse& impulse, const DspBlock& block) {
  Impulse alone = impulse;
  alone.clear_blocks();
  *alone.add_blocks() = block;
  const auto extractor = FeatureExtractor::Open(alone);
  return extractor.ok() ? (*extractor)->feature_count() : 0;
}

std::vector<std::string> FeatureNames(const Impulse& impulse) {
  std::vector<std::string> axes(impulse.window().axes().begin(), impulse.window().axes().end());
  const std::size_t sensor_axes = axes.size();
  for (const auto& magnitude : impulse.magnitudes()) {
    const std::size_t first = magnitude.first_axis();
    axes.push_back(absl::StrCat("mag ", first < sensor_axes ? axes[first] : "?"));
  }
  std::vector<std::string> names;
  for (const DspBlock& block : impulse.blocks()) {
    AddNames(block, impulse, axes, names);
  }
  return names;
}

}  // namespace fieldloop::build
