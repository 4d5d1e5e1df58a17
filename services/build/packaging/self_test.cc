// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/packaging/self_test.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "services/common/status/status_macros.h"

namespace fieldloop::build {
namespace {

constexpr int kMargin = 128;
// Windows that are tried, evenly spread.
constexpr std::size_t kMaxTries = 500;

// As int16 if the values are such integers: half as large in the flash of a device.
void SetWindow(const float* values, std::size_t count, agent::v1::SelfTest& test) {
  std::vector<std::int16_t> integers;
  for (std::size_t i = 0; i < count; ++i) {
    if (!(values[i] >= std::numeric_limits<std::int16_t>::min()) ||
        !(values[i] <= std::numeric_limits<std::int16_t>::max()) ||
        values[i] != std::nearbyint(values[i])) {
      test.set_window(values, count * sizeof(float));
      return;
    }
    integers.push_back(static_cast<std::int16_t>(values[i]));
  }
  test.set_window_int16(integers.data(), count * sizeof(std::int16_t));
}

}  // namespace

absl::Status AddSelfTest(Int8Model& model, const NpyArray<float>& windows,
                         const std::vector<int>& labels, agent::v1::Impulse& impulse) {
  const auto classes = static_cast<std::size_t>(impulse.classes_size());
  std::optional<std::pair<int, std::size_t>> best;
  std::string best_output;
  const std::size_t tries = std::min(windows.rows(), kMaxTries);
  for (std::size_t i = 0; i < tries; ++i) {
    const std::size_t window = i * windows.rows() / tries;
    FIELDLOOP_ASSIGN_OR_RETURN(const fl_inference_t inference, model.Run(windows.row(window)));
    std::vector<int> outputs(inference.output, inference.output + classes);
    std::nth_element(outputs.begin(), outputs.begin() + 1, outputs.end(), std::greater<>());
    const bool right = static_cast<int>(inference.predicted_class) == labels[window];
    const int distance = std::abs(outputs[0] - outputs[1] - kMargin) + (right ? 0 : 2 * kMargin);
    if (!best.has_value() || distance < best->first) {
      best = {distance, window};
      best_output.assign(reinterpret_cast<const char*>(inference.output), classes);
    }
  }
  SetWindow(windows.row(best->second), windows.columns(), *impulse.mutable_self_test());
  impulse.mutable_self_test()->set_output(best_output);
  return absl::OkStatus();
}

}  // namespace fieldloop::build
