// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/server/service_server.h"

#include <atomic>
#include <condition_variable>
#include <csignal>
#include <fstream>
#include <iterator>
#include <memory>
#include <mutex>
#include <pthread.h>
#include <sstream>
#include <string>
#include <thread>

#include <fieldloop/provisioning/v1/provisioning_service.grpc.pb.h>
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <prometheus/text_serializer.h>

#include "absl/strings/str_cat.h"
#include "services/common/clock/clock.h"
#include "services/common/crypto/certificate.h"
#include "services/common/grpc/call_access.h"
#include "services/common/server/pool_metrics.h"
#include "services/common/trace/span.h"
#include "tests/services/common/temporary_folder.h"
#include "tests/services/common/trace/span_collector.h"
#include "tests/support/status_matchers.h"

namespace fieldloop {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::SpanCollector;
using ::fieldloop::testing::StatusIs;
using ::fieldloop::testing::TemporaryFolder;
using ::testing::HasSubstr;
using Provisioning = provisioning::v1::ProvisioningService;

// Tells what it sees of its caller, and can be held in the middle of a call.
class EchoService final : public Provisioning::Service {
 public:
  grpc::Status CheckAccess(grpc::ServerContext* context,
                           const provisioning::v1::CheckAccessRequest* /*request*/,
                           provisioning::v1::CheckAccessResponse* response) override {
    const Caller caller = CallerOf(*context);
    response->set_principal(caller.service + "|" + caller.token);
    response->set_project(CurrentRequestId());
    return grpc::Status::OK;
  }
  grpc::Status GetProject(grpc::ServerContext* /*context*/,
                          const provisioning::v1::GetProjectRequest* /*request*/,
                          provisioning::v1::GetProjectResponse* response) override {
    std::unique_lock<std::mutex> lock(mutex_);
    entered_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return released_; });
    response->mutable_project()->set_name("done");
    return grpc::Status::OK;
  }

  void WaitUntilEntered() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return entered_; });
  }
  void Release() {
    const std::lock_guard<std::mutex> lock(mutex_);
    released_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool entered_ = false;
  bool released_ = false;
};

class ServiceServerTest : public ::testing::Test {
 protected:
  ServiceServerTest() {
    BlockStopSignals();
    // TLS checks certificates against the system's clock.
    const absl::Time now = SystemClock().Now();
    const CertificateAuthority ca =
        CertificateAuthority::Generate("CA", now - absl::Hours(1), now + absl::Hours(1));
    Write("ca.crt", ca.CertificatePem());
    for (const char* name : {"echo", "build"}) {
      const auto made =
          ca.IssueForService(name, {name}, now - absl::Hours(1), now + absl::Hours(1));
      Write(std::string(name) + ".crt", made.certificate_pem);
      Write(std::string(name) + ".key", made.key_pem);
    }
    options_.tls = Tls("echo");
    options_.ready_file = folder_ / "ready.json";
  }

  void Write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name) << text;
  }
  TlsFiles Tls(const std::string& name) const {
    return {.ca = folder_ / "ca.crt",
            .cert = folder_ / (name + ".crt"),
            .key = folder_ / (name + ".key")};
  }
  static absl::StatusOr<provisioning::v1::CheckAccessResponse> Ask(
      const std::shared_ptr<grpc::Channel>& channel) {
    const auto stub = Provisioning::NewStub(channel);
    return CallUnary(*stub, &Provisioning::Stub::CheckAccess, {});
  }

  const TemporaryFolder folder_;
  ServiceOptions options_;
  EchoService echo_;
};

TEST_F(ServiceServerTest, AServiceIsKnownByItsCertificateAndAPersonByTheToken) {
  ServiceServer server("echo", options_);
  server.Register(echo_);
  ASSERT_THAT(server.Start(), IsOk());
  const auto service = Ask(*OpenChannel(server.address(), Tls("build"), "echo"));
  ASSERT_THAT(service, IsOk());
  EXPECT_EQ(service->principal(), "build|");
  const auto person = Ask(*OpenChannel(
      server.address(), {.ca = folder_ / "ca.crt", .cert = "", .key = ""}, "echo", "tok"));
  ASSERT_THAT(person, IsOk());
  EXPECT_EQ(person->principal(), "|tok");
}

TEST_F(ServiceServerTest, AClientRefusesAServiceOfAnotherName) {
  ServiceServer server("echo", options_);
  server.Register(echo_);
  ASSERT_THAT(server.Start(), IsOk());
  EXPECT_THAT(Ask(*OpenChannel(server.address(), Tls("build"), "evaluation")),
              StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(ServiceServerTest, AClientCertificateOfAnotherCaIsRefused) {
  const absl::Time now = SystemClock().Now();
  const CertificateAuthority other =
      CertificateAuthority::Generate("CA", now - absl::Hours(1), now + absl::Hours(1));
  const auto forged =
      other.IssueForService("build", {"build"}, now - absl::Hours(1), now + absl::Hours(1));
  Write("forged.crt", forged.certificate_pem);
  Write("forged.key", forged.key_pem);
  ServiceServer server("echo", options_);
  server.Register(echo_);
  ASSERT_THAT(server.Start(), IsOk());
  EXPECT_THAT(Ask(*OpenChannel(server.address(), Tls("forged"), "echo")),
              StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(ServiceServerTest, ARequestIdIsMadeOrFollowsTheCall) {
  ServiceServer server("echo", options_);
  server.Register(echo_);
  ASSERT_THAT(server.Start(), IsOk());
  const auto channel = *OpenChannel(server.address(), Tls("build"), "echo");
  const auto made = Ask(channel);
  ASSERT_THAT(made, IsOk());
  EXPECT_EQ(made->project().size(), 32U);
  const CallScope scope({.request_id = "order-66", .trace = {}, .fields = {}});
  const auto followed = Ask(channel);
  ASSERT_THAT(followed, IsOk());
  EXPECT_EQ(followed->project(), "order-66");
}

TEST_F(ServiceServerTest, ACallIsTwoSpansOfTheCallersTrace) {
  ServiceServer server("echo", options_);
  server.Register(echo_);
  ASSERT_THAT(server.Start(), IsOk());
  const SpanCollector spans;
  TraceContext caller;
  {
    WorkSpan work("caller", SpanKind::kInternal,
                  {.trace_id = "4bf92f3577b34da6a3ce929d0e0e4736",
                   .span_id = "00f067aa0ba902b7",
                   .sampled = true,
                   .state = "congo=1"},
                  {});
    caller = work.span().context();
    ASSERT_THAT(Ask(*OpenChannel(server.address(), Tls("build"), "echo")), IsOk());
  }
  const std::string name = "fieldloop.provisioning.v1.ProvisioningService/CheckAccess";
  const SpanData client = spans.Get(name, SpanKind::kClient);
  const SpanData handled = spans.Get(name, SpanKind::kServer);
  EXPECT_EQ(client.trace.trace_id, caller.trace_id);
  EXPECT_EQ(client.parent_span_id, caller.span_id);
  EXPECT_EQ(handled.trace.trace_id, caller.trace_id);
  EXPECT_EQ(handled.parent_span_id, client.trace.span_id);
  EXPECT_EQ(handled.trace.state, "congo=1");
}

TEST_F(ServiceServerTest, ATraceparentThatBreaksTheRulesBeginsANewTrace) {
  ServiceServer server("echo", options_);
  server.Register(echo_);
  ASSERT_THAT(server.Start(), IsOk());
  const SpanCollector spans;
  grpc::SslCredentialsOptions tls;
  std::ifstream ca(folder_ / "ca.crt");
  tls.pem_root_certs.assign(std::istreambuf_iterator<char>(ca), {});
  grpc::ChannelArguments arguments;
  arguments.SetSslTargetNameOverride("echo");
  const auto stub = Provisioning::NewStub(
      grpc::CreateCustomChannel(server.address(), grpc::SslCredentials(tls), arguments));
  grpc::ClientContext context;
  context.AddMetadata("traceparent", "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01");
  context.AddMetadata("tracestate", "congo=1");
  provisioning::v1::CheckAccessResponse response;
  ASSERT_TRUE(stub->CheckAccess(&context, {}, &response).ok());
  const SpanData handled =
      spans.Get("fieldloop.provisioning.v1.ProvisioningService/CheckAccess", SpanKind::kServer);
  EXPECT_EQ(handled.parent_span_id, "");
  EXPECT_EQ(handled.trace.state, "");
  EXPECT_EQ(response.project(), handled.trace.trace_id);
}

TEST_F(ServiceServerTest, ThePoolOfConnectionsIsExported) {
  const std::string text = prometheus::TextSerializer().Serialize(PoolMetrics().Collect());
  for (const char* name :
       {"fieldloop_database_connections", "fieldloop_database_connections_in_use",
        "fieldloop_database_waiting", "fieldloop_database_transactions_total",
        "fieldloop_database_wait_seconds_total", "fieldloop_database_wait_timeouts_total"}) {
    EXPECT_THAT(text, HasSubstr(absl::StrCat("\n", name, " ")));
  }
}

TEST_F(ServiceServerTest, ATracesFlagThatIsNoAddressIsRefused) {
  options_.traces = "tempo:4318";
  EXPECT_THAT(ServiceServer("echo", options_).Start(),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(ServiceServerTest, CallsAreCountedByMethodAndCode) {
  ServiceServer server("echo", options_);
  server.Register(echo_);
  ASSERT_THAT(server.Start(), IsOk());
  const auto channel = *OpenChannel(server.address(), Tls("build"), "echo");
  ASSERT_THAT(Ask(channel), IsOk());
  const auto stub = Provisioning::NewStub(channel);
  EXPECT_THAT(CallUnary(*stub, &Provisioning::Stub::ListProjects, {}),
              StatusIs(absl::StatusCode::kUnimplemented));
  const std::string text = prometheus::TextSerializer().Serialize(server.registry().Collect());
  EXPECT_THAT(text, HasSubstr(R"(fieldloop_calls_total{code="OK",method="/fieldloop.provisioning)"
                              R"(.v1.ProvisioningService/CheckAccess"} 1)"));
  EXPECT_THAT(text, HasSubstr(R"(code="UNIMPLEMENTED")"));
  EXPECT_THAT(text, HasSubstr("fieldloop_call_seconds_count"));
}

TEST_F(ServiceServerTest, ABadTlsFileAndATakenPortAreSaid) {
  ServiceOptions bad = options_;
  bad.tls.cert = folder_ / "none.crt";
  EXPECT_THAT(ServiceServer("echo", bad).Start(), StatusIs(absl::StatusCode::kInvalidArgument));
  ServiceServer first("echo", options_);
  ASSERT_THAT(first.Start(), IsOk());
  ServiceOptions taken = options_;
  taken.listen = first.address();
  const absl::Status status = ServiceServer("echo", taken).Start();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(std::string(status.message()), HasSubstr(first.address()));
}

TEST_F(ServiceServerTest, AStopSignalLetsARunningCallFinish) {
  ServiceServer server("echo", options_);
  server.Register(echo_);
  ASSERT_THAT(server.Start(), IsOk());
  std::atomic<bool> stopped = false;
  absl::Status result = absl::UnknownError("");
  std::thread run([&] {
    result = server.Run({{"extra", "value"}}, [&] {
      stopped = true;
      EXPECT_TRUE(server.stopping());
      echo_.Release();
    });
  });
  const auto stub = Provisioning::NewStub(*OpenChannel(server.address(), Tls("build"), "echo"));
  absl::StatusOr<provisioning::v1::GetProjectResponse> response = absl::UnknownError("");
  std::thread call([&] { response = CallUnary(*stub, &Provisioning::Stub::GetProject, {}); });
  echo_.WaitUntilEntered();
  EXPECT_FALSE(server.stopping());
  ASSERT_EQ(pthread_kill(run.native_handle(), SIGTERM), 0);
  run.join();
  call.join();
  EXPECT_THAT(result, IsOk());
  EXPECT_TRUE(stopped);
  ASSERT_THAT(response, IsOk());
  EXPECT_EQ(response->project().name(), "done");
  std::ifstream file(options_.ready_file);
  const nlohmann::json ready = nlohmann::json::parse(file);
  EXPECT_EQ(ready["service"], "echo");
  EXPECT_EQ(ready["grpc"], server.address());
  EXPECT_EQ(ready["extra"], "value");
}

TEST(DatabaseConnectionTest, IsSqliteInTheDataFolderUnlessSaidOtherwise) {
  ServiceOptions options;
  options.data_dir = "/data";
  EXPECT_EQ(DatabaseConnection(options, "build"), "sqlite3:///data/build.db");
  options.database = "postgresql://dbname=x";
  EXPECT_EQ(DatabaseConnection(options, "build"), "postgresql://dbname=x");
}

}  // namespace
}  // namespace fieldloop
