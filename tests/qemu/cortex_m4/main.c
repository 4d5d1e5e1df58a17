/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */

/*
 * The runner on QEMU's mps2-an386. Takes a number on its command line and, for each i below it,
 * runs i.model on i.in and writes i.out and i.ticks, all in QEMU's working directory.
 */
#include <stdint.h>

#include "tests/qemu/cortex_m4/board.h"
#include "tests/qemu/cortex_m4/semihosting.h"
#include "tests/qemu/runner.h"

enum { MODEL_SIZE = 1 << 20, ARENA_SIZE = 1 << 20, IN_SIZE = 4 << 20, OUT_SIZE = 4 << 20 };

static _Alignas(8) uint8_t model[MODEL_SIZE];
static _Alignas(8) uint8_t arena[ARENA_SIZE];
static _Alignas(8) uint8_t in[IN_SIZE];
static uint8_t out[OUT_SIZE];

/* Timer 0 of the board, at 25 MHz: with -icount shift=0 an instruction takes a nanosecond. */
#define TIMER_CONTROL (*(volatile uint32_t*)0x40000000u)
#define TIMER_VALUE (*(volatile uint32_t*)0x40000004u)
#define TIMER_RELOAD (*(volatile uint32_t*)0x40000008u)

static uint32_t clock_of_board(void) { return ~TIMER_VALUE; /* It counts down. */ }

/* i and an ending, such as 12.model; long enough for five digits. */
static void name_file(char name[16], uint32_t i, const char* ending) {
  uint32_t divisor = 1;
  while (i / divisor >= 10) {
    divisor *= 10;
  }
  for (; divisor > 0; divisor /= 10) {
    *name++ = (char)('0' + i / divisor % 10);
  }
  do {
    *name++ = *ending;
  } while (*ending++ != '\0');
}

static void run(uint32_t i, runner_t* runner) {
  char name[16];
  name_file(name, i, ".model");
  const uint32_t model_size = semihosting_read_file(name, model, sizeof model);
  name_file(name, i, ".in");
  const uint32_t in_size = semihosting_read_file(name, in, sizeof in);
  const int line = runner_run(model, model_size, in, in_size, runner);
  if (line != 0) {
    semihosting_fail("a model does not run");
  }
  name_file(name, i, ".out");
  semihosting_write_file(name, out, (uint32_t)runner->written);
  name_file(name, i, ".ticks");
  semihosting_write_file(name, &runner->ticks, sizeof runner->ticks);
}

/* The number at the end of the command line. */
static uint32_t number_of_models(void) {
  char line[128];
  semihosting_command_line(line, sizeof line);
  uint32_t number = 0;
  for (const char* digit = line; *digit != '\0'; ++digit) {
    number = *digit == ' ' ? 0 : 10 * number + (uint32_t)(*digit - '0');
  }
  return number;
}

void board_main(void) {
  TIMER_RELOAD = UINT32_MAX;
  TIMER_VALUE = UINT32_MAX;
  TIMER_CONTROL = 1;
  runner_t runner = {.arena = arena,
                     .arena_size = sizeof arena,
                     .out = out,
                     .out_size = sizeof out,
                     .clock = clock_of_board};
  const uint32_t count = number_of_models();
  for (uint32_t i = 0; i < count; ++i) {
    run(i, &runner);
  }
  semihosting_exit(0);
}
