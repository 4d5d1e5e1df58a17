/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */

/* From reset to board_main: QEMU has loaded every section to its place. */
#include <stdint.h>

#include "tests/qemu/cortex_m4/board.h"
#include "tests/qemu/cortex_m4/semihosting.h"

extern uint32_t board_stack_end[];
extern uint32_t board_bss_start[];
extern uint32_t board_bss_end[];

void board_reset(void);
void board_fault(void);
void SysTick_Handler(void);
void UART0_receive_Handler(void);

#define COPROCESSOR_ACCESS (*(volatile uint32_t*)0xe000ed88u)

void board_reset(void) {
  COPROCESSOR_ACCESS |= 0xfu << 20; /* The floating-point unit. */
  __asm__ volatile("dsb\n isb");
  for (uint32_t* word = board_bss_start; word < board_bss_end; ++word) {
    *word = 0;
  }
  board_main();
}

void board_fault(void) { semihosting_fail("fault"); }

/* Of the program if it has them. */
void SysTick_Handler(void) __attribute__((weak, alias("board_fault")));
void UART0_receive_Handler(void) __attribute__((weak, alias("board_fault")));

/* Stack, reset, NMI and the faults, SysTick as exception 15, interrupt 0 as exception 16. */
__attribute__((section(".vectors"), used)) static const struct {
  uint32_t* stack_end;
  void (*handlers[16])(void);
} vectors = {board_stack_end,
             {board_reset, board_fault, board_fault, board_fault, board_fault, board_fault, 0, 0, 0,
              0, 0, 0, 0, 0, SysTick_Handler, UART0_receive_Handler}};
