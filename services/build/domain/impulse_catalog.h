// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_DOMAIN_IMPULSE_CATALOG_H_
#define FIELDLOOP_SERVICES_BUILD_DOMAIN_IMPULSE_CATALOG_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/build/domain/impulse_store.h"
#include "services/build/domain/page.h"
#include "services/build/domain/recipe.h"
#include "services/common/clock/clock.h"

namespace fieldloop::build {

// What people can do with impulses. Arguments are as they came from the caller. Thread-safe.
class ImpulseCatalog {
 public:
  // Both must outlive this object.
  ImpulseCatalog(ImpulseStore& store, const Clock& clock);

  // Stores the recipe as the impulse's next version, or returns its newest version when that is the
  // same. INVALID_ARGUMENT.
  absl::StatusOr<Impulse> Create(absl::string_view parent, absl::string_view impulse_id,
                                 const ImpulseRecipe& recipe);
  absl::StatusOr<Impulse> Get(absl::string_view name);
  absl::StatusOr<Page<Impulse>> List(absl::string_view parent, int page_size,
                                     absl::string_view page_token);

 private:
  ImpulseStore& store_;
  const Clock& clock_;
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_DOMAIN_IMPULSE_CATALOG_H_
