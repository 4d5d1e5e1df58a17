/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "tests/qemu/cortex_m4/semihosting.h"

#include <stddef.h>
#include <string.h>

/* Operations of "Semihosting for AArch32 and AArch64". */
enum { OPEN = 0x01, CLOSE = 0x02, WRITE_TEXT = 0x04, WRITE = 0x05, READ = 0x06 };
enum { SEEK = 0x0a, LENGTH = 0x0c, COMMAND_LINE = 0x15, EXIT_EXTENDED = 0x20 };
enum { MODE_READ_BINARY = 1, MODE_UPDATE_BINARY = 3, MODE_WRITE_BINARY = 5 };
enum { STOPPED_APPLICATION_EXIT = 0x20026 };

static int32_t call(uint32_t operation, const void* arguments) {
  register uint32_t r0 __asm__("r0") = operation;
  register const void* r1 __asm__("r1") = arguments;
  __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
  return (int32_t)r0;
}

void semihosting_exit(int code) {
  const uint32_t arguments[] = {STOPPED_APPLICATION_EXIT, (uint32_t)code};
  (void)call(EXIT_EXTENDED, arguments);
  for (;;) {
  }
}

void semihosting_fail(const char* message) {
  (void)call(WRITE_TEXT, message);
  (void)call(WRITE_TEXT, "\n");
  semihosting_exit(1);
}

static uint32_t open_file(const char* name, uint32_t mode) {
  const uint32_t arguments[] = {(uint32_t)name, mode, (uint32_t)strlen(name)};
  const int32_t file = call(OPEN, arguments);
  if (file < 0) {
    semihosting_fail(name);
  }
  return (uint32_t)file;
}

uint32_t semihosting_read_file(const char* name, void* bytes, uint32_t room) {
  const uint32_t file = open_file(name, MODE_READ_BINARY);
  const int32_t size = call(LENGTH, &file);
  const uint32_t arguments[] = {file, (uint32_t)bytes, (uint32_t)size};
  if (size < 0 || (uint32_t)size > room || call(READ, arguments) != 0) {
    semihosting_fail(name);
  }
  (void)call(CLOSE, &file);
  return (uint32_t)size;
}

void semihosting_write_file(const char* name, const void* bytes, uint32_t size) {
  const uint32_t file = open_file(name, MODE_WRITE_BINARY);
  const uint32_t arguments[] = {file, (uint32_t)bytes, size};
  if (call(WRITE, arguments) != 0) {
    semihosting_fail(name);
  }
  (void)call(CLOSE, &file);
}

uint32_t semihosting_open(const char* name, bool writable) {
  return open_file(name, writable ? MODE_UPDATE_BINARY : MODE_READ_BINARY);
}

static void at(uint32_t operation, uint32_t file, uint32_t offset, const void* bytes,
               uint32_t size) {
  const uint32_t position[] = {file, offset};
  const uint32_t arguments[] = {file, (uint32_t)bytes, size};
  if (call(SEEK, position) != 0 || call(operation, arguments) != 0) {
    semihosting_fail("a file is shorter than it should be, or cannot be written");
  }
}

void semihosting_read_at(uint32_t file, uint32_t offset, void* bytes, uint32_t size) {
  at(READ, file, offset, bytes, size);
}

void semihosting_write_at(uint32_t file, uint32_t offset, const void* bytes, uint32_t size) {
  at(WRITE, file, offset, bytes, size);
}

void semihosting_command_line(char* line, uint32_t room) {
  const uint32_t arguments[] = {(uint32_t)line, room};
  if (call(COMMAND_LINE, arguments) != 0) {
    semihosting_fail("there is no command line");
  }
}

void semihosting_print(const char* text) { (void)call(WRITE_TEXT, text); }
