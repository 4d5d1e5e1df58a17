// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/npy/npy_writer.h"

#include <array>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/common/npy/npy_array.h"
#include "tests/services/common/temporary_folder.h"
#include "tests/support/status_matchers.h"

namespace fieldloop {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::fieldloop::testing::TemporaryFolder;
using ::testing::ElementsAre;

class NpyWriterTest : public ::testing::Test {
 protected:
  TemporaryFolder folder_;
  const std::string path_ = folder_ / "array.npy";
};

TEST_F(NpyWriterTest, RowsReadBackAsTheyWereWritten) {
  const auto writer = NpyWriter::Create(path_, NpyType::kFloat32, 2);
  ASSERT_THAT(writer, IsOk());
  const std::vector<std::array<float, 2>> rows = {{1, 2}, {3, 4}, {5, 6}};
  for (const auto& row : rows) {
    ASSERT_THAT((*writer)->AppendRow(row.data()), IsOk());
  }
  ASSERT_THAT((*writer)->Finish(3), IsOk());
  const auto array = ReadNpy<float>(path_);
  ASSERT_THAT(array, IsOk());
  EXPECT_THAT(array->shape, ElementsAre(3, 2));
  EXPECT_THAT(array->values, ElementsAre(1, 2, 3, 4, 5, 6));
}

TEST_F(NpyWriterTest, NoColumnsMakeOneDimension) {
  const auto writer = NpyWriter::Create(path_, NpyType::kInt32, 0);
  ASSERT_THAT(writer, IsOk());
  for (const std::int32_t value : {7, -8}) {
    ASSERT_THAT((*writer)->AppendRow(&value), IsOk());
  }
  ASSERT_THAT((*writer)->Finish(2), IsOk());
  const auto array = ReadNpy<std::int32_t>(path_);
  ASSERT_THAT(array, IsOk());
  EXPECT_THAT(array->shape, ElementsAre(2));
  EXPECT_THAT(array->values, ElementsAre(7, -8));
}

TEST_F(NpyWriterTest, RowsCanBeMovedForwardAndTheRestCutOff) {
  const auto writer = NpyWriter::Create(path_, NpyType::kInt32, 1);
  ASSERT_THAT(writer, IsOk());
  for (const std::int32_t value : {0, 1, 2, 3}) {
    ASSERT_THAT((*writer)->AppendRow(&value), IsOk());
  }
  ASSERT_THAT((*writer)->MoveRow(1, 0), IsOk());
  ASSERT_THAT((*writer)->MoveRow(3, 1), IsOk());
  ASSERT_THAT((*writer)->Finish(2), IsOk());
  EXPECT_THAT(ReadNpy<std::int32_t>(path_)->values, ElementsAre(1, 3));
}

TEST_F(NpyWriterTest, MoreRowsThanItKeepsInMemoryAreWritten) {
  constexpr std::int32_t kRows = 300'000;
  const auto writer = NpyWriter::Create(path_, NpyType::kInt32, 1);
  ASSERT_THAT(writer, IsOk());
  for (std::int32_t row = 0; row < kRows; ++row) {
    ASSERT_THAT((*writer)->AppendRow(&row), IsOk());
  }
  ASSERT_THAT((*writer)->Finish(kRows), IsOk());
  const auto array = ReadNpy<std::int32_t>(path_);
  ASSERT_THAT(array, IsOk());
  for (std::int32_t row = 0; row < kRows; ++row) {
    ASSERT_EQ(array->row(static_cast<std::size_t>(row))[0], row);
  }
}

TEST_F(NpyWriterTest, AFileThatIsNotFinishedDoesNotRead) {
  const auto writer = NpyWriter::Create(path_, NpyType::kInt32, 1);
  ASSERT_THAT(writer, IsOk());
  std::filesystem::resize_file(path_, 200);
  EXPECT_THAT(ReadNpy<std::int32_t>(path_), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(NpyWriterTest, AFolderThatIsNotThereIsSaid) {
  const auto writer = NpyWriter::Create(folder_ / "no/such.npy", NpyType::kInt32, 1);
  EXPECT_THAT(writer, StatusIs(absl::StatusCode::kInternal));
}

}  // namespace
}  // namespace fieldloop
