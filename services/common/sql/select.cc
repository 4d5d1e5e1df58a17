// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/sql/select.h"

namespace fieldloop {

void Select(soci::statement& statement, const std::string& sql, absl::FunctionRef<void()> take) {
  statement.alloc();
  statement.prepare(sql, soci::details::st_one_time_query);
  statement.define_and_bind();
  statement.execute();
  while (statement.fetch()) {
    take();
  }
}

}  // namespace fieldloop
