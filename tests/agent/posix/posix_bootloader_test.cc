// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "agent/ports/posix/posix_bootloader.h"

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/agent/posix/temporary_directory.h"

namespace fieldloop::agent {
namespace {

constexpr uint32_t kSlotBytes = 64 * 1024;
constexpr uint32_t kSector = 4096;

class PosixBootloaderTest : public ::testing::Test {
 protected:
  PosixBootloaderTest() : primary_(directory_.Write("app.bin", "image one")) {}
  ~PosixBootloaderTest() override { fl_posix_bootloader_close(&bootloader_); }

  fl_status_t Reset() {
    fl_posix_bootloader_close(&bootloader_);
    return fl_posix_bootloader_start(&bootloader_, directory_.path().c_str(), primary_.c_str(),
                                     kSlotBytes, kSector);
  }
  // As the agent does: sectors are erased one after the other, the end is padded.
  void Download(std::string image) {
    const fl_flash_t slot = fl_posix_flash_area(&bootloader_.secondary);
    for (uint32_t offset = 0; offset < image.size(); offset += kSector) {
      ASSERT_EQ(slot.erase(slot.context, offset), FL_OK);
    }
    image.resize((image.size() + slot.program_size - 1) / slot.program_size * slot.program_size,
                 '\xff');
    ASSERT_EQ(slot.program(slot.context, 0, image.data(), image.size()), FL_OK);
  }
  std::string Running() const {
    uint8_t* image = nullptr;
    size_t size = 0;
    EXPECT_EQ(fl_posix_bootloader_image(&bootloader_, &image, &size), FL_OK);
    std::string text(reinterpret_cast<char*>(image), size);
    std::free(image);
    return text;
  }
  // Starts "image two" on trial.
  void Swap() {
    ASSERT_EQ(Reset(), FL_OK);
    Download("image two");
    ASSERT_EQ(fl_posix_bootloader_request_swap(&bootloader_), FL_OK);
    EXPECT_EQ(Running(), "image one") << "not before the reset";
    ASSERT_EQ(Reset(), FL_OK);
    ASSERT_EQ(Running(), "image two");
  }

  TemporaryDirectory directory_;
  const std::string primary_;
  fl_posix_bootloader_t bootloader_ = {};
};

TEST_F(PosixBootloaderTest, WithoutARequestEveryResetKeepsTheImage) {
  ASSERT_EQ(Reset(), FL_OK);
  Download("image two");
  ASSERT_EQ(Reset(), FL_OK);
  EXPECT_EQ(Running(), "image one");
}

TEST_F(PosixBootloaderTest, ASwapThatIsNotConfirmedIsUndoneByTheNextReset) {
  Swap();
  ASSERT_EQ(Reset(), FL_OK);
  EXPECT_EQ(Running(), "image one");
  ASSERT_EQ(Reset(), FL_OK);
  EXPECT_EQ(Running(), "image one") << "and by no other";
}

TEST_F(PosixBootloaderTest, AConfirmedImageStays) {
  Swap();
  ASSERT_EQ(fl_posix_bootloader_confirm(&bootloader_), FL_OK);
  ASSERT_EQ(fl_posix_bootloader_confirm(&bootloader_), FL_OK);
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(Reset(), FL_OK);
    EXPECT_EQ(Running(), "image two");
  }
}

TEST_F(PosixBootloaderTest, AConfirmedImageGoesBackByAnotherSwap) {
  Swap();
  ASSERT_EQ(fl_posix_bootloader_confirm(&bootloader_), FL_OK);
  ASSERT_EQ(fl_posix_bootloader_request_swap(&bootloader_), FL_OK);
  ASSERT_EQ(fl_posix_bootloader_confirm(&bootloader_), FL_OK) << "of what runs, not of the request";
  ASSERT_EQ(Reset(), FL_OK);
  EXPECT_EQ(Running(), "image one");
}

TEST_F(PosixBootloaderTest, ASwapThatAPowerCutEndedIsMadeByTheNextReset) {
  ASSERT_EQ(Reset(), FL_OK);
  Download("image two");
  ASSERT_EQ(fl_posix_bootloader_request_swap(&bootloader_), FL_OK);
  fl_posix_bootloader_close(&bootloader_);
  // Cut after each of the files that a swap replaces: the note of it is the last one.
  const std::string before = directory_.Read("firmware.swap");
  for (const bool second : {false, true}) {
    directory_.Write("app.bin", "image two");
    if (second) {
      std::string slot = "image one";
      slot.resize(kSlotBytes, '\xff');
      directory_.Write("firmware.flash", slot);
    }
    directory_.Write("firmware.swap", before);
    ASSERT_EQ(Reset(), FL_OK);
    EXPECT_EQ(Running(), "image two");
    ASSERT_EQ(Reset(), FL_OK);
    EXPECT_EQ(Running(), "image one");
    fl_posix_bootloader_close(&bootloader_);
  }
}

TEST_F(PosixBootloaderTest, RefusesWhatItCannotSwapOrRead) {
  ASSERT_EQ(Reset(), FL_OK);
  EXPECT_EQ(fl_posix_bootloader_request_swap(&bootloader_), FL_ERR_NOT_FOUND) << "an empty slot";
  directory_.Write("firmware.swap", "perhaps\n");
  EXPECT_EQ(Reset(), FL_ERR_CORRUPT);
  directory_.Write("firmware.swap", "none\n");
  fl_posix_bootloader_close(&bootloader_);
  EXPECT_EQ(
      fl_posix_bootloader_start(&bootloader_, directory_.path().c_str(),
                                (directory_.path() + "/missing").c_str(), kSlotBytes, kSector),
      FL_ERR_NOT_FOUND);
}

}  // namespace
}  // namespace fieldloop::agent
