// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_SQL_POSTGRES_PROBE_H_
#define FIELDLOOP_SERVICES_COMMON_SQL_POSTGRES_PROBE_H_

#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

struct pg_conn;

namespace fieldloop {

// A connection to PostgreSQL that is made when it is first needed, to look whether the server does
// its work. By libpq itself: SOCI would wait for an answer without end. Thread-safe.
class PostgresProbe {
 public:
  // A URI of libpq; its connect_timeout holds for connecting, `patience` for the answer.
  PostgresProbe(std::string uri, absl::Duration patience);
  ~PostgresProbe();
  PostgresProbe(const PostgresProbe&) = delete;
  PostgresProbe& operator=(const PostgresProbe&) = delete;

  // UNAVAILABLE, with what libpq says, if the server cannot be reached or takes no writes;
  // DEADLINE_EXCEEDED if it did not answer.
  absl::Status Check();

 private:
  absl::Status Ask();
  bool AwaitAnswer();
  void Disconnect();

  const std::string uri_;
  const absl::Duration patience_;
  std::mutex mutex_;
  pg_conn* connection_ = nullptr;
};

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_SQL_POSTGRES_PROBE_H_
