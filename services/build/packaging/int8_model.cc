// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/packaging/int8_model.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "agent/impulse/cost.h"

namespace fieldloop::build {

absl::StatusOr<std::unique_ptr<Int8Model>> Int8Model::Open(std::string file) {
  std::unique_ptr<Int8Model> model = absl::WrapUnique(new Int8Model);
  model->file_ = std::move(file);
  const auto* data = reinterpret_cast<const std::uint8_t*>(model->file_.data());
  fl_status_t status = fl_impulse_arena_size(data, model->file_.size(), &model->arena_bytes_);
  if (status == FL_OK) {
    model->arena_.resize(model->arena_bytes_ / sizeof(std::uint64_t) + 1);
    status = fl_impulse_open(&model->impulse_, data, model->file_.size(), model->arena_.data(),
                             model->arena_bytes_);
  }
  if (status != FL_OK) {
    return absl::InternalError(
        absl::StrCat("model.tflite: a device would refuse it (", fl_status_text(status), ")"));
  }
  return model;
}

absl::StatusOr<fl_inference_t> Int8Model::Run(const float* window) {
  fl_inference_t result;
  if (const fl_status_t status = fl_impulse_run(&impulse_, window, &result); status != FL_OK) {
    return absl::InvalidArgumentError(absl::StrCat(
        "got a window that does not run (", fl_status_text(status), "), want finite values"));
  }
  return result;
}

absl::Status Int8Model::SelfTest() {
  const fl_status_t status = fl_impulse_self_test(&impulse_);
  return status == FL_OK ? absl::OkStatus()
                         : absl::InternalError(absl::StrCat("model.tflite: self-test failed (",
                                                            fl_status_text(status), ")"));
}

absl::StatusOr<std::uint64_t> Int8Model::CountInstructions() const {
  std::uint64_t instructions = 0;
  const fl_status_t status = fl_impulse_instructions(
      reinterpret_cast<const std::uint8_t*>(file_.data()), file_.size(), &instructions);
  if (status != FL_OK) {
    return absl::InternalError(absl::StrCat("model.tflite: its instructions cannot be estimated (",
                                            fl_status_text(status), ")"));
  }
  return instructions;
}

}  // namespace fieldloop::build
