// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/trace/trace_context.h"

#include <optional>
#include <string>

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace fieldloop {
namespace {

constexpr char kGood[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

TEST(TraceparentTest, TheExampleOfTheStandardIsReadAndWritten) {
  const std::optional<TraceContext> trace = ParseTraceparent(kGood);
  ASSERT_TRUE(trace.has_value());
  EXPECT_EQ(trace->trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_EQ(trace->span_id, "00f067aa0ba902b7");
  EXPECT_TRUE(trace->sampled);
  EXPECT_EQ(FormatTraceparent(*trace), kGood);
}

TEST(TraceparentTest, OnlyTheLowestFlagSaysSampled) {
  const std::string base = std::string(kGood).substr(0, 53);
  for (const char* flags : {"00", "02", "fe"}) {
    ASSERT_TRUE(ParseTraceparent(base + flags).has_value()) << flags;
    EXPECT_FALSE(ParseTraceparent(base + flags)->sampled) << flags;
  }
  for (const char* flags : {"01", "03", "0b", "ff"}) {
    ASSERT_TRUE(ParseTraceparent(base + flags).has_value()) << flags;
    EXPECT_TRUE(ParseTraceparent(base + flags)->sampled) << flags;
  }
}

TEST(TraceparentTest, WhatBreaksTheRulesIsNone) {
  for (const char* header : {
           "",
           "00",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
           "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
           "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902bg-01",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0x",
           "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
           "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
           "0x-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
           "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
           "00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7_01",
           // Version 00 has nothing behind the flags.
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 ",
           // A later version parts what it adds by a dash.
           "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01more",
       }) {
    EXPECT_FALSE(ParseTraceparent(header).has_value()) << header;
  }
}

TEST(TraceparentTest, OfALaterVersionTheKnownPartIsRead) {
  for (const char* more : {"", "-what-the-future-brings"}) {
    const auto trace = ParseTraceparent(
        absl::StrCat("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", more));
    ASSERT_TRUE(trace.has_value());
    EXPECT_EQ(FormatTraceparent(*trace), kGood);
  }
}

TEST(TracestateTest, MembersArePassedOnInTheirOrder) {
  EXPECT_EQ(PassOnTracestate("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
            "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE");
  EXPECT_EQ(PassOnTracestate(" a=1 ,\t, 0tenant@system=x y!~ , b/_-*=2"),
            "a=1,0tenant@system=x y!~,b/_-*=2");
  EXPECT_EQ(PassOnTracestate(""), "");
}

TEST(TracestateTest, OneThatBreaksTheRulesIsDropped) {
  for (const std::string& header :
       {std::string("a"), std::string("=1"), std::string("a="), std::string("A=1"),
        std::string("1a=1"), std::string("a@=1"), std::string("@a=1"), std::string("a@1b=1"),
        std::string("a=1,a=2"), std::string("a=b=c"), std::string("a=\x01"),
        std::string("a=\xC3\xA9"), std::string("a b=1"), "a=" + std::string(257, 'x'),
        std::string(257, 'k') + "=1", "a@" + std::string(15, 's') + "=1"}) {
    EXPECT_EQ(PassOnTracestate(header), "") << header;
  }
}

TEST(TracestateTest, ThirtyTwoMembersAreTheMost) {
  std::string header;
  for (int i = 0; i < 32; ++i) {
    absl::StrAppend(&header, i == 0 ? "" : ",", "k", i, "=1");
  }
  EXPECT_EQ(PassOnTracestate(header), header);
  EXPECT_EQ(PassOnTracestate(header + ",one=more"), "");
}

TEST(TracestateTest, OfMoreThan512CharactersLongMembersGoFirstAndThenTheLast) {
  const std::string large = "large=" + std::string(130, 'x');
  std::string small;
  for (int i = 0; i < 4; ++i) {
    absl::StrAppend(&small, i == 0 ? "" : ",", "m", i, "=", std::string(100, 'y'));
  }
  EXPECT_EQ(PassOnTracestate(absl::StrCat(large, ",", small)), small);
  EXPECT_EQ(PassOnTracestate(absl::StrCat(small, ",m4=", std::string(100, 'y'))), small);
  const std::string full = absl::StrCat(small, ",m4=", std::string(512 - small.size() - 4, 'y'));
  EXPECT_EQ(PassOnTracestate(full), full);
}

TEST(NewIdTest, IdsAreValidAndDiffer) {
  const TraceContext trace{
      .trace_id = NewTraceId(), .span_id = NewSpanId(), .sampled = false, .state = ""};
  EXPECT_EQ(ParseTraceparent(FormatTraceparent(trace)), trace);
  EXPECT_NE(NewTraceId(), trace.trace_id);
  EXPECT_NE(NewSpanId(), trace.span_id);
}

}  // namespace
}  // namespace fieldloop
