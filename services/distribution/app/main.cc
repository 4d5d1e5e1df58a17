// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// fieldloop-distribution: serves fieldloop.distribution.v1 and the device protocol. This file only
// wires objects together; it holds no rule that a test would have to reach.

#include <cstdlib>
#include <exception>
#include <fstream>
#include <functional>
#include <memory>
#include <random>
#include <sstream>
#include <string>

#include <CLI/CLI.hpp>
#include <sys/resource.h>

#include "absl/strings/str_cat.h"
#include "migrations/distribution_storage.h"
#include "services/common/access/remote_access.h"
#include "services/common/blob/blob_store.h"
#include "services/common/clock/clock.h"
#include "services/common/crypto/digest.h"
#include "services/common/log/log.h"
#include "services/common/server/service_options.h"
#include "services/common/server/service_server.h"
#include "services/common/sql/database.h"
#include "services/common/sql/lease.h"
#include "services/common/status/status_macros.h"
#include "services/distribution/app/background.h"
#include "services/distribution/storage/blob_artifact_cache.h"
#include "services/distribution/storage/group_commit.h"
#include "services/distribution/storage/sql_fleet_census.h"
#include "services/distribution/storage/sql_fleet_store.h"
#include "services/distribution/storage/sql_rollout_store.h"
#include "services/distribution/transport/device_listener.h"
#include "services/distribution/transport/device_watch.h"
#include "services/distribution/transport/distribution_handler.h"
#include "services/distribution/transport/grpc_backends.h"

namespace fieldloop::distribution {
namespace {

constexpr char kService[] = "distribution";
// Each worker that reads needs a connection for a moment; writers share one at a time.
constexpr int kDatabaseConnections = 8;

struct Options {
  ServiceOptions service;
  DeviceListenerOptions devices;
  std::string directive_key;
  std::string build;
  std::string ingestion;
  std::string evaluation;
  std::int64_t sample_memory_mib = 64;
  int renewal_grace_days = 365;
};

absl::StatusOr<SigningKey> ReadKey(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file) {
    return absl::InvalidArgumentError(absl::StrCat("directive-key: cannot read ", path));
  }
  return SigningKey::FromPem(text.str());
}

// Every device is a file descriptor.
void RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
      spdlog::warn("the limit of open files stays at its default");
    }
  }
}

double RandomShare() {
  thread_local std::mt19937_64 generator{std::random_device{}()};
  return std::uniform_real_distribution<double>(0, 1)(generator);
}

absl::Status Run(const Options& options) {
  BlockStopSignals();
  RaiseDescriptorLimit();
  FIELDLOOP_ASSIGN_OR_RETURN(SigningKey directive_key, ReadKey(options.directive_key));
  ServiceServer server(kService, options.service);
  const SystemClock clock;

  FIELDLOOP_ASSIGN_OR_RETURN(
      const std::unique_ptr<Database> database,
      Database::Open({.connection = DatabaseConnection(options.service, kService),
                      .pool_size = kDatabaseConnections,
                      .schema = kService},
                     Migrations()));
  GroupCommit commits(*database);
  const std::unique_ptr<FleetStore> fleet_store = MakeSqlFleetStore(*database, commits);
  SqlFleetCensus census(*database);
  const std::unique_ptr<RolloutStore> rollout_store = MakeSqlRolloutStore(*database, commits);
  FIELDLOOP_ASSIGN_OR_RETURN(
      const std::unique_ptr<BlobStore> blobs,
      OpenFolderBlobStore(absl::StrCat(options.service.data_dir, "/artifacts")));

  FIELDLOOP_ASSIGN_OR_RETURN(
      const auto provisioning_channel,
      OpenServiceChannel(options.service, options.service.provisioning, "provisioning"));
  FIELDLOOP_ASSIGN_OR_RETURN(const auto build_channel,
                             OpenServiceChannel(options.service, options.build, "build"));
  FIELDLOOP_ASSIGN_OR_RETURN(const auto ingestion_channel,
                             OpenServiceChannel(options.service, options.ingestion, "ingestion"));
  FIELDLOOP_ASSIGN_OR_RETURN(const auto evaluation_channel,
                             OpenServiceChannel(options.service, options.evaluation, "evaluation"));
  const auto provisioning = provisioning::v1::ProvisioningService::NewStub(provisioning_channel);
  const auto build = build::v1::BuildService::NewStub(build_channel);
  const auto ingestion = ingestion::v1::IngestionService::NewStub(ingestion_channel);
  const auto evaluation = evaluation::v1::EvaluationService::NewStub(evaluation_channel);
  const std::unique_ptr<DeviceIdentity> identity = MakeGrpcDeviceIdentity(*provisioning);
  const std::unique_ptr<ReleaseRegistry> registry = MakeGrpcReleaseRegistry(*build);
  const std::unique_ptr<SampleArchive> samples = MakeGrpcSampleArchive(*ingestion);
  const std::unique_ptr<SketchArchive> sketches = MakeGrpcSketchArchive(*evaluation);
  const std::unique_ptr<Access> access = MakeRemoteAccess(provisioning_channel, clock);

  DeviceTable devices;
  RootCatalog roots(*registry);
  ModelCatalog models(*registry);
  const std::unique_ptr<ArtifactCache> artifacts = MakeBlobArtifactCache(*blobs, *registry);
  FleetService fleet(*fleet_store, devices, clock);
  RolloutService rollouts(*rollout_store, *registry, *identity, *artifacts, roots, fleet, clock);
  OfferSigner signer(std::move(directive_key), clock);
  SampleBudget sample_budget(options.sample_memory_mib << 20);
  DeviceMetrics metrics(server.registry());
  DistributionHandler handler(*access, rollouts, fleet, devices,
                              [&server] { return server.stopping(); });
  server.Register(handler);
  server.Audit(*database, *access, clock);

  FIELDLOOP_ASSIGN_OR_RETURN(std::unique_ptr<DeviceListener> listener,
                             DeviceListener::Start(options.devices, {.devices = devices,
                                                                     .identity = *identity,
                                                                     .fleet = fleet,
                                                                     .rollouts = rollouts,
                                                                     .roots = roots,
                                                                     .models = models,
                                                                     .artifacts = *artifacts,
                                                                     .sketches = *sketches,
                                                                     .samples = *samples,
                                                                     .signer = signer,
                                                                     .sample_budget = sample_budget,
                                                                     .metrics = metrics,
                                                                     .clock = clock,
                                                                     .random = RandomShare}));
  LeaseTable leases(*database, clock, ToHex(RandomBytes(8)));
  auto background =
      std::make_unique<Background>(leases, absl::Seconds(options.service.lease_seconds), rollouts,
                                   fleet, census, metrics, clock);
  auto watch = std::make_unique<DeviceWatch>(*provisioning, devices);

  server.ReadyWhen([&database] { return database->Check(); });
  const absl::Status status = server.Run({{"device", listener->address()}}, [&] {
    // What calls the listener first, then the listener, then what writes down what it left.
    watch.reset();
    listener.reset();
    background.reset();
  });
  // Run may fail before it stops anything.
  watch.reset();
  listener.reset();
  background.reset();
  return status;
}

}  // namespace
}  // namespace fieldloop::distribution

int main(int argc, char** argv) try {
  fieldloop::distribution::Options options;
  CLI::App app{"Serves devices: their state, their settings, and rollouts of releases."};
  fieldloop::AddServiceOptions(app, options.service, true);
  fieldloop::AddLeaseOption(app, options.service);
  app.add_option("--device-listen", options.devices.address, "Address for devices")
      ->capture_default_str()
      ->envname("FIELDLOOP_DEVICE_LISTEN");
  app.add_option("--device-ca", options.devices.device_ca_file, "CA of the devices, PEM")
      ->required()
      ->envname("FIELDLOOP_DEVICE_CA");
  app.add_option("--directive-key", options.directive_key, "Key that signs directives, PEM")
      ->required()
      ->envname("FIELDLOOP_DIRECTIVE_KEY");
  app.add_option("--build", options.build, "Address of build")
      ->required()
      ->envname("FIELDLOOP_BUILD");
  app.add_option("--ingestion", options.ingestion, "Address of ingestion")
      ->required()
      ->envname("FIELDLOOP_INGESTION");
  app.add_option("--evaluation", options.evaluation, "Address of evaluation")
      ->required()
      ->envname("FIELDLOOP_EVALUATION");
  app.add_option("--max-connections", options.devices.max_connections,
                 "Devices connected at once; beyond it they are told to come back")
      ->capture_default_str()
      ->check(CLI::Range(1, 1'000'000))
      ->envname("FIELDLOOP_MAX_CONNECTIONS");
  app.add_option("--renewal-grace-days", options.renewal_grace_days,
                 "How long after its end a device's certificate may still be renewed")
      ->capture_default_str()
      ->check(CLI::Range(0, 36'500))
      ->envname("FIELDLOOP_RENEWAL_GRACE_DAYS");
  app.add_option("--sample-memory-mib", options.sample_memory_mib,
                 "Memory for recordings that have arrived in part")
      ->capture_default_str()
      ->check(CLI::Range(1, 65536))
      ->envname("FIELDLOOP_SAMPLE_MEMORY_MIB");
  CLI11_PARSE(app, argc, argv);
  options.devices.certificate_file = options.service.tls.cert;
  options.devices.key_file = options.service.tls.key;
  options.devices.renewal_grace = absl::Hours(24) * options.renewal_grace_days;

  fieldloop::StartLog("distribution", options.service.log_format);
  if (const absl::Status status = fieldloop::distribution::Run(options); !status.ok()) {
    spdlog::critical("{}", status.ToString());
    return EXIT_FAILURE;
  }
  return EXIT_SUCCESS;
} catch (const std::exception& error) {  // CLI11, prometheus-cpp.
  spdlog::critical("{}", error.what());
  return EXIT_FAILURE;
}
