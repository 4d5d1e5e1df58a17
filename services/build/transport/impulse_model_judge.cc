// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/transport/impulse_model_judge.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include <fieldloop/agent/v1/impulse.pb.h>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "agent/impulse/cost.h"
#include "agent/impulse/impulse.h"

namespace fieldloop::build {
namespace {

constexpr char kMetadataName[] = "fieldloop.impulse";

absl::Status Refused(fl_status_t status) {
  return absl::InvalidArgumentError(
      absl::StrCat("a device cannot open the model: ", fl_status_text(status)));
}

class OpenedImpulse final : public OpenedModel {
 public:
  OpenedImpulse(std::string file, std::size_t arena_size, ImpulseModelJudge::Stopwatch stopwatch)
      : file_(std::move(file)),
        arena_(arena_size / sizeof(std::uint64_t) + 1),
        stopwatch_(std::move(stopwatch)) {}

  fl_status_t Open() {
    if (const fl_status_t status = fl_impulse_open(&impulse_, Bytes(), file_.size(), arena_.data(),
                                                   arena_.size() * sizeof(std::uint64_t));
        status != FL_OK) {
      return status;
    }
    const std::uint8_t* metadata = nullptr;
    std::size_t size = 0;
    agent::v1::Impulse impulse;
    if (fl_tflite_metadata(Bytes(), file_.size(), kMetadataName, &metadata, &size) != FL_OK ||
        !impulse.ParseFromArray(metadata, static_cast<int>(size))) {
      return FL_ERR_CORRUPT;
    }
    window_ = {.length = impulse.window().length(),
               .stride = impulse.window().stride(),
               .frequency_hz = impulse.window().frequency_hz(),
               .axes = {impulse.window().axes().begin(), impulse.window().axes().end()},
               .pad_short = impulse.window().pad_short()};
    classes_.assign(impulse.classes().begin(), impulse.classes().end());
    timed_window_.resize(fl_impulse_window_values(&impulse_));
    // Little endian, as is this machine.
    const std::string& test = impulse.self_test().window();
    const std::string& integers = impulse.self_test().window_int16();
    if (test.size() == timed_window_.size() * sizeof(float)) {
      std::memcpy(timed_window_.data(), test.data(), test.size());
    } else if (integers.size() == timed_window_.size() * sizeof(std::int16_t)) {
      for (std::size_t i = 0; i < timed_window_.size(); ++i) {
        std::int16_t value = 0;
        std::memcpy(&value, integers.data() + i * sizeof value, sizeof value);
        timed_window_[i] = value;
      }
    }
    return FL_OK;
  }

  const Window& window() const override { return window_; }
  const std::vector<std::string>& classes() const override { return classes_; }
  std::int64_t cortex_m4_instructions() const override {
    std::uint64_t instructions = 0;  // Stays 0 only for a file that could not have been opened.
    fl_impulse_instructions(Bytes(), file_.size(), &instructions);
    return static_cast<std::int64_t>(instructions);
  }

  int Classify(const float* window) override {
    fl_inference_t result;
    return fl_impulse_run(&impulse_, window, &result) == FL_OK
               ? static_cast<int>(result.predicted_class)
               : -1;
  }

  absl::Duration MeasureLatency() override {
    Classify(timed_window_.data());
    std::vector<absl::Duration> times;
    const absl::Duration begin = stopwatch_();
    absl::Duration last = begin;
    while (times.size() < static_cast<std::size_t>(ImpulseModelJudge::kLatencyRuns) &&
           (times.empty() || last - begin < ImpulseModelJudge::kLatencyLimit)) {
      Classify(timed_window_.data());
      const absl::Duration now = stopwatch_();
      times.push_back(now - last);
      last = now;
    }
    const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
    std::nth_element(times.begin(), middle, times.end());
    return *middle;
  }

 private:
  const std::uint8_t* Bytes() const { return reinterpret_cast<const std::uint8_t*>(file_.data()); }

  const std::string file_;  // The impulse reads it in place.
  std::vector<std::uint64_t> arena_;
  const ImpulseModelJudge::Stopwatch stopwatch_;
  fl_impulse_t impulse_ = {};
  Window window_;
  std::vector<std::string> classes_;
  std::vector<float> timed_window_;
};

}  // namespace

ImpulseModelJudge::ImpulseModelJudge(Stopwatch stopwatch) : stopwatch_(std::move(stopwatch)) {}

absl::StatusOr<std::unique_ptr<OpenedModel>> ImpulseModelJudge::Open(std::string file) {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(file.data());
  std::size_t arena_size = 0;
  if (const fl_status_t status = fl_impulse_arena_size(bytes, file.size(), &arena_size);
      status != FL_OK) {
    return Refused(status);
  }
  auto opened = std::make_unique<OpenedImpulse>(std::move(file), arena_size, stopwatch_);
  if (const fl_status_t status = opened->Open(); status != FL_OK) {
    return Refused(status);
  }
  return std::unique_ptr<OpenedModel>(std::move(opened));
}

}  // namespace fieldloop::build
