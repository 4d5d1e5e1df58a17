// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_SYNC_GROUP_COMMIT_H_
#define FIELDLOOP_SERVICES_COMMON_SYNC_GROUP_COMMIT_H_

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace fieldloop {

// Lets callers share a step whose cost is the same for one and for many, such as a sync of a disk
// or the commit of a transaction. While one group is on its way, the next one gathers; its first
// member then takes it on its own thread, so nobody waits for company and no thread idles.
// Thread-safe.
template <typename Item>
class GroupCommit {
 public:
  // `commit` does the step for 1 to `max_items` items and leaves each one's outcome in it. It is
  // never called twice at a time. It must not throw.
  GroupCommit(std::size_t max_items, std::function<void(const std::vector<Item*>&)> commit)
      : max_items_(max_items), commit_(std::move(commit)) {}
  GroupCommit(const GroupCommit&) = delete;
  GroupCommit& operator=(const GroupCommit&) = delete;

  // Returns when `item` has been through `commit`, which began after this call did.
  void Run(Item& item) {
    std::unique_lock<std::mutex> lock(mutex_);
    if (waiting_.empty() || waiting_.back()->items.size() >= max_items_) {
      waiting_.push_back(std::make_shared<Group>());
    }
    const std::shared_ptr<Group> group = waiting_.back();
    group->items.push_back(&item);
    group->changed.wait(lock, [&] { return group->done || (!busy_ && waiting_.front() == group); });
    if (group->done) {
      return;
    }
    busy_ = true;
    waiting_.pop_front();
    lock.unlock();
    commit_(group->items);
    lock.lock();
    busy_ = false;
    group->done = true;
    group->changed.notify_all();
    if (!waiting_.empty()) {
      waiting_.front()->changed.notify_one();
    }
  }

  // Callers that no step has taken yet.
  std::size_t waiting() {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::size_t count = 0;
    for (const auto& group : waiting_) {
      count += group->items.size();
    }
    return count;
  }

 private:
  struct Group {
    std::vector<Item*> items;
    std::condition_variable changed;
    bool done = false;
  };

  const std::size_t max_items_;
  const std::function<void(const std::vector<Item*>&)> commit_;
  // Not Mutex: a condition variable needs the standard one.
  std::mutex mutex_;
  std::deque<std::shared_ptr<Group>> waiting_;  // Only the last one gathers.
  bool busy_ = false;
};

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_SYNC_GROUP_COMMIT_H_
