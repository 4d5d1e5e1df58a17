/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/**
 * @file
 * @brief The operators of the interpreter. Internal to agent/impulse.
 *
 * The builder checks a model and fills these structures once; running trusts them. They lie in the
 * arena and hold places, not pointers, so that they take as many bytes on every target.
 */
#ifndef FIELDLOOP_AGENT_IMPULSE_KERNELS_H
#define FIELDLOOP_AGENT_IMPULSE_KERNELS_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/impulse/fixed_point.h"

/** Codes of the file format. */
enum {
    FL_OP_ADD = 0,
    FL_OP_AVERAGE_POOL_2D = 1,
    FL_OP_CONCATENATION = 2, /**< Becomes one RESHAPE for each part. */
    FL_OP_CONV_2D = 3,
    FL_OP_DEPTHWISE_CONV_2D = 4,
    FL_OP_DEQUANTIZE = 6, /**< Only at the end, where it is left out. */
    FL_OP_FULLY_CONNECTED = 9,
    FL_OP_LOGISTIC = 14,
    FL_OP_MAX_POOL_2D = 17,
    FL_OP_MUL = 18,
    FL_OP_RESHAPE = 22,
    FL_OP_SOFTMAX = 25,
    FL_OP_PAD = 34,
    FL_OP_MEAN = 40,
    FL_OP_SQUEEZE = 43,     /**< Becomes RESHAPE. */
    FL_OP_EXPAND_DIMS = 70, /**< Becomes RESHAPE. */
    FL_OP_QUANTIZE = 114
};

/** Bytes from the beginning of the arena or, with FL_PLACE_IN_MODEL, of the model. */
typedef uint32_t fl_place_t;
#define FL_PLACE_IN_MODEL 0x80000000u

/** What places are relative to. */
typedef struct fl_memory {
    const uint8_t *model;
    uint8_t *arena;
    int8_t *scratch; /**< As many bytes as the operator wants. */
} fl_memory_t;

/** What one output channel needs beyond its weights: computed at open, kept in the arena. */
typedef struct fl_channel {
    int32_t bias;
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
    fl_factor_t factor;
    int32_t radius; /**< SOFTMAX, LOGISTIC: |input - zero point| beyond which the output is flat. */
} fl_rows_t;

/** Two tensors, value by value; 4 dimensions, bit i of `repeats`: dimension i has one value. */
typedef struct fl_pair {
    uint32_t dims[4]; /**< Of the output. */
    uint8_t input_repeats, other_repeats;
    int32_t other_zero_point;
    fl_factor_t input_factor, other_factor; /**< ADD. */
    fl_factor_t output_factor;
} fl_pair_t;

/** Means over some of 4 dimensions. */
typedef struct fl_mean {
    uint32_t dims[4]; /**< Of the input. */
    uint8_t reduced;  /**< Bit i: over dimension i. */
    int32_t count;    /**< Values in one mean. */
    fl_factor_t factor;
} fl_mean_t;

/** A tensor inside a larger one. */
typedef struct fl_pad {
    uint32_t in[4], out[4], before[4];
} fl_pad_t;

/** Rows that are copied. */
typedef struct fl_copy {
    uint32_t rows;
    uint32_t size; /**< Values of a row. */
    uint32_t
        output_stride; /**< From row to row in the output; they follow each other in the input. */
} fl_copy_t;

/** One operator, ready to run. */
typedef struct fl_operator {
    uint8_t code;
    fl_place_t input;
    fl_place_t other; /**< ADD, MUL: the second input. */
    fl_place_t output;
    uint32_t weights;      /**< In the model. */
    uint32_t channels;     /**< In the arena: fl_channel_t of each output channel. */
    uint32_t scratch_size; /**< Bytes of scratch it wants. */
    int32_t input_zero_point;
    int32_t output_zero_point;
    int32_t low;  /**< Smallest output minus output_zero_point. */
    int32_t high; /**< Largest output minus output_zero_point. */
    union {
        fl_sliding_t sliding;
        fl_rows_t rows;
        fl_pair_t pair;
        fl_mean_t mean;
        fl_pad_t pad;
        fl_copy_t copy;
    } shape;
} fl_operator_t;

_Static_assert(sizeof(fl_channel_t) == 12, "the arena must be as large on every target");
_Static_assert(sizeof(fl_operator_t) == 92, "the arena must be as large on every target");

/** Left shift of the inputs of ADD before they are scaled. */
#define FL_ADD_LEFT_SHIFT 20
/** Integer bits of the scaled input of SOFTMAX and LOGISTIC. */
#define FL_SOFTMAX_INTEGER_BITS 5
#define FL_LOGISTIC_INTEGER_BITS 4
/** Longest row of SOFTMAX: keeps its sum of exponentials, Q12.19, below 2^28. */
#define FL_SOFTMAX_MAX_DEPTH 511

/** Says whether CONV_2D must gather its patches: filter_height x filter_width x in_channels bytes.
 */
bool fl_conv_needs_scratch(const fl_sliding_t *sliding);

/** Estimates the Cortex-M4 instructions of one run of an operator. */
uint64_t fl_operator_instructions(const fl_operator_t *op);

/** Runs one operator. */
void fl_operator_run(const fl_operator_t *op, const fl_memory_t *memory);

#endif
