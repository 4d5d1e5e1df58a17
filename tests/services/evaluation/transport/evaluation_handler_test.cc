// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/evaluation/transport/evaluation_handler.h"

#include <atomic>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <google/protobuf/util/time_util.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "services/common/clock/clock.h"
#include "services/common/crypto/certificate.h"
#include "services/common/grpc/client_call.h"
#include "services/common/server/service_server.h"
#include "services/common/sql/database.h"
#include "services/common/status/error_reason.h"
#include "services/evaluation/policy/policy_yaml.h"
#include "services/evaluation/storage/sql_stores.h"
#include "tests/services/common/temporary_folder.h"
#include "tests/services/evaluation/support/fakes.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::evaluation {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::fieldloop::testing::TemporaryFolder;
using ::testing::HasSubstr;
using Stub = v1::EvaluationService::Stub;

constexpr char kYaml[] = R"(version: 1
build: {impulse: motion, dataset: all}
gate:
  - {test: not_worse}
)";

// Tokens are the names of roles; services may do everything.
class TokenAccess final : public Access {
 public:
  absl::StatusOr<Grant> Check(const Caller& caller, absl::string_view resource,
                              Role role) override {
    if (!caller.service.empty()) {
      return Grant{.principal = "services/" + caller.service, .project = ""};
    }
    const Role has = caller.token == "operator" ? Role::kOperator
                     : caller.token == "viewer" ? Role::kViewer
                                                : Role::kIngest;
    if (has < role || resource.empty()) {
      return absl::PermissionDeniedError("no");
    }
    return Grant{.principal = "apiTokens/" + caller.token, .project = ""};
  }
};

class EvaluationHandlerTest : public ::testing::Test {
 protected:
  EvaluationHandlerTest() {
    models_.AddModel(1, "aa");
    models_.champion = "projects/x/models/1";
    // TLS checks certificates against the system's clock.
    const absl::Time now = clock_.Now();
    const CertificateAuthority authority =
        CertificateAuthority::Generate("test", now - absl::Hours(1), now + absl::Hours(1));
    Write("ca.pem", authority.CertificatePem());
    for (const char* name : {"evaluation", "distribution"}) {
      const auto issued =
          authority.IssueForService(name, {name}, now - absl::Hours(1), now + absl::Hours(1));
      Write(std::string(name) + ".pem", issued.certificate_pem);
      Write(std::string(name) + ".key", issued.key_pem);
    }
    ServiceOptions options;
    options.tls = Tls("evaluation");
    server_ = std::make_unique<ServiceServer>("evaluation", options);
    server_->Register(handler_);
    EXPECT_THAT(server_->Start(), IsOk());
  }

  void Write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name) << text;
  }
  TlsFiles Tls(const std::string& name) const {
    return {.ca = folder_ / "ca.pem",
            .cert = folder_ / (name + ".pem"),
            .key = folder_ / (name + ".key")};
  }
  std::unique_ptr<Stub> As(const std::string& token) {
    return v1::EvaluationService::NewStub(
        *OpenChannel(server_->address(), {.ca = folder_ / "ca.pem", .cert = "", .key = ""},
                     "evaluation", token));
  }
  std::unique_ptr<Stub> AsDistribution() {
    return v1::EvaluationService::NewStub(
        *OpenChannel(server_->address(), Tls("distribution"), "evaluation"));
  }

  absl::Status SetPolicy(const std::string& token, const std::string& yaml) {
    v1::SetPolicyRequest request;
    request.set_parent("projects/x");
    request.set_yaml(yaml);
    return CallUnary(*As(token), &Stub::SetPolicy, request).status();
  }

  static v1::RecordSketchRequest SketchRequest() {
    v1::RecordSketchRequest request;
    v1::Sketch& sketch = *request.mutable_sketch();
    sketch.set_device("projects/x/devices/d");
    sketch.set_sequence(1);
    sketch.set_model_digest("aa");
    sketch.set_reference_id(7);
    *sketch.mutable_start_time() =
        google::protobuf::util::TimeUtil::SecondsToTimestamp(1'700'000'100);
    sketch.set_period_ms(300'000);
    sketch.set_windows(10);
    sketch.add_class_counts(4);
    sketch.add_class_counts(6);
    for (int c = 0; c < 2; ++c) {
      v1::ChannelSketch& channel = *sketch.add_channels();
      for (const std::int64_t count : {0, 0, 0, 10}) {
        channel.add_bins(count);
      }
      channel.set_mean(0.75);
    }
    return request;
  }

  const SystemClock clock_;
  const TemporaryFolder folder_;
  const std::unique_ptr<Database> database_ =
      *Database::Open({.connection = "sqlite3://" + (folder_ / "e.db")}, EvaluationMigrations());
  ChangeSignal changed_;
  Telemetry telemetry_;
  testing::FakeRegistry models_;
  SqlEvaluationStore evaluation_store_{*database_};
  SqlPolicyStore policy_store_{*database_};
  SqlCycleStore cycle_store_{*database_};
  SqlSketchStore sketch_store_{*database_};
  EvaluationService evaluations_{evaluation_store_, clock_, changed_};
  SketchService sketches_{sketch_store_, models_, clock_, changed_, telemetry_};
  CycleService cycles_{cycle_store_, policy_store_, models_,   ParsePolicy,
                       clock_,       changed_,      telemetry_};
  testing::FakeSuggester suggester_;
  TokenAccess access_;
  std::atomic<bool> stopping_ = false;
  EvaluationHandler handler_{access_,
                             {.evaluations = evaluations_,
                              .sketches = sketches_,
                              .cycles = cycles_,
                              .suggester = suggester_,
                              .changed = changed_},
                             [this] { return stopping_.load(); }};
  std::unique_ptr<ServiceServer> server_;
};

TEST_F(EvaluationHandlerTest, RolesDecideWhoMayWhat) {
  EXPECT_THAT(SetPolicy("viewer", kYaml), StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(SetPolicy("operator", kYaml), IsOk());
  v1::GetPolicyRequest request;
  request.set_name("projects/x/policy");
  EXPECT_THAT(CallUnary(*As("ingest"), &Stub::GetPolicy, request),
              StatusIs(absl::StatusCode::kPermissionDenied));
  const auto got = CallUnary(*As("viewer"), &Stub::GetPolicy, request);
  ASSERT_THAT(got, IsOk());
  EXPECT_EQ(got->policy().yaml(), kYaml);
  EXPECT_EQ(got->policy().version(), 1);
}

TEST_F(EvaluationHandlerTest, APolicyThatIsWrongSaysWhere) {
  const absl::Status status = SetPolicy("operator", "version: 1\nbuild: {impulse: a1}\n");
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(std::string(status.message()), HasSubstr("line 2: build.dataset: missing"));
}

TEST_F(EvaluationHandlerTest, SketchesComeFromServicesOnly) {
  EXPECT_THAT(CallUnary(*As("operator"), &Stub::RecordSketch, SketchRequest()),
              StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(CallUnary(*AsDistribution(), &Stub::RecordSketch, SketchRequest()), IsOk());
  EXPECT_THAT(CallUnary(*AsDistribution(), &Stub::RecordSketch, SketchRequest()), IsOk());
  EXPECT_EQ(*sketch_store_.CountSketches(), 1);

  v1::RecordSketchRequest unknown = SketchRequest();
  unknown.mutable_sketch()->set_model_digest("bb");
  const absl::Status status = CallUnary(*AsDistribution(), &Stub::RecordSketch, unknown).status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(ReasonOf(status), "UNKNOWN_MODEL");

  v1::ListFieldMetricsRequest request;
  request.set_parent("projects/x");
  const auto metrics = CallUnary(*As("viewer"), &Stub::ListFieldMetrics, request);
  ASSERT_THAT(metrics, IsOk());
  ASSERT_EQ(metrics->field_metrics_size(), 1);
  EXPECT_EQ(metrics->field_metrics(0).start_time().seconds(), 1'700'000'100);
  EXPECT_EQ(metrics->field_metrics(0).estimated_accuracy(), 1.0);
  EXPECT_EQ(metrics->field_metrics(0).mean_confidence(), 0.75);
}

TEST_F(EvaluationHandlerTest, ATimeThatIsNoneIsRefusedByItsName) {
  v1::RecordSketchRequest sketch = SketchRequest();
  sketch.mutable_sketch()->mutable_start_time()->set_seconds(1LL << 62);
  const absl::Status not_recorded =
      CallUnary(*AsDistribution(), &Stub::RecordSketch, sketch).status();
  EXPECT_THAT(not_recorded, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(std::string(not_recorded.message()), HasSubstr("sketch.start_time: got "));
  EXPECT_EQ(*sketch_store_.CountSketches(), 0);

  v1::ListFieldMetricsRequest list;
  list.set_parent("projects/x");
  list.mutable_start_time()->set_nanos(-1);
  const absl::Status not_listed = CallUnary(*As("viewer"), &Stub::ListFieldMetrics, list).status();
  EXPECT_THAT(not_listed, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(std::string(not_listed.message()), HasSubstr("start_time: got "));
}

TEST_F(EvaluationHandlerTest, AWatchShowsACycleUntilItIsDone) {
  ASSERT_THAT(SetPolicy("operator", kYaml), IsOk());
  const std::unique_ptr<Stub> stub = As("operator");
  v1::CreateCycleRequest create;
  create.set_parent("projects/x");
  create.set_reason("try");
  const auto created = CallUnary(*stub, &Stub::CreateCycle, create);
  ASSERT_THAT(created, IsOk());
  EXPECT_EQ(created->cycle().state(), v1::Cycle::STATE_TRIGGERED);
  EXPECT_EQ(created->cycle().transitions(0).author(), "apiTokens/operator");

  grpc::ClientContext context;
  v1::WatchCycleRequest watch;
  watch.set_name(created->cycle().name());
  const auto reader = stub->WatchCycle(&context, watch);
  v1::WatchCycleResponse response;
  ASSERT_TRUE(reader->Read(&response));
  EXPECT_EQ(response.cycle().state(), v1::Cycle::STATE_TRIGGERED);
  v1::CancelCycleRequest cancel;
  cancel.set_name(created->cycle().name());
  cancel.set_reason("enough");
  ASSERT_THAT(CallUnary(*stub, &Stub::CancelCycle, cancel), IsOk());
  ASSERT_TRUE(reader->Read(&response));
  EXPECT_EQ(response.cycle().state(), v1::Cycle::STATE_CANCELLED);
  EXPECT_TRUE(response.cycle().has_end_time());
  EXPECT_FALSE(reader->Read(&response));
  EXPECT_TRUE(reader->Finish().ok());

  const absl::Status again = CallUnary(*stub, &Stub::CancelCycle, cancel).status();
  EXPECT_EQ(ReasonOf(again), "CYCLE_DONE");
  v1::ApproveCycleRequest approve;
  approve.set_name(created->cycle().name());
  EXPECT_EQ(ReasonOf(CallUnary(*stub, &Stub::ApproveCycle, approve).status()), "CYCLE_NOT_WAITING");
}

TEST_F(EvaluationHandlerTest, AWatchEndsWhenTheServiceStops) {
  ASSERT_THAT(SetPolicy("operator", kYaml), IsOk());
  grpc::ClientContext context;
  v1::WatchCycleRequest watch;
  watch.set_name("projects/x/cycles/1");
  const std::unique_ptr<Stub> stub = As("viewer");
  const auto reader = stub->WatchCycle(&context, watch);
  v1::WatchCycleResponse response;
  ASSERT_TRUE(reader->Read(&response));
  stopping_ = true;
  changed_.Notify();
  EXPECT_FALSE(reader->Read(&response));
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(EvaluationHandlerTest, EvaluationsAreQueuedOnceListedAndWatched) {
  v1::CreateEvaluationRequest create;
  create.set_parent("projects/x");
  create.set_request_id("r");
  create.mutable_evaluation()->set_model("projects/x/models/1");
  create.mutable_evaluation()->set_baseline_model("projects/x/models/1");
  create.mutable_evaluation()->set_dataset_version("projects/x/datasets/all/versions/1");
  const std::unique_ptr<Stub> stub = As("operator");
  ASSERT_THAT(CallUnary(*stub, &Stub::CreateEvaluation, create), IsOk());
  const auto repeat = CallUnary(*stub, &Stub::CreateEvaluation, create);
  ASSERT_THAT(repeat, IsOk());
  EXPECT_EQ(repeat->evaluation().name(), "projects/x/evaluations/1");
  EXPECT_EQ(repeat->evaluation().state(), v1::Evaluation::STATE_QUEUED);

  testing::FakeJudge judge;
  EvaluationWorker worker(evaluation_store_, judge, clock_, changed_, telemetry_,
                          [] { return true; });
  ASSERT_THAT(worker.RunOne(), IsOk());
  grpc::ClientContext context;
  v1::WatchEvaluationRequest watch;
  watch.set_name("projects/x/evaluations/1");
  const auto reader = stub->WatchEvaluation(&context, watch);
  v1::WatchEvaluationResponse response;
  ASSERT_TRUE(reader->Read(&response));
  EXPECT_FALSE(reader->Read(&response));
  EXPECT_TRUE(reader->Finish().ok());

  v1::GetEvaluationRequest get;
  get.set_name("projects/x/evaluations/1");
  const auto got = CallUnary(*stub, &Stub::GetEvaluation, get);
  ASSERT_THAT(got, IsOk());
  EXPECT_EQ(got->evaluation().state(), v1::Evaluation::STATE_SUCCEEDED);
  ASSERT_EQ(got->evaluation().slices_size(), 2);
  EXPECT_EQ(got->evaluation().slices(0).slice(), "all");
  EXPECT_EQ(got->evaluation().slices(0).only_model_right(), 30);
  EXPECT_NEAR(got->evaluation().slices(0).difference().value(), 0.5, 1e-12);

  v1::ListEvaluationsRequest list;
  list.set_parent("projects/x");
  const auto listed = CallUnary(*stub, &Stub::ListEvaluations, list);
  ASSERT_THAT(listed, IsOk());
  EXPECT_EQ(listed->evaluations_size(), 1);
  EXPECT_EQ(listed->next_page_token(), "");
}

TEST_F(EvaluationHandlerTest, NamesOfAnotherShapeAreRefused) {
  v1::GetCycleRequest request;
  request.set_name("projects/x/cycles/first");
  EXPECT_THAT(CallUnary(*As("viewer"), &Stub::GetCycle, request),
              StatusIs(absl::StatusCode::kInvalidArgument));
  request.set_name("projects/x/cycles/1");
  EXPECT_THAT(CallUnary(*As("viewer"), &Stub::GetCycle, request),
              StatusIs(absl::StatusCode::kNotFound));
  v1::ListCyclesRequest list;
  list.set_parent("projects/x");
  list.set_page_size(-1);
  EXPECT_THAT(CallUnary(*As("viewer"), &Stub::ListCycles, list),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(EvaluationHandlerTest, SuggestionsAreForOperatorsAndModelsOfTheProject) {
  v1::SuggestLabelsRequest request;
  request.set_parent("projects/x");
  request.set_model("projects/x/models/champion");
  EXPECT_THAT(CallUnary(*As("viewer"), &Stub::SuggestLabels, request),
              StatusIs(absl::StatusCode::kPermissionDenied));
  const auto suggested = CallUnary(*As("operator"), &Stub::SuggestLabels, request);
  ASSERT_THAT(suggested, IsOk());
  EXPECT_EQ(suggested->suggested(), 7);
  EXPECT_EQ(suggested->unreadable(), 2);
  EXPECT_EQ(suggester_.model, "projects/x/models/champion");
  EXPECT_EQ(suggester_.max_samples, 200);
  request.set_max_samples(5000);
  EXPECT_THAT(CallUnary(*As("operator"), &Stub::SuggestLabels, request), IsOk());
  EXPECT_EQ(suggester_.max_samples, 1000);
  request.set_model("projects/y/models/1");
  EXPECT_THAT(CallUnary(*As("operator"), &Stub::SuggestLabels, request),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace fieldloop::evaluation
