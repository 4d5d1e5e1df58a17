/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "tests/qemu/firmware/board.h"

#include <string.h>

#include "tests/qemu/cortex_m4/semihosting.h"
#include "tests/qemu/firmware/bootloader.h"
#include "tests/qemu/firmware/flash_file.h"
#include "tests/qemu/firmware/modem.h"

enum { CPU_HZ = 25 * 1000 * 1000, TLS_HEAP = 24 * 1024, SECTOR = FLASH_FILE_SECTOR };

static _Alignas(8) uint8_t tls_heap[TLS_HEAP];
static uint8_t ca[1024];
static fl_cortex_m_board_t board;
static fl_cortex_m_config_t config;
static fl_cortex_m_t cortex_m;

static fl_status_t entropy(void* context, void* dst, size_t size) {
  static uint32_t source;
  (void)context;
  if (source == 0) {
    source = semihosting_open("/dev/urandom", false);
  }
  semihosting_read_at(source, 0, dst, (uint32_t)size);
  return FL_OK;
}

void board_wait(void) { __asm__ volatile("wfi" ::: "memory"); }

static void restart(void* context) {
  (void)context;
  while (modem_is_dialling()) {
    board_wait();
  }
  fl_cortex_m_reset();
}

void board_log(void* context, fl_log_level_t level, const char* text) {
  static const char* const NAMES[] = {"debug: ", "info: ", "warning: "};
  char line[160] = "";
  (void)context;
  (void)strcat(line, NAMES[level]);
  (void)strncat(line, text, sizeof line - 16);
  (void)strcat(line, "\n");
  semihosting_print(line);
}

const fl_port_t* board_reopen(void) {
  if (fl_cortex_m_open(&cortex_m, &config) != FL_OK) {
    semihosting_fail(cortex_m.failure);
  }
  return &cortex_m.port;
}

const fl_port_t* board_open(char version[16]) {
  board = (fl_cortex_m_board_t){
      .cpu_hz = CPU_HZ,
      .flash = flash_file_open(),
      .state = {.offset = 0, .size = 4 * SECTOR, .sector_size = SECTOR},
      .identity = {.offset = 4 * SECTOR, .size = 4 * SECTOR, .sector_size = SECTOR},
      .outbox = {.offset = 8 * SECTOR, .size = 8 * SECTOR, .sector_size = SECTOR},
      .slot = {{.offset = 16 * SECTOR, .size = 16 * SECTOR, .sector_size = SECTOR},
               {.offset = 32 * SECTOR, .size = 16 * SECTOR, .sector_size = SECTOR}},
      .configuration = {{.offset = 48 * SECTOR, .size = 2 * SECTOR, .sector_size = SECTOR},
                        {.offset = 50 * SECTOR, .size = 2 * SECTOR, .sector_size = SECTOR}},
      .entropy = entropy,
      .line_open = modem_open,
      .line_receive = modem_receive,
      .line_send = modem_send,
      .line_close = modem_close,
      .reset = restart,
      .log = board_log,
  };
  bootloader_run(&board.flash, version);
  board.firmware = bootloader_hooks();
  config = (fl_cortex_m_config_t){
      .board = &board,
      .server_name = "localhost",
      .authorities = ca,
      .authorities_size = semihosting_read_file("ca.der", ca, sizeof ca),
      .heap = tls_heap,
      .heap_size = sizeof tls_heap,
  };
  modem_start();
  return board_reopen();
}
