// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/impulse/impulse.h"
#include "services/evaluation/inference/impulse_judge.h"

namespace fieldloop::evaluation {
namespace {

absl::Status Refused(const Model& model, absl::string_view step, fl_status_t status) {
  return absl::InvalidArgumentError(
      absl::StrCat(model.name, ": ", step, ": ", fl_status_text(status)));
}

class ImpulseClassifier final : public WindowClassifier {
 public:
  ImpulseClassifier(std::string tflite, std::size_t arena_size)
      : tflite_(std::move(tflite)), arena_(arena_size / sizeof(std::max_align_t) + 1) {}

  fl_status_t Open() {
    const fl_status_t status = fl_impulse_open(&impulse_, Bytes(), tflite_.size(), arena_.data(),
                                               arena_.size() * sizeof(std::max_align_t));
    return status == FL_OK ? fl_impulse_self_test(&impulse_) : status;
  }
  const std::uint8_t* Bytes() const {
    return reinterpret_cast<const std::uint8_t*>(tflite_.data());
  }
  std::size_t window_values() const { return fl_impulse_window_values(&impulse_); }

  int Classify(const float* window) override {
    fl_inference_t result;
    return fl_impulse_run(&impulse_, window, &result) == FL_OK
               ? static_cast<int>(result.predicted_class)
               : -1;
  }

  std::optional<WindowOpinion> Describe(const float* window) override {
    fl_inference_t result;
    if (fl_impulse_run(&impulse_, window, &result) != FL_OK) {
      return std::nullopt;
    }
    // On one scale: above 1 is unusual, either way.
    const float novelty =
        result.has_anomaly ? 1 + result.anomaly - impulse_.anomaly.threshold : result.novelty;
    return WindowOpinion{
        .probabilities = {result.probability, result.probability + impulse_.network.output_size},
        .novelty = static_cast<double>(novelty)};
  }

 private:
  const std::string tflite_;  // The impulse reads it in place.
  std::vector<std::max_align_t> arena_;
  fl_impulse_t impulse_ = {};
};

}  // namespace

absl::StatusOr<std::unique_ptr<WindowClassifier>> OpenImpulse(const Model& model,
                                                              std::string tflite) {
  std::size_t arena_size = 0;
  const fl_status_t sized = fl_impulse_arena_size(
      reinterpret_cast<const std::uint8_t*>(tflite.data()), tflite.size(), &arena_size);
  if (sized != FL_OK) {
    return Refused(model, "reading the file", sized);
  }
  auto classifier = std::make_unique<ImpulseClassifier>(std::move(tflite), arena_size);
  const fl_status_t opened = classifier->Open();
  if (opened != FL_OK && opened != FL_ERR_NOT_FOUND) {  // A model without a self-test is allowed.
    return Refused(model, opened == FL_ERR_SELF_TEST ? "self-test" : "opening", opened);
  }
  const std::size_t want = static_cast<std::size_t>(model.window_length) * model.axes.size();
  if (classifier->window_values() != want || want == 0 || model.window_stride < 1 ||
      !(model.frequency_hz > 0) || model.classes.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(model.name, ": the registry's metadata do not fit the file: got windows of ",
                     classifier->window_values(), " values, want ", want));
  }
  return std::unique_ptr<WindowClassifier>(std::move(classifier));
}

}  // namespace fieldloop::evaluation
