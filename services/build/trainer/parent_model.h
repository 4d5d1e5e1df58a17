// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_TRAINER_PARENT_MODEL_H_
#define FIELDLOOP_SERVICES_BUILD_TRAINER_PARENT_MODEL_H_

#include <fieldloop/agent/v1/impulse.pb.h>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/build/packaging/standardisation.h"
#include "services/build/trainer/network.h"
#include "services/build/trainer/quantisation.h"

namespace fieldloop::build::trainer {

// What a model that starts from another one takes over from it.
struct ParentModel {
  Standardisation standardisation;
  QuantisedNetwork network;
};

// Reads a .tflite file that WriteTflite has written. `file` is not trusted.
//
// INVALID_ARGUMENT unless its network has the form of `description`, and its window, blocks and
// classes are those of `impulse`: otherwise there is nothing to start from.
absl::StatusOr<ParentModel> ReadParentModel(absl::string_view file, const Network& description,
                                            const fieldloop::agent::v1::Impulse& impulse);

}  // namespace fieldloop::build::trainer

#endif  // FIELDLOOP_SERVICES_BUILD_TRAINER_PARENT_MODEL_H_
