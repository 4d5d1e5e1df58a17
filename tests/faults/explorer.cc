// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "tests/faults/explorer.h"

#include <algorithm>
#include <cstdio>

#include "tests/faults/scenarios.h"

namespace fieldloop::faults {
namespace {

constexpr int kDepthOfSecond = 2;
constexpr size_t kFindingsKept = 5;

// What flash that does not do its duty may cost: never the model, the trust or the convergence.
constexpr Tolerance kFlashIgnores = {.lost_uplinks = true, .repeated_phases = true};
constexpr Tolerance kBitsFlip = {
    .lost_uplinks = true, .no_model = true, .repeated_phases = true, .older_state = true};

constexpr Tolerance kSectorIsDead = {.lost_uplinks = true,
                                     .no_model = true,
                                     .repeated_phases = true,
                                     .older_state = true,
                                     .own_end = true};
// Of a run with a sector that is dead: a backoff that grows, and an hour.
constexpr int kConnectionsAllowed = 100;

// Where the power is cut twice it stays away until the next full ten minutes, so that what differs
// in its time only is the same from there on.
constexpr uint64_t kOutageMs = 600'000;

void CutPower(World& world, const Scenario& scenario, const Operation& operation, int way) {
  world.server.Disconnect();
  world.flash.Cut(operation, way);
  if (!scenario.twice) return;
  world.now = (world.now / kOutageMs + 1) * kOutageMs;
  world.signal_ms = kNowMs + world.now;
}

// With a stride, other operations in each run.
uint64_t StartOfStride(const std::vector<CutPoint>& path) {
  Hasher hasher;
  for (const CutPoint& cut : path) hasher.Add(cut.operation).Add(static_cast<uint64_t>(cut.way));
  return path.empty() ? 0 : hasher.Get() >> 8;
}

std::string Text(const std::vector<CutPoint>& path) {
  std::string text;
  for (const CutPoint& cut : path) {
    text +=
        (text.empty() ? "" : ",") + std::to_string(cut.operation) + ":" + std::to_string(cut.way);
  }
  return text;
}

const char* KindName(Operation::Kind kind) {
  switch (kind) {
    case Operation::kErase:
      return "erase";
    case Operation::kSync:
      return "sync";
    case Operation::kRequestSwap:
      return "request of a swap";
    case Operation::kConfirm:
      return "confirmation";
    default:
      return "program";
  }
}

// Cuts the world's power where a path says; from there on another device runs on.
class Replayer : public FlashObserver {
 public:
  Replayer(World& world, const Scenario& scenario, std::optional<CutPoint> cut)
      : world_(world), scenario_(scenario), cut_(cut) {}

  void BeforeOperation(const Operation& operation) override {
    ++number_;
    if (Device::trace) {
      std::printf("   %llu: %s area %u at %u, %u bytes\n", static_cast<unsigned long long>(number_),
                  KindName(operation.kind), operation.area, operation.offset, operation.size);
    }
    if (!cut_.has_value() || number_ != cut_->operation) return;
    after_ = std::make_unique<World>(world_);
    CutPower(*after_, scenario_, operation, cut_->way);
  }
  std::unique_ptr<World> TakeAfter() { return std::move(after_); }

 private:
  World& world_;
  const Scenario& scenario_;
  std::optional<CutPoint> cut_;
  uint64_t number_ = 0;
  std::unique_ptr<World> after_;
};

}  // namespace

void Counts::Add(const Counts& other) {
  operations += other.operations;
  cuts += other.cuts;
  second_cuts += other.second_cuts;
  distinct += other.distinct;
  ignored += other.ignored;
  failed_reads += other.failed_reads;
  flips += other.flips;
  dead_sectors += other.dead_sectors;
  wrong += other.wrong;
}

// At every operation of a run, makes a copy of the world, cuts its power and lets it go on.
class Explorer::Forker : public FlashObserver {
 public:
  Forker(Explorer& explorer, World& world, int depth, std::vector<CutPoint>& path)
      : explorer_(explorer),
        world_(world),
        depth_(depth),
        path_(path),
        start_(StartOfStride(path)) {}

  void BeforeOperation(const Operation& operation) override {
    ++number_;
    const Plan& plan = explorer_.plan_;
    const uint64_t stride = depth_ == 1 ? plan.stride : plan.second_stride;
    if ((number_ + start_) % stride != 0 || explorer_.Enough()) return;
    for (int way = 0; way < world_.flash.WaysToCut(operation); ++way) {
      path_.push_back({number_, way});
      World after = world_;
      CutPower(after, explorer_.scenario_, operation, way);
      ++(depth_ == 1 ? explorer_.counts_.cuts : explorer_.counts_.second_cuts);
      explorer_.Cuts(after, depth_ + 1, path_);
      path_.pop_back();
    }
  }

 private:
  Explorer& explorer_;
  World& world_;
  const int depth_;
  std::vector<CutPoint>& path_;
  const uint64_t start_;
  uint64_t number_ = 0;
};

void Explorer::Found(const std::string& how, const std::string& what) {
  ++counts_.wrong;
  if (findings_.size() < kFindingsKept) {
    findings_.push_back(scenario_.name + ", " + geometry_.Name() + ", " + how + ": " + what);
  }
}

// Runs a world to its goal; on the way its power is cut at every operation, down to some depth.
void Explorer::Cuts(World& world, int depth, std::vector<CutPoint>& path) {
  Forker forker(*this, world, depth, path);
  const bool cut_again =
      depth == 1 || (depth == kDepthOfSecond && plan_.second_stride != 0 && scenario_.twice);
  Memory memory;
  // With a stride a state is left with other cuts each time.
  if (depth > 1 && (!cut_again || plan_.second_stride == 1)) {
    memory.states = cut_again ? &before_second_cut_ : &after_cuts_;
    memory.also = cut_again ? nullptr : &before_second_cut_;
    memory.faults = cut_again ? &counts_.second_cuts : nullptr;
  }
  world.flash.Observe(cut_again ? &forker : nullptr);
  Device device(world, scenario_, plan_.mutation);
  const std::string wrong = device.Run({}, operations_allowed_, memory);
  world.flash.Observe(nullptr);
  if (depth > 1 && !device.was_known()) ++counts_.distinct;
  if (!wrong.empty()) Found("--cut " + (path.empty() ? "none" : Text(path)), wrong);
}

void Explorer::Ignores(const World& start, uint64_t operations) {
  for (uint64_t number = 1; number <= operations && !Enough(); number += plan_.ignore_stride) {
    World world = start;
    world.flash.IgnoreOperation(number);
    ++counts_.ignored;
    const std::string wrong =
        Device(world, scenario_, plan_.mutation).Run(kFlashIgnores, operations_allowed_);
    if (!wrong.empty()) Found("operation " + std::to_string(number) + " ignored", wrong);
  }
}

void Explorer::FailedReads(const World& start, uint64_t reads) {
  for (uint64_t number = 1; number <= reads && !Enough(); number += plan_.read_stride) {
    World world = start;
    world.flash.FailRead(number);
    ++counts_.failed_reads;
    const std::string wrong = Device(world, scenario_, plan_.mutation).Run({}, operations_allowed_);
    if (!wrong.empty()) Found("read " + std::to_string(number) + " failed", wrong);
  }
}

void Explorer::Flips(const World& end) {
  uint64_t number = 0;
  for (uint32_t area = 0; area < kAreas; ++area) {
    for (uint32_t offset = 0; offset < end.flash.SizeOf(area) && !Enough(); ++offset) {
      if (!end.flash.HasContent(area, offset)) {
        offset += FlashModel::kPage - 1;
        continue;
      }
      if (++number % plan_.flip_stride != 0) continue;
      World world = end;
      world.flash.FlipBit(area, offset, static_cast<int>(Random(number).Next() % 8));
      ++counts_.flips;
      const std::string wrong =
          Device(world, scenario_, plan_.mutation).Run(kBitsFlip, operations_allowed_);
      if (!wrong.empty()) {
        Found("a bit flipped in area " + std::to_string(area) + " at " + std::to_string(offset),
              wrong);
      }
    }
  }
}

std::string Explorer::RunWithDeadSector(World& world, const OneFault& fault) {
  // Flash that failed once fails again: what is offered has ended with that.
  Scenario scenario = scenario_;
  scenario.script.storage_failure_ends = true;
  world.server.script = &scenario.script;
  world.flash.KillSector(fault.dead_area, fault.dead_sector, fault.dead_after,
                         fault.dead_for_writes);
  const bool record = fault.dead_area == kState && fault.dead_sector < 2;
  Tolerance tolerance = kSectorIsDead;
  tolerance.mixed_sets = fault.dead_area == kFirmware;
  uint32_t dropped = 0;
  for (const bool restarted : {false, true}) {
    Device device(world, scenario, plan_.mutation);
    Replayer replayer(world, scenario, std::nullopt);
    if (Device::trace) world.flash.Observe(&replayer);
    // A model may be fetched again, and windows go on meanwhile.
    std::string wrong = device.Run(tolerance, 2 * operations_allowed_);
    world.flash.Observe(nullptr);
    if (!wrong.empty()) return wrong;
    if (device.connections() > kConnectionsAllowed) return "connects too often";
    if (restarted && fault.dead_area == kOutbox && !scenario.may_drop &&
        device.dropped() > dropped) {
      return "uplinks are dropped though other sectors have room";
    }
    dropped = device.dropped();
    if (!restarted) continue;
    // Not that the sector held the only copy of the identity, or of the record.
    if (!world.seen->enrolled) continue;
    if (!device.was_heard()) return "the server does not hear of it";
    if (!record && !device.told_what_runs()) return "the server is not told what runs";
    // With the newest record lost, and its firmware here, it may be the one on trial.
    const bool runs = record ? device.runs_model() : device.runs_confirmed_model();
    if (world.seen->had_model && !runs && (!record || device.has_confirmed_model())) {
      return "the confirmed model does not run";
    }
  }
  return "";
}

void Explorer::DeadSector(const World& start, OneFault fault) {
  for (const bool for_writes : {false, true}) {
    if (Enough()) return;
    fault.dead_for_writes = for_writes;
    World world = start;
    ++counts_.dead_sectors;
    const std::string wrong = RunWithDeadSector(world, fault);
    if (wrong.empty()) continue;
    Found("--dead " + std::to_string(fault.dead_area) + ":" + std::to_string(fault.dead_sector) +
              ":" + std::to_string(fault.dead_after) + (for_writes ? ":w" : ""),
          wrong);
  }
}

// Each sector that cannot be read, or neither read nor written, from some moment on. Each start
// comes to its end; the confirmed model runs, or is fetched again if the sector was part of it; and
// the server hears of that, unless nothing can be remembered any more.
void Explorer::DeadSectors(const World& start, uint64_t operations) {
  for (uint64_t moment = 0; moment < plan_.dead_moments; ++moment) {
    OneFault fault;
    fault.dead_after = operations * moment / std::max<uint64_t>(plan_.dead_moments - 1, 1);
    for (fault.dead_area = 0; fault.dead_area < kAreas; ++fault.dead_area) {
      const uint32_t sectors = start.flash.SizeOf(fault.dead_area) / geometry_.sector;
      for (fault.dead_sector = 0; fault.dead_sector < sectors; ++fault.dead_sector) {
        DeadSector(start, fault);
      }
    }
  }
  for (uint64_t after = 1; plan_.record_dies_everywhere && after < operations; ++after) {
    for (const uint32_t sector : {0u, 1u}) {
      DeadSector(start, {.dead_area = kState, .dead_sector = sector, .dead_after = after});
    }
  }
}

void Explorer::Run() {
  std::string wrong;
  const World start = StartOf(scenario_, geometry_, &wrong);
  if (!wrong.empty()) {
    Found("before the start", wrong);
    return;
  }
  // Undisturbed, to know what is normal.
  World world = start;
  wrong = Device(world, scenario_, plan_.mutation).Run();
  if (!wrong.empty()) {
    Found("undisturbed", wrong);
    return;
  }
  const uint64_t operations = world.flash.operations() - start.flash.operations();
  const uint64_t reads = world.flash.reads() - start.flash.reads();
  counts_.operations = operations;
  operations_allowed_ = 3 * operations + 200;
  if (plan_.stride != 0) {
    World first = start;
    std::vector<CutPoint> path;
    Cuts(first, 1, path);
  }
  if (plan_.ignore_stride != 0) Ignores(start, operations);
  if (plan_.read_stride != 0) FailedReads(start, reads);
  if (plan_.flip_stride != 0) Flips(world);
  DeadSectors(start, operations);
}

std::string Explorer::Replay(const std::vector<CutPoint>& cuts, const OneFault& fault) {
  std::string wrong;
  auto world = std::make_unique<World>(StartOf(scenario_, geometry_, &wrong));
  if (!wrong.empty()) return "before the start: " + wrong;
  Device::trace = true;
  world->flash.IgnoreOperation(fault.ignored);
  world->flash.FailRead(fault.failed_read);
  if (fault.dead_area < kAreas) return RunWithDeadSector(*world, fault);
  Tolerance tolerance;
  if (fault.ignored != 0) tolerance = kFlashIgnores;
  for (size_t i = 0; i <= cuts.size(); ++i) {
    Replayer replayer(*world, scenario_, i < cuts.size() ? std::optional(cuts[i]) : std::nullopt);
    world->flash.Observe(&replayer);
    wrong = Device(*world, scenario_, plan_.mutation).Run(tolerance);
    world->flash.Observe(nullptr);
    if (i == cuts.size()) break;
    std::unique_ptr<World> after = replayer.TakeAfter();
    if (after == nullptr) return "there is no such operation";
    std::printf("==== cut %llu:%d\n", static_cast<unsigned long long>(cuts[i].operation),
                cuts[i].way);
    world = std::move(after);
  }
  return wrong;
}

}  // namespace fieldloop::faults
