/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/*
 * A whole device on QEMU's mps2-an386: enrols, keeps its model, configuration and firmware up to
 * date, runs them. Of the working directory it takes flash.bin (flash_file.h), ca.der, root.bin,
 * token and recording.f32; of the command line: project, hardware id. agent/docs/CORTEX_M.md says
 * how to start it.
 */
#include <string.h>

#include "tests/qemu/cortex_m4/board.h"
#include "tests/qemu/cortex_m4/semihosting.h"
#include "tests/qemu/firmware/board.h"
#include "tests/qemu/firmware/device.h"

static uint8_t root[2048];
static char token[64];
static char words[128];
static char version[16];
static fl_agent_t agent;

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
  const fl_port_t* port = board_open(version);
  fl_agent_config_t config = {
      .token = token,
      .root = root,
      .root_size = semihosting_read_file("root.bin", root, sizeof root),
  };
  char* rest = words;
  semihosting_command_line(words, sizeof words);
  (void)next_word(&rest); /* The program. */
  config.project = next_word(&rest);
  config.hardware_id = next_word(&rest);
  token[semihosting_read_file("token", token, sizeof token - 1)] = '\0';
  token[strcspn(token, "\r\n")] = '\0';
  device_load_recording();

  const fl_app_t app = device_app(port);
  if (fl_agent_init(&agent, port, &app, &config) != FL_OK) {
    semihosting_fail("the agent does not start");
  }
  device_announce(&agent, version);
  for (;;) {
    while (fl_agent_poll(&agent) <= port->now_ms(port->context)) {
    }
    device_sample(&agent, port->now_ms(port->context));
    board_wait();
  }
}
