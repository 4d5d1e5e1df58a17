// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/grpc/proto_time.h"

#include <cstdint>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace fieldloop {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::testing::StartsWith;

google::protobuf::Timestamp Timestamp(std::int64_t seconds, std::int32_t nanos) {
  google::protobuf::Timestamp timestamp;
  timestamp.set_seconds(seconds);
  timestamp.set_nanos(nanos);
  return timestamp;
}

TEST(ProtoTimeTest, ATimeComesBackToTheMicrosecond) {
  for (const std::int64_t micros : {INT64_C(-62135596800000000), INT64_C(-1), INT64_C(0),
                                    INT64_C(1764554480130124), INT64_C(253402300799999999)}) {
    const absl::Time time = absl::FromUnixMicros(micros);
    const auto back = FromTimestamp("time", ToTimestamp(time + absl::Nanoseconds(999)));
    ASSERT_THAT(back, IsOk());
    EXPECT_EQ(*back, time);
  }
}

TEST(ProtoTimeTest, WhatNoTimestampMayHoldIsRefusedByTheNameOfItsField) {
  for (const auto& wrong :
       {Timestamp(-62135596801, 0), Timestamp(253402300800, 0), Timestamp(0, -1),
        Timestamp(0, 1'000'000'000), Timestamp(INT64_MAX, 0), Timestamp(INT64_MIN, 0)}) {
    const auto refused = FromTimestamp("sketch.start_time", wrong);
    ASSERT_THAT(refused, StatusIs(absl::StatusCode::kInvalidArgument));
    EXPECT_THAT(std::string(refused.status().message()), StartsWith("sketch.start_time: got "));
  }
}

}  // namespace
}  // namespace fieldloop
