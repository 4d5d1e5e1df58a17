/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/**
 * @file
 * @brief Runs one model on its inputs and writes every bit of the results. The same source runs on
 * the host and on the emulated Cortex-M4, so that their files can be compared.
 */
#ifndef FIELDLOOP_TESTS_QEMU_RUNNER_H
#define FIELDLOOP_TESTS_QEMU_RUNNER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What a runner works with. */
typedef struct runner {
  uint8_t* arena; /**< Aligned to 8. */
  size_t arena_size;
  uint8_t* out;
  size_t out_size;
  uint32_t (*clock)(void); /**< Counts up; may be NULL. */
  uint32_t ticks;          /**< Out: of all inferences together. */
  size_t written;          /**< Out: bytes of `out`. */
} runner_t;

/** Bytes of one input: a window of float32 for an impulse, int8 for a bare network; 0: refused. */
size_t runner_input_size(const uint8_t* model, size_t size, runner_t* runner);

/**
 * Runs a model on each of its inputs. Writes the arena's size, then for each input the features
 * before and after the standardisation, the outputs, novelty, anomaly score and bins; for a bare
 * network its outputs. Returns 0, or the line that failed.
 */
int runner_run(const uint8_t* model, size_t size, const uint8_t* inputs, size_t inputs_size,
               runner_t* runner);

#ifdef __cplusplus
}
#endif

#endif
