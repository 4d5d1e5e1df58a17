// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_PACKAGING_SELF_TEST_H_
#define FIELDLOOP_SERVICES_BUILD_PACKAGING_SELF_TEST_H_

#include <vector>

#include <fieldloop/agent/v1/impulse.pb.h>

#include "absl/status/status.h"
#include "services/build/packaging/int8_model.h"
#include "services/common/npy/npy_array.h"

namespace fieldloop::build {

// Puts one of some `windows`, of which there is at least one, and the output of `model` for it into
// `impulse`: of the windows that are predicted as `labels` (from 0) says, else of all, the one
// whose two largest outputs are nearest to half of the outputs' range apart. A wider margin is an
// output at its limits, which many wrong computations give as well. Errors as Int8Model::Run.
absl::Status AddSelfTest(Int8Model& model, const NpyArray<float>& windows,
                         const std::vector<int>& labels, agent::v1::Impulse& impulse);

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_PACKAGING_SELF_TEST_H_
