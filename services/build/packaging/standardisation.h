// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_PACKAGING_STANDARDISATION_H_
#define FIELDLOOP_SERVICES_BUILD_PACKAGING_STANDARDISATION_H_

#include <cstddef>
#include <vector>

#include <fieldloop/agent/v1/impulse.pb.h>

#include "services/build/packaging/feature_table.h"

namespace fieldloop::build {

// z = min(max((x - mean) * inverse_deviation, -clip), clip), per feature.
struct Standardisation {
  std::vector<float> mean;
  std::vector<float> inverse_deviation;
  float clip = 6;
};

// Takes mean and population deviation of `rows` of `features`; there is at least one row. A feature
// that does not vary has an inverse deviation of 1, so that it neither divides by 0 nor blows up
// the first reading that differs.
Standardisation FitStandardisation(const FeatureTable& features,
                                   const std::vector<std::size_t>& rows);

// Returns `rows` of `features`, standardised.
FeatureTable Standardise(const Standardisation& standardisation, const FeatureTable& features,
                         const std::vector<std::size_t>& rows);

// Reads what ToProto has written.
Standardisation FromProto(const fieldloop::agent::v1::Standardisation& proto);

// Writes it for the device.
void ToProto(const Standardisation& standardisation, fieldloop::agent::v1::Standardisation& proto);

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_PACKAGING_STANDARDISATION_H_
