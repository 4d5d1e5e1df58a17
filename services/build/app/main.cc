// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// fieldloop-build: serves fieldloop.build.v1 and runs builds. This file only wires objects
// together; it holds no rule that a test would have to reach.

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <ios>
#include <iterator>
#include <memory>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "migrations/build_storage.h"
#include "services/build/domain/artifact_registry.h"
#include "services/build/domain/build_queue.h"
#include "services/build/domain/build_worker.h"
#include "services/build/domain/impulse_catalog.h"
#include "services/build/domain/model_comparison.h"
#include "services/build/domain/model_importer.h"
#include "services/build/domain/model_registry.h"
#include "services/build/domain/release_desk.h"
#include "services/build/domain/running_builds.h"
#include "services/build/domain/trainer_runner.h"
#include "services/build/domain/trainer_runs.h"
#include "services/build/domain/trust.h"
#include "services/build/domain/worker_pool.h"
#include "services/build/storage/folder_work_area.h"
#include "services/build/storage/instance_lock.h"
#include "services/build/storage/sql_artifact_store.h"
#include "services/build/storage/sql_build_store.h"
#include "services/build/storage/sql_impulse_store.h"
#include "services/build/storage/sql_model_store.h"
#include "services/build/storage/sql_release_store.h"
#include "services/build/storage/sql_trainer_run_store.h"
#include "services/build/transport/build_handler.h"
#include "services/build/transport/build_metrics.h"
#include "services/build/transport/grpc_dataset_source.h"
#include "services/build/transport/impulse_model_judge.h"
#include "services/build/transport/impulse_model_packager.h"
#include "services/build/transport/job_config.h"
#include "services/build/transport/job_runner.h"
#include "services/build/transport/kubernetes_client.h"
#include "services/build/transport/learning_block_trainer.h"
#include "services/build/transport/process_runner.h"
#include "services/build/transport/process_trainer.h"
#include "services/build/transport/proto_conversion.h"
#include "services/build/transport/tflite_model_checker.h"
#include "services/build/transport/trainer_program.h"
#include "services/build/transport/trainer_run_handler.h"
#include "services/build/transport/trainers_file.h"
#include "services/common/access/remote_access.h"
#include "services/common/blob/open_blob_store.h"
#include "services/common/clock/clock.h"
#include "services/common/crypto/digest.h"
#include "services/common/crypto/signing.h"
#include "services/common/log/log.h"
#include "services/common/server/service_options.h"
#include "services/common/server/service_server.h"
#include "services/common/sql/database.h"
#include "services/common/status/status_macros.h"
#include "services/common/sync/change_signal.h"

namespace {

using namespace fieldloop::build;  // NOLINT(google-build-using-namespace)

constexpr char kService[] = "build";

struct Options {
  fieldloop::ServiceOptions service;
  std::string ingestion;
  std::vector<std::string> root_files;
  std::vector<std::string> release_key_files;
  std::string trainer;
  std::string trainers_file;
  std::string jobs_file;
  int trainer_time_limit_s = 7200;
  int trainer_memory_mb = 8192;
  int max_queued = 100;
  int workers = 1;
};

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string content{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (!file || content.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("cannot read \"", path, "\""));
  }
  return content;
}

absl::StatusOr<RootChain> ReadRoots(const std::vector<std::string>& files) {
  std::vector<Root> roots;
  for (const std::string& path : files) {
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string document, ReadFile(path));
    FIELDLOOP_ASSIGN_OR_RETURN(Root root, ParseRoot(document));
    roots.push_back(std::move(root));
  }
  return RootChain::Make(std::move(roots));
}

absl::StatusOr<std::vector<fieldloop::SigningKey>> ReadKeys(const std::vector<std::string>& files,
                                                            const RootChain& roots) {
  std::vector<fieldloop::SigningKey> keys;
  for (const std::string& path : files) {
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string pem, ReadFile(path));
    FIELDLOOP_ASSIGN_OR_RETURN(fieldloop::SigningKey key, fieldloop::SigningKey::FromPem(pem));
    const std::string id = fieldloop::KeyIdOf(key.PublicKey());
    if (roots.ReleaseKey(id).empty()) {
      spdlog::warn("key {} of {} has no release role in root: it signs nothing",
                   fieldloop::ToHex(id), path);
    }
    keys.push_back(std::move(key));
  }
  return keys;
}

std::string TrainerBesideThisProgram() {
  std::error_code ignored;
  return (std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path() /
          "fieldloop-trainer")
      .string();
}

// The built-in trainer, and those of --trainers.
struct Trainers {
  std::vector<std::unique_ptr<Trainer>> owned;
  std::vector<Trainer*> others;
};

absl::StatusOr<Trainers> MakeTrainers(const Options& options, TrainerRunner& runner) {
  const TrainerLimits limits{.time = absl::Seconds(options.trainer_time_limit_s),
                             .memory_bytes = std::int64_t{options.trainer_memory_mb} << 20};
  Trainers trainers;
  trainers.owned.push_back(
      std::make_unique<ProcessTrainer>(BuiltInTrainer(options.trainer, limits), runner));
  if (options.trainers_file.empty()) {
    return trainers;
  }
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string json, ReadFile(options.trainers_file));
  absl::StatusOr<std::vector<TrainerProgram>> programs = ParseTrainers(
      json, std::filesystem::path(options.trainers_file).parent_path().string(), limits);
  if (!programs.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(options.trainers_file, ": ", programs.status().message()));
  }
  for (TrainerProgram& program : *programs) {
    if (const absl::Status status = runner.Check(program); !status.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat(options.trainers_file, ": ", status.message()));
    }
    if (program.contract == TrainerContract::kLearningBlock) {
      trainers.owned.push_back(std::make_unique<LearningBlockTrainer>(std::move(program), runner));
    } else {
      trainers.owned.push_back(std::make_unique<ProcessTrainer>(std::move(program), runner));
    }
    trainers.others.push_back(trainers.owned.back().get());
  }
  return trainers;
}

// Where trainers run: below this process, or as Jobs of Kubernetes.
struct Runner {
  std::unique_ptr<KubernetesClient> client;
  std::unique_ptr<TrainerRunner> runner;
};

absl::StatusOr<Runner> MakeRunner(const Options& options, TrainerRuns& runs,
                                  const fieldloop::Clock& clock) {
  Runner made;
  if (options.jobs_file.empty()) {
    made.runner = std::make_unique<ProcessRunner>(clock);
    return made;
  }
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string json, ReadFile(options.jobs_file));
  absl::StatusOr<JobConfig> config = ParseJobConfig(json);
  if (!config.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(options.jobs_file, ": ", config.status().message()));
  }
  KubernetesAccess access{
      .api = config->api,
      .folder = config->credentials.empty() ? kServiceAccountFolder : config->credentials};
  if (access.api.empty()) {
    FIELDLOOP_ASSIGN_OR_RETURN(access, AccessOfThisPod());
  }
  made.client = std::make_unique<KubernetesClient>(std::move(access), [](absl::Duration wait) {
    std::this_thread::sleep_for(absl::ToChronoNanoseconds(wait));
  });
  if (config->name_space.empty()) {
    FIELDLOOP_ASSIGN_OR_RETURN(config->name_space, made.client->Namespace());
  }
  FIELDLOOP_ASSIGN_OR_RETURN(std::string ca, ReadFile(options.service.tls.ca));
  made.runner = std::make_unique<JobRunner>(*std::move(config), std::move(ca), runs, *made.client);
  return made;
}

absl::Status Run(const Options& options) {
  const fieldloop::SystemClock clock;
  const std::string& data_dir = options.service.data_dir;
  FIELDLOOP_ASSIGN_OR_RETURN(const auto instance, InstanceLock::Acquire(data_dir));
  FIELDLOOP_ASSIGN_OR_RETURN(const RootChain roots, ReadRoots(options.root_files));
  FIELDLOOP_ASSIGN_OR_RETURN(const auto keys, ReadKeys(options.release_key_files, roots));
  FIELDLOOP_ASSIGN_OR_RETURN(
      const auto database,
      fieldloop::Database::Open({.connection = DatabaseConnection(options.service, kService),
                                 .pool_size = 4 + options.workers,
                                 .schema = kService},
                                Migrations()));
  FIELDLOOP_ASSIGN_OR_RETURN(
      const auto blobs,
      fieldloop::OpenBlobStore(options.service.blobs, data_dir + "/blobs", kService, clock));
  FIELDLOOP_ASSIGN_OR_RETURN(const auto work, FolderWorkArea::Open(data_dir + "/work"));
  FIELDLOOP_ASSIGN_OR_RETURN(
      const auto provisioning,
      OpenServiceChannel(options.service, options.service.provisioning, "provisioning"));
  FIELDLOOP_ASSIGN_OR_RETURN(const auto ingestion,
                             OpenServiceChannel(options.service, options.ingestion, "ingestion"));
  const auto access = fieldloop::MakeRemoteAccess(provisioning, clock);

  fieldloop::ServiceServer server(kService, options.service);
  BuildMetrics metrics(server.registry());
  SqlImpulseStore impulse_store(*database);
  SqlBuildStore build_store(*database);
  SqlModelStore model_store(*database);
  SqlArtifactStore artifact_store(*database);
  SqlReleaseStore release_store(*database);
  GrpcDatasetSource datasets(ingestion);
  SqlTrainerRunStore run_store(*database);
  TrainerRuns runs(run_store, *blobs, clock);
  FIELDLOOP_ASSIGN_OR_RETURN(const Runner runner, MakeRunner(options, runs, clock));
  FIELDLOOP_ASSIGN_OR_RETURN(const Trainers made, MakeTrainers(options, *runner.runner));
  const TrainerSet trainers(*made.owned.front(), made.others);
  TfliteModelChecker checker;
  ImpulseModelPackager packager;
  ImpulseModelJudge judge(
      [] { return absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch()); });
  RunningBuilds running;
  fieldloop::ChangeSignal changes;

  ImpulseCatalog impulses(impulse_store, clock);
  BuildQueue builds({.builds = build_store,
                     .impulses = impulse_store,
                     .models = model_store,
                     .datasets = datasets,
                     .blobs = *blobs,
                     .trainers = trainers,
                     .running = running,
                     .changes = changes,
                     .observer = metrics,
                     .clock = clock},
                    options.max_queued);
  ModelImporter importer({.impulses = impulse_store,
                          .models = model_store,
                          .datasets = datasets,
                          .packager = packager,
                          .checker = checker,
                          .judge = judge,
                          .work = *work,
                          .blobs = *blobs,
                          .clock = clock});
  ModelRegistry models(model_store, *blobs, clock);
  ModelComparer comparer(
      {.models = models, .judge = judge, .datasets = datasets, .blobs = *blobs, .clock = clock});
  ArtifactRegistry artifacts(artifact_store, model_store, *blobs, clock);
  ReleaseDesk releases(release_store, model_store, artifact_store, roots, keys, EncodeManifest,
                       clock);
  BuildHandler handler({.access = *access,
                        .impulses = impulses,
                        .builds = builds,
                        .models = models,
                        .comparer = comparer,
                        .importer = importer,
                        .artifacts = artifacts,
                        .releases = releases,
                        .trainers = trainers,
                        .roots = roots,
                        .changes = changes},
                       [&server] { return server.stopping(); });
  BuildWorker worker({.builds = build_store,
                      .impulses = impulse_store,
                      .models = model_store,
                      .datasets = datasets,
                      .trainers = trainers,
                      .runner = *runner.runner,
                      .checker = checker,
                      .judge = judge,
                      .work = *work,
                      .blobs = *blobs,
                      .running = running,
                      .changes = changes,
                      .observer = metrics,
                      .clock = clock},
                     instance->name(), absl::Seconds(options.service.lease_seconds));
  WorkerPool pool(worker, running, changes, metrics);
  TrainerRunHandler run_handler(runs);
  server.Register(handler);
  server.Register(run_handler);
  server.Audit(*database, *access, clock);
  FIELDLOOP_RETURN_IF_ERROR(pool.Start(options.workers));
  server.ReadyWhen([&database] { return database->Check(); });
  return server.Run({}, [&pool] { pool.Stop(); });
}

}  // namespace

int main(int argc, char** argv) try {
  fieldloop::BlockStopSignals();
  Options options;
  options.trainer = TrainerBesideThisProgram();
  CLI::App app{"Makes models, keeps them, and signs what may run."};
  AddServiceOptions(app, options.service, /*needs_provisioning=*/true);
  AddBlobsOption(app, options.service);
  // Longer than a database may be away: hours of training are not lost to it.
  options.service.lease_seconds = static_cast<int>(BuildWorker::kLease / absl::Seconds(1));
  AddLeaseOption(app, options.service);
  app.add_option("--ingestion", options.ingestion, "Address of the ingestion service")
      ->envname("FIELDLOOP_INGESTION")
      ->required();
  app.add_option("--root", options.root_files,
                 "Serialised SignedDocument of a root document; once for each version")
      ->envname("FIELDLOOP_ROOT");
  app.add_option("--release-key", options.release_key_files,
                 "PEM of a release key; without one, releases wait for signatures made elsewhere")
      ->envname("FIELDLOOP_RELEASE_KEY");
  app.add_option("--trainer", options.trainer, "Program that trains")
      ->envname("FIELDLOOP_TRAINER")
      ->capture_default_str();
  app.add_option("--trainers", options.trainers_file,
                 "JSON file of further trainers that builds can name, see docs/trainers.md")
      ->envname("FIELDLOOP_TRAINERS")
      ->check(CLI::ExistingFile);
  app.add_option(
         "--jobs", options.jobs_file,
         "JSON file: trainers run as Jobs of Kubernetes, see docs/kubernetes.md; default: as "
         "processes of this service")
      ->envname("FIELDLOOP_JOBS")
      ->check(CLI::ExistingFile);
  app.add_option("--trainer-time-limit-seconds", options.trainer_time_limit_s,
                 "How long one training may take")
      ->envname("FIELDLOOP_TRAINER_TIME_LIMIT_SECONDS")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--trainer-memory-mb", options.trainer_memory_mb,
                 "How much memory the processes of one training may use together")
      ->envname("FIELDLOOP_TRAINER_MEMORY_MB")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--max-queued-builds", options.max_queued, "Builds of a project that may wait")
      ->envname("FIELDLOOP_MAX_QUEUED_BUILDS")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--build-workers", options.workers, "Builds that run at a time; 0 to only serve")
      ->envname("FIELDLOOP_BUILD_WORKERS")
      ->check(CLI::Range(0, 64))
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);

  fieldloop::StartLog(kService, options.service.log_format);
  if (const absl::Status status = Run(options); !status.ok()) {
    spdlog::critical("{}", status.ToString());
    return EXIT_FAILURE;
  }
  return EXIT_SUCCESS;
} catch (const std::exception& error) {  // Libraries throw while they are set up.
  spdlog::critical("{}", error.what());
  return EXIT_FAILURE;
}
