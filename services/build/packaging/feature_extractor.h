// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_PACKAGING_FEATURE_EXTRACTOR_H_
#define FIELDLOOP_SERVICES_BUILD_PACKAGING_FEATURE_EXTRACTOR_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <fieldloop/agent/v1/impulse.pb.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/impulse/dsp.h"

namespace fieldloop::build {

// Computes features with the code that runs on the device. Not for several threads at once.
class FeatureExtractor {
 public:
  // INVALID_ARGUMENT if the device could not run the signal processing of `impulse`.
  static absl::StatusOr<std::unique_ptr<FeatureExtractor>> Open(
      const fieldloop::agent::v1::Impulse& impulse);

  FeatureExtractor(const FeatureExtractor&) = delete;
  FeatureExtractor& operator=(const FeatureExtractor&) = delete;

  std::size_t feature_count() const { return dsp_.feature_count; }
  // Writes feature_count() values, before standardisation. INVALID_ARGUMENT if they are not finite.
  absl::Status Compute(const float* window, float* features);

 private:
  FeatureExtractor() = default;

  std::string metadata_;  // dsp_ points into it.
  fl_dsp_t dsp_{};
  std::vector<std::uint64_t> scratch_;  // Of 8 bytes each, for the alignment.
};

// Features that one of the blocks of `impulse` makes; 0 if the device could not run it.
std::size_t CountFeatures(const fieldloop::agent::v1::Impulse& impulse,
                          const fieldloop::agent::v1::DspBlock& block);

// Names of the features of `impulse` in their order, such as "x_acc rms"; each at most 31 bytes.
std::vector<std::string> FeatureNames(const fieldloop::agent::v1::Impulse& impulse);

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_PACKAGING_FEATURE_EXTRACTOR_H_
