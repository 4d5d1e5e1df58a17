// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_STORAGE_SQL_ROWS_H_
#define FIELDLOOP_SERVICES_BUILD_STORAGE_SQL_ROWS_H_

#include <string>

#include <soci/soci.h>

namespace fieldloop::build {

// Runs a SELECT whose columns `row.Into` takes, and calls `take(row)` for each row. `uses` are
// bound to the placeholders in the order in which they appear. Throws what SOCI throws: for use
// within Database::Read and Write. Included by .cc files only.
template <typename Row, typename Take, typename... Uses>
void SelectRows(soci::session& session, const std::string& sql, Take take, const Uses&... uses) {
  Row row;
  soci::details::prepare_temp_type prepared = session.prepare << sql;
  static_cast<void>((prepared, ..., soci::use(uses)));
  row.Into(prepared);
  soci::statement statement(prepared);
  statement.execute();
  while (statement.fetch()) {
    take(row);
  }
}

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_STORAGE_SQL_ROWS_H_
