// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_SERVICES_PROVISIONING_DOMAIN_FAKE_SECURITY_H_
#define FIELDLOOP_TESTS_SERVICES_PROVISIONING_DOMAIN_FAKE_SECURITY_H_

#include <deque>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "services/provisioning/domain/device_authority.h"
#include "services/provisioning/domain/secret_source.h"

namespace fieldloop::provisioning {

// Counts instead of drawing lots. `next_ids` come first. For one thread.
class FakeSecretSource final : public SecretSource {
 public:
  std::deque<std::string> next_ids;

  std::string NewId(int bytes) override {
    if (!next_ids.empty()) {
      std::string id = next_ids.front();
      next_ids.pop_front();
      return id;
    }
    return absl::StrFormat("%0*x", 2 * bytes, ++count_);
  }
  std::string NewSecret(absl::string_view prefix) override {
    return absl::StrCat(prefix, "secret", ++count_);
  }
  std::string DigestOf(absl::string_view data) override { return absl::StrCat("#", data); }
  bool SameDigest(absl::string_view a, absl::string_view b) override { return a == b; }

 private:
  int count_ = 0;
};

// A request is "KEY" or "KEY/anything"; "" is a bad one. A certificate says who got it.
class FakeDeviceAuthority final : public DeviceAuthority {
 public:
  absl::StatusOr<std::string> PublicKeyOf(absl::string_view csr) override {
    if (csr.empty()) {
      return absl::InvalidArgumentError("csr: bad");
    }
    return std::string(csr.substr(0, csr.find('/')));
  }
  absl::StatusOr<std::string> Issue(absl::string_view csr, absl::string_view common_name,
                                    absl::Time not_before, absl::Time not_after) override {
    return absl::StrCat(*PublicKeyOf(csr), " is ", common_name, " from ",
                        absl::ToUnixSeconds(not_before), " to ", absl::ToUnixSeconds(not_after));
  }
  std::string Certificate() override { return "issuer"; }
};

}  // namespace fieldloop::provisioning

#endif  // FIELDLOOP_TESTS_SERVICES_PROVISIONING_DOMAIN_FAKE_SECURITY_H_
