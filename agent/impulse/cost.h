/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/**
 * @file
 * @brief Estimates how many Cortex-M4 instructions a model takes, without running it.
 *
 * The coefficients are fitted to instructions counted by an emulated Cortex-M4; docs/benchmarks.md
 * has the error.
 */
#ifndef FIELDLOOP_AGENT_IMPULSE_COST_H
#define FIELDLOOP_AGENT_IMPULSE_COST_H

#include <stddef.h>
#include <stdint.h>

#include "fieldloop_agent/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * @brief Instructions of one inference: signal processing, standardisation and network.
 *
 * @return FL_OK; errors as fl_impulse_arena_size.
 */
fl_status_t fl_impulse_instructions(const uint8_t *model, size_t size, uint64_t *instructions);

/** Instructions of one run of the network alone; errors as fl_network_arena_size. */
fl_status_t fl_network_instructions(const uint8_t *model, size_t size, uint64_t *instructions);

#ifdef __cplusplus
}
#endif

#endif
