// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/audit/audit_log.h"

#include <cstddef>
#include <string>

#include <soci/soci.h>

#include "absl/strings/escaping.h"

namespace fieldloop {
namespace {

constexpr std::size_t kMostAtATime = 256;
constexpr std::size_t kMaxTextBytes = 512;

// SOCI 4.0 binds long long, not std::int64_t. NOLINTBEGIN(google-runtime-int)

// Some texts come from callers; what is hashed must come back from any database as it is.
std::string Clean(const std::string& text) { return absl::CEscape(text).substr(0, kMaxTextBytes); }

AuditRecord Clean(const AuditRecord& record) {
  return {.time_ms = record.time_ms,
          .subject = Clean(record.subject),
          .role = Clean(record.role),
          .method = Clean(record.method),
          .target = Clean(record.target),
          .outcome = Clean(record.outcome),
          .request_id = Clean(record.request_id),
          .trace_id = Clean(record.trace_id)};
}

AuditHead SelectHead(soci::session& session) {
  long long sequence = 0;
  std::string hash;
  session << "SELECT sequence, hash FROM audit_head", soci::into(sequence), soci::into(hash);
  return {.sequence = sequence, .hash = hash};
}

void Insert(soci::session& session, const AuditEntry& entry) {
  const AuditRecord& record = entry.record;
  const long long sequence = entry.sequence;
  const long long time_ms = record.time_ms;
  session << "INSERT INTO audit_entries (sequence, time_ms, subject, role, method, target, "
             "outcome, request_id, trace_id, previous_hash, hash) VALUES (:sequence, :time, "
             ":subject, :role, :method, :target, :outcome, :request, :trace, :previous, :hash)",
      soci::use(sequence), soci::use(time_ms), soci::use(record.subject), soci::use(record.role),
      soci::use(record.method), soci::use(record.target), soci::use(record.outcome),
      soci::use(record.request_id), soci::use(record.trace_id), soci::use(entry.previous_hash),
      soci::use(entry.hash);
}

}  // namespace

AuditLog::AuditLog(Database& database)
    : database_(database), commits_(kMostAtATime, [this](const std::vector<Waiting*>& group) {
        const absl::Status committed = Commit(group);
        for (Waiting* waiting : group) {
          waiting->status = committed;
        }
      }) {}

absl::Status AuditLog::Append(const AuditRecord& record) {
  const AuditRecord clean = Clean(record);
  Waiting waiting{.record = &clean, .status = {}};
  commits_.Run(waiting);
  return waiting.status;
}

absl::Status AuditLog::Commit(const std::vector<Waiting*>& group) {
  return database_.Write([&](soci::session& session) {
    // The lock of the row comes before it is read: the chain cannot fork.
    session << "UPDATE audit_head SET sequence = sequence";
    AuditHead head = SelectHead(session);
    for (const Waiting* waiting : group) {
      const AuditEntry entry = Chained(head, *waiting->record);
      Insert(session, entry);
      head = {.sequence = entry.sequence, .hash = entry.hash};
    }
    const long long sequence = head.sequence;
    session << "UPDATE audit_head SET sequence = :sequence, hash = :hash", soci::use(sequence),
        soci::use(head.hash);
    return absl::OkStatus();
  });
}

absl::StatusOr<AuditLog::Page> AuditLog::List(std::int64_t after, std::int64_t since_ms,
                                              int limit) {
  Page page;
  const absl::Status read = database_.Read([&](soci::session& session) {
    page = {};
    const long long behind = after;
    const long long since = since_ms;
    long long sequence = 0;
    long long time_ms = 0;
    AuditEntry entry;
    AuditRecord& record = entry.record;
    soci::statement statement =
        (session.prepare << "SELECT sequence, time_ms, subject, role, method, target, outcome, "
                            "request_id, trace_id, previous_hash, hash FROM audit_entries WHERE "
                            "sequence > :after AND time_ms >= :since ORDER BY sequence LIMIT "
                            ":limit",
         soci::use(behind), soci::use(since), soci::use(limit), soci::into(sequence),
         soci::into(time_ms), soci::into(record.subject), soci::into(record.role),
         soci::into(record.method), soci::into(record.target), soci::into(record.outcome),
         soci::into(record.request_id), soci::into(record.trace_id),
         soci::into(entry.previous_hash), soci::into(entry.hash));
    statement.execute();
    while (statement.fetch()) {
      entry.sequence = sequence;
      record.time_ms = time_ms;
      page.entries.push_back(entry);
    }
    page.head = SelectHead(session);
    return absl::OkStatus();
  });
  if (!read.ok()) {
    return read;
  }
  return page;
}

// NOLINTEND(google-runtime-int)

}  // namespace fieldloop
