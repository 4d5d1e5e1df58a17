/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/**
 * @file
 * @brief An int8 interpreter that reads a .tflite file in place.
 *
 * The arithmetic is that of TensorFlow Lite Micro's reference kernels (TensorFlow Lite 8-bit
 * quantisation specification), to the bit.
 */
#ifndef FIELDLOOP_AGENT_IMPULSE_NETWORK_H
#define FIELDLOOP_AGENT_IMPULSE_NETWORK_H

#include <stddef.h>
#include <stdint.h>

#include "fieldloop_agent/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/** An opened network. Treat the members as private; read the sizes and the quantisation. */
typedef struct fl_network {
    const uint8_t *model;
    size_t model_size;
    uint32_t subgraph;           /**< Offset of the subgraph table in the file. */
    uint8_t *arena;
    size_t arena_size;
    uint32_t input_size;         /**< int8 values of the input. */
    uint32_t output_size;        /**< int8 values of the output. */
    float input_scale;
    int32_t input_zero_point;
    float output_scale;
    int32_t output_zero_point;
    int8_t *input;               /**< In the arena. */
    const int8_t *output;        /**< In the arena, valid after fl_network_run. */
} fl_network_t;

/** Finds the metadata buffer `name`; FL_ERR_NOT_FOUND if there is none, FL_ERR_CORRUPT. */
fl_status_t fl_tflite_metadata(const uint8_t *model, size_t size, const char *name,
                               const uint8_t **data, size_t *data_size);

/** Bytes of arena that fl_network_open needs; errors as fl_network_open. */
fl_status_t fl_network_arena_size(const uint8_t *model, size_t size, size_t *arena_size);

/**
 * @brief Opens the first subgraph of a model with one int8 input and one int8 output.
 *
 * @param arena  Aligned to 8 bytes; outlives the network, like the model.
 * @return FL_OK; FL_ERR_CORRUPT if an offset or index points outside the file or shapes disagree;
 *         FL_ERR_UNSUPPORTED for an operator, type or option that is not run; FL_ERR_NO_SPACE.
 */
fl_status_t fl_network_open(fl_network_t *network, const uint8_t *model, size_t size, void *arena,
                            size_t arena_size);

/** Runs the network on network->input; the result is in network->output. Cannot fail after open. */
void fl_network_run(fl_network_t *network);

#ifdef __cplusplus
}
#endif

#endif
