// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/audit/audit_chain.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "services/common/crypto/digest.h"

namespace fieldloop {
namespace {

constexpr char kFormat[] = "fieldloop-audit-1";

}  // namespace

std::string CanonicalBytes(const AuditEntry& entry) {
  std::string bytes;
  const auto add = [&bytes](const std::string& text) {
    absl::StrAppend(&bytes, text.size(), ":", text, ",");
  };
  add(kFormat);
  add(absl::StrCat(entry.sequence));
  const AuditRecord& record = entry.record;
  add(absl::StrCat(record.time_ms));
  for (const std::string* text :
       {&record.subject, &record.role, &record.method, &record.target, &record.outcome,
        &record.request_id, &record.trace_id, &entry.previous_hash}) {
    add(*text);
  }
  return bytes;
}

std::string HashOf(const AuditEntry& entry) { return ToHex(Sha256Of(CanonicalBytes(entry))); }

AuditEntry Chained(const AuditHead& head, AuditRecord record) {
  AuditEntry entry{.sequence = head.sequence + 1,
                   .record = std::move(record),
                   .previous_hash = head.hash,
                   .hash = ""};
  entry.hash = HashOf(entry);
  return entry;
}

absl::Status AuditChainCheck::Take(const AuditEntry& entry) {
  if (entry.sequence != head_.sequence + 1) {
    return absl::DataLossError(absl::StrCat("entry ", head_.sequence + 1, " is not there: entry ",
                                            entry.sequence, " comes after entry ", head_.sequence));
  }
  if (entry.previous_hash != head_.hash) {
    return absl::DataLossError(absl::StrCat("entry ", entry.sequence,
                                            " does not follow on the one before: it names ",
                                            entry.previous_hash, ", that has ", head_.hash));
  }
  if (const std::string hash = HashOf(entry); hash != entry.hash) {
    return absl::DataLossError(absl::StrCat("entry ", entry.sequence, " was changed: its hash is ",
                                            entry.hash, ", what it says has ", hash));
  }
  head_ = {.sequence = entry.sequence, .hash = entry.hash};
  return absl::OkStatus();
}

absl::Status AuditChainCheck::Finish(const AuditHead& said) const {
  if (said == head_) {
    return absl::OkStatus();
  }
  return absl::DataLossError(absl::StrCat("the chain ends with entry ", head_.sequence, ", hash ",
                                          head_.hash, "; the service appended entry ",
                                          said.sequence, ", hash ", said.hash, ", last"));
}

}  // namespace fieldloop
