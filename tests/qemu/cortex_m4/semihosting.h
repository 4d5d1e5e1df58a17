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

#include <stdbool.h>
#include <stdint.h>

/** Reads a whole file; returns its size. */
uint32_t semihosting_read_file(const char* name, void* bytes, uint32_t room);

/** Writes a whole file. */
void semihosting_write_file(const char* name, const void* bytes, uint32_t size);

/** Opens a file that exists, to be read and, if @p writable, written in place. */
uint32_t semihosting_open(const char* name, bool writable);

/** Reads or writes a part of an open file; a write has reached the host when it returns. */
void semihosting_read_at(uint32_t file, uint32_t offset, void* bytes, uint32_t size);
void semihosting_write_at(uint32_t file, uint32_t offset, const void* bytes, uint32_t size);

/** The words of the command line, divided by spaces. */
void semihosting_command_line(char* line, uint32_t room);

/** Puts a text on the console. */
void semihosting_print(const char* text);

/** Ends with a message on the console and exit code 1. */
_Noreturn void semihosting_fail(const char* message);

/** Ends. */
_Noreturn void semihosting_exit(int code);

#endif
