// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_PACKAGING_PACKAGE_H_
#define FIELDLOOP_SERVICES_BUILD_PACKAGING_PACKAGE_H_

#include <string>
#include <vector>

#include <fieldloop/agent/v1/impulse.pb.h>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/common/npy/npy_array.h"

namespace fieldloop::build {

// Windows of raw signal with their class, from 0.
struct LabelledRows {
  NpyArray<float> windows;
  std::vector<int> labels;
};

// Returns the .tflite file `model`, which others made, with the metadata that a device needs.
//
// `impulse` has window, magnitudes, blocks and classes, and may have more. What it lacks is made by
// running the model: reference, calibration and uncertain_below from `windows`, which it was not
// trained on, if there are any; the self-test from one of them, else from a signal that is made up.
// The features of the reference are chosen by those windows too. The same arguments give the same
// bytes.
//
// INVALID_ARGUMENT says what does not fit: a file that a device would not run, inputs that are not
// as many as the features, outputs that are not as many as the classes.
absl::StatusOr<std::string> PackageModel(absl::string_view model, agent::v1::Impulse impulse,
                                         const LabelledRows& windows);

// The impulse that `model` carries; NOT_FOUND if it carries none, INVALID_ARGUMENT if it does not
// parse.
absl::StatusOr<agent::v1::Impulse> ImpulseOf(absl::string_view model);

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_PACKAGING_PACKAGE_H_
