// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_DOMAIN_TRUST_H_
#define FIELDLOOP_SERVICES_BUILD_DOMAIN_TRUST_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace fieldloop::build {

// One signature: `key_id` is the first 8 bytes of the public key's SHA-256, `value` r || s.
struct Signature {
  std::string key_id;
  std::string value;
  friend bool operator==(const Signature&, const Signature&) = default;
};

// Which keys speak for a role, and how many must agree.
struct TrustedRole {
  std::vector<std::uint32_t> key_indices;
  std::uint32_t threshold = 0;
};

// A root document with the bytes that were signed.
struct Root {
  std::uint32_t version = 0;
  std::uint64_t expires_s = 0;  // Unix seconds; 0: never.
  std::vector<std::string> keys;
  TrustedRole root;
  TrustedRole release;
  TrustedRole directive;
  std::string payload;
  std::vector<Signature> signatures;
};

// The documents that say whose signature counts. Does not change; thread-safe.
class RootChain {
 public:
  // No root: nothing is trusted.
  RootChain() = default;

  // Takes the documents in any order and checks them as a device does: versions without a gap, each
  // signed by the thresholds of the one before and of itself. INVALID_ARGUMENT says what is wrong.
  static absl::StatusOr<RootChain> Make(std::vector<Root> roots);

  bool empty() const { return roots_.empty(); }
  // Oldest first.
  const std::vector<Root>& roots() const { return roots_; }

  // OK if there is a root and it has not expired; FAILED_PRECONDITION, reason ROOT_NOT_CONFIGURED
  // or ROOT_EXPIRED.
  absl::Status CheckCurrent(absl::Time now) const;

  // The public key of the release role with this id; "" if the role has none.
  std::string ReleaseKey(absl::string_view key_id) const;

  // True if enough different keys of the newest root's release role have signed `payload` as a
  // manifest. Signatures that do not verify, or by other keys, do not count.
  bool IsReleaseSigned(absl::string_view payload, const std::vector<Signature>& signatures,
                       absl::Time now) const;

 private:
  std::vector<Root> roots_;
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_DOMAIN_TRUST_H_
