// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// bench_rollout FOLDER DEVICES: one rollout to so many devices, on an SQLite file in FOLDER with
// every commit on the disk. Prints CPU seconds of the steps, bytes of the database, and bytes of
// memory for what a process knows of each device as JSON, for tests/bench/capacity.py.

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>
#include <sys/resource.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "services/common/status/status_macros.h"
#include "tests/services/distribution/support/fake_backends.h"

namespace fieldloop::distribution {
namespace {

// Devices that take the release to its end.
constexpr int kTaken = 500;

double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// CPU seconds of one step; ends the program when it fails.
double Measure(const std::function<absl::Status()>& step) {
  const double before = CpuSeconds();
  if (const absl::Status status = step(); !status.ok()) {
    std::cerr << status << "\n";
    std::exit(EXIT_FAILURE);
  }
  return CpuSeconds() - before;
}

// Anonymous memory of this process.
std::int64_t MemoryBytes() {
  std::ifstream status("/proc/self/status");
  std::string word;
  std::int64_t kilobytes = 0;
  while (status >> word) {
    if (word == "RssAnon:") {
      status >> kilobytes;
    }
  }
  return kilobytes * 1024;
}

std::int64_t DatabaseBytes(const std::string& folder) {
  std::int64_t bytes = 0;
  for (const auto& file : std::filesystem::directory_iterator(folder)) {
    bytes += static_cast<std::int64_t>(file.file_size());
  }
  return bytes;
}

// The domain over a database of `folder`.
struct Fleet {
  explicit Fleet(const std::string& folder)
      : database(*Database::Open({.connection = absl::StrCat("sqlite3://", folder, "/d.db")},
                                 Migrations())) {}

  ::fieldloop::testing::FakeClock clock;
  std::unique_ptr<Database> database;
  GroupCommit commits{*database};
  std::unique_ptr<FleetStore> fleet_store = MakeSqlFleetStore(*database, commits);
  std::unique_ptr<RolloutStore> rollout_store = MakeSqlRolloutStore(*database, commits);
  FakeIdentity identity;
  FakeRegistry registry;
  MemoryArtifactCache artifacts{registry};
  DeviceTable devices;
  RootCatalog roots{registry};
  FleetService fleet{*fleet_store, devices, clock};
  RolloutService rollouts{*rollout_store, registry, identity, artifacts, roots, fleet, clock};
};

nlohmann::json Run(const std::string& folder, int devices) {
  nlohmann::json figures = {{"devices", devices}};
  {
    Fleet all(folder);
    const auto known = [](int i) {
      return Device{.name = DeviceName(i),
                    .hardware_id = "posix",
                    .attributes = {{"site", "hall 4"}},
                    .revoked = false,
                    .revision = i + 1};
    };
    const std::int64_t empty = MemoryBytes();
    for (int i = 0; i < devices; ++i) {
      all.devices.Apply(known(i));
    }
    figures["known_bytes"] = (MemoryBytes() - empty) / devices;
    for (int i = 0; i < devices; ++i) {
      all.identity.Add(known(i));
    }
    Rollout wanted;
    wanted.release = all.registry.release.name;
    for (const double percent : {50.0, 100.0}) {
      wanted.plan.stages.push_back({.percent = percent});
    }
    Rollout rollout;
    figures["create_seconds"] = Measure([&]() -> absl::Status {
      FIELDLOOP_RETURN_IF_ERROR(all.roots.Refresh());
      FIELDLOOP_ASSIGN_OR_RETURN(rollout, all.rollouts.Create(kProject, wanted, "", "bench"));
      return absl::OkStatus();
    });
    // Those whose turn it is are half of them.
    std::vector<std::string> taken;
    const std::vector<ComponentState> nothing;
    const double asked = Measure([&]() -> absl::Status {
      for (int i = 0; i < devices && taken.size() < kTaken; ++i) {
        FIELDLOOP_ASSIGN_OR_RETURN(const std::optional<RolloutOffer> offer,
                                   all.rollouts.CheckIn(DeviceName(i), nothing, 0));
        if (offer.has_value()) {
          taken.push_back(DeviceName(i));
        }
      }
      return absl::OkStatus();
    });
    figures["offer_seconds"] = asked / static_cast<double>(taken.size());
    const std::string digest = all.registry.model_digest;
    const double reported = Measure([&]() -> absl::Status {
      for (const std::string& device : taken) {
        UpdateReport report;
        report.sequence = 1;
        report.phase = UpdatePhase::kConfirmed;
        report.active_digest = digest;
        FIELDLOOP_RETURN_IF_ERROR(
            all.rollouts.Report(device, absl::StrCat(rollout.number), report));
        FIELDLOOP_RETURN_IF_ERROR(all.rollouts.Running(device, {{.kind = ComponentKind::kModel,
                                                                 .digest = digest,
                                                                 .confirmed = true,
                                                                 .release_sequence = 1}}));
      }
      return absl::OkStatus();
    });
    figures["confirm_seconds"] = reported / static_cast<double>(taken.size());
    constexpr int kTicks = 20;
    figures["tick_seconds"] = Measure([&] {
                                absl::Status status;
                                for (int i = 0; i < kTicks && status.ok(); ++i) {
                                  status = all.rollouts.Tick();
                                }
                                return status;
                              }) /
                              kTicks;
  }
  // Closed: the log is in the file.
  figures["database_bytes"] = DatabaseBytes(folder);
  return figures;
}

}  // namespace
}  // namespace fieldloop::distribution

int main(int argc, char** argv) {
  int devices = 0;
  if (argc != 3 || !absl::SimpleAtoi(argv[2], &devices) || devices < 1) {
    std::cerr << "usage: bench_rollout FOLDER DEVICES\n";
    return EXIT_FAILURE;
  }
  std::cout << fieldloop::distribution::Run(argv[1], devices) << "\n";
  return EXIT_SUCCESS;
}
