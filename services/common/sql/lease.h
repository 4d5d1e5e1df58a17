// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_SQL_LEASE_H_
#define FIELDLOOP_SERVICES_COMMON_SQL_LEASE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "services/common/clock/clock.h"
#include "services/common/sql/database.h"

namespace fieldloop {

// Background work is done by whoever holds its lease, so that N replicas do it once. The table is
// made by Database::Open. Work must be safe to do twice all the same: a holder may stall past its
// time. Thread-safe.
class LeaseTable {
 public:
  // `owner` tells this process from all others.
  LeaseTable(Database& database, const Clock& clock, std::string owner);

  // Takes or renews lease `name` for `duration`. True if it is ours now.
  absl::StatusOr<bool> Acquire(absl::string_view name, absl::Duration duration);
  // Gives it back at once, for a clean stop.
  absl::Status Release(absl::string_view name);

 private:
  Database& database_;
  const Clock& clock_;
  std::string owner_;
};

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_SQL_LEASE_H_
