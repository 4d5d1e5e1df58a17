/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/**
 * @file
 * @brief A bootloader with the contract of MCUboot's "direct-xip with revert", simulated: two image
 * slots, one of which runs, and a record that says which. An image that is asked for runs on trial,
 * and the next start goes back unless it was confirmed.
 *
 * The code that runs is that of the emulator's -kernel at all times; an image stands for it. Its
 * bytes: "FLFW", u32 size of the whole image, a version of up to 15 characters padded with zeros,
 * u8 whether it starts; then anything.
 */
#ifndef FIELDLOOP_TESTS_QEMU_FIRMWARE_BOOTLOADER_H
#define FIELDLOOP_TESTS_QEMU_FIRMWARE_BOOTLOADER_H

#include "fieldloop_agent/port.h"

/** Offset and size of a slot, and of the record's two sectors, in the device. */
enum {
  BOOTLOADER_SLOT_SIZE = 8 * 4096,
  BOOTLOADER_SLOT_0 = 52 * 4096,
  BOOTLOADER_SLOT_1 = BOOTLOADER_SLOT_0 + BOOTLOADER_SLOT_SIZE,
  BOOTLOADER_RECORD = BOOTLOADER_SLOT_1 + BOOTLOADER_SLOT_SIZE,
};

/**
 * What comes before the firmware: decides which image runs. One that does not start ends in a
 * reset, as by a watchdog. Sets the version that runs.
 */
void bootloader_run(const fl_flash_t* device, char version[16]);

/** For fl_cortex_m_board_t.firmware, after bootloader_run(). */
fl_firmware_t bootloader_hooks(void);

#endif
