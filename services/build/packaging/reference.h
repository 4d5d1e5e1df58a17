// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_PACKAGING_REFERENCE_H_
#define FIELDLOOP_SERVICES_BUILD_PACKAGING_REFERENCE_H_

#include <cstddef>
#include <string>
#include <vector>

#include <fieldloop/agent/v1/impulse.pb.h>

#include "absl/status/statusor.h"
#include "services/build/packaging/feature_table.h"
#include "services/build/packaging/held_out.h"

namespace fieldloop::build {

// Most features that become reference channels, beside confidence and novelty; an anomaly block
// takes the place of one.
inline constexpr std::size_t kMaxFeatureChannels = 4;

// Inner edges of at most 16 bins with about the same number of `values`, which must not be empty:
// the i-th is the value of rank floor(i * n / 16), so that a value that is met again falls into the
// same bin. Equal edges are one, and none equals the least value unless all values are equal;
// strictly increasing.
std::vector<float> QuantileEdges(std::vector<float> values);

// Index of the bin of `value`: the number of edges that are not above it.
std::size_t BinOf(const std::vector<float>& edges, float value);

// Chooses at most `most` features that tell most: by falling F statistic (variance between the
// classes over variance within them), leaving out those that correlate by 0.7 or more, either way,
// with one chosen before and those that do not vary. `features` are standardised, one row per
// label.
std::vector<std::size_t> ChooseFeatures(const FeatureTable& features,
                                        const std::vector<int>& labels, std::size_t classes,
                                        std::size_t most);

// Finds features by name. INVALID_ARGUMENT for one that is not in `names`.
absl::StatusOr<std::vector<std::size_t>> FindFeatures(const std::vector<std::string>& wanted,
                                                      const std::vector<std::string>& names);

// Fills reference, calibration and uncertain_below of `impulse`, which has its classes: channels
// for the confidence and novelty of `predictions`, for their anomaly score if `impulse` has an
// anomaly block, and for the columns `chosen` of `features`
// (standardised by the model's own standardisation), named after `names`. Neither may be empty.
//
// The accuracy of a confidence bin is that of its predictions; one without any lies between its
// neighbours. uncertain_below is the value of rank floor(n / 5) of the confidences.
void DescribeReference(const std::vector<HeldOutPrediction>& predictions,
                       const FeatureTable& features, const std::vector<std::size_t>& chosen,
                       const std::vector<std::string>& names,
                       fieldloop::agent::v1::Impulse& impulse);

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_PACKAGING_REFERENCE_H_
