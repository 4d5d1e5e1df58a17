/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/**
 * @file
 * @brief Where a network's activations lie in its arena. Internal to agent/impulse.
 */
#ifndef FIELDLOOP_AGENT_IMPULSE_PLAN_H
#define FIELDLOOP_AGENT_IMPULSE_PLAN_H

#include <stddef.h>
#include <stdint.h>

#include "agent/impulse/network.h"
#include "agent/impulse/tflite.h"

/**
 * A tensor that is computed. Operator i works at step i + 1; the caller fills the input at step 0
 * and reads the output after the last step.
 */
typedef struct fl_activation {
    uint32_t offset; /**< In the activations' part of the arena. */
    uint32_t size;   /**< Bytes, a multiple of 8. */
    uint32_t tensor;
    uint8_t first; /**< Step that writes it. */
    uint8_t last;  /**< Last step that reads it. */
} fl_activation_t;

/**
 * The plan of a network. Entry 0 is its input, entry i + 1 the output of operator i. A QUANTIZE
 * from float32 at the beginning and a DEQUANTIZE at the end are not part of it: the network's input
 * and output are the int8 tensors behind and before them.
 */
typedef struct fl_plan {
    uint32_t operators;      /**< First element of the vector of operators in the file. */
    uint32_t first_operator; /**< Index of operator 0 in the file: 1 after a QUANTIZE, or 0. */
    uint32_t operator_count;
    int32_t output;          /**< Entry of the network's output. */
    size_t activations_size; /**< Bytes. */
    fl_activation_t activations[FL_NETWORK_MAX_OPERATORS + 1];
} fl_plan_t;

/** Finds the activations of the first subgraph and places them. Errors as fl_network_open. */
fl_status_t fl_plan_make(fl_plan_t *plan, fl_tflite_t *file);

/** Entry of a tensor that is written before `step`; -1 if there is none. */
int32_t fl_plan_find(const fl_plan_t *plan, uint32_t tensor, uint32_t step);

/** Code of an operator; FL_ERR_CORRUPT, FL_ERR_UNSUPPORTED for one that is not in 0 to 254. */
fl_status_t fl_plan_code(fl_tflite_t *file, uint32_t operator_table, uint8_t *code);

/**
 * Splits fl_network_arena_size: what must stay between runs, then what is only used by
 * fl_network_run, so that a caller may use the second part for something else between runs.
 */
fl_status_t fl_network_sizes(const uint8_t *model, size_t size, size_t *fixed_size,
                             size_t *activations_size);

#endif
