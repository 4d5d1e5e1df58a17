// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "tests/faults/explorer.h"

#include <cstdio>

#include "tests/faults/scenarios.h"

namespace fieldloop::faults {
namespace {

constexpr int kDepthOfSecond = 2;
constexpr size_t kFindingsKept = 5;

// What flash that does not do its duty may cost: never the model, the trust or the convergence.
constexpr Tolerance kFlashIgnores = {
    .lost_uplinks = true, .repeated_phases = true, .failed_start = true};
constexpr Tolerance kReadsFail = {
    .lost_uplinks = true, .no_model = true, .repeated_phases = true, .failed_start = true};
constexpr Tolerance kBitsFlip = {
    .lost_uplinks = true, .no_model = true, .repeated_phases = true, .older_state = true};

uint64_t SeedOf(const std::vector<CutPoint>& path) {
  uint64_t seed = 17;
  for (const CutPoint& cut : path) {
    seed = Random(seed ^ (cut.operation * 64 + static_cast<uint64_t>(cut.way))).Next();
  }
  return seed;
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
  return kind == Operation::kErase ? "erase" : kind == Operation::kSync ? "sync" : "program";
}

// Cuts the world's power where a path says; from there on another device runs on.
class Replayer : public FlashObserver {
 public:
  Replayer(World& world, std::optional<CutPoint> cut, std::vector<CutPoint> path)
      : world_(world), cut_(cut), path_(std::move(path)) {}

  void BeforeOperation(const Operation& operation) override {
    ++number_;
    if (Device::trace) {
      std::printf("   %llu: %s area %u at %u, %u bytes\n", static_cast<unsigned long long>(number_),
                  KindName(operation.kind), operation.area, operation.offset, operation.size);
    }
    if (!cut_.has_value() || number_ != cut_->operation) return;
    after_ = std::make_unique<World>(world_);
    after_->server.Disconnect();
    after_->flash.Cut(operation, cut_->way, SeedOf(path_));
  }
  std::unique_ptr<World> TakeAfter() { return std::move(after_); }

 private:
  World& world_;
  std::optional<CutPoint> cut_;
  std::vector<CutPoint> path_;
  uint64_t number_ = 0;
  std::unique_ptr<World> after_;
};

}  // namespace

void Counts::Add(const Counts& other) {
  operations += other.operations;
  cuts += other.cuts;
  second_cuts += other.second_cuts;
  ignored += other.ignored;
  failed_reads += other.failed_reads;
  flips += other.flips;
  wrong += other.wrong;
}

// At every operation of a run, makes a copy of the world, cuts its power and lets it go on.
class Explorer::Forker : public FlashObserver {
 public:
  Forker(Explorer& explorer, World& world, int depth, std::vector<CutPoint>& path)
      : explorer_(explorer), world_(world), depth_(depth), path_(path) {}

  void BeforeOperation(const Operation& operation) override {
    ++number_;
    const Plan& plan = explorer_.plan_;
    const uint64_t stride = depth_ == 1 ? plan.stride : plan.second_stride;
    // With a stride, other operations in each run.
    if ((number_ + SeedOf(path_)) % stride != 0 || explorer_.Enough()) return;
    const int ways = world_.flash.WaysToCut(operation);
    const bool all_ways = depth_ == 1 || plan.second_all_ways;
    const auto first =
        all_ways ? 0
                 : static_cast<int>((number_ + SeedOf(path_) / 7) % static_cast<uint64_t>(ways));
    for (int way = first; way < (all_ways ? ways : first + 1); ++way) {
      path_.push_back({number_, way});
      World after = world_;
      after.server.Disconnect();
      after.flash.Cut(operation, way, SeedOf(path_));
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
  world.flash.Observe(cut_again ? &forker : nullptr);
  const std::string wrong = Device(world, scenario_, plan_.mutation).Run({}, operations_allowed_);
  world.flash.Observe(nullptr);
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
    const std::string wrong =
        Device(world, scenario_, plan_.mutation).Run(kReadsFail, operations_allowed_);
    if (!wrong.empty()) Found("read " + std::to_string(number) + " failed", wrong);
  }
}

void Explorer::Flips(const World& end) {
  const uint32_t sector = geometry_.sector;
  uint64_t number = 0;
  for (uint32_t area = 0; area < kAreas; ++area) {
    for (uint32_t offset = 0; offset < end.flash.SizeOf(area) && !Enough(); ++offset) {
      if (!end.flash.HasContent(area, offset / sector)) {
        offset += sector - 1;
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
}

std::string Explorer::Replay(const std::vector<CutPoint>& cuts, const OneFault& fault) {
  std::string wrong;
  auto world = std::make_unique<World>(StartOf(scenario_, geometry_, &wrong));
  if (!wrong.empty()) return "before the start: " + wrong;
  Device::trace = true;
  world->flash.IgnoreOperation(fault.ignored);
  world->flash.FailRead(fault.failed_read);
  Tolerance tolerance;
  if (fault.ignored != 0) tolerance = kFlashIgnores;
  if (fault.failed_read != 0) tolerance = kReadsFail;
  std::vector<CutPoint> path;
  for (size_t i = 0; i <= cuts.size(); ++i) {
    if (i < cuts.size()) path.push_back(cuts[i]);
    Replayer replayer(*world, i < cuts.size() ? std::optional(cuts[i]) : std::nullopt, path);
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
