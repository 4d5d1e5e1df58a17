// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/packaging/self_test.h"

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "services/common/status/status_macros.h"

namespace fieldloop::build {
namespace {

constexpr int kMargin = 128;
// Windows that are tried, evenly spread.
constexpr std::size_t kMaxTries = 500;

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
  impulse.mutable_self_test()->set_window(windows.row(best->second),
                                          windows.columns() * sizeof(float));
  impulse.mutable_self_test()->set_output(best_output);
  return absl::OkStatus();
}

}  // namespace fieldloop::build
