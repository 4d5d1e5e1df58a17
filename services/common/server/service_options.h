// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_SERVER_SERVICE_OPTIONS_H_
#define FIELDLOOP_SERVICES_COMMON_SERVER_SERVICE_OPTIONS_H_

#include <string>

#include <CLI/CLI.hpp>

#include "services/common/grpc/client_call.h"

namespace fieldloop {

// Flags that every service has. FIELDLOOP_<FLAG> variables and a TOML file (--config) set the same.
struct ServiceOptions {
  std::string listen = "127.0.0.1:0";          // gRPC.
  std::string metrics_listen = "127.0.0.1:0";  // Prometheus.
  std::string data_dir;                        // SQLite file, blobs, what waits.
  std::string database;                        // A URI; empty: SQLite in data_dir.
  std::string blobs;                           // Bucket; empty: folders in data_dir.
  TlsFiles tls;
  std::string provisioning;  // Address of provisioning; not for provisioning itself.
  std::string ready_file;    // Gets the addresses as JSON once everything listens.
  std::string log_format = "text";
  std::string traces;       // Collector of spans, OTLP over HTTP; empty: none.
  double trace_sample = 1;  // Share of the traces that begin here.
  int drain_seconds = 10;
  // Clients of a connection of this age are asked to connect again.
  int max_connection_age_seconds = 300;
  // After which the background work of a replica that died goes on in another one.
  int lease_seconds = 10;
};

// Adds the flags. `needs_provisioning` makes --provisioning required.
void AddServiceOptions(CLI::App& app, ServiceOptions& options, bool needs_provisioning);

// Adds --blobs, for services that keep payloads.
void AddBlobsOption(CLI::App& app, ServiceOptions& options);

// Adds --lease-seconds, for services with background work; set its default before.
void AddLeaseOption(CLI::App& app, ServiceOptions& options);

// The connection string that `options` stand for.
std::string DatabaseConnection(const ServiceOptions& options, const std::string& service);

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_SERVER_SERVICE_OPTIONS_H_
