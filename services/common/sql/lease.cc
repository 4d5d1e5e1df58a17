// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/sql/lease.h"

#include <utility>

#include <soci/soci.h>

#include "services/common/status/status_macros.h"

namespace fieldloop {

LeaseTable::LeaseTable(Database& database, const Clock& clock, std::string owner)
    : database_(database), clock_(clock), owner_(std::move(owner)) {}

absl::StatusOr<bool> LeaseTable::Acquire(absl::string_view name, absl::Duration duration) {
  const long long now = absl::ToUnixMicros(clock_.Now());
  const long long expire = now + absl::ToInt64Microseconds(duration);
  const std::string key(name);
  std::string holder;
  FIELDLOOP_RETURN_IF_ERROR(database_.Write([&](soci::session& session) {
    session << "INSERT INTO fieldloop_leases (name, owner, expire_micros) "
               "VALUES (:name, :owner, :expire) ON CONFLICT (name) DO UPDATE SET "
               "owner = excluded.owner, expire_micros = excluded.expire_micros "
               "WHERE fieldloop_leases.owner = excluded.owner "
               "OR fieldloop_leases.expire_micros < :now",
        soci::use(key, "name"), soci::use(owner_, "owner"), soci::use(expire, "expire"),
        soci::use(now, "now");
    session << "SELECT owner FROM fieldloop_leases WHERE name = :name", soci::use(key),
        soci::into(holder);
    return absl::OkStatus();
  }));
  return holder == owner_;
}

absl::Status LeaseTable::Release(absl::string_view name) {
  const std::string key(name);
  return database_.Write([&](soci::session& session) {
    session << "DELETE FROM fieldloop_leases WHERE name = :name AND owner = :owner",
        soci::use(key, "name"), soci::use(owner_, "owner");
    return absl::OkStatus();
  });
}

}  // namespace fieldloop
