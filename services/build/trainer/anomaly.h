// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_TRAINER_ANOMALY_H_
#define FIELDLOOP_SERVICES_BUILD_TRAINER_ANOMALY_H_

#include <cstddef>
#include <vector>

#include <fieldloop/agent/v1/impulse.pb.h>

#include "services/build/packaging/feature_table.h"
#include "services/build/trainer/random.h"
#include "services/build/trainer/train_input.h"

namespace fieldloop::build::trainer {

// Fits an anomaly block, without its threshold, to the columns `columns` of standardised
// `features`, which have at least one row.
//
// k-means: centres after Arthur and Vassilvitskii 2007 (k-means++), then Lloyd's steps until no row
// moves. Gaussian mixture: expectation and maximisation from the clusters of k-means, deviations
// limited below. There are at most as many clusters as rows that differ.
fieldloop::agent::v1::Anomaly FitAnomaly(const AnomalyOptions& options,
                                         const FeatureTable& features,
                                         const std::vector<std::size_t>& columns, Random& random);

// The least score that at least `quantile` of `scores`, which are not empty, do not exceed.
float AnomalyThreshold(std::vector<float> scores, double quantile);

}  // namespace fieldloop::build::trainer

#endif  // FIELDLOOP_SERVICES_BUILD_TRAINER_ANOMALY_H_
