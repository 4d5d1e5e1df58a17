// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_DOMAIN_RELEASE_STORE_H_
#define FIELDLOOP_SERVICES_BUILD_DOMAIN_RELEASE_STORE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/build/domain/release.h"

namespace fieldloop::build {

// Keeps releases. What an implementation must do is checked in
// tests/services/build/storage/release_store_contract.h. Thread-safe. Every method may return
// UNAVAILABLE. Callbacks may run more than once and must have no side effect of their own.
class ReleaseStore {
 public:
  ReleaseStore() = default;
  ReleaseStore(const ReleaseStore&) = delete;
  ReleaseStore& operator=(const ReleaseStore&) = delete;
  virtual ~ReleaseStore() = default;

  // Stores the release that `make` returns for the project's next sequence, as one step: no
  // sequence is left out or given twice. When `request_id` is not empty and was used in the
  // project, returns the release of that request instead.
  virtual absl::StatusOr<Release> Insert(
      absl::string_view project, absl::string_view request_id,
      absl::FunctionRef<absl::StatusOr<Release>(std::int64_t sequence)> make) = 0;

  // NOT_FOUND.
  virtual absl::StatusOr<Release> Get(absl::string_view project, std::int64_t sequence) = 0;

  // Newest first, at most `limit` with sequences below `before`.
  virtual absl::StatusOr<std::vector<Release>> List(absl::string_view project, std::int64_t before,
                                                    int limit) = 0;

  // Lets `change` alter the signatures, as one step. NOT_FOUND.
  virtual absl::StatusOr<Release> UpdateSignatures(
      absl::string_view project, std::int64_t sequence,
      absl::FunctionRef<absl::Status(std::vector<Signature>&)> change) = 0;
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_DOMAIN_RELEASE_STORE_H_
