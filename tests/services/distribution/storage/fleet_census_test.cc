// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include <memory>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <soci/soci.h>

#include "migrations/distribution_storage.h"
#include "services/distribution/storage/sql_fleet_census.h"
#include "tests/support/postgres/scratch_database.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::distribution {
namespace {

using ::fieldloop::testing::Engine;
using ::fieldloop::testing::ScratchDatabase;
using ::testing::UnorderedElementsAre;

class FleetCensusTest : public ::testing::TestWithParam<Engine> {};

TEST_P(FleetCensusTest, DevicesAreCountedByTheNameThatARolloutGaveTheirModel) {
  const auto scratch = ScratchDatabase::Make(GetParam(), Migrations());
  if (IsSkipped()) {
    return;
  }
  ASSERT_THAT(scratch->get().Write([](soci::session& session) {
    session << "INSERT INTO rollouts (project, number, request_id, release_name, target,"
               " stages, failure_percent, failure_count, device_timeout_seconds, state,"
               " state_reason, stage, target_count, quota, offered, confirmed, failed, missed,"
               " model, model_digest, release_sequence, release_expire_micros,"
               " artifact_digests, manifest, turn_timeout_seconds, stage_open_micros,"
               " stage_confirm_micros, pause_micros, create_micros, end_micros, event_count)"
               " VALUES ('projects/a', 1, '', 'projects/a/releases/1', '', '100 100 0', 10, 1,"
               " 60, 3, '', 0, 1, 1, 0, 0, 0, 0, 'projects/a/models/7', '0123456789abcdef', 1,"
               " 0, '', '', 60, 1, 0, 0, 1, 0, 0)";
    const auto report = [&session](const std::string& device, const std::string& digest) {
      const std::string project = device.substr(0, device.find("/devices/"));
      session << "INSERT INTO device_states (device, project, model_digest, confirmed,"
                 " release_sequence, hardware_id, agent_version, boot_count, dropped_uplinks,"
                 " last_seen_micros, connected_until_micros) VALUES (:device, :project,"
                 " :digest, 1, 0, '', '', 1, 0, 0, 0)",
          soci::use(device), soci::use(project), soci::use(digest);
    };
    report("projects/a/devices/1", "0123456789abcdef");
    report("projects/a/devices/2", "0123456789abcdef");
    report("projects/a/devices/3", "");
    report("projects/b/devices/1", "0123456789abcdef");
    return absl::OkStatus();
  }),
              ::fieldloop::testing::IsOk());
  SqlFleetCensus census(scratch->get());
  const auto counts = census.CountByModel();
  ASSERT_THAT(counts, ::fieldloop::testing::IsOk());
  EXPECT_THAT(
      *counts,
      UnorderedElementsAre(
          ModelCount{.project = "projects/a", .model = "projects/a/models/7", .devices = 2},
          ModelCount{.project = "projects/a", .model = "none", .devices = 1},
          ModelCount{.project = "projects/b", .model = "sha256:0123456789ab", .devices = 1}));
}

INSTANTIATE_TEST_SUITE_P(Engines, FleetCensusTest,
                         ::testing::Values(Engine::kSqlite, Engine::kPostgres),
                         [](const auto& param_info) {
                           return param_info.param == Engine::kSqlite ? "Sqlite" : "Postgres";
                         });

}  // namespace
}  // namespace fieldloop::distribution
