// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// What of a call gets into the audit log, and who may read it.

#include <memory>
#include <string>
#include <vector>

#include <fieldloop/build/v1/build_service.grpc.pb.h>
#include <fieldloop/build/v1/trainer_run_service.grpc.pb.h>
#include <fieldloop/common/v1/audit_service.grpc.pb.h>
#include <fieldloop/distribution/v1/distribution_service.grpc.pb.h>
#include <fieldloop/evaluation/v1/evaluation_service.grpc.pb.h>
#include <fieldloop/ingestion/v1/ingestion_service.grpc.pb.h>
#include <fieldloop/provisioning/v1/provisioning_service.grpc.pb.h>
#include <gmock/gmock.h>
#include <google/protobuf/descriptor.pb.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <soci/soci.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "services/common/audit/audit_log.h"
#include "services/common/grpc/call_access.h"
#include "services/common/grpc/grpc_status.h"
#include "services/common/server/audit_handler.h"
#include "services/common/server/audit_interceptor.h"
#include "services/common/status/status_macros.h"
#include "tests/services/common/temporary_folder.h"
#include "tests/support/fake_clock.h"
#include "tests/support/status_matchers.h"

namespace fieldloop {
namespace {

namespace pv = provisioning::v1;
using ::fieldloop::testing::FakeClock;
using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::TemporaryFolder;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Provisioning = pv::ProvisioningService;

// Knows the tokens "fla_VIEWER_secret" and "fla_ADMIN_secret".
class FakeAccess final : public Access {
 public:
  absl::StatusOr<Grant> Check(const Caller& caller, absl::string_view /*resource*/,
                              Role role) override {
    if (caller.token == "fla_ADMIN_secret" ||
        (caller.token == "fla_VIEWER_secret" && role == Role::kViewer)) {
      return Grant{.principal = absl::StrCat("apiTokens/", caller.token.substr(4, 5)),
                   .project = ""};
    }
    return caller.token == "fla_VIEWER_secret" ? absl::PermissionDeniedError("a viewer")
                                               : absl::UnauthenticatedError("who?");
  }
};

class Handler final : public Provisioning::Service {
 public:
  explicit Handler(Access& access) : access_(access) {}
  grpc::Status CreateProject(grpc::ServerContext* context, const pv::CreateProjectRequest* request,
                             pv::CreateProjectResponse* response) override {
    return ToGrpcStatus([&]() -> absl::Status {
      FIELDLOOP_RETURN_IF_ERROR(CheckCall(access_, *context, "", Role::kAdmin).status());
      if (request->project().name().empty()) {
        return absl::InvalidArgumentError("project.name: want one");
      }
      *response->mutable_project() = request->project();
      return absl::OkStatus();
    }());
  }
  grpc::Status RevokeDevice(grpc::ServerContext* context, const pv::RevokeDeviceRequest* request,
                            pv::RevokeDeviceResponse* /*response*/) override {
    return ToGrpcStatus(CheckCall(access_, *context, request->name(), Role::kOperator).status());
  }
  grpc::Status GetProject(grpc::ServerContext* context, const pv::GetProjectRequest* request,
                          pv::GetProjectResponse* /*response*/) override {
    return ToGrpcStatus(CheckCall(access_, *context, request->name(), Role::kViewer).status());
  }

 private:
  Access& access_;
};

class AuditTest : public ::testing::Test {
 protected:
  AuditTest() {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&handler_);
    builder.RegisterService(&audit_);
    std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> creators;
    creators.push_back(MakeAuditInterceptorFactory(log_, clock_));
    builder.experimental().SetInterceptorCreators(std::move(creators));
    server_ = builder.BuildAndStart();
    channel_ =
        grpc::CreateChannel(absl::StrCat("127.0.0.1:", port), grpc::InsecureChannelCredentials());
    stub_ = Provisioning::NewStub(channel_);
  }
  ~AuditTest() override { server_->Shutdown(); }

  static void Identify(grpc::ClientContext& context, const std::string& token) {
    if (!token.empty()) {
      context.AddMetadata("authorization", "Bearer " + token);
    }
  }
  grpc::Status CreateProject(const std::string& token, const std::string& name) {
    grpc::ClientContext context;
    Identify(context, token);
    pv::CreateProjectRequest request;
    request.mutable_project()->set_name(name);
    pv::CreateProjectResponse response;
    return stub_->CreateProject(&context, request, &response);
  }
  std::vector<AuditRecord> Records() {
    std::vector<AuditRecord> records;
    const AuditLog::Page page = *log_.List(0, 0, 100);
    for (const AuditEntry& entry : page.entries) {
      records.push_back(entry.record);
    }
    return records;
  }

  const TemporaryFolder folder_;
  FakeClock clock_;
  const std::unique_ptr<Database> database_ = *Database::Open(
      {.connection = "sqlite3://" + (folder_ / "a.db")},
      {{.number = 1,
        .name = "audit",
        .sql = "CREATE TABLE audit_entries (sequence BIGINT PRIMARY KEY, time_ms BIGINT NOT NULL, "
               "subject TEXT NOT NULL, role TEXT NOT NULL, method TEXT NOT NULL, target TEXT NOT "
               "NULL, outcome TEXT NOT NULL, request_id TEXT NOT NULL, trace_id TEXT NOT NULL, "
               "previous_hash TEXT NOT NULL, hash TEXT NOT NULL);\n"
               "CREATE TABLE audit_head (sequence BIGINT NOT NULL, hash TEXT NOT NULL);\n"
               "INSERT INTO audit_head (sequence, hash) VALUES (0, "
               "'0000000000000000000000000000000000000000000000000000000000000000');\n"}});
  AuditLog log_{*database_};
  FakeAccess access_;
  Handler handler_{access_};
  AuditHandler audit_{log_, access_};
  std::unique_ptr<grpc::Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<Provisioning::Stub> stub_;
};

TEST_F(AuditTest, ACallThatChangesSomethingIsRecordedWithWhatItMade) {
  ASSERT_TRUE(CreateProject("fla_ADMIN_secret", "projects/motor").ok());
  const std::vector<AuditRecord> records = Records();
  ASSERT_THAT(records, SizeIs(1));
  EXPECT_EQ(records[0].subject, "apiTokens/ADMIN");
  EXPECT_EQ(records[0].role, "admin");
  EXPECT_EQ(records[0].method, "fieldloop.provisioning.v1.ProvisioningService/CreateProject");
  EXPECT_EQ(records[0].target, "projects/motor");
  EXPECT_EQ(records[0].outcome, "OK");
  EXPECT_EQ(records[0].time_ms, absl::ToUnixMillis(clock_.Now()));
}

TEST_F(AuditTest, WhoIsRefusedIsRecordedWithoutTheSecretOfTheToken) {
  EXPECT_EQ(CreateProject("fla_VIEWER_secret", "projects/motor").error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(CreateProject("fla_ADMIN_secret", "").error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  grpc::ClientContext context;
  Identify(context, "fla_VIEWER_secret");
  pv::RevokeDeviceRequest request;
  request.set_name("projects/motor/devices/1");
  pv::RevokeDeviceResponse response;
  EXPECT_FALSE(stub_->RevokeDevice(&context, request, &response).ok());
  const std::vector<AuditRecord> records = Records();
  ASSERT_THAT(records, SizeIs(3));
  EXPECT_EQ(records[0].subject, "apiTokens/VIEWER");
  EXPECT_EQ(records[0].outcome, "PERMISSION_DENIED");
  EXPECT_EQ(records[1].subject, "apiTokens/ADMIN");
  EXPECT_EQ(records[1].outcome, "INVALID_ARGUMENT");
  EXPECT_EQ(records[2].target, "projects/motor/devices/1");
  EXPECT_EQ(records[2].role, "operator");
}

TEST_F(AuditTest, WhoIsNotKnownAndWhatChangesNothingFillsNoLog) {
  EXPECT_EQ(CreateProject("", "projects/motor").error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(CreateProject("fla_GUESS_secret", "projects/motor").error_code(),
            grpc::StatusCode::UNAUTHENTICATED);
  grpc::ClientContext context;
  Identify(context, "fla_VIEWER_secret");
  pv::GetProjectResponse response;
  EXPECT_TRUE(stub_->GetProject(&context, pv::GetProjectRequest(), &response).ok());
  EXPECT_THAT(Records(), IsEmpty());
}

TEST_F(AuditTest, WhatCannotBeRecordedIsNotAcknowledged) {
  ASSERT_THAT(database_->Write([](soci::session& session) {
    session << "ALTER TABLE audit_head RENAME TO gone";
    return absl::OkStatus();
  }),
              IsOk());
  const grpc::Status status = CreateProject("fla_ADMIN_secret", "projects/motor");
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_TRUE(absl::StrContains(status.error_message(), "audit log")) << status.error_message();
  // A refusal stays one.
  EXPECT_EQ(CreateProject("fla_VIEWER_secret", "projects/motor").error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
}

TEST_F(AuditTest, OnlyAnAdministratorReadsItByPages) {
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(CreateProject("fla_ADMIN_secret", absl::StrCat("projects/p", i)).ok());
  }
  const auto stub = common::v1::AuditService::NewStub(channel_);
  common::v1::ListAuditEntriesRequest request;
  request.set_page_size(2);
  common::v1::ListAuditEntriesResponse response;
  grpc::ClientContext viewer;
  Identify(viewer, "fla_VIEWER_secret");
  EXPECT_EQ(stub->ListAuditEntries(&viewer, request, &response).error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
  AuditChainCheck check;
  for (const int count : {2, 1}) {
    grpc::ClientContext context;
    Identify(context, "fla_ADMIN_secret");
    response.Clear();
    ASSERT_TRUE(stub->ListAuditEntries(&context, request, &response).ok());
    EXPECT_EQ(response.entries_size(), count);
    EXPECT_EQ(response.head_sequence(), 3);
    for (const auto& entry : response.entries()) {
      EXPECT_THAT(check.Take({.sequence = entry.sequence(),
                              .record = {.time_ms = entry.time_ms(),
                                         .subject = entry.subject(),
                                         .role = entry.role(),
                                         .method = entry.method(),
                                         .target = entry.target(),
                                         .outcome = entry.outcome(),
                                         .request_id = entry.request_id(),
                                         .trace_id = entry.trace_id()},
                              .previous_hash = entry.previous_hash(),
                              .hash = entry.hash()}),
                  IsOk());
    }
    request.set_page_token(response.next_page_token());
  }
  EXPECT_EQ(response.next_page_token(), "");
  EXPECT_THAT(check.Finish({.sequence = 3, .hash = response.head_hash()}), IsOk());
}

TEST(IsAuditedTest, MethodsThatMayChangeSomethingAreButForTheDataPlane) {
  // Their descriptors are in this program.
  std::vector<std::string> left_out;
  for (const auto* file : {pv::CreateProjectRequest::descriptor()->file(),
                           ingestion::v1::GetSampleRequest::descriptor()->file(),
                           build::v1::GetBuildRequest::descriptor()->file(),
                           build::v1::FetchInputsRequest::descriptor()->file(),
                           evaluation::v1::GetCycleRequest::descriptor()->file(),
                           distribution::v1::GetRolloutRequest::descriptor()->file(),
                           common::v1::ListAuditEntriesRequest::descriptor()->file()}) {
    for (int s = 0; s < file->service_count(); ++s) {
      for (int m = 0; m < file->service(s)->method_count(); ++m) {
        const auto& method = *file->service(s)->method(m);
        const std::string path =
            absl::StrCat("/", method.service()->full_name(), "/", method.name());
        const bool reads = method.options().idempotency_level() ==
                           google::protobuf::MethodOptions::NO_SIDE_EFFECTS;
        if (reads) {
          EXPECT_FALSE(IsAudited(path)) << path;
        } else if (!IsAudited(path)) {
          left_out.push_back(method.name());
        }
      }
    }
  }
  EXPECT_THAT(left_out, ElementsAre("UploadSample", "RecordDeviceSample", "CreateSuggestions",
                                    "LeaseLabellingTasks", "ReleaseLabellingTasks", "FetchInputs",
                                    "FinishRun", "RecordSketch"));
  EXPECT_TRUE(IsAudited("/fieldloop.provisioning.v1.ProvisioningService/RevokeApiToken"));
  EXPECT_FALSE(IsAudited("/grpc.health.v1.Health/Check"));
}

TEST(NameOfResourceTest, IsThatOfTheOneResourceInAResponse) {
  pv::CreateApiTokenResponse made;
  EXPECT_EQ(NameOfResource(made), "");
  made.mutable_api_token()->set_name("apiTokens/4f0c");
  made.set_secret("fla_4f0c_secret");
  EXPECT_EQ(NameOfResource(made), "apiTokens/4f0c");
  EXPECT_EQ(NameOfResource(ingestion::v1::DeleteSampleResponse()), "");
}

}  // namespace
}  // namespace fieldloop
