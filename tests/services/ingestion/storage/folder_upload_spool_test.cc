// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/storage/folder_upload_spool.h"

#include <memory>
#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/common/status/error_reason.h"
#include "tests/services/ingestion/support/ingestion_fakes.h"
#include "tests/support/fake_clock.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::ingestion {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;

class FolderUploadSpoolTest : public ::testing::Test {
 protected:
  std::unique_ptr<SpooledFile> Open(const UploadKey& key, std::int64_t size, std::int64_t offset) {
    auto opened = spool_->Open(key, size, offset);
    EXPECT_THAT(opened, IsOk());
    return *std::move(opened);
  }

  void Restart() {
    spool_.reset();
    spool_ = *OpenFolderUploadSpool(folder_.path(), clock_, limits_);
  }

  const SpoolLimits limits_{.keep = absl::Hours(24), .max_bytes = 100};
  const UploadKey key_{.project = "motor", .upload_id = "a"};
  TempFolder folder_;
  ::fieldloop::testing::FakeClock clock_;
  std::unique_ptr<UploadSpool> spool_ = *OpenFolderUploadSpool(folder_.path(), clock_, limits_);
};

TEST_F(FolderUploadSpoolTest, ATemporaryFileGivesItsBytesAndLeavesNoName) {
  auto file = *spool_->CreateTemporary();
  EXPECT_EQ(*file->Bytes(), "");
  ASSERT_THAT(file->Append("abc"), IsOk());
  ASSERT_THAT(file->Append("def"), IsOk());
  EXPECT_EQ(*file->Bytes(), "abcdef");
  EXPECT_EQ(file->size_bytes(), 6);
  EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
}

TEST_F(FolderUploadSpoolTest, AnUploadSurvivesARestartUntilItIsRemoved) {
  EXPECT_THAT(spool_->Find(key_), StatusIs(absl::StatusCode::kNotFound));
  ASSERT_THAT(Open(key_, 6, 0)->Append("abc"), IsOk());
  Restart();
  const auto found = spool_->Find(key_);
  ASSERT_THAT(found, IsOk());
  EXPECT_EQ(found->safe_bytes, 3);
  EXPECT_EQ(found->size_bytes, 6);
  EXPECT_EQ(found->expire_time, clock_.Now() + limits_.keep);
  auto file = Open(key_, 6, 3);
  ASSERT_THAT(file->Append("def"), IsOk());
  EXPECT_EQ(*file->Bytes(), "abcdef");
  file->Remove();
  EXPECT_THAT(spool_->Find(key_), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(FolderUploadSpoolTest, AnUploadGoesOnOnlyWhereItEndsAndAtItsSize) {
  ASSERT_THAT(Open(key_, 6, 0)->Append("abc"), IsOk());
  for (const std::int64_t offset : {0, 2, 4}) {
    EXPECT_EQ(ReasonOf(spool_->Open(key_, 6, offset).status()), kOffsetMismatch);
  }
  EXPECT_THAT(spool_->Open(key_, 7, 3), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(ReasonOf(spool_->Open({.project = "pump", .upload_id = "a"}, 6, 3).status()),
            kOffsetMismatch);
}

TEST_F(FolderUploadSpoolTest, TheNewestCallCutsOffTheOneBefore) {
  auto old = Open(key_, 6, 0);
  ASSERT_THAT(old->Append("abc"), IsOk());
  auto fresh = Open(key_, 6, 3);
  const absl::Status late = old->Append("xyz");
  EXPECT_THAT(late, StatusIs(absl::StatusCode::kAborted));
  EXPECT_EQ(ReasonOf(late), kUploadTakenOver);
  old->Remove();
  old.reset();
  ASSERT_THAT(fresh->Append("def"), IsOk());
  EXPECT_EQ(spool_->Find(key_)->safe_bytes, 6);
}

TEST_F(FolderUploadSpoolTest, WhatNobodyCameBackToIsDropped) {
  ASSERT_THAT(Open(key_, 60, 0)->Append("abc"), IsOk());
  clock_.Advance(limits_.keep - absl::Seconds(1));
  EXPECT_THAT(spool_->Find(key_), IsOk());
  clock_.Advance(absl::Seconds(1));
  EXPECT_THAT(spool_->Find(key_), StatusIs(absl::StatusCode::kNotFound));
  Open(key_, 60, 0);
}

TEST_F(FolderUploadSpoolTest, AllUploadsTogetherKeepWithinTheirSpace) {
  ASSERT_THAT(Open(key_, 60, 0)->Append("abc"), IsOk());
  const UploadKey other{.project = "motor", .upload_id = "b"};
  const auto refused = spool_->Open(other, 41, 0);
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(ReasonOf(refused.status()), "UPLOADS_BUSY");
  Open(other, 40, 0);
  clock_.Advance(limits_.keep);
  Open({.project = "motor", .upload_id = "c"}, 100, 0);
}

TEST_F(FolderUploadSpoolTest, AFileThatACrashLeftWithoutItsHeaderIsBegunAgain) {
  Open(key_, 6, 0);
  for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
    std::filesystem::resize_file(entry.path(), 3);
  }
  EXPECT_THAT(spool_->Find(key_), StatusIs(absl::StatusCode::kNotFound));
  ASSERT_THAT(Open(key_, 6, 0)->Append("abc"), IsOk());
  EXPECT_EQ(spool_->Find(key_)->safe_bytes, 3);
}

}  // namespace
}  // namespace fieldloop::ingestion
