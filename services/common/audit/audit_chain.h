// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_AUDIT_AUDIT_CHAIN_H_
#define FIELDLOOP_SERVICES_COMMON_AUDIT_AUDIT_CHAIN_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace fieldloop {

// What the audit log says of one call that was to change something. No secrets, no payloads.
struct AuditRecord {
  std::int64_t time_ms = 0;  // Unix time.
  std::string subject;       // "apiTokens/4f0c" or "services/evaluation".
  std::string role;  // "viewer", "operator", "admin", "ingest" that the call needed, or "service".
  std::string method;   // "fieldloop.build.v1.BuildService/CreateBuild".
  std::string target;   // Name of the resource; may be empty: the installation.
  std::string outcome;  // Code of gRPC: "OK", "PERMISSION_DENIED".
  std::string request_id;
  std::string trace_id;
  friend bool operator==(const AuditRecord&, const AuditRecord&) = default;
};

// The end of a chain: of one without entries, 0 and kNoAuditHash.
inline constexpr char kNoAuditHash[] =
    "0000000000000000000000000000000000000000000000000000000000000000";
struct AuditHead {
  std::int64_t sequence = 0;
  std::string hash = kNoAuditHash;
  friend bool operator==(const AuditHead&, const AuditHead&) = default;
};

// A record at its place in the chain of its service.
struct AuditEntry {
  std::int64_t sequence = 0;  // Counts from 1 without a gap.
  AuditRecord record;
  std::string previous_hash;  // That of the entry before; of the first, kNoAuditHash.
  std::string hash;           // HashOf it.
  friend bool operator==(const AuditEntry&, const AuditEntry&) = default;
};

// What is hashed: "fieldloop-audit-1", sequence and time in decimal, then the texts in the order of
// AuditRecord and previous_hash, each as a netstring, "LENGTH:BYTES,". No two entries have the same
// bytes. https://cr.yp.to/proto/netstrings.txt
std::string CanonicalBytes(const AuditEntry& entry);
// SHA-256 of that, in lower-case hex.
std::string HashOf(const AuditEntry& entry);

// The entry that follows on `head`.
AuditEntry Chained(const AuditHead& head, AuditRecord record);

// Follows a chain from its beginning.
class AuditChainCheck {
 public:
  // DATA_LOSS, saying what of `entry` is wrong, unless it follows on those before.
  absl::Status Take(const AuditEntry& entry);
  // DATA_LOSS unless the chain ends as its service says.
  absl::Status Finish(const AuditHead& said) const;
  const AuditHead& head() const { return head_; }

 private:
  AuditHead head_;
};

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_AUDIT_AUDIT_CHAIN_H_
