// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// bench_databases FOLDER URI: each service's main operation, one after the other, on SQLite files
// in FOLDER and on the PostgreSQL database at URI; prints the median times in seconds as JSON,
// and how many samples a second are stored for several callers.

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "migrations/build_storage.h"
#include "migrations/distribution_storage.h"
#include "migrations/evaluation_storage.h"
#include "migrations/ingestion_storage.h"
#include "migrations/provisioning_storage.h"
#include "services/build/storage/sql_build_store.h"
#include "services/common/sql/database.h"
#include "services/distribution/storage/group_commit.h"
#include "services/distribution/storage/sql_fleet_store.h"
#include "services/evaluation/storage/sql_stores.h"
#include "services/ingestion/storage/sql_sample_store.h"
#include "services/provisioning/storage/sql_provisioning_store.h"
#include "tests/services/ingestion/storage/store_under_test.h"

namespace fieldloop {
namespace {

constexpr int kCalls = 300;

// The median of kCalls calls; ends the program when one fails.
double Measure(const std::function<absl::Status(int)>& call) {
  std::vector<double> seconds;
  for (int i = 0; i < kCalls; ++i) {
    const absl::Time start = absl::Now();
    if (const absl::Status status = call(i); !status.ok()) {
      std::cerr << status << "\n";
      std::exit(EXIT_FAILURE);
    }
    seconds.push_back(absl::ToDoubleSeconds(absl::Now() - start));
  }
  std::nth_element(seconds.begin(), seconds.begin() + kCalls / 2, seconds.end());
  return seconds[kCalls / 2];
}

// Calls a second of kCallers threads that call at the same time; ends the program when one fails.
double MeasureTogether(const std::function<absl::Status(int)>& call) {
  constexpr int kCallers = 16;
  const absl::Time start = absl::Now();
  std::vector<std::thread> callers;
  for (int caller = 0; caller < kCallers; ++caller) {
    callers.emplace_back([&call, caller] {
      for (int i = 0; i < kCalls; ++i) {
        if (const absl::Status status = call(caller * kCalls + i); !status.ok()) {
          std::cerr << status << "\n";
          std::exit(EXIT_FAILURE);
        }
      }
    });
  }
  for (std::thread& caller : callers) {
    caller.join();
  }
  return kCallers * kCalls / absl::ToDoubleSeconds(absl::Now() - start);
}

std::unique_ptr<Database> Open(const std::string& engine, const std::string& place,
                               const std::string& service,
                               const std::vector<Migration>& migrations) {
  auto database = Database::Open(
      {.connection =
           engine == "sqlite" ? absl::StrCat("sqlite3://", place, "/", service, ".db") : place,
       .schema = service},
      migrations);
  if (!database.ok()) {
    std::cerr << database.status() << "\n";
    std::exit(EXIT_FAILURE);
  }
  return *std::move(database);
}

nlohmann::json MeasureAll(const std::string& engine, const std::string& place) {
  nlohmann::json medians;
  {
    const auto database = Open(engine, place, "provisioning", provisioning::Migrations());
    provisioning::SqlProvisioningStore store(*database);
    store.InsertProject({.id = "motor"}).IgnoreError();
    medians["provisioning"] = Measure([&](int i) {
      provisioning::EnrollmentToken token;
      token.project = "motor";
      token.id = absl::StrCat("token-", i);
      return store.InsertEnrollmentToken(token);
    });
  }
  {
    const auto database = Open(engine, place, "ingestion", ingestion::Migrations());
    ingestion::SqlSampleStore store(*database);
    medians["ingestion"] = Measure([&](int i) {
      return store.Insert(ingestion::LabelledSampleOf(absl::StrCat("sample ", i), "idle")).status();
    });
    medians["ingestion_together"] = MeasureTogether([&](int i) {
      return store.Insert(ingestion::LabelledSampleOf(absl::StrCat("together ", i), "idle"))
          .status();
    });
  }
  {
    const auto database = Open(engine, place, "build", build::Migrations());
    build::SqlBuildStore store(*database);
    medians["build"] = Measure([&](int i) -> absl::Status {
      build::Build fresh;
      fresh.project = "motor";
      fresh.request_id = absl::StrCat(i);
      if (const auto stored = store.Insert(fresh, kCalls); !stored.ok()) {
        return stored.status();
      }
      return store
          .Claim(absl::Now(),
                 [](build::Build& claimed) {
                   build::ClaimBuild(claimed, "me", absl::Now(), absl::Minutes(10));
                 })
          .status();
    });
  }
  {
    const auto database = Open(engine, place, "evaluation", evaluation::Migrations());
    evaluation::SqlSketchStore store(*database);
    medians["evaluation"] = Measure([&](int i) {
      evaluation::Sketch sketch;
      sketch.device = absl::StrCat("projects/motor/devices/", i % 50);
      sketch.sequence = static_cast<std::uint64_t>(i);
      sketch.model_digest = std::string(64, 'a');
      sketch.windows = 3600;
      sketch.channels.resize(2);
      sketch.channels[0].bins.assign(16, 225);
      sketch.channels[1].bins.assign(16, 225);
      return store.Record(sketch, absl::Now()).status();
    });
  }
  {
    const auto database = Open(engine, place, "distribution", distribution::Migrations());
    distribution::GroupCommit commits(*database);
    const auto store = distribution::MakeSqlFleetStore(*database, commits);
    medians["distribution"] = Measure([&](int i) {
      distribution::DeviceState state;
      state.device = absl::StrCat("projects/motor/devices/", i % 50);
      state.last_seen_time = absl::Now();
      state.connected_until = absl::Now();
      return store->PutState(state);
    });
  }
  return medians;
}

}  // namespace
}  // namespace fieldloop

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: bench_databases FOLDER URI\n";
    return EXIT_FAILURE;
  }
  std::cout << nlohmann::json{{"sqlite", fieldloop::MeasureAll("sqlite", argv[1])},
                              {"postgresql", fieldloop::MeasureAll("postgresql", argv[2])}}
            << "\n";
  return EXIT_SUCCESS;
}
