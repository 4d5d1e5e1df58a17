// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_SUPPORT_POSTGRES_POSTGRES_DATABASE_H_
#define FIELDLOOP_TESTS_SUPPORT_POSTGRES_POSTGRES_DATABASE_H_

#include <memory>
#include <string>

namespace fieldloop::testing {

// What a test that needs PostgreSQL says when it is skipped.
inline constexpr char kNoPostgres[] =
    "no PostgreSQL server: run the test by ctest, which starts one if postgresql-15 is installed";

// An empty database of the server that ctest's fixture "postgres" started, dropped with the object.
class PostgresDatabase {
 public:
  // Null if no server was started.
  static std::unique_ptr<PostgresDatabase> Make();
  ~PostgresDatabase();
  PostgresDatabase(const PostgresDatabase&) = delete;
  PostgresDatabase& operator=(const PostgresDatabase&) = delete;

  std::string uri() const;

 private:
  PostgresDatabase(std::string server, std::string name);
  const std::string server_;  // URI of the database that is always there.
  const std::string name_;
};

// A server of its own, for a test that kills it.
class PostgresServer {
 public:
  // Null if PostgreSQL is not installed.
  static std::unique_ptr<PostgresServer> Start(const std::string& folder);
  ~PostgresServer();
  PostgresServer(const PostgresServer&) = delete;
  PostgresServer& operator=(const PostgresServer&) = delete;

  std::string uri() const;
  // As a crash does. True if it is down.
  bool Crash();
  // After a crash, which is made if there was none. True if it runs again.
  bool Restart();

 private:
  explicit PostgresServer(std::string file);
  const std::string file_;
};

}  // namespace fieldloop::testing

#endif  // FIELDLOOP_TESTS_SUPPORT_POSTGRES_POSTGRES_DATABASE_H_
