// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/server/service_server.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <exception>
#include <fstream>
#include <mutex>
#include <pthread.h>
#include <sstream>
#include <thread>
#include <utility>

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <nlohmann/json.hpp>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "services/common/audit/audit_log.h"
#include "services/common/grpc/health.h"
#include "services/common/log/log.h"
#include "services/common/server/audit_handler.h"
#include "services/common/server/audit_interceptor.h"
#include "services/common/server/call_interceptor.h"
#include "services/common/server/metrics_server.h"
#include "services/common/server/pool_metrics.h"
#include "services/common/server/process_metrics.h"
#include "services/common/status/status_macros.h"
#include "services/common/trace/span.h"
#include "services/common/trace/span_exporter.h"

namespace fieldloop {
namespace {

constexpr int kMaxMessageBytes = 64 << 20;
constexpr int kMaxPollers = 64;
constexpr int kMinPingMs = 10'000;
constexpr std::chrono::seconds kReadinessPeriod{1};

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file || text.str().empty()) {
    return absl::InvalidArgumentError(absl::StrCat("cannot read TLS file \"", path, "\""));
  }
  return text.str();
}

// Replaces the port of `address` by `port`.
std::string WithPort(const std::string& address, int port) {
  return absl::StrCat(address.substr(0, address.rfind(':')), ":", port);
}

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> Credentials(const TlsFiles& tls) {
  // A client certificate is asked for and checked when there is one: services have it, people send
  // an API token instead.
  grpc::SslServerCredentialsOptions options(GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY);
  FIELDLOOP_ASSIGN_OR_RETURN(options.pem_root_certs, ReadFile(tls.ca));
  FIELDLOOP_ASSIGN_OR_RETURN(std::string cert, ReadFile(tls.cert));
  FIELDLOOP_ASSIGN_OR_RETURN(std::string key, ReadFile(tls.key));
  options.pem_key_cert_pairs.push_back({std::move(key), std::move(cert)});
  return grpc::SslServerCredentials(options);
}

// The counters are there without a collector too, as zeros.
absl::Status SendSpans(const std::string& service, const ServiceOptions& options,
                       const std::shared_ptr<prometheus::Registry>& registry) {
  auto& family = prometheus::BuildCounter()
                     .Name("fieldloop_trace_spans_total")
                     .Help("Spans by what became of them")
                     .Register(*registry);
  prometheus::Counter& exported = family.Add({{"result", "exported"}});
  prometheus::Counter& dropped = family.Add({{"result", "dropped"}});
  prometheus::Counter& failed = family.Add({{"result", "failed"}});
  if (options.traces.empty()) {
    return absl::OkStatus();
  }
  FIELDLOOP_ASSIGN_OR_RETURN(
      std::shared_ptr<SpanSink> exporter,
      SpanExporter::Start(
          {.url = options.traces, .service = service},
          [registry, &exported, &dropped, &failed](SpanFate fate, std::size_t count) {
            prometheus::Counter& counter = fate == SpanFate::kExported  ? exported
                                           : fate == SpanFate::kDropped ? dropped
                                                                        : failed;
            counter.Increment(static_cast<double>(count));
          }));
  SetSpanSink(std::move(exporter), options.trace_sample);
  return absl::OkStatus();
}

// Keeps what is said about kReadiness true until Stop().
class ReadinessWatch {
 public:
  ReadinessWatch(grpc::HealthCheckServiceInterface& health, prometheus::Gauge& gauge,
                 std::function<absl::Status()> check)
      : health_(health), gauge_(gauge), check_(std::move(check)), thread_([this] { Run(); }) {}
  ~ReadinessWatch() {
    Stop();
    thread_.join();
  }
  ReadinessWatch(const ReadinessWatch&) = delete;
  ReadinessWatch& operator=(const ReadinessWatch&) = delete;

  // Does not wait for a check that runs.
  void Stop() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      stopping_ = true;
    }
    stopped_.notify_one();
  }

 private:
  void Run() {
    health_.SetServingStatus(kReadiness, false);
    bool was_ready = true;
    std::unique_lock<std::mutex> lock(mutex_);
    while (!stopping_) {
      lock.unlock();
      const absl::Status status = check_ ? check_() : absl::OkStatus();
      lock.lock();
      if (stopping_) {
        return;
      }
      gauge_.Set(status.ok() ? 1 : 0);
      health_.SetServingStatus(kReadiness, status.ok());
      if (status.ok() != was_ready) {
        was_ready = status.ok();
        was_ready ? spdlog::info("can work again")
                  : spdlog::warn("cannot work: {}", status.ToString());
      }
      stopped_.wait_for(lock, kReadinessPeriod, [this] { return stopping_; });
    }
  }

  grpc::HealthCheckServiceInterface& health_;
  prometheus::Gauge& gauge_;
  const std::function<absl::Status()> check_;
  std::mutex mutex_;
  std::condition_variable stopped_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace

struct ServiceServer::State {
  std::string name;
  ServiceOptions options;
  std::shared_ptr<prometheus::Registry> registry = std::make_shared<prometheus::Registry>();
  prometheus::Gauge& ready_gauge = prometheus::BuildGauge()
                                       .Name("fieldloop_ready")
                                       .Help("Whether the service can do its work: 1 or 0")
                                       .Register(*registry)
                                       .Add({});
  std::shared_ptr<ProcessMetrics> process_metrics = std::make_shared<ProcessMetrics>();
  std::shared_ptr<PoolMetrics> pool_metrics = std::make_shared<PoolMetrics>();
  std::vector<grpc::Service*> services;
  const Clock* clock = nullptr;  // Of the audit log.
  std::unique_ptr<AuditLog> audit_log;
  std::unique_ptr<AuditHandler> audit_handler;
  std::unique_ptr<MetricsServer> metrics_server;
  std::unique_ptr<grpc::Server> server;
  std::string address;
  std::string metrics_address;
  std::function<absl::Status()> ready_when;
  std::atomic<bool> stopping = false;
};

ServiceServer::ServiceServer(std::string name, const ServiceOptions& options)
    : state_(std::make_unique<State>()) {
  state_->name = std::move(name);
  state_->options = options;
}
// Spans of what ends after the server go nowhere.
ServiceServer::~ServiceServer() { SetSpanSink(nullptr, 0); }

prometheus::Registry& ServiceServer::registry() { return *state_->registry; }
void ServiceServer::ReadyWhen(std::function<absl::Status()> check) {
  state_->ready_when = std::move(check);
}
void ServiceServer::Register(grpc::Service& service) { state_->services.push_back(&service); }
void ServiceServer::Audit(Database& database, Access& access, const Clock& clock) {
  state_->clock = &clock;
  state_->audit_log = std::make_unique<AuditLog>(database);
  state_->audit_handler = std::make_unique<AuditHandler>(*state_->audit_log, access);
  Register(*state_->audit_handler);
}
std::string ServiceServer::address() const { return state_->address; }
bool ServiceServer::stopping() const { return state_->stopping; }

absl::Status ServiceServer::Start() {
  FIELDLOOP_RETURN_IF_ERROR(SendSpans(state_->name, state_->options, state_->registry));
  try {
    state_->metrics_server = std::make_unique<MetricsServer>(state_->options.metrics_listen);
    state_->metrics_server->Register(state_->registry);
    state_->metrics_server->Register(state_->process_metrics);
    state_->metrics_server->Register(state_->pool_metrics);
    state_->metrics_address =
        WithPort(state_->options.metrics_listen, state_->metrics_server->port());
  } catch (const std::exception& error) {
    return absl::UnavailableError(absl::StrCat("--metrics-listen: cannot listen on ",
                                               state_->options.metrics_listen,
                                               "; is the port taken?"));
  }
  FIELDLOOP_ASSIGN_OR_RETURN(const std::shared_ptr<grpc::ServerCredentials> credentials,
                             Credentials(state_->options.tls));
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  // Debian's libraries look for deadlocks at every lock of a mutex.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  grpc::ServerBuilder builder;
  // Without this two processes could share a port and each get half of the calls.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  // Clients look who is there when a connection ends, and so find replicas that are new. Calls that
  // run end in their own time.
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS,
                             state_->options.max_connection_age_seconds * 1000);
  // Of a client that keeps looking whether this machine is still there.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, kMinPingMs);
  // With the library's two, every other call would make a thread and end it.
  builder.SetSyncServerOption(grpc::ServerBuilder::SyncServerOption::MAX_POLLERS, kMaxPollers);
  int port = 0;
  builder.AddListeningPort(state_->options.listen, credentials, &port);
  for (grpc::Service* service : state_->services) {
    builder.RegisterService(service);
  }
  std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> interceptors;
  if (state_->audit_log != nullptr) {
    interceptors.push_back(MakeAuditInterceptorFactory(*state_->audit_log, *state_->clock));
  }
  interceptors.push_back(MakeCallInterceptorFactory(*state_->registry));
  builder.experimental().SetInterceptorCreators(std::move(interceptors));
  state_->server = builder.BuildAndStart();
  if (state_->server == nullptr || port == 0) {
    return absl::UnavailableError(absl::StrCat("--listen: cannot listen on ",
                                               state_->options.listen, "; is the port taken?"));
  }
  state_->address = WithPort(state_->options.listen, port);
  return absl::OkStatus();
}

absl::Status ServiceServer::Run(const std::map<std::string, std::string>& more,
                                const std::function<void()>& on_stop) {
  if (state_->server == nullptr) {
    FIELDLOOP_RETURN_IF_ERROR(Start());
  }
  nlohmann::json ready = {
      {"service", state_->name}, {"grpc", state_->address}, {"metrics", state_->metrics_address}};
  for (const auto& [key, value] : more) {
    ready[key] = value;
  }
  if (!state_->options.ready_file.empty()) {
    const std::string temporary = state_->options.ready_file + ".tmp";
    std::ofstream file(temporary);
    file << ready.dump() << "\n";
    file.close();
    if (!file || std::rename(temporary.c_str(), state_->options.ready_file.c_str()) != 0) {
      return absl::UnavailableError(
          absl::StrCat("--ready-file: cannot write ", state_->options.ready_file));
    }
  }
  spdlog::info("ready: {}", ready.dump());
  ReadinessWatch readiness(*state_->server->GetHealthCheckService(), state_->ready_gauge,
                           state_->ready_when);

  sigset_t stop_signals;
  sigemptyset(&stop_signals);
  sigaddset(&stop_signals, SIGINT);
  sigaddset(&stop_signals, SIGTERM);
  int signal = 0;
  sigwait(&stop_signals, &signal);
  spdlog::info("signal {}: draining", signal);
  state_->stopping = true;
  readiness.Stop();
  state_->server->GetHealthCheckService()->SetServingStatus(false);
  on_stop();
  state_->server->Shutdown(std::chrono::system_clock::now() +
                           std::chrono::seconds(state_->options.drain_seconds));
  spdlog::info("stopped");
  return absl::OkStatus();
}

void BlockStopSignals() {
  sigset_t stop_signals;
  sigemptyset(&stop_signals);
  sigaddset(&stop_signals, SIGINT);
  sigaddset(&stop_signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &stop_signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> OpenServiceChannel(const ServiceOptions& options,
                                                                  const std::string& address,
                                                                  const std::string& server_name) {
  return OpenChannel(address, options.tls, server_name);
}

}  // namespace fieldloop
