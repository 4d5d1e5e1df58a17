// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_DISTRIBUTION_STORAGE_GROUP_COMMIT_H_
#define FIELDLOOP_SERVICES_DISTRIBUTION_STORAGE_GROUP_COMMIT_H_

#include <condition_variable>
#include <mutex>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "services/common/sql/database.h"

namespace fieldloop::distribution {

// Commits what several threads write at the same time as one transaction: a commit costs a sync of
// the disk, however much is in it. The thread that comes first commits for those that came while
// the one before was at it. Thread-safe.
class GroupCommit {
 public:
  explicit GroupCommit(Database& database);
  GroupCommit(const GroupCommit&) = delete;
  GroupCommit& operator=(const GroupCommit&) = delete;

  // As Database::Write, with two rules: an error that `body` returns must come before its first
  // write, and `body` may run more than once.
  absl::Status Write(absl::FunctionRef<absl::Status(soci::session&)> body);

 private:
  using Body = absl::FunctionRef<absl::Status(soci::session&)>;
  struct Waiter {
    const Body* body = nullptr;
    absl::Status status;
    bool done = false;
  };

  void CommitAll(const std::vector<Waiter*>& group);

  Database& database_;
  std::mutex mutex_;
  std::condition_variable turn_;
  std::vector<Waiter*> waiting_;
  bool committing_ = false;
};

}  // namespace fieldloop::distribution

#endif  // FIELDLOOP_SERVICES_DISTRIBUTION_STORAGE_GROUP_COMMIT_H_
