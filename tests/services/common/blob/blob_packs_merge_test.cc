// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// Small packs are merged when a folder is opened; and that, killed before any of its calls that
// change the disk.

#include <algorithm>
#include <cstdint>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <unistd.h>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "absl/strings/str_cat.h"
#include "services/common/blob/blob_packs.h"
#include "services/common/crypto/digest.h"
#include "tests/services/common/temporary_folder.h"
#include "tests/support/status_matchers.h"

namespace {

// Calls of this process that change the disk, while they are counted.
struct Calls {
  bool counted = false;
  int until_killed = 0;  // 0: never.
  std::vector<std::string> names;
};
Calls& TheCalls() {
  static Calls calls;
  return calls;
}
// Whether the process is killed at this call.
bool Count(const char* name) {
  Calls& calls = TheCalls();
  if (!calls.counted) {
    return false;
  }
  calls.names.emplace_back(name);
  return calls.until_killed != 0 && --calls.until_killed == 0;
}
constexpr int kKilled = 9;

}  // namespace

// These stand before those of the C library. A write at which the process is killed is half done.
extern "C" {
ssize_t pwritev(int descriptor, const iovec* pieces, int count, off_t offset) {
  if (Count("write")) {
    ::syscall(SYS_pwrite64, descriptor, pieces[0].iov_base, pieces[0].iov_len, offset);
    if (count > 1) {
      ::syscall(SYS_pwrite64, descriptor, pieces[1].iov_base, pieces[1].iov_len / 2,
                offset + static_cast<off_t>(pieces[0].iov_len));
    }
    ::_exit(kKilled);
  }
  return ::syscall(SYS_pwritev, descriptor, pieces, count, offset, 0);
}
int fdatasync(int descriptor) {
  if (Count("sync")) {
    ::_exit(kKilled);
  }
  return static_cast<int>(::syscall(SYS_fdatasync, descriptor));
}
int fsync(int descriptor) {
  if (Count("sync")) {
    ::_exit(kKilled);
  }
  return static_cast<int>(::syscall(SYS_fsync, descriptor));
}
int rename(const char* from, const char* to) noexcept {
  if (Count("rename")) {
    ::_exit(kKilled);
  }
  return static_cast<int>(::syscall(SYS_rename, from, to));
}
int unlink(const char* path) noexcept {
  if (Count("unlink")) {
    ::_exit(kKilled);
  }
  return static_cast<int>(::syscall(SYS_unlink, path));
}
}

namespace fieldloop {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::TemporaryFolder;
using ::testing::ElementsAre;

constexpr int kPacks = 8;
constexpr BlobPackLimits kNeverMerge = {.small_packs = 1000};

std::string Content(int i) { return absl::StrCat("recording ", i, std::string(100, '.')); }

class BlobPacksMergeTest : public ::testing::Test {
 protected:
  // `packs` processes that put two blobs each, of which the first of the first is deleted.
  void MakePacks(int packs = kPacks) {
    for (int i = 0; i < packs; ++i) {
      const auto process = Open(kNeverMerge);
      const std::string one = Content(2 * i);
      const std::string two = Content(2 * i + 1);
      ASSERT_THAT(process->Put({{.digest = Sha256Of(one), .data = one},
                                {.digest = Sha256Of(two), .data = two}}),
                  IsOk());
    }
    ASSERT_THAT(Open(kNeverMerge)->Delete(Sha256Of(Content(0))), IsOk());
  }

  std::unique_ptr<BlobPacks> Open(BlobPackLimits limits = {}) {
    return *BlobPacks::Open(folder_.path(), limits);
  }

  static bool Has(BlobPacks& packs, const std::string& content) {
    const auto place = packs.Find(Sha256Of(content));
    EXPECT_THAT(place, IsOk());
    if (!place->has_value()) {
      return false;
    }
    std::string data(static_cast<std::size_t>((*place)->size), '\0');
    EXPECT_EQ(::pread((*place)->file->get(), data.data(), data.size(), (*place)->offset),
              static_cast<ssize_t>(data.size()));
    EXPECT_EQ(data, content);
    return true;
  }

  static void ExpectAll(BlobPacks& packs, int made = kPacks) {
    EXPECT_FALSE(Has(packs, Content(0))) << "it was deleted";
    for (int i = 1; i < 2 * made; ++i) {
      EXPECT_TRUE(Has(packs, Content(i))) << i;
    }
  }

  // How many files end so.
  int Files(const std::string& ending) {
    int files = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
      files += entry.path().extension() == ending ? 1 : 0;
    }
    return files;
  }

  TemporaryFolder folder_;
};

TEST_F(BlobPacksMergeTest, EightSmallPacksBecomeOneAndKeepTheirTime) {
  MakePacks();
  absl::Time newest;
  ASSERT_THAT(Open(kNeverMerge)->ForEach([&](absl::string_view, absl::Time written) {
    newest = std::max(newest, written);
    return absl::OkStatus();
  }),
              IsOk());
  const auto packs = Open();
  EXPECT_EQ(Files(".pack"), 1);
  EXPECT_EQ(Files(".index"), 1);
  ExpectAll(*packs);
  std::map<std::string, int> listed;
  ASSERT_THAT(packs->ForEach([&](absl::string_view digest, absl::Time written) {
    ++listed[std::string(digest)];
    EXPECT_EQ(written, newest) << "a merge does not make blobs younger";
    return absl::OkStatus();
  }),
              IsOk());
  EXPECT_EQ(listed.size(), 2U * kPacks - 1);
}

TEST_F(BlobPacksMergeTest, SevenStayAsTheyAreAndSoDoLargeOnes) {
  MakePacks(kPacks - 1);
  { const auto packs = Open(); }
  EXPECT_EQ(Files(".pack"), kPacks - 1);
  // Each pack has more than half of what one may have.
  { const auto packs = Open({.blobs = 2, .small_packs = 2}); }
  EXPECT_EQ(Files(".pack"), kPacks - 1);
}

TEST_F(BlobPacksMergeTest, AMergedPackIsNotLargerThanAnyOther) {
  MakePacks();
  // One has a blob, the others have two.
  const auto packs = Open({.blobs = 9});
  EXPECT_EQ(Files(".pack"), 3 + 1) << "five of them make one of 9 blobs";
  ExpectAll(*packs);
}

TEST_F(BlobPacksMergeTest, KilledBeforeAnyCallItLosesNothingAndTheNextOneFinishesTheWork) {
  MakePacks();
  const TemporaryFolder made;
  std::filesystem::copy(folder_.path(), made.path());
  int calls = 0;
  for (bool killed = true; killed;) {
    ++calls;
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
      std::filesystem::remove(entry.path());
    }
    std::filesystem::copy(made.path(), folder_.path());
    const pid_t child = ::fork();
    if (child == 0) {
      TheCalls() = {.counted = true, .until_killed = calls, .names = {}};
      const auto packs = Open();
      ::_exit(0);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status));
    killed = WEXITSTATUS(status) == kKilled;
    SCOPED_TRACE(absl::StrCat("killed at call ", calls));
    if (!killed) {
      EXPECT_EQ(Files(".pack"), 1);
    }
    ExpectAll(*Open(kNeverMerge));
    const auto packs = Open({.small_packs = 2});
    ExpectAll(*packs);
    EXPECT_EQ(Files(".pack"), 1);
    EXPECT_EQ(Files(".index"), 1);
    EXPECT_EQ(Files(".new"), 0);
    if (HasFailure()) {
      return;
    }
  }
  EXPECT_GE(calls, 2 * kPacks) << "writes, syncs, a rename, and two files of each pack that go";
}

TEST_F(BlobPacksMergeTest, NothingGoesBeforeTheNewPackItsIndexAndTheFolderAreSynced) {
  MakePacks();
  TheCalls() = {.counted = true, .until_killed = 0, .names = {}};
  const auto packs = Open();
  TheCalls().counted = false;
  std::vector<std::string> kinds = TheCalls().names;
  kinds.erase(std::unique(kinds.begin(), kinds.end()), kinds.end());
  EXPECT_THAT(kinds, ElementsAre("sync",           // The new name in the folder.
                                 "write",          // The blobs.
                                 "sync", "write",  // The index.
                                 "sync", "rename", "sync", "unlink"));
}

TEST_F(BlobPacksMergeTest, WhileAnotherProcessDeletesOrMergesNothingIsMerged) {
  MakePacks();
  const File other(::open((folder_ / "changing").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  ASSERT_EQ(::flock(other.get(), LOCK_EX), 0);
  ExpectAll(*Open());
  EXPECT_EQ(Files(".pack"), kPacks);
  ASSERT_EQ(::flock(other.get(), LOCK_UN), 0);
  ExpectAll(*Open());
  EXPECT_EQ(Files(".pack"), 1);
}

TEST_F(BlobPacksMergeTest, AProcessThatKnewTheOldPacksFindsAndDeletesInTheNewOne) {
  MakePacks();
  const auto old = Open(kNeverMerge);
  ExpectAll(*old);
  const auto packs = Open();
  ASSERT_EQ(Files(".pack"), 1);
  ExpectAll(*old);
  std::map<std::string, int> listed;
  ASSERT_THAT(old->ForEach([&](absl::string_view digest, absl::Time /*written*/) {
    ++listed[std::string(digest)];
    return absl::OkStatus();
  }),
              IsOk());
  EXPECT_EQ(listed.size(), 2U * kPacks - 1);
  for (const auto& [digest, times] : listed) {
    EXPECT_EQ(times, 1) << ToHex(digest);
  }
  ASSERT_THAT(old->Delete(Sha256Of(Content(5))), IsOk());
  EXPECT_FALSE(Has(*old, Content(5)));
  EXPECT_FALSE(Has(*packs, Content(5)));
  EXPECT_TRUE(Has(*packs, Content(6)));
}

TEST_F(BlobPacksMergeTest, APackWithADamagedBlobStaysAsItIs) {
  MakePacks();
  for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
    if (entry.path().extension() != ".pack") {
      continue;
    }
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    std::string bytes{std::istreambuf_iterator<char>(file), {}};
    if (const auto at = bytes.find(Content(7)); at != std::string::npos) {
      file.seekp(static_cast<std::streamoff>(at)).put('R');
    }
  }
  const auto packs = Open();
  EXPECT_EQ(Files(".pack"), 2) << "the damaged one and that of all others";
  EXPECT_TRUE(Has(*packs, Content(6)));
  EXPECT_TRUE(Has(*packs, Content(8)));
  const auto place = packs->Find(Sha256Of(Content(7)));
  ASSERT_THAT(place, IsOk());
  EXPECT_TRUE(place->has_value()) << "what is damaged is not what never was";
}

}  // namespace
}  // namespace fieldloop
