/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/*
 * A whole device on QEMU's mps2-an386: enrols, keeps its model up to date, runs it. Of the working
 * directory it takes flash.bin (flash_file.h), ca.der, root.bin, token and recording.f32; of the
 * command line: project, hardware id. agent/docs/CORTEX_M.md says how to start it.
 */
#include <string.h>

#include "agent/ports/cortex_m/cortex_m_clock.h"
#include "agent/ports/cortex_m/cortex_m_port.h"
#include "tests/qemu/cortex_m4/board.h"
#include "tests/qemu/cortex_m4/semihosting.h"
#include "tests/qemu/firmware/device.h"
#include "tests/qemu/firmware/flash_file.h"
#include "tests/qemu/firmware/modem.h"

enum { CPU_HZ = 25 * 1000 * 1000, TLS_HEAP = 24 * 1024, SECTOR = FLASH_FILE_SECTOR };

static _Alignas(8) uint8_t tls_heap[TLS_HEAP];
static uint8_t ca[1024];
static uint8_t root[2048];
static char token[64];
static char words[128];
static fl_cortex_m_t cortex_m;
static fl_agent_t agent;

static fl_status_t entropy(void* context, void* dst, size_t size) {
  static uint32_t source;
  (void)context;
  if (source == 0) {
    source = semihosting_open("/dev/urandom", false);
  }
  semihosting_read_at(source, 0, dst, (uint32_t)size);
  return FL_OK;
}

static void wait_for_interrupt(void) { __asm__ volatile("wfi" ::: "memory"); }

static void restart(void* context) {
  (void)context;
  while (modem_is_dialling()) {
    wait_for_interrupt();
  }
  fl_cortex_m_reset();
}

/* The next word of the command line, ended by zero. */
static const char* next_word(char** rest) {
  char* word = *rest;
  while (**rest != ' ' && **rest != '\0') {
    ++*rest;
  }
  if (**rest == ' ') {
    *(*rest)++ = '\0';
  }
  return word;
}

void board_main(void) {
  const fl_cortex_m_board_t board = {
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
      .log = device_log,
  };
  const fl_cortex_m_config_t config = {
      .board = &board,
      .server_name = "localhost",
      .authorities = ca,
      .authorities_size = semihosting_read_file("ca.der", ca, sizeof ca),
      .heap = tls_heap,
      .heap_size = sizeof tls_heap,
  };
  fl_agent_config_t agent_config = {
      .token = token,
      .root = root,
      .root_size = semihosting_read_file("root.bin", root, sizeof root),
  };
  char* rest = words;
  semihosting_command_line(words, sizeof words);
  (void)next_word(&rest); /* The program. */
  agent_config.project = next_word(&rest);
  agent_config.hardware_id = next_word(&rest);
  token[semihosting_read_file("token", token, sizeof token - 1)] = '\0';
  token[strcspn(token, "\r\n")] = '\0';
  device_load_recording();

  modem_start();
  if (fl_cortex_m_open(&cortex_m, &config) != FL_OK) {
    semihosting_fail(cortex_m.failure);
  }
  const fl_app_t app = device_app(&cortex_m.port);
  if (fl_agent_init(&agent, &cortex_m.port, &app, &agent_config) != FL_OK) {
    semihosting_fail("the agent does not start");
  }
  device_announce(&agent);
  for (;;) {
    while (fl_agent_poll(&agent) <= fl_cortex_m_now_ms()) {
    }
    device_sample(&agent, fl_cortex_m_now_ms());
    wait_for_interrupt();
  }
}
