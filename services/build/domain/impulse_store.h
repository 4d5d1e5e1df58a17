// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_DOMAIN_IMPULSE_STORE_H_
#define FIELDLOOP_SERVICES_BUILD_DOMAIN_IMPULSE_STORE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/build/domain/recipe.h"

namespace fieldloop::build {

// Keeps impulses. What an implementation must do is checked in
// tests/services/build/storage/impulse_store_contract.h. Thread-safe. Every method may return
// UNAVAILABLE.
class ImpulseStore {
 public:
  ImpulseStore() = default;
  ImpulseStore(const ImpulseStore&) = delete;
  ImpulseStore& operator=(const ImpulseStore&) = delete;
  virtual ~ImpulseStore() = default;

  // Stores `impulse` as the next version, counting from 1, unless the newest version has the same
  // digest. Returns what is stored; `impulse.version` is not looked at.
  virtual absl::StatusOr<Impulse> Put(const Impulse& impulse) = 0;

  // A version; 0 is the newest. NOT_FOUND.
  virtual absl::StatusOr<Impulse> Get(absl::string_view project, absl::string_view id,
                                      std::int64_t version) = 0;

  // The newest version of each, by id, at most `limit` with ids above `after_id`.
  virtual absl::StatusOr<std::vector<Impulse>> List(absl::string_view project,
                                                    absl::string_view after_id, int limit) = 0;
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_DOMAIN_IMPULSE_STORE_H_
