// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// fieldloop-ingestion: serves fieldloop.ingestion.v1 and the HTTP door for uploads. This file only
// wires objects together; it holds no rule that a test would have to reach.

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <malloc.h>
#include <memory>
#include <string>

#include <CLI/CLI.hpp>
#include <spdlog/spdlog.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "migrations/ingestion_storage.h"
#include "services/common/access/remote_access.h"
#include "services/common/blob/open_blob_store.h"
#include "services/common/clock/clock.h"
#include "services/common/crypto/digest.h"
#include "services/common/log/log.h"
#include "services/common/server/service_options.h"
#include "services/common/server/service_server.h"
#include "services/common/sql/database.h"
#include "services/common/sql/lease.h"
#include "services/common/status/status_macros.h"
#include "services/ingestion/app/housekeeping.h"
#include "services/ingestion/domain/cached_settings_store.h"
#include "services/ingestion/domain/dataset_service.h"
#include "services/ingestion/domain/labelling_service.h"
#include "services/ingestion/domain/retention_service.h"
#include "services/ingestion/domain/sample_service.h"
#include "services/ingestion/domain/settings_service.h"
#include "services/ingestion/formats/recording_formats.h"
#include "services/ingestion/storage/folder_upload_spool.h"
#include "services/ingestion/storage/sql_dataset_store.h"
#include "services/ingestion/storage/sql_labelling_store.h"
#include "services/ingestion/storage/sql_retention_store.h"
#include "services/ingestion/storage/sql_sample_store.h"
#include "services/ingestion/storage/sql_settings_store.h"
#include "services/ingestion/transport/http_upload_server.h"
#include "services/ingestion/transport/ingestion_handler.h"
#include "services/ingestion/transport/upload_metrics.h"

namespace {

namespace ingestion = fieldloop::ingestion;

constexpr char kService[] = "ingestion";
// Uploads read before they write, and must not wait for one another to do so.
constexpr int kDatabaseConnections = 16;
constexpr int kLargeBufferBytes = 1 << 20;
constexpr int kKeptFreeBytes =
    4 << 20;  // Of each arena; a buffer that comes back costs page faults.

struct Options {
  fieldloop::ServiceOptions service;
  ingestion::HttpUploadOptions http;
};

std::uint64_t RandomBits() {
  std::uint64_t bits = 0;
  const std::string bytes = fieldloop::RandomBytes(sizeof(bits));
  std::memcpy(&bits, bytes.data(), sizeof(bits));
  return bits;
}

absl::Status Run(const Options& options) {
  // Buffers of large recordings go back to the system at once, instead of staying with a thread.
  mallopt(M_MMAP_THRESHOLD, kLargeBufferBytes);
  mallopt(M_TRIM_THRESHOLD, kKeptFreeBytes);
  fieldloop::BlockStopSignals();
  fieldloop::StartLog(kService, options.service.log_format);
  fieldloop::ServiceServer server(kService, options.service);

  const fieldloop::SystemClock clock;
  FIELDLOOP_ASSIGN_OR_RETURN(
      const std::unique_ptr<fieldloop::BlobStore> blobs,
      fieldloop::OpenBlobStore(options.service.blobs,
                               absl::StrCat(options.service.data_dir, "/ingestion-blobs"), kService,
                               clock));
  FIELDLOOP_ASSIGN_OR_RETURN(const std::unique_ptr<fieldloop::Database> database,
                             fieldloop::Database::Open({.connection = fieldloop::DatabaseConnection(
                                                            options.service, kService),
                                                        .pool_size = kDatabaseConnections,
                                                        .schema = kService},
                                                       ingestion::Migrations()));
  FIELDLOOP_ASSIGN_OR_RETURN(
      const std::shared_ptr<grpc::Channel> provisioning,
      fieldloop::OpenServiceChannel(options.service, options.service.provisioning, "provisioning"));
  const std::unique_ptr<fieldloop::Access> access =
      fieldloop::MakeRemoteAccess(provisioning, clock);

  FIELDLOOP_ASSIGN_OR_RETURN(
      const std::unique_ptr<ingestion::UploadSpool> spool,
      ingestion::OpenFolderUploadSpool(absl::StrCat(options.service.data_dir, "/ingestion-uploads"),
                                       clock));

  ingestion::SqlSampleStore sample_store(*database);
  ingestion::SqlDatasetStore dataset_store(*database);
  ingestion::SqlSettingsStore stored_settings(*database);
  ingestion::CachedSettingsStore settings_store(stored_settings, clock);
  ingestion::SqlLabellingStore labelling_store(*database);
  ingestion::SqlRetentionStore retention_store(*database);
  const ingestion::RecordingFormats formats;
  ingestion::UploadMetrics metrics(server.registry());
  ingestion::SampleService samples(sample_store, settings_store, *blobs, *spool, formats, clock,
                                   metrics);
  ingestion::DatasetService datasets(dataset_store, *blobs, formats, clock);
  ingestion::SettingsService settings(settings_store);
  ingestion::LabellingService labelling(labelling_store, clock, RandomBits);
  ingestion::RetentionService retention(retention_store, settings_store, *blobs, clock);
  ingestion::IngestionHandler handler(*access, samples, datasets, settings, labelling, retention);
  server.Register(handler);
  server.Audit(*database, *access, clock);
  FIELDLOOP_RETURN_IF_ERROR(server.Start());

  FIELDLOOP_ASSIGN_OR_RETURN(
      std::unique_ptr<ingestion::HttpUploadServer> http,
      ingestion::HttpUploadServer::Start(options.http, *access, samples, clock, metrics));
  spdlog::info("uploads over {} on {}", options.http.insecure ? "HTTP" : "HTTPS", http->address());
  fieldloop::LeaseTable leases(*database, clock, fieldloop::ToHex(fieldloop::RandomBytes(8)));
  auto housekeeping = std::make_unique<ingestion::Housekeeping>(
      leases, absl::Seconds(options.service.lease_seconds), retention, labelling_store, metrics,
      clock);
  server.ReadyWhen([&database] { return database->Check(); });
  return server.Run({{"http", http->address()}}, [&http, &housekeeping] {
    http.reset();
    housekeeping.reset();
  });
}

}  // namespace

int main(int argc, char** argv) try {
  Options options;
  CLI::App app{"Keeps samples, labels and dataset versions."};
  fieldloop::AddServiceOptions(app, options.service, /*needs_provisioning=*/true);
  fieldloop::AddBlobsOption(app, options.service);
  // Its background work comes up once a minute.
  options.service.lease_seconds = 120;
  fieldloop::AddLeaseOption(app, options.service);
  app.add_option("--http-listen", options.http.listen, "HTTPS address for uploads")
      ->envname("FIELDLOOP_HTTP_LISTEN");
  app.add_flag("--http-insecure", options.http.insecure,
               "plain HTTP for uploads, on a loopback address only")
      ->envname("FIELDLOOP_HTTP_INSECURE");
  CLI11_PARSE(app, argc, argv);
  options.http.cert_file = options.service.tls.cert;
  options.http.key_file = options.service.tls.key;

  if (const absl::Status status = Run(options); !status.ok()) {
    spdlog::critical("{}", status.ToString());
    return EXIT_FAILURE;
  }
  return EXIT_SUCCESS;
} catch (const std::exception& error) {  // prometheus::Exposer throws when its port is taken.
  spdlog::critical("{}", error.what());
  return EXIT_FAILURE;
}
