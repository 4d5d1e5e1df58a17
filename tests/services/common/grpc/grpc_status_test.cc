// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/grpc/grpc_status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/common/status/error_reason.h"
#include "services/common/trace/span.h"
#include "tests/support/status_matchers.h"

namespace fieldloop {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;

TEST(GrpcStatusTest, CodeMessageAndReasonGoThereAndBack) {
  const absl::Status back = FromGrpcStatus(ToGrpcStatus(
      ErrorWithReason(absl::StatusCode::kFailedPrecondition, "TOKEN_USED", "it was used")));
  EXPECT_THAT(back, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(back.message(), "it was used");
  EXPECT_EQ(ReasonOf(back), "TOKEN_USED");
}

TEST(GrpcStatusTest, EveryCodeKeepsItsMeaning) {
  EXPECT_THAT(FromGrpcStatus(ToGrpcStatus(absl::OkStatus())), IsOk());
  for (int code = 1; code <= 16; ++code) {
    const absl::Status status(static_cast<absl::StatusCode>(code), "text");
    EXPECT_EQ(static_cast<int>(ToGrpcStatus(status).error_code()), code);
    EXPECT_EQ(FromGrpcStatus(ToGrpcStatus(status)).code(), status.code());
    EXPECT_EQ(ReasonOf(FromGrpcStatus(ToGrpcStatus(status))), "");
  }
}

TEST(GrpcStatusTest, AnInternalErrorKeepsItsTextAndGivesTheRequestToAskFor) {
  const CallScope scope({.request_id = "request-7", .trace = {}, .fields = {}});
  const grpc::Status status = ToGrpcStatus(absl::InternalError("table secrets on host db-3"));
  EXPECT_THAT(status.error_message(), ::testing::Not(::testing::HasSubstr("secrets")));
  EXPECT_THAT(status.error_details(), ::testing::Not(::testing::HasSubstr("secrets")));
  EXPECT_THAT(status.error_message(), ::testing::HasSubstr("request-7"));
}

TEST(GrpcStatusTest, DetailsThatAreNotOursAreIgnored) {
  EXPECT_THAT(FromGrpcStatus({grpc::StatusCode::NOT_FOUND, "none", "\xff\xff garbage"}),
              StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace fieldloop
