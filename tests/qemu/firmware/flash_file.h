/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/**
 * @file
 * @brief A file of the host as the flash chip of the board.
 *
 * Every write reaches the file at once, unit by unit, and an erase goes in pieces: whoever kills
 * the emulator cuts the power, also in the middle of an operation. A program that breaks the rules
 * of flash ends the run.
 */
#ifndef FIELDLOOP_TESTS_QEMU_FIRMWARE_FLASH_FILE_H
#define FIELDLOOP_TESTS_QEMU_FIRMWARE_FLASH_FILE_H

#include "fieldloop_agent/port.h"

enum {
  FLASH_FILE_SIZE = 512 * 1024,
  FLASH_FILE_SECTOR = 4096,
  FLASH_FILE_UNIT = 8, /* A double word, as in many parts. */
};

/** Opens flash.bin of the working directory, FLASH_FILE_SIZE bytes, 0xFF in a new one. */
fl_flash_t flash_file_open(void);

#endif
