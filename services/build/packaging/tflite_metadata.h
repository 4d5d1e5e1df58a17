// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_PACKAGING_TFLITE_METADATA_H_
#define FIELDLOOP_SERVICES_BUILD_PACKAGING_TFLITE_METADATA_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace fieldloop::build {

// Name of the buffer that holds the impulse of a model.
inline constexpr char kImpulseMetadata[] = "fieldloop.impulse";

// Returns the .tflite file `model` with `metadata` in the buffer named kImpulseMetadata, in place
// of one that is there. Everything else keeps its bytes: a new root table with new lists of buffers
// and metadata is put in front of the file, whose own root is left unused. The same arguments give
// the same bytes. `model` is not trusted. INVALID_ARGUMENT if it is not a .tflite file.
absl::StatusOr<std::string> WithImpulseMetadata(absl::string_view model,
                                                absl::string_view metadata);

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_PACKAGING_TFLITE_METADATA_H_
