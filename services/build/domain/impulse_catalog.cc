// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/domain/impulse_catalog.h"

#include <utility>
#include <vector>

#include "services/build/domain/names.h"
#include "services/common/resource/resource_name.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::build {

ImpulseCatalog::ImpulseCatalog(ImpulseStore& store, const Clock& clock)
    : store_(store), clock_(clock) {}

absl::StatusOr<Impulse> ImpulseCatalog::Create(absl::string_view parent,
                                               absl::string_view impulse_id,
                                               const ImpulseRecipe& recipe) {
  Impulse impulse;
  FIELDLOOP_ASSIGN_OR_RETURN(impulse.project, ParseProjectName("parent", parent));
  FIELDLOOP_RETURN_IF_ERROR(ValidateId("impulse_id", impulse_id));
  impulse.id = std::string(impulse_id);
  FIELDLOOP_ASSIGN_OR_RETURN(impulse.recipe, CompleteRecipe(recipe));
  impulse.digest = RecipeDigest(impulse.recipe);
  impulse.create_time = clock_.Now();
  return store_.Put(impulse);
}

absl::StatusOr<Impulse> ImpulseCatalog::Get(absl::string_view name) {
  FIELDLOOP_ASSIGN_OR_RETURN(const ImpulseNameParts parts, ParseImpulseName("name", name));
  return store_.Get(parts.project, parts.id, parts.version);
}

absl::StatusOr<Page<Impulse>> ImpulseCatalog::List(absl::string_view parent, int page_size,
                                                   absl::string_view page_token) {
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string project, ParseProjectName("parent", parent));
  FIELDLOOP_ASSIGN_OR_RETURN(const int size, PageSize(page_size));
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string after, DecodePageToken(page_token));
  FIELDLOOP_ASSIGN_OR_RETURN(std::vector<Impulse> rows, store_.List(project, after, size + 1));
  return MakePage(std::move(rows), size, [](const Impulse& impulse) { return impulse.id; });
}

}  // namespace fieldloop::build
