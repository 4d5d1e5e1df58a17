// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/transport/multipart_reader.h"

#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::ingestion {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::Pair;

using Files = std::vector<std::pair<std::string, std::string>>;

// Reads `body`, boundary "b", in pieces of `piece` bytes.
absl::Status Read(const std::string& body, std::size_t piece, Files& files) {
  MultipartReader reader("b", {.begin =
                                   [&](const std::string& name) {
                                     files.emplace_back(name, "");
                                     return absl::OkStatus();
                                   },
                               .data =
                                   [&](absl::string_view data) {
                                     files.back().second.append(data.data(), data.size());
                                     return absl::OkStatus();
                                   }});
  for (std::size_t at = 0; at < body.size(); at += piece) {
    if (absl::Status status = reader.Append(absl::string_view(body).substr(at, piece));
        !status.ok()) {
      return status;
    }
  }
  return reader.Finish();
}

std::string Part(const std::string& disposition, const std::string& content) {
  return absl::StrCat("--b\r\nContent-Disposition: form-data; name=\"data\"", disposition,
                      "\r\n\r\n", content, "\r\n");
}

TEST(MultipartReaderTest, PartsComeWholeHoweverTheBodyIsCut) {
  const std::string content = "1\r\n--\r\n--a\r\n\r\n--b2";  // Almost a boundary, twice.
  const std::string body = absl::StrCat(Part("; filename=\"a.csv\"", content.substr(0, 15)),
                                        Part("; filename=b.csv", ""), Part("", "x"), "--b--");
  for (std::size_t piece = 1; piece <= body.size(); ++piece) {
    Files files;
    ASSERT_THAT(Read(body, piece, files), IsOk()) << piece;
    ASSERT_THAT(files,
                ElementsAre(Pair("a.csv", content.substr(0, 15)), Pair("b.csv", ""), Pair("", "x")))
        << piece;
  }
}

TEST(MultipartReaderTest, TextMayStandBeforeAndAfterTheParts) {
  for (const char* end : {"--b--", "--b--\r\n", "--b--\r\nmore\r\n--b\r\n"}) {
    Files files;
    ASSERT_THAT(Read(absl::StrCat("hello\r\n", Part("; filename=\"a\"", "1"), end), 7, files),
                IsOk());
    EXPECT_THAT(files, ElementsAre(Pair("a", "1")));
  }
}

TEST(MultipartReaderTest, NamesAreReadAsClientsWriteThem) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"(; filename="a b;c.csv")", "a b;c.csv"},
      {R"(; filename="q\"uote.csv")", "q\"uote.csv"},
      {R"(; filename="C:\dir\a.csv")", R"(C:\dir\a.csv)"},
      {R"(; filename*=utf-8''T%C3%BCr.csv)", "T\xc3\xbcr.csv"},
      {R"(; filename="Tr.csv"; filename*=utf-8''T%C3%BCr.csv)", "T\xc3\xbcr.csv"},
      {R"(; filename=")", ""},
  };
  for (const auto& [disposition, name] : cases) {
    Files files;
    ASSERT_THAT(Read(absl::StrCat(Part(disposition, "1"), "--b--"), 1000, files), IsOk());
    EXPECT_THAT(files, ElementsAre(Pair(name, "1"))) << disposition;
  }
}

TEST(MultipartReaderTest, WhatIsNoSuchBodyIsRefused) {
  const std::string part = Part("; filename=\"a\"", "1");
  for (const std::string& body :
       {std::string(), std::string("--b"), std::string("--b\r\n\r\n"), part, part + "--b",
        part + "--b-", part + "--bx\r\n", "--b\r\nA: " + std::string(20'000, 'a'),
        "--b\r\nA: " + std::string(20'000, 'a') + "\r\n\r\n1\r\n--b--"}) {
    Files files;
    EXPECT_THAT(Read(body, 1000, files), StatusIs(absl::StatusCode::kInvalidArgument))
        << body.substr(0, 100);
  }
}

TEST(MultipartReaderTest, TheBoundaryComesFromTheContentType) {
  EXPECT_EQ(MultipartReader::BoundaryOf("multipart/form-data; boundary=a-b").value(), "a-b");
  EXPECT_EQ(MultipartReader::BoundaryOf("Multipart/Form-Data; x=1; Boundary=\"a b\"").value(),
            "a b");
  for (const std::string& bad :
       {std::string("multipart/form-data"), std::string("multipart/mixed; boundary=a"),
        std::string("multipart/form-data; boundary="),
        "multipart/form-data; boundary=" + std::string(71, 'a')}) {
    EXPECT_THAT(MultipartReader::BoundaryOf(bad), StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

}  // namespace
}  // namespace fieldloop::ingestion
