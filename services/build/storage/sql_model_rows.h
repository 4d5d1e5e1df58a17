// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_STORAGE_SQL_MODEL_ROWS_H_
#define FIELDLOOP_SERVICES_BUILD_STORAGE_SQL_MODEL_ROWS_H_

#include <cstdint>
#include <string>
#include <vector>

#include <soci/soci.h>

#include "absl/status/statusor.h"
#include "services/build/domain/model.h"
#include "services/build/domain/model_store.h"

namespace fieldloop::build {

// Rows of the table models, shared by the stores of builds and of models. Included by .cc files
// only; throws what SOCI throws.

// Inserts `model` under the project's next number, and returns that.
std::int64_t InsertModel(soci::session& session, const Model& model);

// Models of `project` with their aliases: the one with `number`, or for 0 those that `filter` lets
// through with numbers below `before`, newest first, at most `limit`.
absl::StatusOr<std::vector<Model>> SelectModels(soci::session& session, const std::string& project,
                                                std::int64_t number, const ModelFilter& filter,
                                                std::int64_t before, int limit);

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_STORAGE_SQL_MODEL_ROWS_H_
