// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_DISTRIBUTION_STORAGE_SQL_ROLLOUT_STORE_H_
#define FIELDLOOP_SERVICES_DISTRIBUTION_STORAGE_SQL_ROLLOUT_STORE_H_

#include <memory>

#include "services/common/sql/database.h"
#include "services/distribution/domain/rollout_store.h"
#include "services/distribution/storage/group_commit.h"

namespace fieldloop::distribution {

// Keeps rollouts in `database`. Both must outlive the store.
std::unique_ptr<RolloutStore> MakeSqlRolloutStore(Database& database, GroupCommit& commits);

}  // namespace fieldloop::distribution

#endif  // FIELDLOOP_SERVICES_DISTRIBUTION_STORAGE_SQL_ROLLOUT_STORE_H_
