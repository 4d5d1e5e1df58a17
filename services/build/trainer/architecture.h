// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_TRAINER_ARCHITECTURE_H_
#define FIELDLOOP_SERVICES_BUILD_TRAINER_ARCHITECTURE_H_

#include <cstddef>
#include <string>
#include <vector>

#include <fieldloop/agent/v1/impulse.pb.h>

#include "absl/status/statusor.h"
#include "services/build/trainer/network.h"
#include "services/build/trainer/train_input.h"

namespace fieldloop::build::trainer {

// Features as a network takes them. A dense one takes `width` = all of them in one step.
struct FeatureShape {
  std::size_t steps = 1;
  std::size_t width = 1;  // Features of a step.
};

// Says how the features of `impulse` lie for a network of this kind. Steps are readings of a raw
// block, frames of an mfe or mfcc block.
//
// INVALID_ARGUMENT for convolutions over features that are not steps x channels: of several blocks,
// of a flatten or spectral block, of an mfe or mfcc block over several axes.
absl::StatusOr<FeatureShape> ShapeOfFeatures(const fieldloop::agent::v1::Impulse& impulse,
                                             std::size_t feature_count, NetworkKind kind);

// Describes the network that `options` ask for, without weights.
//
// 1-D: each block a convolution along the steps, its channels the features of a step, then its
// pooling; 2-D: an image of steps x features, a convolution first, then for each block a depthwise
// and a 1 x 1 convolution; each with RELU. Their outputs are averaged over the image. Then the
// dense layers with RELU, last the logits.
//
// INVALID_ARGUMENT if a pooling is longer than the steps that are left.
absl::StatusOr<Network> DescribeNetwork(const NetworkOptions& options, const FeatureShape& shape,
                                        std::size_t classes);

// Such as "dense 32 16" or "conv_2d 16/3s2 16/3p2, dense 20": filters, kernel, stride and pooling.
std::string NetworkName(const NetworkOptions& options);

// Fills in the layers of a network that are left to us.
NetworkOptions CompleteNetwork(NetworkOptions options, const FeatureShape& shape);

// Networks of the kind of `kind` that a search looks at, the smaller ones first.
std::vector<NetworkOptions> CandidateNetworks(NetworkKind kind, const FeatureShape& shape);

}  // namespace fieldloop::build::trainer

#endif  // FIELDLOOP_SERVICES_BUILD_TRAINER_ARCHITECTURE_H_
