/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "agent/ports/cortex_m/cortex_m_clock.h"

#define SYSTICK_CONTROL (*(volatile uint32_t *)0xe000e010u)
#define SYSTICK_RELOAD (*(volatile uint32_t *)0xe000e014u)
#define SYSTICK_VALUE (*(volatile uint32_t *)0xe000e018u)

enum { ENABLED = 1u, INTERRUPT = 2u, PROCESSOR_CLOCK = 4u };

/* There is one SysTick. The halves are read and written one after the other. */
static volatile uint32_t ticks_low;
static volatile uint32_t ticks_high;

void fl_cortex_m_clock_start(uint32_t cpu_hz) {
    SYSTICK_RELOAD = cpu_hz / 1000u - 1u;
    SYSTICK_VALUE = 0;
    SYSTICK_CONTROL = ENABLED | INTERRUPT | PROCESSOR_CLOCK;
}

void SysTick_Handler(void) {
    const uint32_t low = ticks_low + 1u;
    ticks_low = low;
    if (low == 0) {
        ticks_high = ticks_high + 1u;
    }
}

uint64_t fl_cortex_m_now_ms(void) {
    uint32_t high;
    uint32_t low;
    do {
        high = ticks_high;
        low = ticks_low;
    } while (high != ticks_high);
    return (uint64_t)high << 32 | low;
}
