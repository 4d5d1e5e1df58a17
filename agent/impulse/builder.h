/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/**
 * @file
 * @brief Checks the operators of a model and fills what the kernels take. Internal to
 * agent/impulse.
 */
#ifndef FIELDLOOP_AGENT_IMPULSE_BUILDER_H
#define FIELDLOOP_AGENT_IMPULSE_BUILDER_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/impulse/kernels.h"
#include "agent/impulse/plan.h"
#include "agent/impulse/tflite.h"

/**
 * Opening one model: run once with `arena` NULL to check and count, once more to fill the arena
 * with operators, channels and activations, in this order.
 */
typedef struct fl_builder {
    fl_tflite_t file;
    fl_plan_t plan;
    uint8_t *arena;    /**< NULL while counting. */
    uint32_t channels; /**< Places of the parts of the arena; known for the second run. */
    uint32_t activations;
    uint32_t operator_count; /**< Operators and channels made so far. */
    uint32_t channel_count;
    uint32_t scratch_size; /**< Of the operator that needs most. */
    uint64_t instructions; /**< Estimated for one run. */
} fl_builder_t;

/** The operator being opened. */
typedef struct fl_node {
    uint32_t table;
    uint32_t options;
    uint8_t options_type;
    uint32_t inputs; /**< First element of the vector of tensor indices. */
    uint32_t input_count;
    uint32_t step;
    fl_tensor_t input;
    fl_tensor_t output;
} fl_node_t;

/** Opens the operator at an index of the plan and appends what it becomes. */
fl_status_t fl_build_operator(fl_builder_t *builder, uint32_t index);

/** Tensor index of an input; -1 if it is absent. */
int32_t fl_build_input_index(const fl_builder_t *builder, const fl_node_t *node, uint32_t index);

/** FL_ERR_CORRUPT unless the operator has the options of its kind. */
fl_status_t fl_build_options(fl_builder_t *builder, const fl_node_t *node, uint8_t type);

/** Sets the limits of the output for a fused activation, relative to its zero point. */
fl_status_t fl_build_activation(fl_builder_t *builder, const fl_node_t *node, fl_operator_t *op,
                                uint8_t function);

/** Says whether two tensors have the same scale and zero point. */
bool fl_build_same_quantisation(const fl_tensor_t *a, const fl_tensor_t *b);

/** Operators whose filter slides over an image, and FULLY_CONNECTED, which is one of them. */
fl_status_t fl_build_conv(fl_builder_t *builder, const fl_node_t *node, fl_operator_t *op);
fl_status_t fl_build_depthwise(fl_builder_t *builder, const fl_node_t *node, fl_operator_t *op);
fl_status_t fl_build_fully_connected(fl_builder_t *builder, const fl_node_t *node,
                                     fl_operator_t *op);
fl_status_t fl_build_pool(fl_builder_t *builder, const fl_node_t *node, fl_operator_t *op);

#endif
