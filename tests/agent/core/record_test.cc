// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "fieldloop_agent/record.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/agent/core/sim_flash.h"

namespace fieldloop::agent {
namespace {

class RecordTest : public ::testing::TestWithParam<Geometry> {
 protected:
  fl_status_t Save(const std::string& text) {
    return fl_record_save(&area_, 0, text.data(), text.size());
  }
  std::string Load() {
    char buffer[256];
    size_t size = 0;
    const fl_status_t status = fl_record_load(&area_, 0, buffer, sizeof buffer, &size);
    return status == FL_OK ? std::string(buffer, size) : fl_status_text(status);
  }

  Power power_;
  SimFlash flash_{power_, GetParam()};
  fl_flash_t area_ = flash_.Area();
};

TEST_P(RecordTest, LoadsWhatWasSavedLast) {
  EXPECT_EQ(Load(), "FL_ERR_NOT_FOUND");
  for (int i = 0; i < 5; ++i) {
    const std::string text = "record " + std::to_string(i);
    ASSERT_EQ(Save(text), FL_OK);
    EXPECT_EQ(Load(), text);
  }
}

TEST_P(RecordTest, APowerCutAtAnyByteLeavesTheOldRecordOrTheNewOne) {
  const std::string old_text(97, 'o');
  const std::string new_text(131, 'n');
  ASSERT_EQ(Save("older"), FL_OK);
  ASSERT_EQ(Save(old_text), FL_OK);
  const std::vector<uint8_t> before = flash_.bytes();
  const uint64_t steps_before = power_.steps_done;
  ASSERT_EQ(Save(new_text), FL_OK);
  const uint64_t steps = power_.steps_done - steps_before;
  ASSERT_GT(steps, 150u);

  int old_count = 0;
  for (uint64_t cut = 0; cut < steps; ++cut) {
    flash_.bytes() = before;
    power_.steps_left = cut;
    EXPECT_NE(Save(new_text), FL_OK);
    power_.Restore();
    const std::string loaded = Load();
    ASSERT_THAT(loaded, ::testing::AnyOf(old_text, new_text)) << "cut after " << cut;
    old_count += loaded == old_text ? 1 : 0;
    // And what is saved next is found, whatever the cut left.
    ASSERT_EQ(Save("next"), FL_OK);
    ASSERT_EQ(Load(), "next") << "cut after " << cut;
  }
  EXPECT_GT(old_count, 0);
}

TEST_P(RecordTest, AReadThatFailsOnceDoesNotBringTheOlderRecordBack) {
  ASSERT_EQ(Save("old"), FL_OK);
  ASSERT_EQ(Save("new"), FL_OK);
  for (int failures = 1; failures <= 2; ++failures) {
    flash_.FailReads(failures);
    EXPECT_EQ(Load(), "new");
  }
}

TEST_P(RecordTest, AFlippedBitIsNoticed) {
  ASSERT_EQ(Save("old"), FL_OK);
  ASSERT_EQ(Save("new"), FL_OK);
  flash_.bytes()[GetParam().sector_size + FL_RECORD_HEADER_SIZE] ^= 0x10;
  EXPECT_EQ(Load(), "old");
}

TEST_P(RecordTest, AProgramThatDoesNothingIsNoticed) {
  ASSERT_EQ(Save("old"), FL_OK);
  flash_.IgnorePrograms(true);
  EXPECT_EQ(Save("new"), FL_ERR_IO);
  EXPECT_EQ(Load(), "old");
}

TEST_P(RecordTest, ARecordLargerThanASectorIsRefused) {
  EXPECT_EQ(Save(std::string(GetParam().sector_size, 'x')), FL_ERR_NO_SPACE);
}

INSTANTIATE_TEST_SUITE_P(Geometries, RecordTest,
                         ::testing::Values(Geometry{"Byte", 512, 256, 1, 0xff},
                                           Geometry{"Unit8", 1024, 512, 8, 0xff},
                                           Geometry{"Unit32", 4096, 2048, 32, 0xff},
                                           Geometry{"ErasedZero", 1024, 512, 4, 0x00}),
                         [](const auto& param_info) { return std::string(param_info.param.name); });

}  // namespace
}  // namespace fieldloop::agent
