// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/server/service_options.h"

namespace fieldloop {

void AddServiceOptions(CLI::App& app, ServiceOptions& options, bool needs_provisioning) {
  app.set_config("--config", "", "TOML file with the same names; flags and variables win over it");
  const auto add = [&app](const char* flag, auto& value, const char* help, const char* variable) {
    return app.add_option(flag, value, help)->envname(variable)->capture_default_str();
  };
  add("--listen", options.listen, "gRPC address; port 0 picks one", "FIELDLOOP_LISTEN");
  add("--metrics-listen", options.metrics_listen, "Prometheus address; port 0 picks one",
      "FIELDLOOP_METRICS_LISTEN");
  add("--data-dir", options.data_dir, "folder of the SQLite file and the blobs",
      "FIELDLOOP_DATA_DIR")
      ->required();
  add("--database", options.database,
      "sqlite3://PATH or postgresql://USER@HOST/DATABASE; default: SQLite in --data-dir",
      "FIELDLOOP_DATABASE");
  CLI::Option* ca =
      add("--tls-ca", options.tls.ca, "PEM of the CA of the services", "FIELDLOOP_TLS_CA");
  CLI::Option* cert = add("--tls-cert", options.tls.cert, "PEM of this service's certificate",
                          "FIELDLOOP_TLS_CERT");
  CLI::Option* key =
      add("--tls-key", options.tls.key, "PEM of this service's key", "FIELDLOOP_TLS_KEY");
  if (needs_provisioning) {
    ca->required();
    cert->required();
    key->required();
    add("--provisioning", options.provisioning, "address of the provisioning service",
        "FIELDLOOP_PROVISIONING")
        ->required();
  }
  add("--ready-file", options.ready_file, "gets the addresses as JSON once everything listens",
      "FIELDLOOP_READY_FILE");
  add("--log-format", options.log_format, "text or json", "FIELDLOOP_LOG_FORMAT")
      ->check(CLI::IsMember({"text", "json"}));
  add("--traces", options.traces,
      "collector that gets spans by OTLP over HTTP, such as http://tempo:4318; default: none",
      "FIELDLOOP_TRACES");
  add("--trace-sample", options.trace_sample,
      "share of the traces that begin here whose spans are sent", "FIELDLOOP_TRACE_SAMPLE")
      ->check(CLI::Range(0.0, 1.0));
  add("--drain-seconds", options.drain_seconds, "time that running calls get at a stop",
      "FIELDLOOP_DRAIN_SECONDS")
      ->check(CLI::Range(0, 600));
  add("--max-connection-age-seconds", options.max_connection_age_seconds,
      "age at which clients connect again, and find replicas that are new",
      "FIELDLOOP_MAX_CONNECTION_AGE_SECONDS")
      ->check(CLI::Range(1, 86400));
}

void AddLeaseOption(CLI::App& app, ServiceOptions& options) {
  app.add_option("--lease-seconds", options.lease_seconds,
                 "after which the background work of a replica that died goes on in another one")
      ->envname("FIELDLOOP_LEASE_SECONDS")
      ->check(CLI::Range(1, 3600))
      ->capture_default_str();
}

void AddBlobsOption(CLI::App& app, ServiceOptions& options) {
  app.add_option(
         "--blobs", options.blobs,
         "s3://bucket[/prefix][?endpoint=URL&region=NAME&style=path|virtual&ca=FILE], its keys in "
         "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; default: folders in --data-dir")
      ->envname("FIELDLOOP_BLOBS");
}

std::string DatabaseConnection(const ServiceOptions& options, const std::string& service) {
  return options.database.empty() ? "sqlite3://" + options.data_dir + "/" + service + ".db"
                                  : options.database;
}

}  // namespace fieldloop
