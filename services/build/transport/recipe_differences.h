// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_TRANSPORT_RECIPE_DIFFERENCES_H_
#define FIELDLOOP_SERVICES_BUILD_TRANSPORT_RECIPE_DIFFERENCES_H_

#include <string>
#include <vector>

#include <fieldloop/build/v1/build_service.pb.h>

namespace fieldloop::build {

// The fields in which two recipes differ, by their paths, such as "learning.epochs: 30 -> 60" or
// "blocks[1].flatten: none -> set". Empty for equal recipes.
std::vector<std::string> RecipeDifferences(const v1::ImpulseRecipe& first,
                                           const v1::ImpulseRecipe& second);

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_TRANSPORT_RECIPE_DIFFERENCES_H_
