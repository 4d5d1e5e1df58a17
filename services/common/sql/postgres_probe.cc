// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/sql/postgres_probe.h"

#include <chrono>
#include <memory>
#include <poll.h>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include <libpq-fe.h>

namespace fieldloop {
namespace {

// A standby that waits to be primary answers, and is of no use yet.
constexpr char kQuestion[] = "SHOW transaction_read_only";

using Result = std::unique_ptr<PGresult, decltype(&PQclear)>;

// The server's notices would go to standard error, between the lines of the log.
void Ignore(void* /*unused*/, const char* /*message*/) {}

}  // namespace

PostgresProbe::PostgresProbe(std::string uri, absl::Duration patience)
    : uri_(std::move(uri)), patience_(patience) {}

PostgresProbe::~PostgresProbe() { Disconnect(); }

absl::Status PostgresProbe::Check() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (connection_ != nullptr) {
    absl::Status status = Ask();
    if (!absl::IsUnavailable(status)) {
      return status;
    }
    // What the server has against this connection, it may not have against a new one.
  }
  connection_ = PQconnectdb(uri_.c_str());
  if (PQstatus(connection_) != CONNECTION_OK) {
    absl::Status status = absl::UnavailableError(PQerrorMessage(connection_));
    Disconnect();
    return status;
  }
  PQsetNoticeProcessor(connection_, Ignore, nullptr);
  return Ask();
}

// Ends the connection unless the answer is that all is well.
absl::Status PostgresProbe::Ask() {
  if (PQsendQuery(connection_, kQuestion) == 0) {
    absl::Status status = absl::UnavailableError(PQerrorMessage(connection_));
    Disconnect();
    return status;
  }
  absl::Status status;
  for (;;) {
    if (!AwaitAnswer()) {
      Disconnect();
      return absl::DeadlineExceededError(
          absl::StrCat("no answer within ", absl::FormatDuration(patience_)));
    }
    const Result result(PQgetResult(connection_), &PQclear);
    if (result == nullptr) {
      break;
    }
    if (PQresultStatus(result.get()) != PGRES_TUPLES_OK) {
      status = absl::UnavailableError(PQresultErrorMessage(result.get()));
    } else if (absl::string_view(PQgetvalue(result.get(), 0, 0)) != "off") {
      status = absl::UnavailableError("the server takes no writes: transaction_read_only is on");
    }
  }
  if (!status.ok()) {
    Disconnect();
  }
  return status;
}

// Until PQgetResult() would not block, which it does not either when the connection broke.
bool PostgresProbe::AwaitAnswer() {
  const auto limit = std::chrono::steady_clock::now() + absl::ToChronoMilliseconds(patience_);
  while (PQisBusy(connection_) != 0) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(limit - std::chrono::steady_clock::now());
    pollfd socket = {.fd = PQsocket(connection_), .events = POLLIN, .revents = 0};
    if (left.count() <= 0 || ::poll(&socket, 1, static_cast<int>(left.count())) == 0) {
      return false;
    }
    if (PQconsumeInput(connection_) == 0) {
      return true;
    }
  }
  return true;
}

void PostgresProbe::Disconnect() {
  PQfinish(connection_);
  connection_ = nullptr;
}

}  // namespace fieldloop
