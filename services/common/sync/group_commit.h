// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_SYNC_GROUP_COMMIT_H_
#define FIELDLOOP_SERVICES_COMMON_SYNC_GROUP_COMMIT_H_

#include <cstddef>
#include <deque>
#include <functional>
#include <semaphore.h>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "services/common/sync/mutex.h"

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
    Caller self(item);
    {
      const MutexLock lock(mutex_);
      if (busy_) {
        waiting_.push_back(&self);
      } else {
        busy_ = true;
        self.leads = true;
      }
    }
    if (!self.leads) {
      self.Wait();
      if (!self.leads) {
        return;
      }
    }
    Lead(self);
  }

  // Callers that no step has taken yet.
  std::size_t waiting() {
    const MutexLock lock(mutex_);
    return waiting_.size();
  }

 private:
  // Each has a semaphore of its own, so that who is woken has nothing to wait for. Not one of the
  // standard library, which spins before it sleeps: a step takes longer than that.
  struct Caller {
    explicit Caller(Item& in_item) : item(&in_item) { ::sem_init(&woken, 0, 0); }
    ~Caller() { ::sem_destroy(&woken); }
    Caller(const Caller&) = delete;
    Caller& operator=(const Caller&) = delete;

    void Wait() {
      while (::sem_wait(&woken) != 0) {  // A signal came.
      }
    }
    void Wake() { ::sem_post(&woken); }

    Item* item;
    bool leads = false;  // Written before Wake.
    sem_t woken;
  };

  // Takes the group that gathered through `commit`, wakes it, and hands over to the next one.
  void Lead(Caller& self) {
    std::vector<Item*> items = {self.item};
    std::vector<Caller*> others;
    {
      const MutexLock lock(mutex_);
      while (!waiting_.empty() && items.size() < max_items_) {
        others.push_back(waiting_.front());
        items.push_back(waiting_.front()->item);
        waiting_.pop_front();
      }
    }
    commit_(items);
    Caller* next = nullptr;
    {
      const MutexLock lock(mutex_);
      if (waiting_.empty()) {
        busy_ = false;
      } else {
        next = waiting_.front();
        waiting_.pop_front();
      }
    }
    if (next != nullptr) {
      next->leads = true;
      next->Wake();
    }
    for (Caller* other : others) {
      other->Wake();
    }
  }

  const std::size_t max_items_;
  const std::function<void(const std::vector<Item*>&)> commit_;
  Mutex mutex_;
  std::deque<Caller*> waiting_ ABSL_GUARDED_BY(mutex_);
  bool busy_ ABSL_GUARDED_BY(mutex_) = false;  // Somebody leads.
};

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_SYNC_GROUP_COMMIT_H_
