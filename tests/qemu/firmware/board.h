/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/**
 * @file
 * @brief The board: mps2-an386 with a flash chip, a modem and a bootloader.
 */
#ifndef FIELDLOOP_TESTS_QEMU_FIRMWARE_BOARD_H
#define FIELDLOOP_TESTS_QEMU_FIRMWARE_BOARD_H

#include "agent/ports/cortex_m/cortex_m_port.h"

/**
 * Starts the board and opens its port, once after each reset: the bootloader, then the port with
 * ca.der as the server's authorities. What goes wrong ends the run.
 *
 * @param version  Of the firmware image that runs.
 */
const fl_port_t* board_open(char version[16]);

/** Ends the port and begins it anew, without the bootloader. */
const fl_port_t* board_reopen(void);

/** Prints a line "LEVEL: TEXT" on the console. */
void board_log(void* context, fl_log_level_t level, const char* text);

/** Sleeps until something happens, at most a millisecond. */
void board_wait(void);

#endif
