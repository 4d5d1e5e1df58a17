/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/**
 * @file
 * @brief The operators of the interpreter. Internal to agent/impulse.
 *
 * network.c checks a model and fills these structures once; running trusts them.
 */
#ifndef FIELDLOOP_AGENT_IMPULSE_KERNELS_H
#define FIELDLOOP_AGENT_IMPULSE_KERNELS_H

#include <stdint.h>

#include "agent/impulse/fixed_point.h"

/** Codes of the file format. */
enum {
    FL_OP_ADD = 0,
    FL_OP_AVERAGE_POOL_2D = 1,
    FL_OP_CONV_2D = 3,
    FL_OP_DEPTHWISE_CONV_2D = 4,
    FL_OP_FULLY_CONNECTED = 9,
    FL_OP_LOGISTIC = 14,
    FL_OP_MAX_POOL_2D = 17,
    FL_OP_RESHAPE = 22,
    FL_OP_SOFTMAX = 25,
    FL_OP_QUANTIZE = 114
};

/** What one output channel needs beyond its weights: computed at open, kept in the arena. */
typedef struct fl_channel {
    int32_t bias; /**< FULLY_CONNECTED: with -input_zero_point * sum of the weights added. */
    fl_factor_t factor;
} fl_channel_t;

/** A filter sliding over an image, height x width x channels. */
typedef struct fl_sliding {
    uint32_t batches;
    uint16_t in_height, in_width, in_channels;
    uint16_t out_height, out_width, out_channels;
    uint16_t filter_height, filter_width;
    uint16_t stride_height, stride_width;
    uint16_t dilation_height, dilation_width;
    uint16_t pad_top, pad_left;
    uint16_t depth_multiplier; /**< DEPTHWISE_CONV_2D: output channels of one input channel. */
} fl_sliding_t;

/** Rows of values. */
typedef struct fl_rows {
    uint32_t rows;
    uint32_t depth; /**< Values of a row. */
    uint32_t units; /**< FULLY_CONNECTED: outputs of a row. */
    fl_factor_t factor;
    int32_t radius; /**< SOFTMAX, LOGISTIC: |input - zero point| beyond which the output is flat. */
} fl_rows_t;

/** Two tensors added. */
typedef struct fl_sum {
    uint32_t size;
    int32_t other_zero_point;
    fl_factor_t input_factor, other_factor, output_factor;
} fl_sum_t;

/** One operator, ready to run. */
typedef struct fl_operator {
    uint8_t code;
    const int8_t *input;
    const int8_t *other; /**< ADD: the second input. */
    int8_t *output;
    const int8_t *weights;
    const fl_channel_t *channels;
    int32_t input_zero_point;
    int32_t output_zero_point;
    int32_t low;  /**< Smallest output minus output_zero_point. */
    int32_t high; /**< Largest output minus output_zero_point. */
    union {
        fl_sliding_t sliding;
        fl_rows_t rows;
        fl_sum_t sum;
    } shape;
} fl_operator_t;

/** Left shift of the inputs of ADD before they are scaled. */
#define FL_ADD_LEFT_SHIFT 20
/** Integer bits of the scaled input of SOFTMAX and LOGISTIC. */
#define FL_SOFTMAX_INTEGER_BITS 5
#define FL_LOGISTIC_INTEGER_BITS 4
/** Longest row of SOFTMAX: keeps its sum of exponentials, Q12.19, below 2^28. */
#define FL_SOFTMAX_MAX_DEPTH 511

/** Estimates the Cortex-M4 instructions of one run of an operator. */
uint64_t fl_operator_instructions(const fl_operator_t *op);

/** Runs one operator. */
void fl_operator_run(const fl_operator_t *op);

#endif
