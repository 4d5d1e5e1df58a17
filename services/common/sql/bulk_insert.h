// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_SQL_BULK_INSERT_H_
#define FIELDLOOP_SERVICES_COMMON_SQL_BULK_INSERT_H_

#include <cstddef>
#include <string>
#include <variant>
#include <vector>

namespace soci {
class session;
struct postgresql_session_backend;
}  // namespace soci

namespace fieldloop {

// Many rows for one table, column by column, inserted by one statement: on PostgreSQL in one round
// trip, for which SOCI's own vectors would take one for each row. Not thread-safe.
//
//   BulkInsert("labels").Column("project", projects).Column("number", numbers).Run(session);
class BulkInsert {
 public:
  explicit BulkInsert(std::string table);

  // All columns have as many values as there are rows, and outlive Run. A double may be infinite.
  BulkInsert& Column(std::string name, const std::vector<std::string>& values);
  BulkInsert& Column(std::string name, const std::vector<int>& values);
  // SOCI 4.0 binds long long, not std::int64_t. NOLINTNEXTLINE(google-runtime-int)
  BulkInsert& Column(std::string name, const std::vector<long long>& values);
  BulkInsert& Column(std::string name, const std::vector<double>& values);

  // Does nothing if there are no rows. Throws what SOCI throws.
  void Run(soci::session& session) const;

 private:
  struct NamedColumn {
    std::string name;
    std::variant<const std::vector<std::string>*, const std::vector<int>*,
                 const std::vector<long long>*,  // NOLINT(google-runtime-int)
                 const std::vector<double>*>
        values;
  };
  std::size_t Rows() const;
  void RunOnPostgres(soci::postgresql_session_backend& postgres) const;

  const std::string table_;
  std::vector<NamedColumn> columns_;
};

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_SQL_BULK_INSERT_H_
