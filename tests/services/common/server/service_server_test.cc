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
#include <set>
#include <sstream>
#include <string>
#include <thread>

#include <fieldloop/provisioning/v1/provisioning_service.grpc.pb.h>
#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <prometheus/text_serializer.h>

#include "absl/strings/str_cat.h"
#include "services/common/clock/clock.h"
#include "services/common/crypto/certificate.h"
#include "services/common/grpc/call_access.h"
#include "services/common/grpc/client_policy.h"
#include "services/common/grpc/health.h"
#include "services/common/log/log.h"
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

// What grpc.health.v1 says about kReadiness, as it changes; a HealthCheckResponse in bytes.
class WatchedReadiness {
 public:
  explicit WatchedReadiness(const std::shared_ptr<grpc::Channel>& channel) : stub_(channel) {
    call_ = stub_.PrepareCall(&context_, "/grpc.health.v1.Health/Watch", &queue_);
    call_->StartCall(nullptr);
    Await();
    const grpc::Slice request(absl::StrCat("\x0a\x05", kReadiness));
    call_->Write(grpc::ByteBuffer(&request, 1), nullptr);
    Await();
  }
  ~WatchedReadiness() {
    context_.TryCancel();
    grpc::Status status;
    call_->Finish(&status, nullptr);
    Await();
  }
  WatchedReadiness(const WatchedReadiness&) = delete;
  WatchedReadiness& operator=(const WatchedReadiness&) = delete;

  std::string Next() {
    grpc::ByteBuffer response;
    call_->Read(&response, nullptr);
    Await();
    grpc::Slice bytes;
    return response.DumpToSingleSlice(&bytes).ok()
               ? std::string(reinterpret_cast<const char*>(bytes.begin()), bytes.size())
               : "";
  }

 private:
  void Await() {
    void* tag = nullptr;
    bool ok = false;
    queue_.Next(&tag, &ok);
  }

  grpc::GenericStub stub_;
  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call_;
};

TEST_F(ServiceServerTest, ReadinessFollowsWhatItDependsOnAndTheProcessIsAliveThroughout) {
  constexpr char kServing[] = "\x08\x01";
  constexpr char kNotServing[] = "\x08\x02";
  ServiceServer server("echo", options_);
  server.Register(echo_);
  ASSERT_THAT(server.Start(), IsOk());
  std::atomic<bool> is_database_there = false;
  server.ReadyWhen([&is_database_there] {
    return is_database_there ? absl::OkStatus() : absl::UnavailableError("no database");
  });
  std::thread running([&server] { EXPECT_THAT(server.Run(), IsOk()); });
  const auto channel = *OpenChannel(server.address(), Tls("build"), "echo");
  {
    WatchedReadiness readiness(channel);
    std::string seen = readiness.Next();
    if (seen == "\x08\x03") {  // Asked before Run().
      seen = readiness.Next();
    }
    EXPECT_EQ(seen, kNotServing);
    EXPECT_THAT(Ask(channel), IsOk());
    is_database_there = true;
    EXPECT_EQ(readiness.Next(), kServing);
    EXPECT_THAT(prometheus::TextSerializer().Serialize(server.registry().Collect()),
                HasSubstr("\nfieldloop_ready 1\n"));
    is_database_there = false;
    EXPECT_EQ(readiness.Next(), kNotServing);
    EXPECT_THAT(prometheus::TextSerializer().Serialize(server.registry().Collect()),
                HasSubstr("\nfieldloop_ready 0\n"));
    EXPECT_THAT(Ask(channel), IsOk());
  }
  pthread_kill(running.native_handle(), SIGTERM);
  running.join();
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

// Says which replica it is, or that it is not to be had.
class Replica final : public Provisioning::Service {
 public:
  explicit Replica(std::string name) : name_(std::move(name)) {}
  grpc::Status CheckAccess(grpc::ServerContext* context,
                           const provisioning::v1::CheckAccessRequest* /*request*/,
                           provisioning::v1::CheckAccessResponse* response) override {
    response->set_principal(name_);
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      peers_.insert(context->peer());
    }
    return Answer();
  }
  grpc::Status CreateProject(grpc::ServerContext* /*context*/,
                             const provisioning::v1::CreateProjectRequest* /*request*/,
                             provisioning::v1::CreateProjectResponse* /*response*/) override {
    return Answer();
  }

  // How many connections brought a call of CheckAccess.
  std::size_t connections() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return peers_.size();
  }

  std::atomic<int> unavailable = 0;  // Calls that are refused from now on.
  std::atomic<int> calls = 0;

 private:
  grpc::Status Answer() {
    ++calls;
    return unavailable-- > 0 ? grpc::Status(grpc::StatusCode::UNAVAILABLE, "away")
                             : grpc::Status::OK;
  }
  const std::string name_;
  std::mutex mutex_;
  std::set<std::string> peers_;  // Guarded by mutex_.
};

class ReplicasTest : public ServiceServerTest {
 protected:
  ReplicasTest() {
    const absl::Time now = SystemClock().Now();
    const CertificateAuthority ca =
        CertificateAuthority::Generate("CA", now - absl::Hours(1), now + absl::Hours(1));
    Write("ca.crt", ca.CertificatePem());
    const auto made = ca.IssueForService("provisioning", {"provisioning"}, now - absl::Hours(1),
                                         now + absl::Hours(1));
    Write("provisioning.crt", made.certificate_pem);
    Write("provisioning.key", made.key_pem);
    options_.tls = Tls("provisioning");
    options_.ready_file.clear();
    Start(0);
    Start(1);
  }
  // Starts a replica, on the address that it had.
  void Start(int which) {
    auto& server = which == 0 ? first_ : second_;
    ServiceOptions options = options_;
    server.reset();
    options.listen = addresses_[which].empty() ? "127.0.0.1:0" : addresses_[which];
    server = std::make_unique<ServiceServer>("provisioning", options);
    server->Register(replicas_[which]);
    ASSERT_THAT(server->Start(), IsOk());
    addresses_[which] = server->address();
  }
  std::shared_ptr<grpc::Channel> Channel() {
    return *OpenChannel(addresses_[0] + "," + addresses_[1], Tls("provisioning"), "provisioning");
  }
  // Calls until a replica other than the `not_wanted` one has answered.
  static std::string AskUntilNot(const std::shared_ptr<grpc::Channel>& channel,
                                 const std::string& not_wanted) {
    for (;;) {
      const auto answer = Ask(channel);
      EXPECT_THAT(answer, IsOk());
      if (!answer.ok() || answer->principal() != not_wanted) {
        return answer.ok() ? answer->principal() : "";
      }
    }
  }

  Replica replicas_[2] = {Replica("first"), Replica("second")};
  std::string addresses_[2];
  std::unique_ptr<ServiceServer> first_;
  std::unique_ptr<ServiceServer> second_;
};

TEST_F(ReplicasTest, CallsTakeTurnsAndGoOnWhenAReplicaGoes) {
  const auto channel = Channel();
  EXPECT_EQ(AskUntilNot(channel, "first"), "second");
  EXPECT_EQ(AskUntilNot(channel, "second"), "first");
  first_.reset();
  for (int i = 0; i < 20; ++i) {
    const auto answer = Ask(channel);
    ASSERT_THAT(answer, IsOk());
    EXPECT_EQ(answer->principal(), "second");
  }
  // One that comes back gets its share again, and carries all of it when the other goes.
  Start(0);
  EXPECT_EQ(AskUntilNot(channel, "second"), "first");
  second_.reset();
  EXPECT_EQ(AskUntilNot(channel, "second"), "first");
}

TEST_F(ReplicasTest, WhatMayBeRepeatedIsRepeatedAndNothingElse) {
  const auto channel = Channel();
  const auto stub = Provisioning::NewStub(channel);
  const auto calls = [this] { return replicas_[0].calls + replicas_[1].calls; };
  // Whichever replica comes when: at least three calls, and five are enough.
  replicas_[0].unavailable = replicas_[1].unavailable = 2;
  EXPECT_THAT(Ask(channel), IsOk());
  EXPECT_GE(calls(), 3);
  // A caller must know that a project may have been created.
  const int before = calls();
  replicas_[0].unavailable = replicas_[1].unavailable = 1;
  EXPECT_THAT(CallUnary(*stub, &Provisioning::Stub::CreateProject, {}),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(calls(), before + 1);
}

TEST_F(ReplicasTest, ReplicasThatAreAllAwayForAMomentAreWaitedFor) {
  // The moment is half a second: what a slow machine makes longer is not waited for, and says
  // nothing here.
  absl::Duration away = absl::InfiniteDuration();
  while (away > absl::Milliseconds(500)) {
    Start(0);
    Start(1);
    const auto channel = Channel();
    ASSERT_THAT(Ask(channel), IsOk());
    first_.reset();
    const auto begin = std::chrono::steady_clock::now();
    second_.reset();
    absl::StatusOr<provisioning::v1::CheckAccessResponse> answer = absl::UnknownError("");
    std::thread call([&] { answer = Ask(channel); });
    Start(1);
    away = absl::FromChrono(std::chrono::steady_clock::now() - begin);
    call.join();
    if (away <= absl::Milliseconds(500)) {
      ASSERT_THAT(answer, IsOk());
      EXPECT_EQ(answer->principal(), "second");
    }
  }
}

TEST_F(ReplicasTest, AnOldConnectionIsFollowedByANewOneWithoutACallLost) {
  options_.max_connection_age_seconds = 1;
  Start(0);
  const auto channel = *OpenChannel(addresses_[0], Tls("provisioning"), "provisioning");
  // The server asks the client to go, and the client comes back by itself.
  while (replicas_[0].connections() < 2) {
    ASSERT_THAT(Ask(channel), IsOk());
  }
}

TEST(ChannelTargetTest, SeveralAddressesWantToBeOfOneFamily) {
  EXPECT_EQ(*ChannelTarget("ingestion:7400"), "ingestion:7400");
  EXPECT_EQ(*ChannelTarget("127.0.0.1:1,127.0.0.1:2"), "ipv4:127.0.0.1:1,127.0.0.1:2");
  EXPECT_EQ(*ChannelTarget("[::1]:1,[fe80::2]:2"), "ipv6:[::1]:1,[fe80::2]:2");
  for (const char* bad : {"a:1,b:2", "127.0.0.1:1,[::1]:2", "127.0.0.1:1,", "127.0.0.1,127.0.0.1:1",
                          "::1:1,::1:2", "127.0.0.1:0,127.0.0.1:1"}) {
    EXPECT_THAT(ChannelTarget(bad), StatusIs(absl::StatusCode::kInvalidArgument)) << bad;
  }
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
