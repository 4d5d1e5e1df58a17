// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// fieldloop-evaluation: serves fieldloop.evaluation.v1. This file only wires objects together; it
// holds no rule that a test would have to reach.

#include <cstdlib>
#include <exception>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>

#include <CLI/CLI.hpp>
#include <spdlog/spdlog.h>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "services/common/access/remote_access.h"
#include "services/common/clock/clock.h"
#include "services/common/crypto/digest.h"
#include "services/common/log/log.h"
#include "services/common/server/service_options.h"
#include "services/common/server/service_server.h"
#include "services/common/sql/database.h"
#include "services/common/sql/lease.h"
#include "services/common/status/status_macros.h"
#include "services/common/sync/change_signal.h"
#include "services/evaluation/app/background_loop.h"
#include "services/evaluation/app/telemetry.h"
#include "services/evaluation/domain/cycle_driver.h"
#include "services/evaluation/domain/cycle_service.h"
#include "services/evaluation/domain/evaluation_service.h"
#include "services/evaluation/domain/sketch_service.h"
#include "services/evaluation/inference/impulse_judge.h"
#include "services/evaluation/inference/impulse_suggester.h"
#include "services/evaluation/policy/policy_yaml.h"
#include "services/evaluation/storage/sql_stores.h"
#include "services/evaluation/transport/clients.h"
#include "services/evaluation/transport/evaluation_handler.h"
#include "services/evaluation/transport/suggestion_client.h"

namespace {

using namespace fieldloop;              // NOLINT(google-build-using-namespace)
using namespace fieldloop::evaluation;  // NOLINT(google-build-using-namespace)

constexpr char kName[] = "evaluation";

struct Options {
  ServiceOptions service;
  std::string ingestion;
  std::string build;
  std::string distribution;
  int sketch_retention_days = 90;
};

absl::Status Run(const Options& options) {
  const SystemClock clock;
  std::error_code error;
  std::filesystem::create_directories(options.service.data_dir, error);
  if (error) {
    return absl::UnavailableError(
        absl::StrCat("--data-dir: cannot make ", options.service.data_dir, ": ", error.message()));
  }
  FIELDLOOP_ASSIGN_OR_RETURN(
      const std::unique_ptr<Database> database,
      Database::Open({.connection = DatabaseConnection(options.service, kName), .schema = kName},
                     EvaluationMigrations()));
  SqlEvaluationStore evaluation_store(*database);
  SqlPolicyStore policy_store(*database);
  SqlCycleStore cycle_store(*database);
  SqlSketchStore sketch_store(*database);

  FIELDLOOP_ASSIGN_OR_RETURN(
      const auto provisioning,
      OpenServiceChannel(options.service, options.service.provisioning, "provisioning"));
  FIELDLOOP_ASSIGN_OR_RETURN(const auto ingestion,
                             OpenServiceChannel(options.service, options.ingestion, "ingestion"));
  FIELDLOOP_ASSIGN_OR_RETURN(const auto build,
                             OpenServiceChannel(options.service, options.build, "build"));
  FIELDLOOP_ASSIGN_OR_RETURN(
      const auto distribution,
      OpenServiceChannel(options.service, options.distribution, "distribution"));
  const std::unique_ptr<Access> access = MakeRemoteAccess(provisioning, clock);
  RemoteModelRegistry models(build::v1::BuildService::NewStub(build));
  RemoteSampleArchive samples(ingestion::v1::IngestionService::NewStub(ingestion));
  RemoteSuggestionDesk desk(ingestion::v1::IngestionService::NewStub(ingestion));
  RemoteFleet fleet(distribution::v1::DistributionService::NewStub(distribution));

  ServiceServer server(kName, options.service);
  PrometheusTelemetry telemetry(server.registry());
  ChangeSignal changed;
  EvaluationService evaluations(evaluation_store, clock, changed);
  SketchService sketches(sketch_store, models, clock, changed, telemetry);
  CycleService cycles(cycle_store, policy_store, models, ParsePolicy, clock, changed, telemetry);
  ImpulseSuggester suggester(models, desk, OpenImpulse);
  EvaluationHandler handler(*access,
                            {.evaluations = evaluations,
                             .sketches = sketches,
                             .cycles = cycles,
                             .suggester = suggester,
                             .changed = changed},
                            [&server] { return server.stopping(); });

  LeaseTable leases(*database, clock, ToHex(RandomBytes(8)));
  const absl::Duration lease_time = absl::Seconds(options.service.lease_seconds);
  CycleDriver driver(cycle_store, policy_store, sketch_store, evaluations,
                     {.models = models, .samples = samples, .fleet = fleet}, ParsePolicy, clock,
                     changed, telemetry);
  BackgroundLoop drive("cycles", absl::Milliseconds(300), leases, lease_time, changed, telemetry,
                       [&driver] { return driver.RunDue(); });

  DriftWorker drift(sketch_store, policy_store, models, ParsePolicy, clock, changed, telemetry);
  BackgroundLoop look("drift", absl::Seconds(1), leases, lease_time, changed, telemetry,
                      [&drift] { return drift.RunDue().status(); });

  ImpulseJudge judge(models, samples, OpenImpulse);
  BackgroundLoop* evaluate_loop = nullptr;
  EvaluationWorker worker(evaluation_store, judge, clock, changed, telemetry,
                          [&evaluate_loop] { return evaluate_loop->StillOurs(); });
  BackgroundLoop evaluate("evaluations", absl::Seconds(1), leases, lease_time, changed, telemetry,
                          [&worker]() -> absl::Status {
                            FIELDLOOP_ASSIGN_OR_RETURN(bool more, worker.RunOne());
                            while (more) {
                              FIELDLOOP_ASSIGN_OR_RETURN(more, worker.RunOne());
                            }
                            return absl::OkStatus();
                          });
  evaluate_loop = &evaluate;

  // Their own signal: nothing that changes needs them sooner. What is counted is of the database
  // and the same in every replica: one that counted no more would show what was, for ever.
  ChangeSignal unhurried;
  BackgroundLoop count("", absl::Seconds(10), leases, lease_time, unhurried, telemetry, [&] {
    return telemetry.Refresh(cycle_store, evaluation_store, sketch_store, clock);
  });
  absl::Time pruned = absl::InfinitePast();
  BackgroundLoop keep_house(
      "housekeeping", absl::Seconds(10), leases, lease_time, unhurried, telemetry,
      [&]() -> absl::Status {
        if (clock.Now() - pruned >= absl::Hours(1)) {
          FIELDLOOP_RETURN_IF_ERROR(
              sketch_store.Prune(clock.Now() - absl::Hours(24) * options.sketch_retention_days)
                  .status());
          pruned = clock.Now();
        }
        return absl::OkStatus();
      });

  server.Register(handler);
  server.Audit(*database, *access, clock);
  FIELDLOOP_RETURN_IF_ERROR(server.Start());
  drive.Start();
  look.Start();
  evaluate.Start();
  count.Start();
  keep_house.Start();
  server.ReadyWhen([&database] { return database->Check(); });
  return server.Run({}, [&] {
    drive.Stop();
    look.Stop();
    evaluate.Stop();
    count.Stop();
    keep_house.Stop();
  });
}

}  // namespace

int main(int argc, char** argv) try {
  BlockStopSignals();
  Options options;
  CLI::App app("Says whether models are still good, and runs the cycles that renew them.");
  AddServiceOptions(app, options.service, /*needs_provisioning=*/true);
  AddLeaseOption(app, options.service);
  app.add_option("--ingestion", options.ingestion, "address of the ingestion service")
      ->envname("FIELDLOOP_INGESTION")
      ->required();
  app.add_option("--build", options.build, "address of the build service")
      ->envname("FIELDLOOP_BUILD")
      ->required();
  app.add_option("--distribution", options.distribution, "address of the distribution service")
      ->envname("FIELDLOOP_DISTRIBUTION")
      ->required();
  app.add_option("--sketch-retention-days", options.sketch_retention_days,
                 "days for which sketches and drift reports are kept")
      ->envname("FIELDLOOP_SKETCH_RETENTION_DAYS")
      ->capture_default_str()
      ->check(CLI::Range(1, 36500));
  CLI11_PARSE(app, argc, argv);
  StartLog(kName, options.service.log_format);
  if (const absl::Status status = Run(options); !status.ok()) {
    spdlog::error("{}", status.ToString());
    return EXIT_FAILURE;
  }
  return EXIT_SUCCESS;
} catch (const std::exception& error) {
  // CLI11, spdlog and prometheus-cpp throw; nothing of ours does.
  spdlog::error("{}", error.what());
  return EXIT_FAILURE;
}
