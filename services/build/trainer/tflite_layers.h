// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_TRAINER_TFLITE_LAYERS_H_
#define FIELDLOOP_SERVICES_BUILD_TRAINER_TFLITE_LAYERS_H_

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <tflite_generated.h>
#include <vector>

#include "services/build/trainer/network.h"

// How layers stand in a .tflite file: what writer and reader share.
namespace fieldloop::build::trainer {

// Name of the metadata buffer of the impulse.
inline constexpr char kImpulseMetadataName[] = "fieldloop.impulse";

// The operator of a layer.
tflite::BuiltinOperator OperatorOf(LayerKind kind);

// Sizes as the file has them.
std::vector<std::int32_t> Dimensions(std::initializer_list<std::size_t> sizes);

// Dimensions of the weights of a layer that is no pool.
std::vector<std::int32_t> WeightDimensions(const LayerForm& form);

}  // namespace fieldloop::build::trainer

#endif  // FIELDLOOP_SERVICES_BUILD_TRAINER_TFLITE_LAYERS_H_
