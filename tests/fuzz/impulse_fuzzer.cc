// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// The metadata of a model: signal processing and anomaly block opened and, if that works, run on a
// window of noise and on one of silence.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "agent/impulse/anomaly.h"
#include "agent/impulse/dsp.h"

namespace {

// Larger ones are left alone: they only cost time.
constexpr std::size_t kMostValues = 1U << 15U;

void Require(bool condition) {
  if (!condition) std::abort();
}

void Run(const fl_dsp_t& dsp, const fl_anomaly_t* anomaly, const std::vector<float>& window) {
  // Memory of the exact size, so that the sanitizer sees every step outside.
  const std::unique_ptr<float[]> features(new float[dsp.feature_count]);
  const std::unique_ptr<std::uint64_t[]> scratch(new std::uint64_t[(dsp.scratch_size + 7) / 8]);
  if (fl_dsp_features(&dsp, window.data(), features.get(),
                      reinterpret_cast<std::uint8_t*>(scratch.get())) != FL_OK) {
    return;
  }
  fl_dsp_standardise(&dsp, features.get());
  for (std::uint32_t i = 0; i < dsp.feature_count; ++i) Require(std::isfinite(features[i]));
  if (anomaly != nullptr) {
    Require(std::abs(fl_anomaly_score(anomaly, features.get())) <= FL_ANOMALY_MAX_SCORE);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // A copy, for what lies behind the input is not the fuzzer's.
  const std::vector<std::uint8_t> metadata(data, data + size);
  const auto dsp = std::make_unique<fl_dsp_t>();
  const auto anomaly = std::make_unique<fl_anomaly_t>();
  if (fl_dsp_open(dsp.get(), metadata.data(), size) != FL_OK) return 0;
  const fl_status_t opened = fl_anomaly_open(anomaly.get(), dsp.get(), metadata.data(), size);
  if (opened != FL_OK && opened != FL_ERR_NOT_FOUND) return 0;
  const std::size_t values = static_cast<std::size_t>(dsp->config.window.length) * dsp->window_axes;
  if (values > kMostValues || dsp->feature_count > kMostValues) return 0;
  std::vector<float> window(values);
  Run(*dsp, opened == FL_OK ? anomaly.get() : nullptr, window);
  std::uint32_t state = 1;
  for (float& value : window) {
    state = state * 1664525U + 1013904223U;
    value = static_cast<float>(static_cast<std::int32_t>(state) >> 16);
  }
  Run(*dsp, opened == FL_OK ? anomaly.get() : nullptr, window);
  return 0;
}
