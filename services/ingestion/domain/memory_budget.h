// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_INGESTION_DOMAIN_MEMORY_BUDGET_H_
#define FIELDLOOP_SERVICES_INGESTION_DOMAIN_MEMORY_BUDGET_H_

#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "services/common/sync/mutex.h"

namespace fieldloop::ingestion {

// Bounds the memory of all uploads together. Nothing waits for it: two uploads that each hold half
// would wait for ever. Thread-safe.
class MemoryBudget {
 public:
  explicit MemoryBudget(std::int64_t bytes) : free_bytes_(bytes) {}
  MemoryBudget(const MemoryBudget&) = delete;
  MemoryBudget& operator=(const MemoryBudget&) = delete;

  // A part of the budget, given back when it goes.
  class Share {
   public:
    explicit Share(MemoryBudget& budget) : budget_(budget) {}
    ~Share() { budget_.Release(held_bytes_); }
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;

    // Takes `bytes` more. False, and nothing taken, if there are not so many.
    bool Grow(std::int64_t bytes) {
      if (!budget_.Take(bytes)) {
        return false;
      }
      held_bytes_ += bytes;
      return true;
    }

   private:
    MemoryBudget& budget_;
    std::int64_t held_bytes_ = 0;
  };

 private:
  bool Take(std::int64_t bytes) {
    const MutexLock lock(mutex_);
    if (bytes > free_bytes_) {
      return false;
    }
    free_bytes_ -= bytes;
    return true;
  }
  void Release(std::int64_t bytes) {
    const MutexLock lock(mutex_);
    free_bytes_ += bytes;
  }

  Mutex mutex_;
  std::int64_t free_bytes_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_SERVICES_INGESTION_DOMAIN_MEMORY_BUDGET_H_
