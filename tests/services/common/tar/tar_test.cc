// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/tar/tar.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <map>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/services/common/tar/archive_of.h"
#include "tests/services/common/temporary_folder.h"
#include "tests/support/status_matchers.h"

namespace fieldloop {
namespace {

using ::fieldloop::testing::ArchiveOf;
using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::testing::HasSubstr;

using Files = std::map<std::string, std::string>;

absl::Status Read(const std::string& archive, std::size_t piece, Files& files) {
  std::string* current = nullptr;
  TarReader reader({.begin =
                        [&](absl::string_view name, std::int64_t /*size*/) {
                          current = &files[std::string(name)];
                          return absl::OkStatus();
                        },
                    .data =
                        [&](absl::string_view data) {
                          current->append(data.data(), data.size());
                          return absl::OkStatus();
                        }});
  for (std::size_t at = 0; at < archive.size(); at += piece) {
    if (const absl::Status status = reader.Take(archive.substr(at, piece)); !status.ok()) {
      return status;
    }
  }
  return reader.Finish();
}

TEST(Tar, FilesComeBackFromPiecesOfAnySize) {
  const Files files = {{"a.npy", std::string(1500, 'x')},
                       {"block", std::string(512, 'y')},
                       {"empty", ""},
                       {"z_1-2.json", std::string("\0{}", 3)}};
  const std::string archive = ArchiveOf(files);
  for (const std::size_t piece :
       {std::size_t{1}, std::size_t{511}, std::size_t{513}, archive.size()}) {
    Files read;
    EXPECT_THAT(Read(archive, piece, read), IsOk());
    EXPECT_EQ(read, files);
  }
}

TEST(Tar, TheSystemsTarReadsIt) {
  const testing::TemporaryFolder folder;
  std::ofstream(folder / "a.tar", std::ios::binary) << ArchiveOf({{"one", "1\n"}, {"two", "2\n"}});
  const std::string command =
      "cd " + folder.path() + " && tar xf a.tar && test \"$(cat one two)\" = \"1\n2\"";
  EXPECT_EQ(std::system(command.c_str()), 0);
}

TEST(Tar, NamesThatLeaveTheFolderAreRefused) {
  const auto sink = [](absl::string_view /*data*/) { return absl::OkStatus(); };
  TarWriter writer(sink);
  for (const char* name : {"", ".", "..", ".hidden", "a/b", "/etc/passwd", "a b", "a\n"}) {
    EXPECT_THAT(writer.Begin(name, 0), StatusIs(absl::StatusCode::kInvalidArgument)) << name;
  }
  EXPECT_THAT(writer.Begin(std::string(100, 'a'), 0), StatusIs(absl::StatusCode::kInvalidArgument));
  // Made by another program, from one of our own archives.
  std::string archive = ArchiveOf({{"a.b", "x"}});
  archive[1] = '/';
  archive[153] = static_cast<char>(archive[153] + 1);  // '/' is '.' and 1.
  Files read;
  EXPECT_THAT(Read(archive, 512, read), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_TRUE(read.empty());
}

TEST(Tar, WhatIsCutOrChangedIsRefused) {
  const std::string archive = ArchiveOf({{"a", std::string(600, 'x')}});
  Files read;
  EXPECT_THAT(Read(archive.substr(0, 700), 512, read),
              StatusIs(absl::StatusCode::kInvalidArgument));
  std::string changed = archive;
  changed[130] = '7';
  const absl::Status status = Read(changed, 512, read);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(std::string(status.message()), HasSubstr("checksum"));
}

TEST(Tar, AFileThatIsNotAsLongAsSaidIsRefused) {
  const auto sink = [](absl::string_view /*data*/) { return absl::OkStatus(); };
  TarWriter writer(sink);
  EXPECT_THAT(writer.Begin("a", 2), IsOk());
  EXPECT_THAT(writer.Append("xyz"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(writer.Append("x"), IsOk());
  EXPECT_THAT(writer.Finish(), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace fieldloop
