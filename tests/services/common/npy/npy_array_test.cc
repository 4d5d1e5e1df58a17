// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/npy/npy_array.h"

#include <cstddef>
#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "tests/services/common/npy/npy_bytes.h"
#include "tests/support/status_matchers.h"

namespace fieldloop {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(NpyArrayTest, ReadsTwoDimensionsRowByRow) {
  const auto array = ParseNpy<float>(NpyBytes<float>(2, 3, {1, 2, 3, 4, 5, 6}));
  ASSERT_THAT(array, IsOk());
  EXPECT_THAT(array->shape, ElementsAre(2, 3));
  EXPECT_EQ(array->row(1)[0], 4);
}

TEST(NpyArrayTest, ReadsOneDimensionAsOneColumn) {
  const auto array = ParseNpy<std::int32_t>(NpyBytes<std::int32_t>(3, 0, {7, -8, 9}));
  ASSERT_THAT(array, IsOk());
  EXPECT_EQ(array->rows(), 3);
  EXPECT_EQ(array->columns(), 1);
  EXPECT_THAT(array->values, ElementsAre(7, -8, 9));
}

TEST(NpyArrayTest, ReadsAnArrayWithoutRows) {
  const auto array = ParseNpy<float>(NpyBytes<float>(0, 300, {}));
  ASSERT_THAT(array, IsOk());
  EXPECT_EQ(array->rows(), 0);
}

TEST(NpyArrayTest, TakesTheEntriesOfTheHeaderInAnyOrder) {
  const std::string data(8, '\0');
  EXPECT_THAT(
      ParseNpy<float>(NpyFile(R"({"shape":(2,),"fortran_order":False,"descr":"<f4"})", data)),
      IsOk());
}

TEST(NpyArrayTest, NoPrefixOfAFileParses) {
  const std::string whole = NpyBytes<float>(2, 2, {1, 2, 3, 4});
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_THAT(ParseNpy<float>(whole.substr(0, size)),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << size;
  }
}

TEST(NpyArrayTest, AnyByteOfTheHeaderMayBeWrong) {
  const std::string whole = NpyBytes<float>(2, 2, {1, 2, 3, 4});
  for (std::size_t i = 0; i < whole.size() - 16; ++i) {
    for (int value = 0; value < 256; ++value) {
      std::string changed = whole;
      changed[i] = static_cast<char>(value);
      const auto array = ParseNpy<float>(changed);
      if (array.ok()) {
        EXPECT_EQ(array->rows() * array->columns(), array->values.size());
      }
    }
  }
}

struct BadFile {
  const char* name;
  std::string header;
  std::size_t data_bytes;
  const char* expected;

  friend void PrintTo(const BadFile& bad, std::ostream* os) { *os << bad.name; }
};
class BadNpyTest : public ::testing::TestWithParam<BadFile> {};

TEST_P(BadNpyTest, IsRefusedWithWhatWasExpected) {
  const auto array =
      ParseNpy<float>(NpyFile(GetParam().header, std::string(GetParam().data_bytes, '\0')));
  EXPECT_THAT(array, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(std::string(array.status().message()), HasSubstr(GetParam().expected));
}

std::string Header(const std::string& shape, const std::string& type = "<f4",
                   const std::string& order = "False") {
  return absl::StrCat("{'descr': '", type, "', 'fortran_order': ", order, ", 'shape': ", shape,
                      ", }");
}

INSTANTIATE_TEST_SUITE_P(
    Headers, BadNpyTest,
    ::testing::Values(
        BadFile{"Double", Header("(1,)", "<f8"), 8, "descr: got '<f8', want '<f4'"},
        BadFile{"BigEndian", Header("(1,)", ">f4"), 4, "want '<f4'"},
        BadFile{"Object", Header("(1,)", "|O"), 4, "want '<f4'"},
        BadFile{"FortranOrder", Header("(1, 1)", "<f4", "True"), 4, "want False"},
        BadFile{"Scalar", Header("()"), 4, "one or two dimensions"},
        BadFile{"ThreeDimensions", Header("(1, 1, 1)"), 4, "one or two dimensions"},
        BadFile{"NegativeDimension", Header("(-1, 4)"), 4, "one or two dimensions"},
        BadFile{"ProductOverflows", Header("(4294967296, 4294967296)"), 0, "bytes of elements"},
        BadFile{"DimensionOverflows", Header("(99999999999999999999,)"), 4, "dimensions"},
        BadFile{"TooFewElements", Header("(2, 2)"), 12, "12 bytes of elements"},
        BadFile{"TooManyElements", Header("(2, 2)"), 20, "20 bytes of elements"},
        BadFile{"HalfAnElement", Header("(1,)"), 5, "5 bytes of elements"},
        BadFile{"ZeroRowsWithElements", Header("(0, 3)"), 12, "bytes of elements"},
        BadFile{"NoShape", "{'descr': '<f4', 'fortran_order': False, }", 4, "header"},
        BadFile{"NoDictionary", "descr", 4, "header"},
        BadFile{"OpenString", "{'descr", 4, "header"},
        BadFile{"UnknownEntry", "{'descr': '<f4', 'evil': __import__('os'), }", 4, "header"}),
    [](const auto& param_info) { return std::string(param_info.param.name); });

TEST(NpyArrayTest, AnotherVersionIsRefused) {
  std::string file = NpyBytes<float>(1, 0, {1});
  file[6] = 2;
  EXPECT_THAT(ParseNpy<float>(file), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(NpyArrayTest, AMissingFileIsNotFound) {
  EXPECT_THAT(ReadNpy<float>(::testing::TempDir() + "/no/such.npy"),
              StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace fieldloop
