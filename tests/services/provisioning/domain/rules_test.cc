// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include <ostream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/common/status/error_reason.h"
#include "services/provisioning/domain/api_token.h"
#include "services/provisioning/domain/device.h"
#include "services/provisioning/domain/enrollment_token.h"
#include "services/provisioning/domain/project.h"
#include "services/provisioning/domain/secret_source.h"
#include "services/provisioning/domain/text.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::provisioning {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;

const absl::Time kNow = absl::FromUnixSeconds(1'700'000'000);
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

TEST(TextTest, HasItsBytesAndNoControlCharacters) {
  EXPECT_THAT(ValidateText("f", ""), IsOk());
  EXPECT_THAT(ValidateText("f", std::string(200, 'x')), IsOk());
  EXPECT_THAT(ValidateText("f", std::string(201, 'x')), StatusIs(kInvalid));
  EXPECT_THAT(ValidateText("f", "a\nb"), StatusIs(kInvalid));
  EXPECT_THAT(ValidateText("f", std::string(1, '\0')), StatusIs(kInvalid));
  EXPECT_THAT(ValidateText("f", "Größe"), IsOk());
}

TEST(AttributesTest, HaveWellFormedKeysAndShortValues) {
  EXPECT_THAT(ValidateAttributes({{"a", ""}, {"site.line_2-x", "any = value"}}), IsOk());
  EXPECT_THAT(ValidateAttributes({{std::string(39, 'k'), ""}}), IsOk());
  EXPECT_THAT(ValidateAttributes({{std::string(40, 'k'), ""}}), StatusIs(kInvalid));
  EXPECT_THAT(ValidateAttributes({{"", "v"}}), StatusIs(kInvalid));
  EXPECT_THAT(ValidateAttributes({{"1a", "v"}}), StatusIs(kInvalid));
  EXPECT_THAT(ValidateAttributes({{"Site", "v"}}), StatusIs(kInvalid));
  EXPECT_THAT(ValidateAttributes({{"a=b", "v"}}), StatusIs(kInvalid));
  EXPECT_THAT(ValidateAttributes({{"a", "line\nbreak"}}), StatusIs(kInvalid));
  EXPECT_THAT(ValidateAttributes({{"a", std::string(201, 'v')}}), StatusIs(kInvalid));
}

TEST(AttributesTest, AreAtMostThirtyTwo) {
  Attributes attributes;
  for (int i = 0; i < 32; ++i) {
    attributes["k" + std::to_string(i)] = "v";
  }
  EXPECT_THAT(ValidateAttributes(attributes), IsOk());
  attributes["one-more"] = "v";
  EXPECT_THAT(ValidateAttributes(attributes), StatusIs(kInvalid));
}

TEST(DeviceTest, ItsIdFitsWithItsProjectIntoACommonName) {
  EXPECT_THAT(ValidateDeviceId("device_id", std::string(39, 'p'), std::string(23, 'd')), IsOk());
  EXPECT_THAT(ValidateDeviceId("device_id", std::string(39, 'p'), std::string(24, 'd')),
              StatusIs(kInvalid));
  EXPECT_THAT(ValidateDeviceId("device_id", "p", "Not-An-Id"), StatusIs(kInvalid));
}

TEST(DeviceTest, TheFirstReasonOfARevocationStands) {
  Device device;
  RevokeDevice(device, "stolen");
  RevokeDevice(device, "again");
  EXPECT_EQ(device.revoke_reason, "stolen");
  EXPECT_EQ(ReasonOf(CheckTrusted(device)), "DEVICE_REVOKED");
}

TEST(EnrollmentTokenTest, ItsStateFollowsItsUseItsRevocationAndTheTime) {
  EnrollmentToken token = {.expire_time = kNow};
  EXPECT_EQ(StateOf(token, kNow - absl::Seconds(1)), EnrollmentToken::State::kActive);
  EXPECT_EQ(StateOf(token, kNow), EnrollmentToken::State::kExpired);
  token.revoked = true;
  EXPECT_EQ(StateOf(token, kNow), EnrollmentToken::State::kRevoked);
  token.revoked = false;
  token.used_by = "dev-1";
  EXPECT_EQ(StateOf(token, kNow), EnrollmentToken::State::kUsed);
}

TEST(EnrollmentTokenTest, ExpiresWithinNinetyDays) {
  EnrollmentToken token = {.project = "motor", .expire_time = kNow + absl::Hours(24 * 90)};
  EXPECT_THAT(ValidateNewEnrollmentToken(token, kNow), IsOk());
  token.expire_time += absl::Seconds(1);
  EXPECT_THAT(ValidateNewEnrollmentToken(token, kNow), StatusIs(kInvalid));
  token.expire_time = kNow;
  EXPECT_THAT(ValidateNewEnrollmentToken(token, kNow), StatusIs(kInvalid));
}

struct Attempt {
  const char* name;
  void (*prepare)(EnrollmentToken&);
  const char* reason;  // "" is good.

  friend void PrintTo(const Attempt& attempt, std::ostream* os) { *os << attempt.name; }
};
class CheckEnrollmentTest : public ::testing::TestWithParam<Attempt> {};

TEST_P(CheckEnrollmentTest, GivesItsReason) {
  EnrollmentToken token = {.expire_time = kNow + absl::Hours(1)};
  GetParam().prepare(token);
  const absl::Status status = CheckEnrollment(token, "hw-1", "key-1", kNow);
  EXPECT_EQ(ReasonOf(status), GetParam().reason);
  EXPECT_EQ(status.ok(), std::string(GetParam().reason).empty());
  if (!status.ok()) {
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kPermissionDenied));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Attempts, CheckEnrollmentTest,
    ::testing::Values(
        Attempt{"Fresh", [](EnrollmentToken&) {}, ""},
        Attempt{"RightHardware", [](EnrollmentToken& made) { made.hardware_id = "hw-1"; }, ""},
        Attempt{"WrongHardware", [](EnrollmentToken& made) { made.hardware_id = "hw-2"; },
                "HARDWARE_MISMATCH"},
        Attempt{"Expired", [](EnrollmentToken& made) { made.expire_time = kNow; }, "TOKEN_EXPIRED"},
        Attempt{"Revoked", [](EnrollmentToken& made) { made.revoked = true; }, "TOKEN_REVOKED"},
        Attempt{"RepeatOfTheSameKey",
                [](EnrollmentToken& made) {
                  made.used_by = "dev-1";
                  made.key_digest = "key-1";
                },
                ""},
        Attempt{"UsedWithAnotherKey",
                [](EnrollmentToken& made) {
                  made.used_by = "dev-1";
                  made.key_digest = "key-2";
                },
                "TOKEN_USED"},
        Attempt{"RepeatAfterTheEnd",
                [](EnrollmentToken& made) {
                  made.used_by = "dev-1";
                  made.key_digest = "key-1";
                  made.expire_time = kNow;
                },
                "TOKEN_EXPIRED"},
        Attempt{"RepeatOnOtherHardware",
                [](EnrollmentToken& made) {
                  made.used_by = "dev-1";
                  made.key_digest = "key-1";
                  made.hardware_id = "hw-2";
                },
                "HARDWARE_MISMATCH"}),
    [](const auto& param_info) { return std::string(param_info.param.name); });

TEST(RoleTest, EachRoleMayDoWhatTheTableSays) {
  struct Row {
    Role has;
    bool ingest, viewer, operates, admin;
  };
  for (const Row& row :
       {Row{Role::kIngest, true, false, false, false},
        Row{Role::kViewer, false, true, false, false},
        Row{Role::kOperator, true, true, true, false}, Row{Role::kAdmin, true, true, true, true}}) {
    EXPECT_EQ(RoleSuffices(row.has, Role::kIngest), row.ingest) << RoleName(row.has);
    EXPECT_EQ(RoleSuffices(row.has, Role::kViewer), row.viewer) << RoleName(row.has);
    EXPECT_EQ(RoleSuffices(row.has, Role::kOperator), row.operates) << RoleName(row.has);
    EXPECT_EQ(RoleSuffices(row.has, Role::kAdmin), row.admin) << RoleName(row.has);
  }
}

TEST(SecretTest, ItsIdIsReadOnlyFromASecretOfItsKind) {
  EXPECT_EQ(IdOfSecret("fle", "fle_0123456789ab_rest"), "0123456789ab");
  EXPECT_EQ(IdOfSecret("fle", SecretPrefix("fle", "0123456789ab") + "x"), "0123456789ab");
  for (const char* bad :
       {"", "fle", "fle_", "fla_0123456789ab_rest", "fle_0123456789ab", "fle_0123456789abXrest",
        "fle_0123456789AB_rest", "fle_'; DROP --_rest"}) {
    EXPECT_EQ(IdOfSecret("fle", bad), "") << bad;
  }
}

TEST(ProjectTest, HasAnIdAndAShortDisplayName) {
  EXPECT_THAT(ValidateNewProject({.id = "motor", .display_name = "Motors"}), IsOk());
  EXPECT_THAT(ValidateNewProject({.id = "m"}), StatusIs(kInvalid));
  EXPECT_THAT(ValidateNewProject({.id = "motor", .display_name = std::string(201, 'x')}),
              StatusIs(kInvalid));
}

TEST(ApiTokenTest, ExpiresInTheFutureOrNever) {
  EXPECT_THAT(ValidateNewApiToken({}, kNow), IsOk());
  EXPECT_THAT(ValidateNewApiToken({.expire_time = kNow + absl::Seconds(1)}, kNow), IsOk());
  EXPECT_THAT(ValidateNewApiToken({.expire_time = kNow}, kNow), StatusIs(kInvalid));
}

}  // namespace
}  // namespace fieldloop::provisioning
