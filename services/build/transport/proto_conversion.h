// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_TRANSPORT_PROTO_CONVERSION_H_
#define FIELDLOOP_SERVICES_BUILD_TRANSPORT_PROTO_CONVERSION_H_

#include <string>
#include <vector>

#include <fieldloop/agent/v1/impulse.pb.h>
#include <fieldloop/agent/v1/trust.pb.h>
#include <fieldloop/build/v1/build_service.pb.h>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/build/domain/artifact.h"
#include "services/build/domain/build.h"
#include "services/build/domain/model.h"
#include "services/build/domain/model_comparison.h"
#include "services/build/domain/recipe.h"
#include "services/build/domain/release.h"
#include "services/build/domain/trainer.h"
#include "services/build/domain/trust.h"

namespace fieldloop::build {

ImpulseRecipe FromProto(const v1::ImpulseRecipe& proto);
Signature FromProto(const agent::v1::Signature& proto);

v1::ImpulseRecipe ToProto(const ImpulseRecipe& recipe);
v1::Impulse ToProto(const Impulse& impulse);
v1::Build ToProto(const Build& build);
v1::Trainer ToProto(const TrainerIdentity& trainer);
// INTERNAL if the stored metadata or manifest does not parse.
absl::StatusOr<v1::Model> ToProto(const Model& model);
// Without the differences of the recipes.
v1::ModelComparison ToProto(const ModelComparison& comparison);
v1::ModelLineage::Step ToLineageStep(const Model& model);
v1::AliasChange ToProto(const AliasChange& change);
v1::Artifact ToProto(const Artifact& artifact);
absl::StatusOr<v1::Release> ToProto(const Release& release);
agent::v1::SignedDocument ToProto(const std::string& payload,
                                  const std::vector<Signature>& signatures);

// What a model of this recipe must say of itself: format, window, magnitudes, blocks and classes.
agent::v1::Impulse ToAgentImpulse(const ImpulseRecipe& recipe,
                                  const std::vector<std::string>& classes);

// What a model says of itself as a recipe; not complete, and without learning.
ImpulseRecipe RecipeOf(const agent::v1::Impulse& impulse);

// The kind of an upload. INVALID_ARGUMENT naming `field` unless it is one that there is.
absl::StatusOr<ComponentKind> KindOf(absl::string_view field, agent::v1::ComponentKind proto);

// A release manifest, serialised.
std::string EncodeManifest(const Manifest& manifest);

// Reads a serialised SignedDocument of a RootDocument. INVALID_ARGUMENT if it is none; signatures
// and ranges are for RootChain::Make to check.
absl::StatusOr<Root> ParseRoot(absl::string_view document);

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_TRANSPORT_PROTO_CONVERSION_H_
