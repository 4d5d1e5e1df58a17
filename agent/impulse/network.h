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
 *
 * Operators: ADD, AVERAGE_POOL_2D, CONCATENATION, CONV_2D, DEPTHWISE_CONV_2D, EXPAND_DIMS,
 * FULLY_CONNECTED, LOGISTIC, MAX_POOL_2D, MEAN, MUL, PAD, QUANTIZE, RESHAPE, SOFTMAX, SQUEEZE;
 * fused RELU, RELU6 and RELU_N1_TO_1. ADD and MUL broadcast. Weights are int8, per tensor or per
 * channel, zero point 0.
 *
 * A model with float32 input or output around an int8 body opens as well: the QUANTIZE that reads
 * the input and the DEQUANTIZE that writes the output are left out, and input and output of the
 * network are the int8 values behind and before them, with their scale and zero point.
 */
#ifndef FIELDLOOP_AGENT_IMPULSE_NETWORK_H
#define FIELDLOOP_AGENT_IMPULSE_NETWORK_H

#include <stddef.h>
#include <stdint.h>

#include "fieldloop_agent/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Most operators of a network. Opening one takes 16 bytes of stack for each. */
#define FL_NETWORK_MAX_OPERATORS 64

/** An opened network. Treat the members as private; read the sizes and the quantisation. */
typedef struct fl_network {
    const uint8_t *model;
    uint8_t *arena;  /**< The operators, their channels, the activations. */
    int8_t *scratch; /**< In the arena. */
    uint32_t operator_count;
    uint32_t input_size;  /**< int8 values of the input. */
    uint32_t output_size; /**< int8 values of the output. */
    float input_scale;
    int32_t input_zero_point;
    float output_scale;
    int32_t output_zero_point;
    int8_t *input;        /**< In the arena; fl_network_run may overwrite it. */
    const int8_t *output; /**< In the arena, valid after fl_network_run. */
} fl_network_t;

/** Finds the metadata buffer `name`; FL_ERR_NOT_FOUND if there is none, FL_ERR_CORRUPT. */
fl_status_t fl_tflite_metadata(const uint8_t *model, size_t size, const char *name,
                               const uint8_t **data, size_t *data_size);

/**
 * @brief Bytes of arena that fl_network_open needs; errors as fl_network_open.
 *
 * The arena holds the operators with the multiplier, shift and bias of every output channel, then
 * the activations. Activations share memory: each is put at the lowest place that is free from the
 * operator that writes it to the last one that reads it, in the order of the operators. Last comes
 * the patch of an image that a convolution gathers. The figure is the same on every target.
 */
fl_status_t fl_network_arena_size(const uint8_t *model, size_t size, size_t *arena_size);

/**
 * @brief Opens the first subgraph of a model with one int8 input and one int8 output.
 *
 * The model must not change while it is open. On an error *network is not to be used.
 *
 * @param arena  Aligned to 8 bytes; outlives the network, like the model.
 * @return FL_OK; FL_ERR_ARG for an arena that is not aligned; FL_ERR_CORRUPT if an offset or index
 * points outside the file or shapes disagree; FL_ERR_UNSUPPORTED for an operator, type or option
 * that is not run; FL_ERR_NO_SPACE.
 */
fl_status_t fl_network_open(fl_network_t *network, const uint8_t *model, size_t size, void *arena,
                            size_t arena_size);

/** Why a model is refused. */
typedef struct fl_refusal {
    const char *reason;     /**< A constant text; NULL with FL_OK or without texts, see config.h. */
    int32_t operator_index; /**< Position of the operator in the file; -1: not at an operator. */
} fl_refusal_t;

/** Says whether fl_network_open takes a model, and if not, why; the same status. */
fl_status_t fl_network_check(const uint8_t *model, size_t size, fl_refusal_t *refusal);

/** Runs the network on network->input; the result is in network->output. Cannot fail after open. */
void fl_network_run(fl_network_t *network);

#ifdef __cplusplus
}
#endif

#endif
