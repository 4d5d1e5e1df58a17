/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/**
 * @file
 * @brief Files, command line and exit by Arm semihosting. What goes wrong ends the run.
 */
#ifndef FIELDLOOP_TESTS_QEMU_CORTEX_M4_SEMIHOSTING_H
#define FIELDLOOP_TESTS_QEMU_CORTEX_M4_SEMIHOSTING_H

#include <stdint.h>

/** Reads a whole file; returns its size. */
uint32_t semihosting_read_file(const char* name, void* bytes, uint32_t room);

/** Writes a whole file. */
void semihosting_write_file(const char* name, const void* bytes, uint32_t size);

/** The number at the end of the command line. */
uint32_t semihosting_number(void);

/** Ends with a message on the console and exit code 1. */
_Noreturn void semihosting_fail(const char* message);

/** Ends. */
_Noreturn void semihosting_exit(int code);

#endif
