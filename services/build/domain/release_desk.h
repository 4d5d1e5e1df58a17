// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_DOMAIN_RELEASE_DESK_H_
#define FIELDLOOP_SERVICES_BUILD_DOMAIN_RELEASE_DESK_H_

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "services/build/domain/artifact_store.h"
#include "services/build/domain/model_store.h"
#include "services/build/domain/page.h"
#include "services/build/domain/release.h"
#include "services/build/domain/release_store.h"
#include "services/build/domain/trust.h"
#include "services/common/clock/clock.h"
#include "services/common/crypto/signing.h"

namespace fieldloop::build {

// At least one of model, firmware and configuration is set.
struct ReleaseRequest {
  std::string model;
  std::string firmware;
  std::string configuration;
  std::vector<std::string> hardware_ids;  // Empty: all.
  std::optional<absl::Time> expire_time;  // Absent: 90 days from now.
};

// Makes, signs and shows releases. Arguments are as they came from the caller. Thread-safe.
class ReleaseDesk {
 public:
  using EncodeManifest = std::function<std::string(const Manifest&)>;

  // `keys` are those at hand; the ones that root does not give the release role do not sign. All
  // references must outlive this object.
  ReleaseDesk(ReleaseStore& releases, ModelStore& models, ArtifactStore& artifacts,
              const RootChain& roots, const std::vector<SigningKey>& keys, EncodeManifest encode,
              const Clock& clock);

  // FAILED_PRECONDITION, reason ROOT_NOT_CONFIGURED or ROOT_EXPIRED; NOT_FOUND if there is no such
  // model or artifact; INVALID_ARGUMENT.
  absl::StatusOr<Release> Create(absl::string_view parent, const ReleaseRequest& request,
                                 absl::string_view request_id);
  absl::StatusOr<Release> Get(absl::string_view name);
  absl::StatusOr<Page<Release>> List(absl::string_view parent, int page_size,
                                     absl::string_view page_token);
  // INVALID_ARGUMENT if it does not verify or the key has no release role. A second signature by
  // one key changes nothing.
  absl::StatusOr<Release> AddSignature(absl::string_view name, const Signature& signature);

 private:
  Release WithState(Release release) const;
  // Finds what the request names: its numbers in `release`, the rest in `components`, by kind.
  absl::Status Collect(const ReleaseRequest& request, Release& release,
                       std::vector<ManifestComponent>& components);

  ReleaseStore& releases_;
  ModelStore& models_;
  ArtifactStore& artifacts_;
  const RootChain& roots_;
  const std::vector<SigningKey>& keys_;
  const EncodeManifest encode_;
  const Clock& clock_;
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_DOMAIN_RELEASE_DESK_H_
