// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/distribution/transport/grpc_backends.h"

#include <memory>
#include <string>

#include <fieldloop/build/v1/build_service_mock.grpc.pb.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/common/crypto/digest.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::distribution {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::testing::_;
using ::testing::DoAll;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::NiceMock;
using ::testing::Return;
using ::testing::SetArgPointee;

// What distribution makes of the releases that build gives.
class ReleaseRegistryTest : public ::testing::Test {
 protected:
  ReleaseRegistryTest() {
    release_.set_name("projects/motor/releases/3");
    release_.set_signed_(true);
    release_.mutable_manifest()->set_payload("the manifest");
    release_.mutable_content()->set_sequence(3);
    release_.mutable_content()->add_hardware_ids("m4");
  }
  void AddComponent(int kind, const std::string& digest, const std::string& version) {
    agent::v1::ReleaseComponent& component = *release_.mutable_content()->add_components();
    component.set_kind(static_cast<agent::v1::ComponentKind>(kind));
    component.set_digest(digest);
    component.set_version(version);
  }
  absl::StatusOr<Release> Get() {
    build::v1::GetReleaseResponse response;
    *response.mutable_release() = release_;
    ON_CALL(stub_, GetRelease(_, _, _))
        .WillByDefault(DoAll(SetArgPointee<2>(response), Return(grpc::Status::OK)));
    return registry_->GetRelease(release_.name());
  }

  build::v1::Release release_;
  NiceMock<build::v1::MockBuildServiceStub> stub_;
  const std::unique_ptr<ReleaseRegistry> registry_ = MakeGrpcReleaseRegistry(stub_);
};

TEST_F(ReleaseRegistryTest, AReleaseIsItsComponentsAndEveryFormOfThemMayBeAskedFor) {
  release_.set_model("projects/motor/models/7");
  AddComponent(agent::v1::COMPONENT_KIND_MODEL, "m", "7");
  release_.mutable_content()->mutable_components(0)->add_forms()->set_digest("delta");
  AddComponent(agent::v1::COMPONENT_KIND_CONFIGURATION, "c", "1.4");
  const absl::StatusOr<Release> release = Get();
  ASSERT_THAT(release, IsOk());
  EXPECT_EQ(release->model, "projects/motor/models/7");
  EXPECT_EQ(release->sequence, 3U);
  EXPECT_TRUE(release->is_signed);
  EXPECT_THAT(release->hardware_ids, ElementsAre("m4"));
  EXPECT_THAT(
      release->components,
      ElementsAre(
          Component{.kind = ComponentKind::kModel, .digest = ToHex("m"), .version = "7"},
          Component{
              .kind = ComponentKind::kConfiguration, .digest = ToHex("c"), .version = "1.4"}));
  EXPECT_THAT(release->artifact_digests, ElementsAre(ToHex("m"), ToHex("delta"), ToHex("c")));
}

TEST_F(ReleaseRegistryTest, AReleaseNeedsNoModel) {
  AddComponent(agent::v1::COMPONENT_KIND_FIRMWARE, "f", "2.0");
  const absl::StatusOr<Release> release = Get();
  ASSERT_THAT(release, IsOk());
  EXPECT_EQ(release->model, "");
  EXPECT_EQ(ModelDigestOf(release->components), "");
}

TEST_F(ReleaseRegistryTest, WhatNobodyCouldFollowIsRefused) {
  EXPECT_THAT(std::string(Get().status().message()), HasSubstr("has no component"));
  AddComponent(4, "x", "1");
  const absl::Status unknown = Get().status();
  EXPECT_THAT(unknown, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(std::string(unknown.message()), HasSubstr("a component of kind 4"));
}

}  // namespace
}  // namespace fieldloop::distribution
