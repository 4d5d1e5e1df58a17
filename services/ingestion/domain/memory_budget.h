// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_INGESTION_DOMAIN_MEMORY_BUDGET_H_
#define FIELDLOOP_SERVICES_INGESTION_DOMAIN_MEMORY_BUDGET_H_

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace fieldloop::ingestion {

// Bounds the memory of all uploads together. Thread-safe.
class MemoryBudget {
 public:
  explicit MemoryBudget(std::int64_t bytes) : all_bytes_(bytes), free_bytes_(bytes) {}
  MemoryBudget(const MemoryBudget&) = delete;
  MemoryBudget& operator=(const MemoryBudget&) = delete;

  // A part of the budget, given back when it goes.
  class Share {
   public:
    explicit Share(MemoryBudget& budget) : budget_(budget) {}
    ~Share() { budget_.Release(held_bytes_); }
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;

    // Takes `bytes` more. False, and nothing taken, if there are not so many. What grows step by
    // step must not wait: two that each hold half would wait for ever.
    bool Grow(std::int64_t bytes) {
      if (!budget_.TryTake(bytes)) {
        return false;
      }
      held_bytes_ += bytes;
      return true;
    }

    // Waits, first come first served, until `bytes` are free (all, if there are not so many), and
    // takes them. For a share that holds nothing.
    void WaitFor(std::int64_t bytes) { held_bytes_ = budget_.TakeInTurn(bytes); }

   private:
    MemoryBudget& budget_;
    std::int64_t held_bytes_ = 0;
  };

 private:
  bool TryTake(std::int64_t bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (bytes > free_bytes_) {
      return false;
    }
    free_bytes_ -= bytes;
    return true;
  }

  std::int64_t TakeInTurn(std::int64_t bytes) {
    std::unique_lock<std::mutex> lock(mutex_);
    const std::int64_t wanted = std::min(bytes, all_bytes_);
    const std::uint64_t ticket = next_ticket_++;
    changed_.wait(lock, [&] { return ticket == serving_ && wanted <= free_bytes_; });
    free_bytes_ -= wanted;
    ++serving_;
    changed_.notify_all();
    return wanted;
  }

  void Release(std::int64_t bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    free_bytes_ += bytes;
    changed_.notify_all();
  }

  const std::int64_t all_bytes_;
  // Not Mutex: a condition variable needs the standard one.
  std::mutex mutex_;
  std::condition_variable changed_;
  std::int64_t free_bytes_;
  std::uint64_t next_ticket_ = 0;
  std::uint64_t serving_ = 0;
};

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_SERVICES_INGESTION_DOMAIN_MEMORY_BUDGET_H_
