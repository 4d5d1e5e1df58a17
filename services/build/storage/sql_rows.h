// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_STORAGE_SQL_ROWS_H_
#define FIELDLOOP_SERVICES_BUILD_STORAGE_SQL_ROWS_H_

#include <string>

#include <soci/soci.h>

#include "services/common/sql/select.h"

namespace fieldloop::build {

// What `row.Into` adds the columns to, as to session.prepare.
class Columns {
 public:
  explicit Columns(soci::statement& statement) : statement_(statement) {}
  template <typename Into>
  Columns& operator,(const Into& into) {
    statement_.exchange(into);
    return *this;
  }

 private:
  soci::statement& statement_;
};

// Runs a SELECT whose columns `row.Into` takes, and calls `take(row)` for each row. `uses` are
// bound to the placeholders in the order in which they appear. Throws what SOCI throws: for use
// within Database::Read and Write. Included by .cc files only.
template <typename Row, typename Take, typename... Uses>
void SelectRows(soci::session& session, const std::string& sql, Take take, const Uses&... uses) {
  Row row;
  soci::statement statement(session);
  Columns columns(statement);
  row.Into(columns);
  (statement.exchange(soci::use(uses)), ...);
  fieldloop::Select(statement, sql, [&] { take(row); });
}

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_STORAGE_SQL_ROWS_H_
