// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_PACKAGING_INT8_MODEL_H_
#define FIELDLOOP_SERVICES_BUILD_PACKAGING_INT8_MODEL_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/impulse/impulse.h"

namespace fieldloop::build {

// A .tflite file that runs as it does on the device. Not for several threads at once.
class Int8Model {
 public:
  // Takes the content of the file. INTERNAL if the device would not open it.
  static absl::StatusOr<std::unique_ptr<Int8Model>> Open(std::string file);

  Int8Model(const Int8Model&) = delete;
  Int8Model& operator=(const Int8Model&) = delete;

  // Classifies a window of raw signal. INVALID_ARGUMENT if a value is not finite.
  absl::StatusOr<fl_inference_t> Run(const float* window);
  // INTERNAL unless the file carries a self-test and passes it.
  absl::Status SelfTest();

  // Instructions of one inference on a Cortex-M4, estimated. INTERNAL.
  absl::StatusOr<std::uint64_t> CountInstructions() const;

  const std::string& file() const { return file_; }
  std::size_t arena_bytes() const { return arena_bytes_; }

 private:
  Int8Model() = default;

  std::string file_;  // impulse_ points into it and into the arena.
  std::vector<std::uint64_t> arena_;
  std::size_t arena_bytes_ = 0;
  fl_impulse_t impulse_{};
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_PACKAGING_INT8_MODEL_H_
