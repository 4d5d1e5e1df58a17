// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_SERVER_SERVICE_SERVER_H_
#define FIELDLOOP_SERVICES_COMMON_SERVER_SERVICE_SERVER_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <grpcpp/impl/service_type.h>
#include <prometheus/registry.h>

#include "absl/status/status.h"
#include "services/common/server/service_options.h"

namespace fieldloop {

class Access;
class Clock;
class Database;

// The gRPC server of a service: TLS, health, reflection, RED metrics for each method, request ids,
// traces, access log, graceful stop.
//
//   BlockStopSignals();   // Before any thread starts.
//   ServiceServer server("ingestion", options);
//   ... build everything, with server.registry() for metrics ...
//   server.Register(handler);
//   return server.Run({{"http", http_address}});
class ServiceServer {
 public:
  ServiceServer(std::string name, const ServiceOptions& options);
  ~ServiceServer();
  ServiceServer(const ServiceServer&) = delete;
  ServiceServer& operator=(const ServiceServer&) = delete;

  prometheus::Registry& registry();

  // Asked once a second while the server runs, on a thread of its own; may block. What it returns
  // is what grpc.health.v1 says about kReadiness. Without it the server is always ready. Call
  // before Run; what it refers to must outlive Run.
  void ReadyWhen(std::function<absl::Status()> check);

  // `service` must outlive the server. INVALID_ARGUMENT is returned by Start if a TLS file is bad.
  void Register(grpc::Service& service);

  // Keeps an audit log in `database` from Start on, and serves it: see audit_interceptor.h. All
  // must outlive the server.
  void Audit(Database& database, Access& access, const Clock& clock);

  // Listens, and sends spans to options.traces from now on. UNAVAILABLE naming the address if it is
  // taken; INVALID_ARGUMENT if options.traces is no address of a collector.
  absl::Status Start();
  // The bound gRPC address, "127.0.0.1:43211". Valid after Start.
  std::string address() const;

  // Starts unless started, writes the ready file ({"service":..,"grpc":..,"metrics":..} and
  // `more`), serves until SIGINT or SIGTERM, then says NOT_SERVING, calls `on_stop` (end streams
  // and background work there) and lets running calls finish for at most drain_seconds.
  absl::Status Run(
      const std::map<std::string, std::string>& more = {},
      const std::function<void()>& on_stop = [] {});

  // True once a stop signal came: watch streams end with UNAVAILABLE. Thread-safe.
  bool stopping() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Blocks SIGINT, SIGTERM and ignores SIGPIPE in this thread and those it starts, so that only
// ServiceServer::Run sees the stop signals.
void BlockStopSignals();

// Opens a channel to another service with this service's own certificate.
absl::StatusOr<std::shared_ptr<grpc::Channel>> OpenServiceChannel(const ServiceOptions& options,
                                                                  const std::string& address,
                                                                  const std::string& server_name);

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_SERVER_SERVICE_SERVER_H_
