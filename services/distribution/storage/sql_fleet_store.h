// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_DISTRIBUTION_STORAGE_SQL_FLEET_STORE_H_
#define FIELDLOOP_SERVICES_DISTRIBUTION_STORAGE_SQL_FLEET_STORE_H_

#include <memory>

#include "services/common/sql/database.h"
#include "services/distribution/domain/fleet_store.h"
#include "services/distribution/storage/group_commit.h"

namespace fieldloop::distribution {

// Keeps device states and settings in `database`. Both must outlive the store.
std::unique_ptr<FleetStore> MakeSqlFleetStore(Database& database, GroupCommit& commits);

}  // namespace fieldloop::distribution

#endif  // FIELDLOOP_SERVICES_DISTRIBUTION_STORAGE_SQL_FLEET_STORE_H_
