// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "tests/support/postgres/postgres_database.h"

#include <cstdlib>
#include <fstream>
#include <string>
#include <utility>

#include <soci/postgresql/soci-postgresql.h>
#include <soci/soci.h>
#include <sys/wait.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "services/common/crypto/digest.h"

namespace fieldloop::testing {
namespace {

// Empty if there is no such file.
std::string FirstLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// The exit code of postgres_server.py.
int Control(const std::string& command, const std::string& file) {
  const int status = std::system(
      absl::StrCat("/usr/bin/python3 ", FIELDLOOP_POSTGRES_SERVER, " ", command, " ", file)
          .c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

std::unique_ptr<PostgresDatabase> PostgresDatabase::Make() {
  std::string server = FirstLine(FIELDLOOP_POSTGRES_FILE);
  if (server.empty()) {
    return nullptr;
  }
  std::string name = absl::StrCat("test_", ToHex(RandomBytes(8)));
  soci::session(soci::postgresql, server) << "CREATE DATABASE " << name;
  return std::unique_ptr<PostgresDatabase>(
      new PostgresDatabase(std::move(server), std::move(name)));
}

PostgresDatabase::PostgresDatabase(std::string server, std::string name)
    : server_(std::move(server)), name_(std::move(name)) {}

PostgresDatabase::~PostgresDatabase() {
  soci::session(soci::postgresql, server_) << "DROP DATABASE " << name_ << " WITH (FORCE)";
}

std::string PostgresDatabase::uri() const {
  return absl::StrReplaceAll(server_, {{"/postgres?", absl::StrCat("/", name_, "?")}});
}

std::unique_ptr<PostgresServer> PostgresServer::Start(const std::string& folder) {
  const std::string file = folder + "/postgres";
  return Control("start", file) == 0 ? std::unique_ptr<PostgresServer>(new PostgresServer(file))
                                     : nullptr;
}

PostgresServer::PostgresServer(std::string file) : file_(std::move(file)) {}

PostgresServer::~PostgresServer() { Control("stop", file_); }

std::string PostgresServer::uri() const { return FirstLine(file_); }

bool PostgresServer::Crash() { return Control("crash", file_) == 0; }

bool PostgresServer::Restart() { return Control("restart", file_) == 0; }

}  // namespace fieldloop::testing
