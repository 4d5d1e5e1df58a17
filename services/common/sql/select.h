// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_SQL_SELECT_H_
#define FIELDLOOP_SERVICES_COMMON_SQL_SELECT_H_

#include <string>

#include <soci/soci.h>

#include "absl/functional/function_ref.h"

namespace fieldloop {

// Runs a SELECT with the columns and the values that `statement` exchanges already, and calls
// `take` when the columns hold a row, for each. It is one round trip to PostgreSQL; what
// session.prepare makes takes three. Throws what SOCI throws: for use within Database::Read and
// Write.
void Select(soci::statement& statement, const std::string& sql, absl::FunctionRef<void()> take);

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_SQL_SELECT_H_
