// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_PROVISIONING_DOMAIN_PROVISIONING_STORE_H_
#define FIELDLOOP_SERVICES_PROVISIONING_DOMAIN_PROVISIONING_STORE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "services/provisioning/domain/api_token.h"
#include "services/provisioning/domain/device.h"
#include "services/provisioning/domain/enrollment_token.h"
#include "services/provisioning/domain/project.h"

namespace fieldloop::provisioning {

// How many there are of what, for gauges.
struct Inventory {
  std::int64_t active_devices = 0;
  std::int64_t revoked_devices = 0;
  std::int64_t active_tokens = 0;  // Enrolment tokens, by EnrollmentToken::State.
  std::int64_t used_tokens = 0;
  std::int64_t expired_tokens = 0;
  std::int64_t revoked_tokens = 0;

  friend bool operator==(const Inventory&, const Inventory&) = default;
};

// Where a list of enrolment tokens goes on: after the token of this time and id.
struct TokenCursor {
  absl::Time create_time = absl::InfiniteFuture();
  std::string id;
};

// Keeps all that provisioning owns. Thread-safe.
//
// Every method may return UNAVAILABLE when the backend cannot be reached. What OK answers is
// committed. Callbacks run inside a transaction, may run more than once, and have no side effect of
// their own; when one returns an error nothing is written and that error is returned. What each
// implementation must do is checked in
// tests/services/provisioning/storage/provisioning_store_contract.h.
class ProvisioningStore {
 public:
  ProvisioningStore() = default;
  ProvisioningStore(const ProvisioningStore&) = delete;
  ProvisioningStore& operator=(const ProvisioningStore&) = delete;
  virtual ~ProvisioningStore() = default;

  // ALREADY_EXISTS if the id is taken.
  virtual absl::Status InsertProject(const Project& project) = 0;
  // NOT_FOUND.
  virtual absl::StatusOr<Project> GetProject(absl::string_view id) = 0;
  // At most `limit` projects, by id, after `after`.
  virtual absl::StatusOr<std::vector<Project>> ListProjects(absl::string_view after, int limit) = 0;

  // NOT_FOUND if there is no such project. ALREADY_EXISTS if the id is taken; the same with reason
  // DEVICE_EXISTS if a device of the token's device_id is.
  virtual absl::Status InsertEnrollmentToken(const EnrollmentToken& token) = 0;
  // At most `limit` tokens, newest first, ids breaking ties, after `after`.
  virtual absl::StatusOr<std::vector<EnrollmentToken>> ListEnrollmentTokens(
      absl::string_view project, const TokenCursor& after, int limit) = 0;
  // NOT_FOUND if the project has no such token.
  virtual absl::StatusOr<EnrollmentToken> UpdateEnrollmentToken(
      absl::string_view project, absl::string_view id,
      absl::FunctionRef<absl::Status(EnrollmentToken&)> change) = 0;

  // Uses a token, as one step: `decide` sees the token (of any project) and, if it was used, the
  // device that used it (else nullptr). It changes the token and returns the device, which is
  // inserted or updated under a new revision. NOT_FOUND if there is no such token; ALREADY_EXISTS,
  // reason DEVICE_EXISTS, if a new device's id is taken.
  virtual absl::StatusOr<Device> Enroll(
      absl::string_view token_id,
      absl::FunctionRef<absl::StatusOr<Device>(EnrollmentToken&, const Device*)> decide) = 0;

  // NOT_FOUND.
  virtual absl::StatusOr<Device> GetDevice(absl::string_view project, absl::string_view id) = 0;
  // At most `limit` devices, by id, after `after`.
  virtual absl::StatusOr<std::vector<Device>> ListDevices(absl::string_view project,
                                                          absl::string_view after, int limit) = 0;
  // Writes the device back under a new revision; a change that changes nothing keeps the old one.
  // NOT_FOUND.
  virtual absl::StatusOr<Device> UpdateDevice(absl::string_view project, absl::string_view id,
                                              absl::FunctionRef<absl::Status(Device&)> change) = 0;
  // At most `limit` devices of any project whose revision is more than `revision`, in its order. A
  // revision that is visible here is never followed by the appearance of a lower one.
  virtual absl::StatusOr<std::vector<Device>> DevicesAfter(std::int64_t revision, int limit) = 0;

  // NOT_FOUND if there is no such project; ALREADY_EXISTS if the id is taken.
  virtual absl::Status InsertApiToken(const ApiToken& token) = 0;
  // NOT_FOUND.
  virtual absl::StatusOr<ApiToken> GetApiToken(absl::string_view id) = 0;
  // At most `limit` tokens, by id, after `after`.
  virtual absl::StatusOr<std::vector<ApiToken>> ListApiTokens(absl::string_view after,
                                                              int limit) = 0;
  // NOT_FOUND.
  virtual absl::StatusOr<ApiToken> UpdateApiToken(
      absl::string_view id, absl::FunctionRef<absl::Status(ApiToken&)> change) = 0;

  virtual absl::StatusOr<Inventory> Count(absl::Time now) = 0;
};

}  // namespace fieldloop::provisioning

#endif  // FIELDLOOP_SERVICES_PROVISIONING_DOMAIN_PROVISIONING_STORE_H_
