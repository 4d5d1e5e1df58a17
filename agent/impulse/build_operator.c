/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <string.h>

#include "agent/impulse/builder.h"

/* Field numbers of the schema, by table. */
enum { OPERATOR_INPUTS = 1, OPERATOR_OPTIONS_TYPE = 3, OPERATOR_OPTIONS = 4 };
enum { SOFTMAX_BETA = 0, ADD_ACTIVATION = 0, MUL_ACTIVATION = 0 };
enum { CONCATENATION_AXIS = 0, CONCATENATION_ACTIVATION = 1 };

enum { OPTIONS_SOFTMAX = 9, OPTIONS_CONCATENATION = 10, OPTIONS_ADD = 11, OPTIONS_MUL = 21 };

enum { ACTIVATION_NONE = 0, ACTIVATION_RELU = 1, ACTIVATION_RELU_N1_TO_1 = 2 };
enum { ACTIVATION_RELU6 = 3 };

enum { RANK = FL_TFLITE_MAX_RANK };

int32_t fl_build_input_index(const fl_builder_t *builder, const fl_node_t *node, uint32_t index) {
    if (index >= node->input_count) {
        return -1;
    }
    return (int32_t)fl_read_u32(builder->file.data + node->inputs + (size_t)4 * index);
}

fl_status_t fl_build_options(fl_builder_t *builder, const fl_node_t *node, uint8_t type) {
    if (node->options == 0 || node->options_type != type) {
        return FL_REFUSE(&builder->file, FL_ERR_CORRUPT, "the operator has not its options");
    }
    return FL_OK;
}

bool fl_build_same_quantisation(const fl_tensor_t *a, const fl_tensor_t *b) {
    return a->scale == b->scale && a->zero_point == b->zero_point;
}

/* value / scale rounded, halves away from zero; large quotients are cut, for they get clamped. */
static int32_t steps(float value, float scale) {
    const float quotient = value / scale;
    return quotient >= 512.0f ? 512 : (int32_t)((double)quotient + 0.5);
}

fl_status_t fl_build_activation(fl_builder_t *builder, const fl_node_t *node, fl_operator_t *op,
                                uint8_t function) {
    const fl_tensor_t *output = &node->output;
    op->output_zero_point = output->zero_point;
    op->low = INT8_MIN - output->zero_point;
    op->high = INT8_MAX - output->zero_point;
    switch (function) {
        case ACTIVATION_NONE: return FL_OK;
        case ACTIVATION_RELU: op->low = 0; return FL_OK;
        case ACTIVATION_RELU6:
            op->low = 0;
            op->high = fl_limit(steps(6.0f, output->scale), 0, op->high);
            return FL_OK;
        case ACTIVATION_RELU_N1_TO_1:
            op->high = fl_limit(steps(1.0f, output->scale), op->low, op->high);
            op->low = fl_limit(-steps(1.0f, output->scale), op->low, op->high);
            return FL_OK;
        default:
            return FL_REFUSE(&builder->file, FL_ERR_UNSUPPORTED,
                             "the fused activation is none of NONE, RELU, RELU6, RELU_N1_TO_1");
    }
}

static fl_place_t activation_at(const fl_builder_t *builder, uint32_t entry) {
    return builder->activations + builder->plan.activations[entry].offset;
}

/* Finds an int8 input, computed or constant, and where it lies. */
static fl_status_t read_input(fl_builder_t *builder, const fl_node_t *node, uint32_t index,
                              fl_tensor_t *tensor, fl_place_t *place) {
    fl_tflite_t *file = &builder->file;
    const int32_t id = fl_build_input_index(builder, node, index);
    const int32_t entry = fl_plan_find(&builder->plan, (uint32_t)id, node->step);
    FL_RETURN_IF_ERROR(fl_tflite_tensor(file, id, tensor));
    if (entry >= 0) {
        *place = activation_at(builder, (uint32_t)entry);
        return FL_OK;
    }
    if (tensor->type != FL_TFLITE_INT8 || tensor->scale_count != 1) {
        return FL_REFUSE(file, FL_ERR_UNSUPPORTED, "an input is not int8 with one scale");
    }
    if (tensor->data == NULL) {
        return FL_REFUSE(file, FL_ERR_CORRUPT, "an input is read before it is written");
    }
    *place = FL_PLACE_IN_MODEL | (uint32_t)(tensor->data - file->data);
    return FL_OK;
}

/* Reads a constant int32 input with `count` elements, or with any number of them if that is 0. */
static fl_status_t read_numbers(fl_builder_t *builder, const fl_node_t *node, uint32_t index,
                                uint32_t count, fl_tensor_t *numbers) {
    fl_tflite_t *file = &builder->file;
    FL_RETURN_IF_ERROR(fl_tflite_tensor(file, fl_build_input_index(builder, node, index), numbers));
    if (numbers->type != FL_TFLITE_INT32 || numbers->data == NULL) {
        return FL_REFUSE(file, FL_ERR_UNSUPPORTED, "axes or paddings are not constant int32");
    }
    if (count != 0 && numbers->elements != count) {
        return FL_REFUSE(file, FL_ERR_CORRUPT, "there are not two paddings for each dimension");
    }
    return FL_OK;
}

static int32_t number_at(const fl_tensor_t *numbers, uint32_t index) {
    return (int32_t)fl_read_u32(numbers->data + 4 * (size_t)index);
}

/* The dimensions of a tensor as four, ones put before them. */
static void four_dims(const fl_tensor_t *tensor, uint32_t dims[RANK]) {
    for (uint32_t i = 0; i < RANK; ++i) {
        const uint32_t missing = RANK - tensor->rank;
        dims[i] = i < missing ? 1 : tensor->dims[i - missing];
    }
}

static fl_status_t same_elements(fl_builder_t *builder, const fl_node_t *node) {
    if (node->input.elements != node->output.elements) {
        return FL_REFUSE(&builder->file, FL_ERR_CORRUPT, "input and output differ in elements");
    }
    return FL_OK;
}

static fl_status_t same_quantisation(fl_builder_t *builder, const fl_tensor_t *a,
                                     const fl_tensor_t *b) {
    if (!fl_build_same_quantisation(a, b)) {
        return FL_REFUSE(&builder->file, FL_ERR_UNSUPPORTED,
                         "input and output have another quantisation");
    }
    return FL_OK;
}

/* Largest |difference| whose scaled value still fits; beyond it the function is flat. */
static int32_t input_radius(int32_t integer_bits, int32_t shift) {
    const int64_t largest =
        (((int64_t)1 << integer_bits) - 1) * ((int64_t)1 << (31 - integer_bits));
    return (int32_t)(largest >> shift);
}

static fl_status_t check_probability(fl_builder_t *builder, const fl_node_t *node) {
    if (node->output.scale != 1.0f / 256.0f || node->output.zero_point != INT8_MIN) {
        return FL_REFUSE(&builder->file, FL_ERR_UNSUPPORTED,
                         "a probability has not scale 1/256 and zero point -128");
    }
    return FL_OK;
}

static fl_status_t build_softmax(fl_builder_t *builder, const fl_node_t *node, fl_operator_t *op) {
    fl_tflite_t *file = &builder->file;
    FL_RETURN_IF_ERROR(fl_build_options(builder, node, OPTIONS_SOFTMAX));
    FL_RETURN_IF_ERROR(same_elements(builder, node));
    FL_RETURN_IF_ERROR(check_probability(builder, node));
    const float beta = fl_tflite_f32(file, node->options, SOFTMAX_BETA, 0.0f);
    const uint32_t depth = node->input.dims[node->input.rank - 1];
    if (node->output.dims[node->output.rank - 1] != depth) {
        return FL_REFUSE(file, FL_ERR_CORRUPT, "input and output differ in their last dimension");
    }
    if (!fl_is_finite(beta) || !(beta > 0.0f)) {
        return FL_REFUSE(file, FL_ERR_UNSUPPORTED, "beta is not a number above 0");
    }
    if (depth > FL_SOFTMAX_MAX_DEPTH) {
        return FL_REFUSE(file, FL_ERR_UNSUPPORTED, "a softmax has more than 511 classes");
    }
    fl_rows_t *shape = &op->shape.rows;
    *shape = (fl_rows_t){.rows = node->input.elements / depth, .depth = depth};
    /* So steep that all but the largest input give 0: the factor and what is below do not matter.
     */
    const double steepest = (double)((int32_t)1 << FL_FACTOR_MAX_SHIFT);
    const double real =
        (double)beta * (double)node->input.scale * (1 << (31 - FL_SOFTMAX_INTEGER_BITS));
    if (real >= steepest) {
        return FL_OK;
    }
    /* Smaller than 1 would take another formula; no trained model comes near it. */
    if (!(real > 1.0) || !fl_factor_of(real, &shape->factor)) {
        return FL_REFUSE(file, FL_ERR_UNSUPPORTED, "the scale before a softmax is too small");
    }
    shape->radius = input_radius(FL_SOFTMAX_INTEGER_BITS, shape->factor.shift);
    return FL_OK;
}

static fl_status_t build_logistic(fl_builder_t *builder, const fl_node_t *node, fl_operator_t *op) {
    FL_RETURN_IF_ERROR(same_elements(builder, node));
    FL_RETURN_IF_ERROR(check_probability(builder, node));
    fl_rows_t *shape = &op->shape.rows;
    *shape = (fl_rows_t){.rows = 1, .depth = node->input.elements};
    const double real = (double)node->input.scale * (1 << (31 - FL_LOGISTIC_INTEGER_BITS));
    if (!fl_factor_of(real, &shape->factor) || shape->factor.shift < 0) {
        return FL_REFUSE(&builder->file, FL_ERR_UNSUPPORTED,
                         "the scale before a logistic is too small or too large");
    }
    shape->radius = input_radius(FL_LOGISTIC_INTEGER_BITS, shape->factor.shift);
    return FL_OK;
}

/* Dimensions in which a tensor is repeated; FL_ERR_CORRUPT if it cannot be broadcast to the output.
 */
static fl_status_t repeats(fl_builder_t *builder, const fl_tensor_t *tensor,
                           const uint32_t dims[RANK], uint8_t *mask) {
    uint32_t own[RANK];
    four_dims(tensor, own);
    *mask = 0;
    for (uint32_t i = 0; i < RANK; ++i) {
        if (own[i] == dims[i]) {
            continue;
        }
        if (own[i] != 1) {
            return FL_REFUSE(&builder->file, FL_ERR_CORRUPT, "shapes cannot be broadcast");
        }
        *mask = (uint8_t)(*mask | 1u << i);
    }
    return FL_OK;
}

/* ADD and MUL: two operands of one shape, or broadcast to the shape of the output. */
static fl_status_t build_pair(fl_builder_t *builder, const fl_node_t *node, fl_operator_t *op,
                              fl_tensor_t *other) {
    fl_pair_t *shape = &op->shape.pair;
    FL_RETURN_IF_ERROR(read_input(builder, node, 1, other, &op->other));
    four_dims(&node->output, shape->dims);
    FL_RETURN_IF_ERROR(repeats(builder, &node->input, shape->dims, &shape->input_repeats));
    FL_RETURN_IF_ERROR(repeats(builder, other, shape->dims, &shape->other_repeats));
    if ((shape->input_repeats & shape->other_repeats) != 0) {
        return FL_REFUSE(&builder->file, FL_ERR_CORRUPT, "shapes cannot be broadcast");
    }
    shape->other_zero_point = other->zero_point;
    if (shape->input_repeats == 0 && shape->other_repeats == 0) {
        /* One long row is quicker than many short ones. */
        shape->dims[0] = shape->dims[1] = shape->dims[2] = 1;
        shape->dims[3] = node->output.elements;
    }
    return FL_OK;
}

static fl_status_t build_add(fl_builder_t *builder, const fl_node_t *node, fl_operator_t *op) {
    fl_tensor_t other;
    FL_RETURN_IF_ERROR(fl_build_options(builder, node, OPTIONS_ADD));
    FL_RETURN_IF_ERROR(build_pair(builder, node, op, &other));
    const double input_scale = (double)node->input.scale;
    const double other_scale = (double)other.scale;
    const double twice_largest = 2 * (input_scale > other_scale ? input_scale : other_scale);
    const double output = twice_largest / ((1 << FL_ADD_LEFT_SHIFT) * (double)node->output.scale);
    fl_pair_t *shape = &op->shape.pair;
    if (!(output < 1.0) || !fl_factor_of(input_scale / twice_largest, &shape->input_factor) ||
        !fl_factor_of(other_scale / twice_largest, &shape->other_factor) ||
        !fl_factor_of(output, &shape->output_factor)) {
        return FL_REFUSE(&builder->file, FL_ERR_UNSUPPORTED, "scales are too far apart");
    }
    return fl_build_activation(builder, node, op,
                               fl_tflite_u8(&builder->file, node->options, ADD_ACTIVATION, 0));
}

static fl_status_t build_mul(fl_builder_t *builder, const fl_node_t *node, fl_operator_t *op) {
    fl_tensor_t other;
    FL_RETURN_IF_ERROR(fl_build_options(builder, node, OPTIONS_MUL));
    FL_RETURN_IF_ERROR(build_pair(builder, node, op, &other));
    const double real =
        (double)node->input.scale * (double)other.scale / (double)node->output.scale;
    if (!fl_factor_of(real, &op->shape.pair.output_factor)) {
        return FL_REFUSE(&builder->file, FL_ERR_UNSUPPORTED, "scales are too far apart");
    }
    return fl_build_activation(builder, node, op,
                               fl_tflite_u8(&builder->file, node->options, MUL_ACTIVATION, 0));
}

/* Marks the axes over which MEAN goes; returns how many values one mean is of. */
static fl_status_t reduced_axes(fl_builder_t *builder, const fl_node_t *node, fl_mean_t *shape,
                                uint64_t *count) {
    fl_tensor_t axes;
    FL_RETURN_IF_ERROR(read_numbers(builder, node, 1, 0, &axes));
    const int32_t rank = (int32_t)node->input.rank;
    *count = 1;
    for (uint32_t i = 0; i < axes.elements; ++i) {
        const int32_t axis = number_at(&axes, i);
        if (axis < -rank || axis >= rank) {
            return FL_REFUSE(&builder->file, FL_ERR_CORRUPT, "an axis is out of range");
        }
        const uint32_t index = (uint32_t)(RANK - rank + (axis < 0 ? axis + rank : axis));
        if ((shape->reduced & 1u << index) == 0) {
            shape->reduced = (uint8_t)(shape->reduced | 1u << index);
            *count *= shape->dims[index];
        }
    }
    return FL_OK;
}

/* The factor takes the division by the number of values in, which may cost its last bit. */
static fl_status_t build_mean(fl_builder_t *builder, const fl_node_t *node, fl_operator_t *op) {
    fl_tflite_t *file = &builder->file;
    fl_mean_t *shape = &op->shape.mean;
    uint64_t count = 0;
    four_dims(&node->input, shape->dims);
    FL_RETURN_IF_ERROR(reduced_axes(builder, node, shape, &count));
    if ((uint64_t)node->output.elements * count != node->input.elements) {
        return FL_REFUSE(file, FL_ERR_CORRUPT, "an output has not the size that its axes give");
    }
    if (count > INT32_MAX / 256) {
        return FL_REFUSE(file, FL_ERR_UNSUPPORTED, "a sum could leave 32 bits");
    }
    shape->count = (int32_t)count;
    fl_factor_t *factor = &shape->factor;
    if (!fl_factor_of((double)node->input.scale / (double)node->output.scale, factor)) {
        return FL_REFUSE(file, FL_ERR_UNSUPPORTED, "scales are too far apart");
    }
    int32_t shift = 0;
    while (count >> (shift + 1) != 0) {
        ++shift;
    }
    shift = shift < 31 + factor->shift ? shift : 31 + factor->shift;
    factor->multiplier = (int32_t)(((int64_t)factor->multiplier << shift) / (int64_t)count);
    factor->shift -= shift;
    return fl_build_activation(builder, node, op, ACTIVATION_NONE);
}

static fl_status_t build_pad(fl_builder_t *builder, const fl_node_t *node, fl_operator_t *op) {
    fl_tflite_t *file = &builder->file;
    fl_pad_t *shape = &op->shape.pad;
    fl_tensor_t paddings;
    const uint32_t rank = node->input.rank;
    FL_RETURN_IF_ERROR(read_numbers(builder, node, 1, 2 * rank, &paddings));
    FL_RETURN_IF_ERROR(same_quantisation(builder, &node->input, &node->output));
    if (node->output.rank != rank) {
        return FL_REFUSE(file, FL_ERR_CORRUPT, "input and output differ in their dimensions");
    }
    four_dims(&node->input, shape->in);
    four_dims(&node->output, shape->out);
    for (uint32_t i = 0; i < rank; ++i) {
        const int32_t before = number_at(&paddings, 2 * i);
        const int32_t after = number_at(&paddings, 2 * i + 1);
        if (before < 0 || after < 0 ||
            (int64_t)node->input.dims[i] + before + after != node->output.dims[i]) {
            return FL_REFUSE(file, FL_ERR_CORRUPT,
                             "an output has not the size that its paddings give");
        }
        shape->before[RANK - rank + i] = (uint32_t)before;
    }
    op->output_zero_point = node->output.zero_point;
    return FL_OK;
}

/* RESHAPE and its like: one run of values. */
static fl_status_t build_reshape(fl_builder_t *builder, const fl_node_t *node, fl_operator_t *op) {
    FL_RETURN_IF_ERROR(same_elements(builder, node));
    FL_RETURN_IF_ERROR(same_quantisation(builder, &node->input, &node->output));
    op->code = FL_OP_RESHAPE;
    op->shape.copy = (fl_copy_t){.rows = 1, .size = node->input.elements};
    return FL_OK;
}

static fl_status_t build_quantize(fl_builder_t *builder, const fl_node_t *node, fl_operator_t *op) {
    FL_RETURN_IF_ERROR(same_elements(builder, node));
    fl_rows_t *shape = &op->shape.rows;
    *shape = (fl_rows_t){.rows = 1, .depth = node->input.elements};
    if (!fl_factor_of((double)node->input.scale / (double)node->output.scale, &shape->factor)) {
        return FL_REFUSE(&builder->file, FL_ERR_UNSUPPORTED, "scales are too far apart");
    }
    return fl_build_activation(builder, node, op, ACTIVATION_NONE);
}

static void append(fl_builder_t *builder, const fl_operator_t *op) {
    if (builder->arena != NULL) {
        fl_operator_t *operators = (void *)builder->arena;
        operators[builder->operator_count] = *op;
    }
    ++builder->operator_count;
    builder->instructions += fl_operator_instructions(op);
    if (op->scratch_size > builder->scratch_size) {
        builder->scratch_size = op->scratch_size;
    }
}

/* One part of a concatenation: its values go, row by row, into the rows of the output. */
static fl_status_t append_part(fl_builder_t *builder, const fl_node_t *node, uint32_t index,
                               uint32_t axis, uint32_t *done) {
    fl_tflite_t *file = &builder->file;
    fl_tensor_t part;
    fl_operator_t op = {.code = FL_OP_RESHAPE};
    FL_RETURN_IF_ERROR(read_input(builder, node, index, &part, &op.input));
    FL_RETURN_IF_ERROR(same_quantisation(builder, &part, &node->output));
    if (part.rank != node->output.rank) {
        return FL_REFUSE(file, FL_ERR_CORRUPT, "parts of a concatenation do not fit");
    }
    uint32_t inner = 1;
    for (uint32_t i = 0; i < part.rank; ++i) {
        if (i != axis && part.dims[i] != node->output.dims[i]) {
            return FL_REFUSE(file, FL_ERR_CORRUPT, "parts of a concatenation do not fit");
        }
        inner *= i > axis ? part.dims[i] : 1;
    }
    const uint32_t size = part.dims[axis] * inner;
    const uint32_t stride = node->output.dims[axis] * inner;
    if (size > stride - *done) {
        return FL_REFUSE(file, FL_ERR_CORRUPT, "parts of a concatenation do not fit");
    }
    op.output = activation_at(builder, node->step) + *done;
    op.shape.copy =
        (fl_copy_t){.rows = node->output.elements / stride, .size = size, .output_stride = stride};
    append(builder, &op);
    *done += size;
    return FL_OK;
}

static fl_status_t build_concatenation(fl_builder_t *builder, const fl_node_t *node) {
    fl_tflite_t *file = &builder->file;
    FL_RETURN_IF_ERROR(fl_build_options(builder, node, OPTIONS_CONCATENATION));
    const int32_t rank = (int32_t)node->output.rank;
    const int32_t axis = fl_tflite_i32(file, node->options, CONCATENATION_AXIS, 0);
    if (fl_tflite_u8(file, node->options, CONCATENATION_ACTIVATION, 0) != ACTIVATION_NONE) {
        return FL_REFUSE(file, FL_ERR_UNSUPPORTED, "a concatenation has a fused activation");
    }
    if (axis < -rank || axis >= rank) {
        return FL_REFUSE(file, FL_ERR_CORRUPT, "an axis is out of range");
    }
    const uint32_t index = (uint32_t)(axis < 0 ? axis + rank : axis);
    uint32_t done = 0;
    for (uint32_t i = 0; i < node->input_count; ++i) {
        FL_RETURN_IF_ERROR(append_part(builder, node, i, index, &done));
    }
    uint32_t whole = 1;
    for (uint32_t i = index; i < node->output.rank; ++i) {
        whole *= node->output.dims[i];
    }
    if (done != whole) {
        return FL_REFUSE(file, FL_ERR_CORRUPT, "parts of a concatenation do not fit");
    }
    return FL_OK;
}

static fl_status_t build_kind(fl_builder_t *builder, const fl_node_t *node, fl_operator_t *op) {
    switch (op->code) {
        case FL_OP_ADD: return build_add(builder, node, op);
        case FL_OP_AVERAGE_POOL_2D: return fl_build_pool(builder, node, op);
        case FL_OP_CONV_2D: return fl_build_conv(builder, node, op);
        case FL_OP_DEPTHWISE_CONV_2D: return fl_build_depthwise(builder, node, op);
        case FL_OP_EXPAND_DIMS: return build_reshape(builder, node, op);
        case FL_OP_FULLY_CONNECTED: return fl_build_fully_connected(builder, node, op);
        case FL_OP_LOGISTIC: return build_logistic(builder, node, op);
        case FL_OP_MAX_POOL_2D: return fl_build_pool(builder, node, op);
        case FL_OP_MEAN: return build_mean(builder, node, op);
        case FL_OP_MUL: return build_mul(builder, node, op);
        case FL_OP_PAD: return build_pad(builder, node, op);
        case FL_OP_QUANTIZE: return build_quantize(builder, node, op);
        case FL_OP_RESHAPE: return build_reshape(builder, node, op);
        case FL_OP_SOFTMAX: return build_softmax(builder, node, op);
        case FL_OP_SQUEEZE: return build_reshape(builder, node, op);
        default:
            return FL_REFUSE(&builder->file, FL_ERR_UNSUPPORTED,
                             "an operator is not one that is run");
    }
}

fl_status_t fl_build_operator(fl_builder_t *builder, uint32_t index) {
    fl_tflite_t *file = &builder->file;
    const fl_plan_t *plan = &builder->plan;
    fl_node_t node = {
        .table = fl_tflite_element(file, plan->operators, plan->first_operator + index),
        .step = index + 1};
    node.options = fl_tflite_table(file, node.table, OPERATOR_OPTIONS);
    node.options_type = fl_tflite_u8(file, node.table, OPERATOR_OPTIONS_TYPE, 0);
    node.inputs = fl_tflite_vector(file, node.table, OPERATOR_INPUTS, 4, &node.input_count);
    FL_RETURN_IF_BROKEN(file);
    fl_operator_t op = {0};
    FL_RETURN_IF_ERROR(fl_plan_code(file, node.table, &op.code));
    FL_RETURN_IF_ERROR(
        fl_tflite_tensor(file, (int32_t)plan->activations[node.step].tensor, &node.output));
    if (op.code == FL_OP_CONCATENATION) {
        FL_RETURN_IF_ERROR(build_concatenation(builder, &node));
    } else {
        FL_RETURN_IF_ERROR(read_input(builder, &node, 0, &node.input, &op.input));
        op.output = activation_at(builder, node.step);
        op.input_zero_point = node.input.zero_point;
        FL_RETURN_IF_ERROR(build_kind(builder, &node, &op));
        append(builder, &op);
    }
    FL_RETURN_IF_BROKEN(file);
    return FL_OK;
}
