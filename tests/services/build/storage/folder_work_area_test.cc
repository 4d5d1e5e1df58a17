// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/storage/folder_work_area.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/build/storage/instance_lock.h"
#include "tests/services/common/temporary_folder.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::build {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::fieldloop::testing::TemporaryFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

template <typename T>
std::vector<T> Values(const std::string& npy) {
  std::vector<T> values((npy.size() - 128) / sizeof(T));
  std::memcpy(values.data(), npy.data() + 128, values.size() * sizeof(T));
  return values;
}

class FolderWorkAreaTest : public ::testing::Test {
 protected:
  TemporaryFolder folder_;
  std::unique_ptr<FolderWorkArea> area_ = *FolderWorkArea::Open(folder_ / "work");
};

TEST_F(FolderWorkAreaTest, TestingWindowsThatATrainerWroteOverAreNotJudgedOn) {
  const std::unique_ptr<WorkDirectory> work = *area_->Create("motor-1-1");
  const std::unique_ptr<TrainingSetWriter> set = *work->OpenTrainingSet(2);
  const std::array<float, 2> values{1, 2};
  ASSERT_THAT(set->Append(Side::kTesting, values.data(), values.size()), IsOk());
  TrainingRows rows;
  rows.test = {{.label = 1, .sample = 0, .start_ms = 0, .end_ms = 10}};
  rows.test_kept = {true};
  ASSERT_THAT(set->Finish(rows), IsOk());
  const auto ignore = [](const WindowRow&, const float*, std::size_t) { return absl::OkStatus(); };
  ASSERT_THAT(set->ReadTesting(ignore), IsOk());
  std::fstream file(work->data_path() + "/windows_test.npy",
                    std::ios::binary | std::ios::in | std::ios::out);
  file.seekp(-1, std::ios::end);
  file.put('x');
  file.close();
  EXPECT_THAT(set->ReadTesting(ignore), StatusIs(absl::StatusCode::kAborted));
}

TEST_F(FolderWorkAreaTest, ATrainingSetIsWrittenAsNpyFiles) {
  const std::unique_ptr<WorkDirectory> work = *area_->Create("motor-1-1");
  const std::unique_ptr<TrainingSetWriter> set = *work->OpenTrainingSet(2);
  const std::array<float, 6> values{1, 2, 3, 4, 5, 6};
  ASSERT_THAT(set->Append(Side::kTraining, values.data(), 2), IsOk());
  for (std::size_t i = 0; i < values.size(); i += 2) {
    ASSERT_THAT(set->Append(Side::kTesting, values.data() + i, 2), IsOk());
  }
  TrainingRows rows;
  rows.train = {{.label = 2, .sample = 1, .start_ms = 30, .end_ms = 40}};
  rows.train_groups = {7};
  rows.train_sources = {1};
  rows.test = {{.label = 1, .sample = 0, .start_ms = 0, .end_ms = 10},
               {.label = 2, .sample = 2, .start_ms = 0, .end_ms = 10}};
  rows.test_kept = {true, false, true};
  ASSERT_THAT(set->Finish(rows), IsOk());

  const std::string windows = Content(work->data_path() + "/windows_train.npy");
  EXPECT_EQ(windows.substr(0, 8), std::string("\x93NUMPY\x01\0", 8));
  EXPECT_THAT(windows.substr(0, 128),
              HasSubstr("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }"));
  EXPECT_EQ(windows[127], '\n');
  EXPECT_THAT(Values<float>(windows), ElementsAre(1, 2));
  EXPECT_THAT(Values<float>(Content(work->data_path() + "/windows_test.npy")),
              ElementsAre(1, 2, 5, 6));
  const std::string labels = Content(work->data_path() + "/labels_test.npy");
  EXPECT_THAT(labels.substr(0, 128), HasSubstr("'<i4', 'fortran_order': False, 'shape': (2, 4)"));
  EXPECT_THAT(Values<std::int32_t>(labels), ElementsAre(1, 0, 0, 10, 2, 2, 0, 10));
  EXPECT_THAT(Values<std::int32_t>(Content(work->data_path() + "/labels_train.npy")),
              ElementsAre(2, 1, 30, 40));
  const std::string groups = Content(work->data_path() + "/groups_train.npy");
  EXPECT_THAT(groups.substr(0, 128), HasSubstr("'shape': (1,)"));
  EXPECT_THAT(Values<std::int32_t>(groups), ElementsAre(7));
  EXPECT_THAT(Values<std::int32_t>(Content(work->data_path() + "/source_train.npy")),
              ElementsAre(1));

  std::vector<WindowRow> read;
  std::vector<float> read_values;
  ASSERT_THAT(set->ReadTesting([&](const WindowRow& row, const float* window, std::size_t count) {
    read.push_back(row);
    read_values.insert(read_values.end(), window, window + count);
    return absl::OkStatus();
  }),
              IsOk());
  EXPECT_EQ(read, rows.test);
  EXPECT_THAT(read_values, ElementsAre(1, 2, 5, 6));
}

TEST_F(FolderWorkAreaTest, ATrainingSetLargerThanTheBufferIsWhole) {
  constexpr std::size_t kValues = 1000;
  constexpr std::size_t kWindows = 700;  // 2.8 MB.
  const std::unique_ptr<WorkDirectory> work = *area_->Create("motor-1-1");
  const std::unique_ptr<TrainingSetWriter> set = *work->OpenTrainingSet(kValues);
  for (std::size_t i = 0; i < kWindows; ++i) {
    const std::vector<float> window(kValues, static_cast<float>(i));
    ASSERT_THAT(set->Append(Side::kTraining, window.data(), window.size()), IsOk());
  }
  ASSERT_THAT(set->Finish({}), IsOk());
  const std::vector<float> values =
      Values<float>(Content(work->data_path() + "/windows_train.npy"));
  ASSERT_EQ(values.size(), kValues * kWindows);
  for (std::size_t i = 0; i < kWindows; ++i) {
    ASSERT_EQ(values[i * kValues + kValues - 1], static_cast<float>(i));
  }
}

TEST_F(FolderWorkAreaTest, AWorkDirectoryIsGoneWithItsObject) {
  std::unique_ptr<WorkDirectory> work = *area_->Create("motor-1-1");
  ASSERT_THAT(work->Put("parent.tflite", "bytes"), IsOk());
  EXPECT_EQ(Content(work->data_path() + "/parent.tflite"), "bytes");
  work.reset();
  EXPECT_TRUE(std::filesystem::is_empty(folder_ / "work"));
}

TEST_F(FolderWorkAreaTest, WhatAKilledProcessLeftIsRemovedAtTheNextStart) {
  std::filesystem::create_directories(folder_ / "work/motor-9-1/data");
  ASSERT_THAT(FolderWorkArea::Open(folder_ / "work"), IsOk());
  EXPECT_TRUE(std::filesystem::is_empty(folder_ / "work"));
}

TEST(InstanceLock, KeepsItsNameOverRestartsAndExcludesASecondProcess) {
  const TemporaryFolder folder;
  std::string name;
  {
    const auto lock = InstanceLock::Acquire(folder.path());
    ASSERT_THAT(lock, IsOk());
    name = (*lock)->name();
    EXPECT_EQ(name.size(), 32U);
    EXPECT_THAT(InstanceLock::Acquire(folder.path()), StatusIs(absl::StatusCode::kUnavailable));
  }
  EXPECT_EQ((*InstanceLock::Acquire(folder.path()))->name(), name);
}

}  // namespace
}  // namespace fieldloop::build
