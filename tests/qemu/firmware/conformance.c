/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */

/*
 * The conformance test on the board: asks the port cortex-m whether it keeps the contract, and
 * erases its areas. Of the working directory it takes flash.bin and ca.der.
 */
#include "agent/conformance/conformance.h"

#include "tests/qemu/cortex_m4/board.h"
#include "tests/qemu/cortex_m4/semihosting.h"
#include "tests/qemu/firmware/board.h"

static char version[16];

static void print(void* context, const char* line) {
  (void)context;
  semihosting_print(line);
  semihosting_print("\n");
}

static const fl_port_t* reopen(void* context) {
  (void)context;
  return board_reopen();
}

void board_main(void) {
  const fl_conformance_t conformance = {
      .port = board_open(version), .parts = FL_CONFORMANCE_ALL, .print = print, .reopen = reopen};
  const fl_conformance_result_t result = fl_conformance_run(&conformance);
  semihosting_exit(result.broken == 0 ? 0 : 1);
}
