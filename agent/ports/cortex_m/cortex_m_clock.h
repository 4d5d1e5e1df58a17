/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/**
 * @file
 * @brief Milliseconds of the SysTick timer, which the port takes for itself.
 */
#ifndef FIELDLOOP_AGENT_PORTS_CORTEX_M_CORTEX_M_CLOCK_H
#define FIELDLOOP_AGENT_PORTS_CORTEX_M_CORTEX_M_CLOCK_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Starts the timer; @p cpu_hz is the processor's clock, at most 16 GHz. */
void fl_cortex_m_clock_start(uint32_t cpu_hz);

/** Milliseconds since the start. Not to be called from an interrupt above SysTick. */
uint64_t fl_cortex_m_now_ms(void);

/** Belongs into the vector table, at exception 15. */
void SysTick_Handler(void);

#ifdef __cplusplus
}
#endif

#endif
