// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/blob/blob_journal.h"

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/common/blob/blob_store.h"
#include "services/common/crypto/digest.h"
#include "tests/services/common/temporary_folder.h"
#include "tests/support/status_matchers.h"

namespace fieldloop {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::TemporaryFolder;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class BlobJournalTest : public ::testing::Test {
 protected:
  static absl::Status Append(BlobJournal& journal, const std::vector<std::string>& blobs) {
    std::vector<std::string> digests;
    std::vector<BlobJournal::Entry> entries;
    for (const std::string& blob : blobs) {
      digests.push_back(Sha256Of(blob));
    }
    for (std::size_t i = 0; i < blobs.size(); ++i) {
      entries.push_back({.digest = digests[i], .data = blobs[i]});
    }
    return journal.Append(entries);
  }

  std::vector<std::string> Recovered() {
    std::vector<std::string> blobs;
    EXPECT_THAT(BlobJournal::Recover(
                    folder_.path(),
                    [&](const BlobJournal::Entry& entry) {
                      EXPECT_EQ(Sha256Of(entry.data), entry.digest);
                      blobs.emplace_back(entry.data);
                      return absl::OkStatus();
                    },
                    [] { return absl::OkStatus(); }),
                IsOk());
    return blobs;
  }

  // The journal's only file.
  std::filesystem::path File() {
    return std::filesystem::directory_iterator(folder_.path())->path();
  }

  TemporaryFolder folder_;
};

TEST_F(BlobJournalTest, WhatWasAppendedIsRecoveredOnceItsProcessIsGone) {
  auto journal = *BlobJournal::Create(folder_.path());
  ASSERT_THAT(Append(*journal, {"one", ""}), IsOk());
  ASSERT_THAT(Append(*journal, {"three"}), IsOk());
  EXPECT_THAT(Recovered(), IsEmpty());  // It is locked.
  journal.reset();
  EXPECT_THAT(Recovered(), ElementsAre("one", "", "three"));
  EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
}

TEST_F(BlobJournalTest, ATornEndIsLeftOutWhereverItIsTorn) {
  ASSERT_THAT(Append(**BlobJournal::Create(folder_.path()), {"one", "two"}), IsOk());
  const auto whole = std::filesystem::file_size(File());
  const TemporaryFolder aside;
  std::filesystem::copy_file(File(), aside / "journal");
  for (auto size = whole; size-- > 0;) {
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
      std::filesystem::remove(entry.path());
    }
    std::filesystem::copy_file(aside / "journal", folder_ / "journal");
    std::filesystem::resize_file(folder_ / "journal", size);
    const std::vector<std::string> blobs = Recovered();
    ASSERT_EQ(blobs.size(), size >= whole / 2 ? 1U : 0U) << size;
  }
}

TEST_F(BlobJournalTest, AfterARestartOldEntriesBehindNewOnesAreNotRead) {
  {
    auto journal = *BlobJournal::Create(folder_.path());
    ASSERT_THAT(Append(*journal, {"old1", "old2", "old3"}), IsOk());
    journal->Restart();
    EXPECT_EQ(journal->size_bytes(), 0);
    ASSERT_THAT(Append(*journal, {"new1"}), IsOk());
  }
  EXPECT_THAT(Recovered(), ElementsAre("new1"));
}

TEST_F(BlobJournalTest, AnEmptyOneLeavesNoFile) {
  {
    auto journal = *BlobJournal::Create(folder_.path());
    ASSERT_THAT(Append(*journal, {"one"}), IsOk());
    journal->Restart();
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
}

TEST_F(BlobJournalTest, AStoreMakesLostAndTornBlobsAgain) {
  const std::string blobs = folder_ / "blobs";
  std::string lost;
  std::string torn;
  std::string kept;
  {
    auto store = *OpenFolderBlobStore(blobs);
    lost = store->Put("lost")->digest;
    torn = store->Put("torn")->digest;
    kept = store->Put("kept")->digest;
  }
  const auto path = [&](const std::string& digest) {
    return blobs + "/" + digest.substr(0, 2) + "/" + digest.substr(2);
  };
  ASSERT_THAT(Append(**BlobJournal::Create(blobs + "/journal"), {"lost", "torn", "kept"}), IsOk());
  std::filesystem::remove(path(lost));
  std::filesystem::resize_file(path(torn), 0);
  auto store = *OpenFolderBlobStore(blobs);
  EXPECT_EQ(*store->Get(lost), "lost");
  EXPECT_EQ(*store->Get(torn), "torn");
  EXPECT_EQ(*store->Get(kept), "kept");
}

}  // namespace
}  // namespace fieldloop
