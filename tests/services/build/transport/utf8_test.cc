// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/transport/utf8.h"

#include <string>

#include <gtest/gtest.h>

namespace fieldloop::build {
namespace {

TEST(ToUtf8, KeepsTextAndReplacesWhatIsNone) {
  EXPECT_EQ(ToUtf8("ab\tü€😀\n"), "ab\tü€😀\n");
  EXPECT_EQ(ToUtf8(absl::string_view("a\0b\x1b[0m", 7)), "a?b?[0m");
  EXPECT_EQ(ToUtf8("\xff\xc3"), "??");
  EXPECT_EQ(ToUtf8("\xc0\x80 \xe0\x80\x80"), "?? ???");            // Overlong.
  EXPECT_EQ(ToUtf8("\xed\xa0\x80 \xf4\x90\x80\x80"), "??? ????");  // Surrogate; above the last.
  EXPECT_EQ(ToUtf8("\xe2\x82"), "??");                             // Cut short.
}

}  // namespace
}  // namespace fieldloop::build
