// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0
//
// Tries what flash and power can do to a device, in every scenario, and prints how often.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>

#include "agent/src/crc32.h"
#include "tests/faults/explorer.h"
#include "tests/faults/mutation.h"
#include "tests/faults/network.h"
#include "tests/faults/scenarios.h"

// The agent's own, which crc32_fast.cc stands for.
extern "C" uint32_t fl_crc32_of_agent(uint32_t crc, const void* data, size_t size);

namespace fieldloop::faults {
namespace {

bool CrcsAgree() {
  Random random(1);
  uint8_t bytes[256];
  for (uint8_t& byte : bytes) byte = random.Byte();
  for (size_t size = 0; size < 200; ++size) {
    const auto crc = static_cast<uint32_t>(random.Next());
    const uint8_t* at = bytes + random.Next() % 50;
    if (fl_crc32(crc, at, size) != fl_crc32_of_agent(crc, at, size)) return false;
  }
  return true;
}

struct Options {
  bool full = false;
  bool network = false;        // The network alone.
  std::string scenario;        // Empty for all.
  std::string geometry;        // Empty for all; else its name.
  std::vector<CutPoint> cuts;  // With --cut.
  OneFault fault;              // With --ignore, --fail-read, --dead.
  bool replay = false;
};

int Usage() {
  std::fprintf(
      stderr,
      "usage: fieldloop-faults [--full] [--network]\n"
      "       fieldloop-faults [--full] [--scenario NAME] [--geometry NAME] [--cut N:WAY[,N:WAY]]\n"
      "  --full      every scenario on every geometry (hours); else a part of them\n"
      "  --network   the network's faults alone; with --full at every byte\n"
      "  --cut       one run, told step by step, with the power cut in operation N\n"
      "  --ignore N, --fail-read N, --dead AREA:SECTOR:AFTER[:w]   the same with another fault\n");
  return 2;
}

bool ParseCuts(const char* text, std::vector<CutPoint>* cuts) {
  while (std::strcmp(text, "none") != 0 && *text != '\0') {
    char* end = nullptr;
    const uint64_t operation = std::strtoull(text, &end, 10);
    if (*end != ':') return false;
    const int way = static_cast<int>(std::strtol(end + 1, &end, 10));
    cuts->push_back({operation, way});
    if (*end != ',' && *end != '\0') return false;
    text = *end == ',' ? end + 1 : end;
  }
  return true;
}

bool ParseDead(const char* text, OneFault* fault) {
  unsigned long long after = 0;
  char writes[3] = "";
  const int count =
      std::sscanf(text, "%u:%u:%llu%2s", &fault->dead_area, &fault->dead_sector, &after, writes);
  fault->dead_after = after;
  fault->dead_for_writes = std::strcmp(writes, ":w") == 0;
  return (count == 3 || fault->dead_for_writes) && fault->dead_area < kAreas;
}

std::vector<Geometry> Chosen(const Options& options) {
  const std::vector<Geometry> some = {{8, 2048, 0xff, false},
                                      {32, 4096, 0x00, false},
                                      {8, 32768, 0xff, false},
                                      {1, 2048, 0xff, false},
                                      {16, 2048, 0xff, true}};
  std::vector<Geometry> chosen;
  for (const Geometry& geometry : options.full || !options.geometry.empty() ? Geometries() : some) {
    if (options.geometry.empty() || geometry.Name() == options.geometry) chosen.push_back(geometry);
  }
  return chosen;
}

// Says which there are if what was asked for is not among them.
bool ScenarioAndGeometryAreThere(const Options& options) {
  std::vector<std::string> scenarios;
  std::vector<std::string> geometries;
  for (const Geometry& geometry : Geometries()) geometries.push_back(geometry.Name());
  for (const Scenario& scenario : Scenarios(Geometries().front())) {
    scenarios.push_back(scenario.name);
  }
  const auto check = [](const char* what, const std::string& name,
                        const std::vector<std::string>& names) {
    if (name.empty() || std::find(names.begin(), names.end(), name) != names.end()) return true;
    std::fprintf(stderr, "there is no %s \"%s\"; there are:\n", what, name.c_str());
    for (const std::string& other : names) std::fprintf(stderr, "  %s\n", other.c_str());
    return false;
  };
  return check("scenario", options.scenario, scenarios) &&
         check("geometry", options.geometry, geometries);
}

Plan PlanOf(const Options& options, bool first) {
  Plan plan;
  if (options.full) {
    plan.second_stride = 1;
    plan.read_stride = first ? 1 : 16;
    plan.flip_stride = first ? 1 : 64;
    plan.dead_moments = 9;
    plan.record_dies_everywhere = true;
  } else {
    plan.second_stride = first ? 23 : 0;
    plan.read_stride = 17;
    plan.flip_stride = 97;
    plan.dead_moments = 3;
    plan.record_dies_everywhere = first;
  }
  return plan;
}

// The test of the test: what is deliberately broken must be found.
bool FindMutations() {
  bool all_found = true;
  std::printf("\n%-52s %s\n", "broken on purpose", "found after so many faults");
  for (const NamedMutation& mutation : Mutations()) {
    const Geometry geometry = {16, 2048, 0xff, mutation.mutation == Mutation::kNoSync};
    Plan plan;
    plan.mutation = mutation.mutation;
    plan.stop_at_first = true;
    plan.ignore_stride = plan.read_stride = plan.flip_stride = 0;
    if (mutation.mutation == Mutation::kDeadWithoutEnd) {
      plan.dead_moments = 2;
      plan.stride = 0;
    }
    Counts counts;
    for (const uint64_t second_stride : {uint64_t{0}, uint64_t{1}}) {
      plan.second_stride = second_stride;
      for (const Scenario& scenario : Scenarios(geometry)) {
        if (counts.wrong > 0 || (second_stride != 0 && !scenario.twice)) continue;
        Explorer explorer(scenario, geometry, plan);
        explorer.Run();
        counts.Add(explorer.counts());
        if (counts.wrong == 0) continue;
        std::printf(
            "%-52s %llu\n    %s\n", mutation.name,
            static_cast<unsigned long long>(counts.cuts + counts.second_cuts + counts.dead_sectors),
            explorer.findings().front().c_str());
      }
    }
    if (counts.wrong == 0) {
      std::printf("%-52s never, and that is wrong\n", mutation.name);
      all_found = false;
    }
  }
  return all_found;
}

bool Network(const Options& options) {
  std::vector<std::string> findings;
  std::printf("\n%-27s %10s %6s\n", "network", "tried", "wrong");
  const std::vector<NetworkCounts> counts =
      TryNetwork({8, 2048, 0xff, false}, options.full ? 1 : 23, &findings);
  for (const NetworkCounts& count : counts) {
    std::printf("%-27s %10llu %6llu\n", count.name.c_str(),
                static_cast<unsigned long long>(count.tried),
                static_cast<unsigned long long>(count.wrong));
  }
  for (const std::string& finding : findings) std::printf("%s\n", finding.c_str());
  return findings.empty();
}

int Run(const Options& options) {
  if (!CrcsAgree()) {
    std::fprintf(stderr, "crc32_fast.cc and agent/src/crc32.c disagree\n");
    return 1;
  }
  if (!ScenarioAndGeometryAreThere(options)) return 2;
  if (options.network) {
    if (options.replay || !options.scenario.empty() || !options.geometry.empty()) return Usage();
    return Network(options) ? 0 : 1;
  }
  std::map<std::string, Counts> by_scenario;
  std::vector<std::string> order;
  std::vector<std::string> findings;
  Counts all;
  size_t number = 0;
  for (const Geometry& geometry : Chosen(options)) {
    const Plan plan = PlanOf(options, number == 0 && options.geometry.empty());
    ++number;
    if (options.full) std::fprintf(stderr, "%s\n", geometry.Name().c_str());
    for (const Scenario& scenario : Scenarios(geometry)) {
      if (!options.scenario.empty() && scenario.name != options.scenario) continue;
      Explorer explorer(scenario, geometry, plan);
      if (options.replay) {
        const std::string wrong = explorer.Replay(options.cuts, options.fault);
        std::printf("%s: %s\n", scenario.name.c_str(),
                    wrong.empty() ? "reaches its goal" : wrong.c_str());
        return wrong.empty() ? 0 : 1;
      }
      explorer.Run();
      if (by_scenario.count(scenario.name) == 0) order.push_back(scenario.name);
      by_scenario[scenario.name].Add(explorer.counts());
      all.Add(explorer.counts());
      findings.insert(findings.end(), explorer.findings().begin(), explorer.findings().end());
    }
  }
  std::printf("%-27s %10s %10s %11s %9s %9s %9s %9s %6s\n", "scenario", "operations", "cuts",
              "second cuts", "ignored", "reads", "flips", "dead", "wrong");
  order.push_back("all");
  by_scenario["all"] = all;
  for (const std::string& name : order) {
    const Counts& counts = by_scenario[name];
    std::printf("%-27s %10llu %10llu %11llu %9llu %9llu %9llu %9llu %6llu\n", name.c_str(),
                static_cast<unsigned long long>(counts.operations),
                static_cast<unsigned long long>(counts.cuts),
                static_cast<unsigned long long>(counts.second_cuts),
                static_cast<unsigned long long>(counts.ignored),
                static_cast<unsigned long long>(counts.failed_reads),
                static_cast<unsigned long long>(counts.flips),
                static_cast<unsigned long long>(counts.dead_sectors),
                static_cast<unsigned long long>(counts.wrong));
  }
  for (size_t i = 0; i < findings.size() && i < 40; ++i) std::printf("%s\n", findings[i].c_str());
  std::printf("%zu geometries, %llu faults tried, %llu wrong\n", number,
              static_cast<unsigned long long>(all.cuts + all.second_cuts + all.ignored +
                                              all.failed_reads + all.flips + all.dead_sectors),
              static_cast<unsigned long long>(all.wrong));
  bool good = all.wrong == 0 && all.cuts > 0;
  if (options.scenario.empty() && options.geometry.empty()) {
    good = Network(options) && good;
    good = FindMutations() && good;
  }
  return good ? 0 : 1;
}

}  // namespace
}  // namespace fieldloop::faults

int main(int argc, char** argv) {
  fieldloop::faults::Options options;
  for (int i = 1; i < argc; ++i) {
    const bool has_value = i + 1 < argc;
    if (std::strcmp(argv[i], "--full") == 0) {
      options.full = true;
    } else if (std::strcmp(argv[i], "--network") == 0) {
      options.network = true;
    } else if (std::strcmp(argv[i], "--scenario") == 0 && has_value) {
      options.scenario = argv[++i];
    } else if (std::strcmp(argv[i], "--geometry") == 0 && has_value) {
      options.geometry = argv[++i];
    } else if (std::strcmp(argv[i], "--cut") == 0 && has_value) {
      options.replay = true;
      if (!fieldloop::faults::ParseCuts(argv[++i], &options.cuts))
        return fieldloop::faults::Usage();
    } else if (std::strcmp(argv[i], "--ignore") == 0 && has_value) {
      options.replay = true;
      options.fault.ignored = std::strtoull(argv[++i], nullptr, 10);
    } else if (std::strcmp(argv[i], "--fail-read") == 0 && has_value) {
      options.replay = true;
      options.fault.failed_read = std::strtoull(argv[++i], nullptr, 10);
    } else if (std::strcmp(argv[i], "--dead") == 0 && has_value) {
      options.replay = true;
      if (!fieldloop::faults::ParseDead(argv[++i], &options.fault))
        return fieldloop::faults::Usage();
    } else {
      return fieldloop::faults::Usage();
    }
  }
  return fieldloop::faults::Run(options);
}
