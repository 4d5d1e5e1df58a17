// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_AUDIT_AUDIT_LOG_H_
#define FIELDLOOP_SERVICES_COMMON_AUDIT_AUDIT_LOG_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/common/audit/audit_chain.h"
#include "services/common/sql/database.h"
#include "services/common/sync/group_commit.h"

namespace fieldloop {

// The audit log of a service, in the tables audit_entries and audit_head of its schema. Replicas
// append to one chain: a transaction takes the row of audit_head first, so that of two at a time
// one begins again. Thread-safe.
class AuditLog {
 public:
  // `database` must outlive this object.
  explicit AuditLog(Database& database);

  // Returns when the record is committed at the end of the chain, with what is not printable ASCII
  // escaped as in C, and no text longer than 512 bytes. What threads append at a time is one
  // transaction. UNAVAILABLE, after which it may be there nevertheless; RESOURCE_EXHAUSTED.
  absl::Status Append(const AuditRecord& record);

  struct Page {
    std::vector<AuditEntry> entries;
    AuditHead head;  // When they were read.
  };
  // Entries behind number `after` from time `since_ms` on, at most `limit`, oldest first.
  absl::StatusOr<Page> List(std::int64_t after, std::int64_t since_ms, int limit);

 private:
  struct Waiting {
    const AuditRecord* record = nullptr;
    absl::Status status;
  };
  absl::Status Commit(const std::vector<Waiting*>& group);

  Database& database_;
  GroupCommit<Waiting> commits_;
};

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_AUDIT_AUDIT_LOG_H_
