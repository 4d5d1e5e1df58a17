// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/distribution/storage/group_commit.h"

#include <soci/soci.h>

namespace fieldloop::distribution {

GroupCommit::GroupCommit(Database& database) : database_(database) {}

absl::Status GroupCommit::Write(absl::FunctionRef<absl::Status(soci::session&)> body) {
  Waiter self;
  self.body = &body;
  std::unique_lock<std::mutex> lock(mutex_);
  waiting_.push_back(&self);
  turn_.wait(lock, [&] { return self.done || !committing_; });
  if (self.done) {
    return self.status;
  }
  committing_ = true;
  std::vector<Waiter*> group;
  group.swap(waiting_);
  lock.unlock();
  CommitAll(group);
  lock.lock();
  for (Waiter* waiter : group) {
    waiter->done = true;
  }
  committing_ = false;
  turn_.notify_all();
  return self.status;
}

void GroupCommit::CommitAll(const std::vector<Waiter*>& group) {
  const absl::Status committed = database_.Write([&](soci::session& session) {
    for (Waiter* waiter : group) {
      waiter->status = (*waiter->body)(session);
    }
    return absl::OkStatus();
  });
  if (committed.ok()) {
    return;
  }
  if (group.size() == 1) {
    group.front()->status = committed;
    return;
  }
  // One may have spoilt it for all, by a constraint for example.
  for (Waiter* waiter : group) {
    waiter->status = database_.Write(*waiter->body);
  }
}

}  // namespace fieldloop::distribution
