// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/blob/blob_packs.h"

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "services/common/crypto/digest.h"
#include "tests/services/common/temporary_folder.h"
#include "tests/support/status_matchers.h"

namespace fieldloop {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::fieldloop::testing::TemporaryFolder;
using ::testing::UnorderedElementsAre;

constexpr char kNotThere[] = "(not there)";

class BlobPacksTest : public ::testing::Test {
 protected:
  std::unique_ptr<BlobPacks> Open(BlobPackLimits limits = {}) {
    return *BlobPacks::Open(folder_.path(), limits);
  }

  static absl::Status Put(BlobPacks& packs, const std::vector<std::string>& contents) {
    std::vector<BlobPacks::Blob> blobs;
    for (const std::string& content : contents) {
      blobs.push_back({.digest = Sha256Of(content), .data = content});
    }
    return packs.Put(blobs);
  }

  // What lies where `content` is said to be.
  static std::string Get(BlobPacks& packs, const std::string& content) {
    auto place = packs.Find(Sha256Of(content));
    EXPECT_THAT(place, IsOk());
    if (!place->has_value()) {
      return kNotThere;
    }
    std::string data(static_cast<std::size_t>((*place)->size), '\0');
    EXPECT_EQ(::pread((*place)->file->get(), data.data(), data.size(), (*place)->offset),
              static_cast<ssize_t>(data.size()));
    return data;
  }

  static std::set<std::string> Listed(BlobPacks& packs) {
    std::set<std::string> digests;
    EXPECT_THAT(packs.ForEach([&](absl::string_view digest, absl::Time /*written*/) {
      digests.emplace(digest);
      return absl::OkStatus();
    }),
                IsOk());
    return digests;
  }

  // Files of the folder that end so.
  std::vector<std::filesystem::path> Files(const std::string& ending) {
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
      if (entry.path().extension() == ending) {
        files.push_back(entry.path());
      }
    }
    return files;
  }

  // What a process leaves that was killed after it put `contents`.
  void LeaveBehind(const std::vector<std::string>& contents) {
    const TemporaryFolder aside;
    {
      const auto packs = Open();
      ASSERT_THAT(Put(*packs, contents), IsOk());
      std::filesystem::copy_file(Files(".pack").front(), aside / "0.pack");
    }
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
      std::filesystem::remove(entry.path());
    }
    std::filesystem::copy_file(aside / "0.pack", folder_ / "0.pack");
  }

  TemporaryFolder folder_;
};

TEST_F(BlobPacksTest, BlobsAreFoundAtOnceAndAfterARestart) {
  {
    const auto packs = Open();
    ASSERT_THAT(Put(*packs, {"one", ""}), IsOk());
    ASSERT_THAT(Put(*packs, {"three"}), IsOk());
    EXPECT_EQ(Get(*packs, "one"), "one");
    EXPECT_EQ(Get(*packs, ""), "");
    EXPECT_EQ(Get(*packs, "two"), kNotThere);
  }
  const auto packs = Open();
  EXPECT_EQ(Get(*packs, "one"), "one");
  EXPECT_EQ(Get(*packs, ""), "");
  EXPECT_EQ(Get(*packs, "three"), "three");
  EXPECT_EQ(Get(*packs, "two"), kNotThere);
}

TEST_F(BlobPacksTest, AKilledProcessLeavesAllThatWasPutWhereverItsPackIsTorn) {
  LeaveBehind({"one", "two"});
  const auto whole = std::filesystem::file_size(folder_ / "0.pack");
  const TemporaryFolder aside;
  std::filesystem::copy_file(folder_ / "0.pack", aside / "0.pack");
  for (auto size = whole + 1; size-- > 0;) {
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
      std::filesystem::remove(entry.path());
    }
    std::filesystem::copy_file(aside / "0.pack", folder_ / "0.pack");
    std::filesystem::resize_file(folder_ / "0.pack", size);
    const auto packs = Open();
    ASSERT_EQ(Get(*packs, "one"), size >= whole / 2 ? "one" : kNotThere) << size;
    ASSERT_EQ(Get(*packs, "two"), size >= whole ? "two" : kNotThere) << size;
    ASSERT_EQ(Files(".index").size(), 1U) << "it is sealed";
  }
}

TEST_F(BlobPacksTest, AnIndexThatIsNotWholeIsMadeAgain) {
  LeaveBehind({"one", "two"});
  { const auto packs = Open(); }
  const std::filesystem::path index = Files(".index").front();
  std::filesystem::resize_file(index, std::filesystem::file_size(index) - 1);
  const auto packs = Open();
  EXPECT_EQ(Get(*packs, "one"), "one");
  EXPECT_EQ(Get(*packs, "two"), "two");
}

TEST_F(BlobPacksTest, AFullPackIsSealedAndTheNextOneBegins) {
  const auto packs = Open({.blobs = 2});
  for (int i = 0; i < 7; ++i) {
    ASSERT_THAT(Put(*packs, {absl::StrCat(i)}), IsOk());
  }
  EXPECT_EQ(Files(".pack").size(), 4U);
  EXPECT_EQ(Files(".index").size(), 3U);
  for (int i = 0; i < 7; ++i) {
    EXPECT_EQ(Get(*packs, absl::StrCat(i)), absl::StrCat(i));
  }
}

TEST_F(BlobPacksTest, TheSameBytesTakeRoomOnceAndDamagedOnesAreReplaced) {
  {
    const auto packs = Open();
    ASSERT_THAT(Put(*packs, {"same"}), IsOk());
    const auto size = std::filesystem::file_size(Files(".pack").front());
    ASSERT_THAT(Put(*packs, {"same"}), IsOk());
    EXPECT_EQ(std::filesystem::file_size(Files(".pack").front()), size);
    std::fstream(Files(".pack").front(), std::ios::in | std::ios::out | std::ios::binary)
        .seekp(-1, std::ios::end)
        .put('x');
    EXPECT_EQ(Get(*packs, "same"), "samx");
    ASSERT_THAT(Put(*packs, {"same"}), IsOk());
    EXPECT_EQ(Get(*packs, "same"), "same");
  }
}

TEST_F(BlobPacksTest, AnotherProcessReadsWhatThisOnePutsAndDoesNotSealItsPack) {
  const auto ours = Open();
  ASSERT_THAT(Put(*ours, {"one"}), IsOk());
  const auto theirs = Open();
  EXPECT_EQ(Files(".index").size(), 0U);
  EXPECT_EQ(Get(*theirs, "one"), "one");
  ASSERT_THAT(Put(*ours, {"two"}), IsOk());
  EXPECT_EQ(Get(*theirs, "two"), "two");
  EXPECT_EQ(Listed(*theirs), Listed(*ours));
  EXPECT_THAT(theirs->Delete(Sha256Of("two")), StatusIs(absl::StatusCode::kUnavailable));
  ASSERT_THAT(Put(*theirs, {"three"}), IsOk());
  EXPECT_EQ(Get(*ours, "three"), "three");
}

TEST_F(BlobPacksTest, ADeletedBlobStaysGoneAfterARestart) {
  {
    const auto packs = Open();
    ASSERT_THAT(Put(*packs, {"one", "two", "three"}), IsOk());
    ASSERT_THAT(packs->Delete(Sha256Of("one")), IsOk());
    EXPECT_EQ(Get(*packs, "one"), kNotThere);
  }
  {
    const auto packs = Open();
    EXPECT_EQ(Get(*packs, "one"), kNotThere);
    ASSERT_THAT(packs->Delete(Sha256Of("two")), IsOk());
    EXPECT_EQ(Get(*packs, "two"), kNotThere);
  }
  const auto packs = Open();
  EXPECT_EQ(Get(*packs, "two"), kNotThere);
  EXPECT_THAT(Listed(*packs), UnorderedElementsAre(Sha256Of("three")));
}

TEST_F(BlobPacksTest, APackOfWhichLittleIsLeftGivesItsRoomBack) {
  const std::string stays(1000, 's');
  const std::string goes(1500, 'g');
  { ASSERT_THAT(Put(*Open(), {stays, goes, "small"}), IsOk()); }
  const auto packs = Open();
  const std::filesystem::path before = Files(".pack").front();
  ASSERT_THAT(packs->Delete(Sha256Of("small")), IsOk());
  EXPECT_TRUE(std::filesystem::exists(before)) << "much is left";
  ASSERT_THAT(packs->Delete(Sha256Of(goes)), IsOk());
  EXPECT_FALSE(std::filesystem::exists(before));
  EXPECT_EQ(Get(*packs, stays), stays);
  EXPECT_EQ(Files(".pack").size(), 1U);
  EXPECT_LT(std::filesystem::file_size(Files(".pack").front()), 1200U);
  EXPECT_EQ(Get(*packs, goes), kNotThere);
}

TEST_F(BlobPacksTest, ThePackOfADamagedBlobIsKept) {
  { ASSERT_THAT(Put(*Open(), {"damaged", "a large one that goes"}), IsOk()); }
  const std::filesystem::path pack = Files(".pack").front();
  std::string bytes;
  {
    std::ifstream file(pack, std::ios::binary);
    bytes.assign(std::istreambuf_iterator<char>(file), {});
  }
  bytes.replace(bytes.find("damaged"), 7, "DAMAGED");
  std::ofstream(pack, std::ios::binary) << bytes;
  const auto packs = Open();
  ASSERT_THAT(packs->Delete(Sha256Of("a large one that goes")), IsOk());
  EXPECT_EQ(Get(*packs, "damaged"), "DAMAGED");
}

TEST_F(BlobPacksTest, ThreadsPutReadAndDeleteAtTheSameTime) {
  const auto packs = Open({.blobs = 16});
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&packs, t] {
      for (int i = 0; i < 100; ++i) {
        const std::string content = absl::StrCat("blob ", t, " ", i);
        ASSERT_THAT(Put(*packs, {content}), IsOk());
        EXPECT_EQ(Get(*packs, content), content);
        if (i % 4 != 0) {
          ASSERT_THAT(packs->Delete(Sha256Of(content)), IsOk());
        }
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(Listed(*packs).size(), 4U * 25);
}

}  // namespace
}  // namespace fieldloop
