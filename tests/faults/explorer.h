// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_FAULTS_EXPLORER_H_
#define FIELDLOOP_TESTS_FAULTS_EXPLORER_H_

#include <string>
#include <vector>

#include "tests/faults/device.h"

namespace fieldloop::faults {

// A fault of one run, for Replay().
struct OneFault {
  uint64_t ignored = 0;
  uint64_t failed_read = 0;
  uint32_t dead_area = kAreas;  // kAreas: none.
  uint32_t dead_sector = 0;
  uint64_t dead_after = 0;  // Operations.
  bool dead_for_writes = false;
};

// A cut: before which operation of its run, and in which way.
struct CutPoint {
  uint64_t operation;
  int way;
};

struct Counts {
  uint64_t operations = 0;  // Of the undisturbed run.
  uint64_t cuts = 0;
  uint64_t second_cuts = 0;
  uint64_t distinct = 0;  // Of all cuts: those that left a world that none before had left.
  uint64_t ignored = 0;
  uint64_t failed_reads = 0;
  uint64_t flips = 0;
  uint64_t dead_sectors = 0;
  uint64_t wrong = 0;

  void Add(const Counts& other);
};

struct Plan {
  // Every n-th operation is cut, in all ways; of the second cuts likewise.
  uint64_t stride = 1;
  uint64_t second_stride = 0;  // 0: no second cuts.
  uint64_t ignore_stride = 1;  // 0: none. So the others.
  uint64_t read_stride = 1;
  uint64_t flip_stride = 1;
  // Moments of a scenario, in even distances, at which each sector dies; the first one is its
  // start, the last one its end. 0: none. Those of the record: at each operation, too.
  uint64_t dead_moments = 0;
  bool record_dies_everywhere = false;
  Mutation mutation = Mutation::kNone;
  bool stop_at_first = false;  // Wrong thing found.
};

// Tries every fault of a plan on a scenario.
class Explorer {
 public:
  Explorer(const Scenario& scenario, const Geometry& geometry, const Plan& plan)
      : scenario_(scenario), geometry_(geometry), plan_(plan) {}

  void Run();
  // One run with the given cuts and, before them, the given fault, told step by step.
  std::string Replay(const std::vector<CutPoint>& cuts, const OneFault& fault);

  const Counts& counts() const { return counts_; }
  const std::vector<std::string>& findings() const { return findings_; }

 private:
  class Forker;
  friend class Forker;

  void Cuts(World& world, int depth, std::vector<CutPoint>& path);
  void Ignores(const World& start, uint64_t operations);
  void FailedReads(const World& start, uint64_t reads);
  void Flips(const World& end);
  void DeadSectors(const World& start, uint64_t operations);
  void DeadSector(const World& start, OneFault fault);
  // Runs a world in which a sector dies, restarts it, and looks at what it has come to.
  std::string RunWithDeadSector(World& world, const OneFault& fault);
  bool Enough() const { return plan_.stop_at_first && counts_.wrong > 0; }
  void Found(const std::string& how, const std::string& what);

  const Scenario& scenario_;
  const Geometry& geometry_;
  const Plan& plan_;
  uint64_t operations_allowed_ = UINT64_MAX / 4;
  Visited before_second_cut_;  // States in which the power is cut once more.
  Visited after_cuts_;
  Counts counts_;
  std::vector<std::string> findings_;
};

}  // namespace fieldloop::faults

#endif  // FIELDLOOP_TESTS_FAULTS_EXPLORER_H_
