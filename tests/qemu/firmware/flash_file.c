/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "tests/qemu/firmware/flash_file.h"

#include <string.h>

#include "tests/qemu/cortex_m4/semihosting.h"

enum { ERASE_PIECE = 256, COMPARED_AT_ONCE = 256 };

static uint32_t file;

static bool in_range(uint32_t offset, size_t size) {
  return offset <= FLASH_FILE_SIZE && size <= FLASH_FILE_SIZE - offset;
}

static fl_status_t read_flash(void* context, uint32_t offset, void* dst, size_t size) {
  (void)context;
  if (!in_range(offset, size)) {
    return FL_ERR_IO;
  }
  semihosting_read_at(file, offset, dst, (uint32_t)size);
  return FL_OK;
}

static void check_erased(uint32_t offset, size_t size) {
  uint8_t bytes[COMPARED_AT_ONCE];
  while (size > 0) {
    const uint32_t part = size < sizeof bytes ? (uint32_t)size : (uint32_t)sizeof bytes;
    semihosting_read_at(file, offset, bytes, part);
    for (uint32_t i = 0; i < part; ++i) {
      if (bytes[i] != 0xff) {
        semihosting_fail("flash was programmed that is not erased");
      }
    }
    offset += part;
    size -= part;
  }
}

static fl_status_t program_flash(void* context, uint32_t offset, const void* src, size_t size) {
  const uint8_t* from = src;
  (void)context;
  if (!in_range(offset, size) || offset % FLASH_FILE_UNIT != 0 || size % FLASH_FILE_UNIT != 0) {
    return FL_ERR_IO;
  }
  check_erased(offset, size);
  for (uint32_t done = 0; done < size; done += FLASH_FILE_UNIT) {
    semihosting_write_at(file, offset + done, from + done, FLASH_FILE_UNIT);
  }
  return FL_OK;
}

static fl_status_t erase_flash(void* context, uint32_t offset) {
  uint8_t erased[ERASE_PIECE];
  (void)context;
  if (!in_range(offset, FLASH_FILE_SECTOR) || offset % FLASH_FILE_SECTOR != 0) {
    return FL_ERR_IO;
  }
  memset(erased, 0xff, sizeof erased);
  for (uint32_t done = 0; done < FLASH_FILE_SECTOR; done += ERASE_PIECE) {
    semihosting_write_at(file, offset + done, erased, ERASE_PIECE);
  }
  return FL_OK;
}

fl_flash_t flash_file_open(void) {
  file = semihosting_open("flash.bin", true);
  return (fl_flash_t){.size = FLASH_FILE_SIZE,
                      .sector_size = FLASH_FILE_SECTOR,
                      .program_size = FLASH_FILE_UNIT,
                      .erased_value = 0xff,
                      .read = read_flash,
                      .program = program_flash,
                      .erase = erase_flash};
}
