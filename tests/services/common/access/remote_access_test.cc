// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/access/remote_access.h"

#include <atomic>
#include <memory>
#include <string>

#include <fieldloop/provisioning/v1/provisioning_service.grpc.pb.h>
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "tests/services/common/temporary_folder.h"
#include "tests/support/fake_clock.h"
#include "tests/support/status_matchers.h"

namespace fieldloop {
namespace {

using ::fieldloop::testing::FakeClock;
using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::fieldloop::testing::TemporaryFolder;

// Says yes, or `answer`.
class FakeProvisioning final : public provisioning::v1::ProvisioningService::Service {
 public:
  grpc::Status CheckAccess(grpc::ServerContext* /*context*/,
                           const provisioning::v1::CheckAccessRequest* request,
                           provisioning::v1::CheckAccessResponse* response) override {
    ++calls;
    last = *request;
    response->set_principal("apiTokens/1");
    response->set_project(request->project());
    return answer;
  }

  std::atomic<int> calls = 0;
  provisioning::v1::CheckAccessRequest last;
  grpc::Status answer = grpc::Status::OK;
};

class RemoteAccessTest : public ::testing::Test {
 protected:
  RemoteAccessTest() {
    grpc::ServerBuilder builder;
    builder.RegisterService(&provisioning_);
    server_ = builder.BuildAndStart();
    access_ = MakeRemoteAccess(server_->InProcessChannel({}), clock_);
  }
  absl::StatusOr<Grant> Check(const std::string& token, const std::string& resource, Role role) {
    return access_->Check({.token = token, .service = ""}, resource, role);
  }

  FakeProvisioning provisioning_;
  FakeClock clock_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<Access> access_;
};

TEST_F(RemoteAccessTest, AYesIsRememberedForTenSecondsAndNoLonger) {
  const absl::StatusOr<Grant> grant = Check("t", "projects/motor/models/7", Role::kOperator);
  ASSERT_THAT(grant, IsOk());
  EXPECT_EQ(grant->principal, "apiTokens/1");
  EXPECT_EQ(grant->project, "projects/motor");
  EXPECT_EQ(provisioning_.last.project(), "projects/motor");
  EXPECT_EQ(provisioning_.last.role(), provisioning::v1::ROLE_OPERATOR);
  clock_.Advance(absl::Seconds(9));
  ASSERT_THAT(Check("t", "projects/motor/models/8", Role::kOperator), IsOk());
  EXPECT_EQ(provisioning_.calls, 1);
  clock_.Advance(absl::Seconds(1));
  provisioning_.answer = {grpc::StatusCode::UNAUTHENTICATED, "revoked"};
  EXPECT_THAT(Check("t", "projects/motor", Role::kOperator),
              StatusIs(absl::StatusCode::kUnauthenticated));
}

TEST_F(RemoteAccessTest, ANoIsNotRemembered) {
  provisioning_.answer = {grpc::StatusCode::PERMISSION_DENIED, "no"};
  EXPECT_THAT(Check("t", "projects/motor", Role::kAdmin),
              StatusIs(absl::StatusCode::kPermissionDenied));
  provisioning_.answer = grpc::Status::OK;
  EXPECT_THAT(Check("t", "projects/motor", Role::kAdmin), IsOk());
}

TEST_F(RemoteAccessTest, AYesForOneRoleProjectOrTokenIsNoneForAnother) {
  ASSERT_THAT(Check("t", "projects/motor", Role::kViewer), IsOk());
  provisioning_.answer = {grpc::StatusCode::PERMISSION_DENIED, "no"};
  EXPECT_FALSE(Check("t", "projects/motor", Role::kAdmin).ok());
  EXPECT_FALSE(Check("t", "projects/other", Role::kViewer).ok());
  EXPECT_FALSE(Check("u", "projects/motor", Role::kViewer).ok());
  EXPECT_FALSE(Check("t", "", Role::kViewer).ok());
  EXPECT_THAT(Check("t", "projects/motor", Role::kViewer), IsOk());
}

TEST_F(RemoteAccessTest, AServiceActsUnderItsOwnNameWhereTheProjectExists) {
  const Caller build = {.token = "", .service = "build"};
  const Caller evaluation = {.token = "", .service = "evaluation"};
  EXPECT_EQ(access_->Check(build, "projects/motor", Role::kAdmin)->principal, "services/build");
  EXPECT_EQ(access_->Check(evaluation, "projects/motor", Role::kAdmin)->principal,
            "services/evaluation");
  EXPECT_EQ(provisioning_.calls, 1);
  EXPECT_EQ(provisioning_.last.token(), "");
  EXPECT_THAT(access_->Check(build, "", Role::kAdmin), IsOk());
  EXPECT_EQ(provisioning_.calls, 1);  // There is nothing to ask.
}

TEST_F(RemoteAccessTest, NobodyIsRefusedWithoutAQuestion) {
  EXPECT_THAT(access_->Check({}, "projects/motor", Role::kViewer),
              StatusIs(absl::StatusCode::kUnauthenticated));
  EXPECT_THAT(Check("t", "nonsense", Role::kViewer), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(provisioning_.calls, 0);
}

TEST_F(RemoteAccessTest, ATokenWinsOverTheCertificateThatCarriesIt) {
  provisioning_.answer = {grpc::StatusCode::UNAUTHENTICATED, "bad token"};
  EXPECT_THAT(
      access_->Check({.token = "guess", .service = "build"}, "projects/motor", Role::kAdmin),
      StatusIs(absl::StatusCode::kUnauthenticated));
}

TEST_F(RemoteAccessTest, AProvisioningThatIsAwayIsUnavailable) {
  const TemporaryFolder folder;
  const std::unique_ptr<Access> access = MakeRemoteAccess(
      grpc::CreateChannel("unix:" + (folder / "nobody"), grpc::InsecureChannelCredentials()),
      clock_);
  EXPECT_THAT(access->Check({.token = "t", .service = ""}, "projects/motor", Role::kViewer),
              StatusIs(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace fieldloop
