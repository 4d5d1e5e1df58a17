// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_TRAINER_TFLITE_WRITER_H_
#define FIELDLOOP_SERVICES_BUILD_TRAINER_TFLITE_WRITER_H_

#include <string>

#include "absl/strings/string_view.h"
#include "services/build/trainer/quantisation.h"

namespace fieldloop::build::trainer {

// Returns a .tflite file: int8 input [1, features], where the first layer takes an image a RESHAPE
// to it, an operator for each layer, SOFTMAX, int8 output [1, classes] with scale 1/256 and zero
// point -128, and `metadata` in the buffer named "fieldloop.impulse". The same arguments give the
// same bytes.
std::string WriteTflite(const QuantisedNetwork& network, absl::string_view metadata);

}  // namespace fieldloop::build::trainer

#endif  // FIELDLOOP_SERVICES_BUILD_TRAINER_TFLITE_WRITER_H_
