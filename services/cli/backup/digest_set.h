// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_CLI_BACKUP_DIGEST_SET_H_
#define FIELDLOOP_SERVICES_CLI_BACKUP_DIGEST_SET_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/string_view.h"
#include "services/common/crypto/digest.h"

namespace fieldloop::cli {

// SHA-256 digests, of which an installation may have millions: 32 bytes each.
class DigestSet {
 public:
  // `hex` has 64 digits. True if it is new.
  bool Insert(absl::string_view hex) { return digests_.insert(Pack(hex)).second; }
  bool Contains(absl::string_view hex) const { return digests_.contains(Pack(hex)); }
  std::size_t size() const { return digests_.size(); }
  // In their order, as hex.
  std::vector<std::string> Sorted() const {
    std::vector<std::string> sorted;
    sorted.reserve(digests_.size());
    for (const Digest& digest : digests_) {
      sorted.push_back(ToHex(absl::string_view(digest.data(), digest.size())));
    }
    std::sort(sorted.begin(), sorted.end());
    return sorted;
  }

 private:
  using Digest = std::array<char, 32>;
  static Digest Pack(absl::string_view hex) {
    Digest digest{};
    const std::string bytes = FromHex(hex).value_or("");
    std::copy_n(bytes.begin(), std::min(bytes.size(), digest.size()), digest.begin());
    return digest;
  }
  absl::flat_hash_set<Digest> digests_;
};

}  // namespace fieldloop::cli

#endif  // FIELDLOOP_SERVICES_CLI_BACKUP_DIGEST_SET_H_
