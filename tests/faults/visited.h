// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_FAULTS_VISITED_H_
#define FIELDLOOP_TESTS_FAULTS_VISITED_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace fieldloop::faults {

// What lies between a state and the goal, which is reached from it.
struct Future {
  uint64_t ms = 0;
  uint64_t faults = 0;  // That were tried on the way.
  uint32_t operations = 0;
  uint32_t polls = 0;
  uint32_t restarts = 0;
};

// States, by hash, from which all went well: what is deterministic and begins alike goes on alike,
// so none is gone through twice.
class Visited {
 public:
  const Future* Find(uint64_t hash) const {
    for (size_t at = Slot(hash);; at = (at + 1) & (slots_.size() - 1)) {
      if (slots_[at].hash == hash) return &slots_[at].future;
      if (slots_[at].hash == 0) return nullptr;
    }
  }
  void Insert(uint64_t hash, const Future& future) {
    if (hash == 0 || Find(hash) != nullptr) return;
    if (2 * ++count_ > slots_.size()) {
      std::vector<Entry> old(2 * slots_.size());
      old.swap(slots_);
      for (const Entry& entry : old) {
        if (entry.hash != 0) Put(entry);
      }
    }
    Put({hash, future});
  }

 private:
  struct Entry {
    uint64_t hash = 0;  // 0: free.
    Future future;
  };
  size_t Slot(uint64_t hash) const { return static_cast<size_t>(hash) & (slots_.size() - 1); }
  void Put(const Entry& entry) {
    size_t at = Slot(entry.hash);
    while (slots_[at].hash != 0) at = (at + 1) & (slots_.size() - 1);
    slots_[at] = entry;
  }

  std::vector<Entry> slots_ = std::vector<Entry>(1024);
  size_t count_ = 0;
};

}  // namespace fieldloop::faults

#endif  // FIELDLOOP_TESTS_FAULTS_VISITED_H_
