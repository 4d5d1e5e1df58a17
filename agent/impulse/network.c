/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "agent/impulse/network.h"

#include <stdbool.h>
#include <string.h>

#include "agent/impulse/cost.h"
#include "agent/impulse/kernels.h"
#include "agent/impulse/plan.h"
#include "agent/impulse/tflite.h"

/* Field numbers of the schema, by table. */
enum { CODE_DEPRECATED = 0, CODE_BUILTIN = 3 };
enum { OPERATOR_CODE = 0, OPERATOR_INPUTS = 1, OPERATOR_OUTPUTS = 2, OPERATOR_OPTIONS = 4 };
enum { OPERATOR_OPTIONS_TYPE = 3 };
enum { FULLY_CONNECTED_ACTIVATION = 0, FULLY_CONNECTED_WEIGHTS_FORMAT = 1 };
enum { SOFTMAX_BETA = 0, ADD_ACTIVATION = 0 };
enum { SLIDING_PADDING = 0, SLIDING_STRIDE_WIDTH = 1, SLIDING_STRIDE_HEIGHT = 2 };
enum { CONV_ACTIVATION = 3, CONV_DILATION_WIDTH = 4, CONV_DILATION_HEIGHT = 5 };
enum { DEPTHWISE_MULTIPLIER = 3, DEPTHWISE_ACTIVATION = 4 };
enum { DEPTHWISE_DILATION_WIDTH = 5, DEPTHWISE_DILATION_HEIGHT = 6 };
enum { POOL_FILTER_WIDTH = 3, POOL_FILTER_HEIGHT = 4, POOL_ACTIVATION = 5 };

enum { OPTIONS_CONV = 1, OPTIONS_DEPTHWISE = 2, OPTIONS_POOL = 5, OPTIONS_FULLY_CONNECTED = 8 };
enum { OPTIONS_SOFTMAX = 9, OPTIONS_ADD = 11 };

enum { PADDING_SAME = 0, PADDING_VALID = 1 };
enum { ACTIVATION_NONE = 0, ACTIVATION_RELU = 1, ACTIVATION_RELU_N1_TO_1 = 2 };
enum { ACTIVATION_RELU6 = 3 };

enum { ALIGNMENT = 8 };

/* Opening one model: run once with channels NULL to check and count, once more to fill the arena.
 */
typedef struct builder {
    fl_tflite_t file;
    fl_plan_t plan;
    uint64_t instructions;
    uint32_t channel_count;
    fl_channel_t *channels; /* NULL while counting. */
    int8_t *activations;    /* NULL while counting. */
} builder_t;

/* The operator being opened. */
typedef struct node {
    uint32_t table;
    uint32_t options;
    uint8_t options_type;
    uint32_t inputs; /* First element of the vector of tensor indices. */
    uint32_t input_count;
    uint32_t step;
    fl_tensor_t input;
    fl_tensor_t output;
} node_t;

static size_t aligned(size_t size) {
    return (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
}

static int8_t *activation_at(const builder_t *builder, uint32_t entry) {
    return builder->activations == NULL
               ? NULL
               : builder->activations + builder->plan.activations[entry].offset;
}

static int32_t input_index(const builder_t *builder, const node_t *node, uint32_t index) {
    if (index >= node->input_count) {
        return -1;
    }
    return (int32_t)fl_read_u32(builder->file.data + node->inputs + 4 * index);
}

/* Finds an input that is computed, and where it lies. */
static fl_status_t computed_input(builder_t *builder, const node_t *node, uint32_t index,
                                  fl_tensor_t *tensor, const int8_t **values) {
    const int32_t id = input_index(builder, node, index);
    const int32_t entry = fl_plan_find(&builder->plan, (uint32_t)id, node->step);
    FL_RETURN_IF_ERROR(fl_tflite_tensor(&builder->file, id, tensor));
    if (entry < 0) {
        return tensor->data != NULL ? FL_ERR_UNSUPPORTED : FL_ERR_CORRUPT;
    }
    *values = activation_at(builder, (uint32_t)entry);
    return FL_OK;
}

static fl_status_t options_of(const node_t *node, uint8_t type) {
    return node->options != 0 && node->options_type == type ? FL_OK : FL_ERR_CORRUPT;
}

/* value / scale rounded, halves away from zero; large quotients are cut, for they get clamped. */
static int32_t steps(float value, float scale) {
    const float quotient = value / scale;
    return quotient >= 512.0f ? 512 : (int32_t)((double)quotient + 0.5);
}

/* Sets the limits of the output, relative to its zero point. */
static fl_status_t set_activation(fl_operator_t *op, const fl_tensor_t *output, uint8_t function) {
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
        default: return FL_ERR_UNSUPPORTED;
    }
}

static bool same_quantisation(const fl_tensor_t *a, const fl_tensor_t *b) {
    return a->scale == b->scale && a->zero_point == b->zero_point;
}

static bool same_shape(const fl_tensor_t *a, const fl_tensor_t *b) {
    return a->rank == b->rank && memcmp(a->dims, b->dims, sizeof a->dims) == 0;
}

/* Checks int8 weights with a scale for the tensor or one for each index of `channel_dimension`. */
static fl_status_t read_weights(builder_t *builder, const node_t *node, uint32_t rank,
                                uint32_t channel_dimension, fl_tensor_t *weights) {
    FL_RETURN_IF_ERROR(fl_tflite_tensor(&builder->file, input_index(builder, node, 1), weights));
    if (weights->type != FL_TFLITE_INT8 || weights->data == NULL || weights->scale_count == 0 ||
        weights->zero_point != 0) {
        return FL_ERR_UNSUPPORTED;
    }
    if (weights->rank != rank) {
        return FL_ERR_CORRUPT;
    }
    if (weights->scale_count > 1 && (weights->quantized_dimension != channel_dimension ||
                                     weights->scale_count != weights->dims[channel_dimension])) {
        return FL_ERR_CORRUPT;
    }
    return FL_OK;
}

/*
 * TensorFlow Lite multiplies the two scales of FULLY_CONNECTED with one weight scale as float32,
 * and all others as double.
 */
static bool channel_factor(const fl_operator_t *op, const node_t *node, const fl_tensor_t *weights,
                           uint32_t channel, fl_factor_t *factor) {
    const double output_scale = (double)node->output.scale;
    if (op->code == FL_OP_FULLY_CONNECTED && weights->scale_count == 1) {
        const float product = node->input.scale * weights->scale;
        /* The product of two small floats can be 0, which is no factor. */
        return product > 0.0f && fl_is_finite(product) &&
               fl_factor_of((double)product / output_scale, factor);
    }
    const uint32_t index = weights->scale_count == 1 ? 0 : channel;
    const double weight_scale = (double)fl_read_f32(weights->scales + 4 * index);
    return fl_factor_of((double)node->input.scale * weight_scale / output_scale, factor);
}

/*
 * Fills the channels of an operator. `taps` is the number of products in one sum: a sum that could
 * leave 32 bits is refused, so that the kernels need not look.
 */
static fl_status_t make_channels(builder_t *builder, const node_t *node, fl_operator_t *op,
                                 const fl_tensor_t *weights, uint32_t count, uint64_t taps) {
    fl_tensor_t bias = {0};
    if (input_index(builder, node, 2) != -1) {
        FL_RETURN_IF_ERROR(fl_tflite_tensor(&builder->file, input_index(builder, node, 2), &bias));
        if (bias.type != FL_TFLITE_INT32 || bias.data == NULL) {
            return FL_ERR_UNSUPPORTED;
        }
        if (bias.elements != count) {
            return FL_ERR_CORRUPT;
        }
    }
    /* Several operators may share their weights, so the file's size does not bound the arena. */
    if (builder->channel_count + (uint64_t)count > INT32_MAX / (2 * sizeof(fl_channel_t))) {
        return FL_ERR_UNSUPPORTED;
    }
    /* |input - zero point| <= 255, or 128 of input and as much of zero point; |weight| <= 128. */
    const int64_t largest_sum =
        taps > INT32_MAX / (256 * 128) ? INT32_MAX + (int64_t)1 : (int64_t)taps * 256 * 128;
    fl_channel_t *channels =
        builder->channels == NULL ? NULL : builder->channels + builder->channel_count;
    for (uint32_t i = 0; i < count; ++i) {
        fl_channel_t channel = {0};
        if (bias.data != NULL) {
            channel.bias = (int32_t)fl_read_u32(bias.data + 4 * (size_t)i);
        }
        const int64_t size = channel.bias < 0 ? -(int64_t)channel.bias : channel.bias;
        if (size + largest_sum > INT32_MAX ||
            !channel_factor(op, node, weights, i, &channel.factor)) {
            return FL_ERR_UNSUPPORTED;
        }
        if (channels != NULL) {
            channels[i] = channel;
        }
    }
    builder->channel_count += count;
    op->weights = (const int8_t *)weights->data;
    op->channels = channels;
    return FL_OK;
}

/* Adds -zero_point * sum of the weights to the biases: the sums then take the inputs as they are.
 */
static void fold_zero_point(const fl_operator_t *op, fl_channel_t *channels) {
    const fl_rows_t *shape = &op->shape.rows;
    for (uint32_t unit = 0; unit < shape->units; ++unit) {
        const int8_t *weights = op->weights + (size_t)unit * shape->depth;
        int32_t sum = 0;
        for (uint32_t i = 0; i < shape->depth; ++i) {
            sum += weights[i];
        }
        channels[unit].bias -= op->input_zero_point * sum;
    }
}

static fl_status_t open_fully_connected(builder_t *builder, const node_t *node, fl_operator_t *op) {
    FL_RETURN_IF_ERROR(options_of(node, OPTIONS_FULLY_CONNECTED));
    const uint8_t function =
        fl_tflite_u8(&builder->file, node->options, FULLY_CONNECTED_ACTIVATION, 0);
    if (fl_tflite_u8(&builder->file, node->options, FULLY_CONNECTED_WEIGHTS_FORMAT, 0) != 0) {
        return FL_ERR_UNSUPPORTED;
    }
    fl_tensor_t weights;
    FL_RETURN_IF_ERROR(read_weights(builder, node, 2, 0, &weights));
    const uint32_t units = weights.dims[0];
    const uint32_t depth = weights.dims[1];
    const uint32_t rows = node->input.elements / depth;
    if (node->input.elements % depth != 0 || node->output.elements != (uint64_t)rows * units) {
        return FL_ERR_CORRUPT;
    }
    op->shape.rows = (fl_rows_t){.rows = rows, .depth = depth, .units = units};
    FL_RETURN_IF_ERROR(set_activation(op, &node->output, function));
    fl_channel_t *channels =
        builder->channels == NULL ? NULL : builder->channels + builder->channel_count;
    FL_RETURN_IF_ERROR(make_channels(builder, node, op, &weights, units, depth));
    if (channels != NULL) {
        fold_zero_point(op, channels);
    }
    return FL_OK;
}

/* One dimension of a sliding filter: output size and padding before. */
static fl_status_t slide_along(uint32_t in, uint32_t out, uint32_t filter, int32_t stride,
                               int32_t dilation, uint8_t padding, uint16_t *before) {
    if (stride < 1 || stride > UINT16_MAX || dilation < 1 || dilation > UINT16_MAX) {
        return FL_ERR_UNSUPPORTED;
    }
    const int64_t reach = ((int64_t)filter - 1) * dilation + 1;
    int64_t expected = 0;
    int64_t total = 0;
    if (padding == PADDING_SAME) {
        expected = ((int64_t)in + stride - 1) / stride;
        total = (expected - 1) * stride + reach - in;
        total = total < 0 ? 0 : total;
    } else if (padding == PADDING_VALID) {
        expected = in < reach ? 0 : (in - reach) / stride + 1;
    } else {
        return FL_ERR_UNSUPPORTED;
    }
    if (expected != out) {
        return FL_ERR_CORRUPT;
    }
    if (total / 2 > UINT16_MAX) {
        return FL_ERR_UNSUPPORTED;
    }
    *before = (uint16_t)(total / 2);
    return FL_OK;
}

/* What a sliding operator says of its filter. */
typedef struct filter {
    uint32_t height, width;
    int32_t dilation_height, dilation_width;
} filter_t;

static fl_status_t set_sliding(builder_t *builder, const node_t *node, fl_operator_t *op,
                               filter_t filter) {
    const fl_tensor_t *in = &node->input;
    const fl_tensor_t *out = &node->output;
    if (in->rank != 4 || out->rank != 4 || in->dims[0] != out->dims[0]) {
        return FL_ERR_CORRUPT;
    }
    for (uint32_t i = 1; i < 4; ++i) {
        if (in->dims[i] > UINT16_MAX || out->dims[i] > UINT16_MAX) {
            return FL_ERR_UNSUPPORTED;
        }
    }
    if (filter.height > UINT16_MAX || filter.width > UINT16_MAX) {
        return FL_ERR_UNSUPPORTED;
    }
    fl_tflite_t *file = &builder->file;
    const uint8_t padding = fl_tflite_u8(file, node->options, SLIDING_PADDING, PADDING_SAME);
    const int32_t stride_height = fl_tflite_i32(file, node->options, SLIDING_STRIDE_HEIGHT, 0);
    const int32_t stride_width = fl_tflite_i32(file, node->options, SLIDING_STRIDE_WIDTH, 0);
    uint16_t top = 0;
    uint16_t left = 0;
    FL_RETURN_IF_ERROR(slide_along(in->dims[1], out->dims[1], filter.height, stride_height,
                                   filter.dilation_height, padding, &top));
    FL_RETURN_IF_ERROR(slide_along(in->dims[2], out->dims[2], filter.width, stride_width,
                                   filter.dilation_width, padding, &left));
    op->shape.sliding = (fl_sliding_t){.batches = in->dims[0],
                                       .in_height = (uint16_t)in->dims[1],
                                       .in_width = (uint16_t)in->dims[2],
                                       .in_channels = (uint16_t)in->dims[3],
                                       .out_height = (uint16_t)out->dims[1],
                                       .out_width = (uint16_t)out->dims[2],
                                       .out_channels = (uint16_t)out->dims[3],
                                       .filter_height = (uint16_t)filter.height,
                                       .filter_width = (uint16_t)filter.width,
                                       .stride_height = (uint16_t)stride_height,
                                       .stride_width = (uint16_t)stride_width,
                                       .dilation_height = (uint16_t)filter.dilation_height,
                                       .dilation_width = (uint16_t)filter.dilation_width,
                                       .pad_top = top,
                                       .pad_left = left};
    return FL_OK;
}

static fl_status_t open_conv(builder_t *builder, const node_t *node, fl_operator_t *op) {
    FL_RETURN_IF_ERROR(options_of(node, OPTIONS_CONV));
    fl_tflite_t *file = &builder->file;
    fl_tensor_t weights;
    FL_RETURN_IF_ERROR(read_weights(builder, node, 4, 0, &weights));
    const filter_t filter = {
        .height = weights.dims[1],
        .width = weights.dims[2],
        .dilation_height = fl_tflite_i32(file, node->options, CONV_DILATION_HEIGHT, 1),
        .dilation_width = fl_tflite_i32(file, node->options, CONV_DILATION_WIDTH, 1)};
    FL_RETURN_IF_ERROR(set_sliding(builder, node, op, filter));
    if (weights.dims[0] != node->output.dims[3] || weights.dims[3] != node->input.dims[3]) {
        return FL_ERR_CORRUPT;
    }
    const uint8_t function = fl_tflite_u8(file, node->options, CONV_ACTIVATION, 0);
    FL_RETURN_IF_ERROR(set_activation(op, &node->output, function));
    return make_channels(builder, node, op, &weights, weights.dims[0],
                         weights.elements / weights.dims[0]);
}

static fl_status_t open_depthwise(builder_t *builder, const node_t *node, fl_operator_t *op) {
    FL_RETURN_IF_ERROR(options_of(node, OPTIONS_DEPTHWISE));
    fl_tflite_t *file = &builder->file;
    fl_tensor_t weights;
    FL_RETURN_IF_ERROR(read_weights(builder, node, 4, 3, &weights));
    const filter_t filter = {
        .height = weights.dims[1],
        .width = weights.dims[2],
        .dilation_height = fl_tflite_i32(file, node->options, DEPTHWISE_DILATION_HEIGHT, 1),
        .dilation_width = fl_tflite_i32(file, node->options, DEPTHWISE_DILATION_WIDTH, 1)};
    FL_RETURN_IF_ERROR(set_sliding(builder, node, op, filter));
    const int32_t multiplier = fl_tflite_i32(file, node->options, DEPTHWISE_MULTIPLIER, 0);
    if (weights.dims[0] != 1 || weights.dims[3] != node->output.dims[3] || multiplier < 1 ||
        (uint64_t)node->input.dims[3] * (uint32_t)multiplier != node->output.dims[3]) {
        return FL_ERR_CORRUPT;
    }
    op->shape.sliding.depth_multiplier = (uint16_t)multiplier;
    const uint8_t function = fl_tflite_u8(file, node->options, DEPTHWISE_ACTIVATION, 0);
    FL_RETURN_IF_ERROR(set_activation(op, &node->output, function));
    return make_channels(builder, node, op, &weights, weights.dims[3],
                         (uint64_t)weights.dims[1] * weights.dims[2]);
}

static fl_status_t open_pool(builder_t *builder, const node_t *node, fl_operator_t *op) {
    FL_RETURN_IF_ERROR(options_of(node, OPTIONS_POOL));
    fl_tflite_t *file = &builder->file;
    const int32_t height = fl_tflite_i32(file, node->options, POOL_FILTER_HEIGHT, 0);
    const int32_t width = fl_tflite_i32(file, node->options, POOL_FILTER_WIDTH, 0);
    if (height < 1 || width < 1) {
        return FL_ERR_CORRUPT;
    }
    FL_RETURN_IF_ERROR(set_sliding(builder, node, op,
                                   (filter_t){.height = (uint32_t)height,
                                              .width = (uint32_t)width,
                                              .dilation_height = 1,
                                              .dilation_width = 1}));
    if (node->input.dims[3] != node->output.dims[3]) {
        return FL_ERR_CORRUPT;
    }
    /* The sum of a pool must stay within 32 bits. */
    if (!same_quantisation(&node->input, &node->output) ||
        (int64_t)height * width > INT32_MAX / 256) {
        return FL_ERR_UNSUPPORTED;
    }
    const uint8_t function = fl_tflite_u8(file, node->options, POOL_ACTIVATION, 0);
    return set_activation(op, &node->output, function);
}

/* Largest |difference| whose scaled value still fits; beyond it the function is flat. */
static int32_t input_radius(int32_t integer_bits, int32_t shift) {
    const int64_t largest =
        (((int64_t)1 << integer_bits) - 1) * ((int64_t)1 << (31 - integer_bits));
    return (int32_t)(largest >> shift);
}

static fl_status_t open_softmax(builder_t *builder, const node_t *node, fl_operator_t *op) {
    FL_RETURN_IF_ERROR(options_of(node, OPTIONS_SOFTMAX));
    const float beta = fl_tflite_f32(&builder->file, node->options, SOFTMAX_BETA, 0.0f);
    const uint32_t depth = node->input.dims[node->input.rank - 1];
    if (!same_shape(&node->input, &node->output)) {
        return FL_ERR_CORRUPT;
    }
    if (!fl_is_finite(beta) || !(beta > 0.0f) || depth > FL_SOFTMAX_MAX_DEPTH ||
        node->output.scale != 1.0f / 256.0f || node->output.zero_point != INT8_MIN) {
        return FL_ERR_UNSUPPORTED;
    }
    fl_rows_t *shape = &op->shape.rows;
    *shape = (fl_rows_t){.rows = node->input.elements / depth, .depth = depth};
    double real = (double)beta * (double)node->input.scale * (1 << (31 - FL_SOFTMAX_INTEGER_BITS));
    if (real > 2147483647.0) {
        real = 2147483647.0;
    }
    /* Smaller than 1 would take another formula; no trained model comes near it. */
    if (!(real > 1.0) || !fl_factor_of(real, &shape->factor)) {
        return FL_ERR_UNSUPPORTED;
    }
    shape->radius = input_radius(FL_SOFTMAX_INTEGER_BITS, shape->factor.shift);
    return FL_OK;
}

static fl_status_t open_logistic(const node_t *node, fl_operator_t *op) {
    if (node->input.elements != node->output.elements) {
        return FL_ERR_CORRUPT;
    }
    if (node->output.scale != 1.0f / 256.0f || node->output.zero_point != INT8_MIN) {
        return FL_ERR_UNSUPPORTED;
    }
    fl_rows_t *shape = &op->shape.rows;
    *shape = (fl_rows_t){.rows = 1, .depth = node->input.elements};
    const double real = (double)node->input.scale * (1 << (31 - FL_LOGISTIC_INTEGER_BITS));
    if (!fl_factor_of(real, &shape->factor) || shape->factor.shift < 0) {
        return FL_ERR_UNSUPPORTED;
    }
    shape->radius = input_radius(FL_LOGISTIC_INTEGER_BITS, shape->factor.shift);
    return FL_OK;
}

static fl_status_t open_add(builder_t *builder, const node_t *node, fl_operator_t *op) {
    FL_RETURN_IF_ERROR(options_of(node, OPTIONS_ADD));
    fl_tensor_t other;
    FL_RETURN_IF_ERROR(computed_input(builder, node, 1, &other, &op->other));
    if (!same_shape(&node->input, &node->output) || !same_shape(&other, &node->output)) {
        return FL_ERR_UNSUPPORTED;
    }
    const double input_scale = (double)node->input.scale;
    const double other_scale = (double)other.scale;
    const double twice_largest = 2 * (input_scale > other_scale ? input_scale : other_scale);
    const double output = twice_largest / ((1 << FL_ADD_LEFT_SHIFT) * (double)node->output.scale);
    fl_sum_t *shape = &op->shape.sum;
    shape->size = node->input.elements;
    shape->other_zero_point = other.zero_point;
    if (!(output < 1.0) || !fl_factor_of(input_scale / twice_largest, &shape->input_factor) ||
        !fl_factor_of(other_scale / twice_largest, &shape->other_factor) ||
        !fl_factor_of(output, &shape->output_factor)) {
        return FL_ERR_UNSUPPORTED;
    }
    const uint8_t function = fl_tflite_u8(&builder->file, node->options, ADD_ACTIVATION, 0);
    return set_activation(op, &node->output, function);
}

static fl_status_t open_reshape(const node_t *node, fl_operator_t *op) {
    if (node->input.elements != node->output.elements) {
        return FL_ERR_CORRUPT;
    }
    op->shape.rows = (fl_rows_t){.rows = 1, .depth = node->input.elements};
    return same_quantisation(&node->input, &node->output) ? FL_OK : FL_ERR_UNSUPPORTED;
}

static fl_status_t open_quantize(const node_t *node, fl_operator_t *op) {
    if (node->input.elements != node->output.elements) {
        return FL_ERR_CORRUPT;
    }
    fl_rows_t *shape = &op->shape.rows;
    *shape = (fl_rows_t){.rows = 1, .depth = node->input.elements};
    if (!fl_factor_of((double)node->input.scale / (double)node->output.scale, &shape->factor)) {
        return FL_ERR_UNSUPPORTED;
    }
    return set_activation(op, &node->output, ACTIVATION_NONE);
}

static fl_status_t open_operator_of(builder_t *builder, const node_t *node, fl_operator_t *op) {
    switch (op->code) {
        case FL_OP_ADD: return open_add(builder, node, op);
        case FL_OP_AVERAGE_POOL_2D: return open_pool(builder, node, op);
        case FL_OP_CONV_2D: return open_conv(builder, node, op);
        case FL_OP_DEPTHWISE_CONV_2D: return open_depthwise(builder, node, op);
        case FL_OP_FULLY_CONNECTED: return open_fully_connected(builder, node, op);
        case FL_OP_LOGISTIC: return open_logistic(node, op);
        case FL_OP_MAX_POOL_2D: return open_pool(builder, node, op);
        case FL_OP_QUANTIZE: return open_quantize(node, op);
        case FL_OP_RESHAPE: return open_reshape(node, op);
        case FL_OP_SOFTMAX: return open_softmax(builder, node, op);
        default: return FL_ERR_UNSUPPORTED;
    }
}

/* The code stands in a byte in old files and in an int in new ones; the larger counts. */
static fl_status_t read_code(fl_tflite_t *file, uint32_t index, uint8_t *code) {
    if (index >= file->operator_code_count) {
        return FL_ERR_CORRUPT;
    }
    const uint32_t table = fl_tflite_element(file, file->operator_codes, index);
    const int32_t byte = (int8_t)fl_tflite_u8(file, table, CODE_DEPRECATED, 0);
    const int32_t number = fl_tflite_i32(file, table, CODE_BUILTIN, 0);
    const int32_t larger = byte > number ? byte : number;
    if (file->corrupt) {
        return FL_ERR_CORRUPT;
    }
    if (larger < 0 || larger > UINT8_MAX) {
        return FL_ERR_UNSUPPORTED;
    }
    *code = (uint8_t)larger;
    return FL_OK;
}

static fl_status_t open_operator(builder_t *builder, uint32_t index, fl_operator_t *op) {
    fl_tflite_t *file = &builder->file;
    node_t node = {.table = fl_tflite_element(file, builder->plan.operators, index),
                   .step = index + 1};
    node.options = fl_tflite_table(file, node.table, OPERATOR_OPTIONS);
    node.options_type = fl_tflite_u8(file, node.table, OPERATOR_OPTIONS_TYPE, 0);
    node.inputs = fl_tflite_vector(file, node.table, OPERATOR_INPUTS, 4, &node.input_count);
    const uint32_t code = (uint32_t)fl_tflite_i32(file, node.table, OPERATOR_CODE, 0);
    if (file->corrupt) {
        return FL_ERR_CORRUPT;
    }
    memset(op, 0, sizeof *op);
    FL_RETURN_IF_ERROR(read_code(file, code, &op->code));
    FL_RETURN_IF_ERROR(computed_input(builder, &node, 0, &node.input, &op->input));
    const uint32_t output = builder->plan.activations[node.step].tensor;
    FL_RETURN_IF_ERROR(fl_tflite_tensor(file, (int32_t)output, &node.output));
    op->output = activation_at(builder, node.step);
    op->input_zero_point = node.input.zero_point;
    FL_RETURN_IF_ERROR(open_operator_of(builder, &node, op));
    return file->corrupt ? FL_ERR_CORRUPT : FL_OK;
}

/* Checks everything; on FL_OK the plan, the number of channels and the cost are known. */
static fl_status_t check_model(builder_t *builder, const uint8_t *model, size_t size) {
    builder->instructions = 0;
    builder->channel_count = 0;
    builder->channels = NULL;
    builder->activations = NULL;
    FL_RETURN_IF_ERROR(fl_tflite_open(&builder->file, model, size));
    FL_RETURN_IF_ERROR(fl_plan_make(&builder->plan, &builder->file));
    for (uint32_t i = 0; i < builder->plan.operator_count; ++i) {
        fl_operator_t op;
        FL_RETURN_IF_ERROR(open_operator(builder, i, &op));
        builder->instructions += fl_operator_instructions(&op);
    }
    return FL_OK;
}

static size_t fixed_size_of(const builder_t *builder) {
    return aligned(builder->plan.operator_count * sizeof(fl_operator_t)) +
           aligned(builder->channel_count * sizeof(fl_channel_t));
}

fl_status_t fl_network_sizes(const uint8_t *model, size_t size, size_t *fixed_size,
                             size_t *activations_size) {
    builder_t builder;
    FL_RETURN_IF_ERROR(check_model(&builder, model, size));
    *fixed_size = fixed_size_of(&builder);
    *activations_size = builder.plan.activations_size;
    return FL_OK;
}

fl_status_t fl_network_arena_size(const uint8_t *model, size_t size, size_t *arena_size) {
    size_t fixed_size = 0;
    size_t activations_size = 0;
    FL_RETURN_IF_ERROR(fl_network_sizes(model, size, &fixed_size, &activations_size));
    *arena_size = fixed_size + activations_size;
    return FL_OK;
}

fl_status_t fl_network_instructions(const uint8_t *model, size_t size, uint64_t *instructions) {
    builder_t builder;
    FL_RETURN_IF_ERROR(check_model(&builder, model, size));
    *instructions = builder.instructions;
    return FL_OK;
}

fl_status_t fl_network_open(fl_network_t *network, const uint8_t *model, size_t size, void *arena,
                            size_t arena_size) {
    if (((uintptr_t)arena & (ALIGNMENT - 1)) != 0) {
        return FL_ERR_ARG;
    }
    builder_t builder;
    FL_RETURN_IF_ERROR(check_model(&builder, model, size));
    const size_t fixed_size = fixed_size_of(&builder);
    if (arena_size < fixed_size || arena_size - fixed_size < builder.plan.activations_size) {
        return FL_ERR_NO_SPACE;
    }
    uint8_t *bytes = arena;
    fl_operator_t *operators = arena;
    const uint32_t operator_count = builder.plan.operator_count;
    builder.channels = (void *)(bytes + aligned(operator_count * sizeof(fl_operator_t)));
    builder.channel_count = 0;
    builder.activations = (int8_t *)(bytes + fixed_size);
    for (uint32_t i = 0; i < operator_count; ++i) {
        FL_RETURN_IF_ERROR(open_operator(&builder, i, &operators[i]));
    }

    fl_tensor_t input;
    fl_tensor_t output;
    const fl_activation_t *last = &builder.plan.activations[builder.plan.output];
    FL_RETURN_IF_ERROR(
        fl_tflite_tensor(&builder.file, (int32_t)builder.plan.activations[0].tensor, &input));
    FL_RETURN_IF_ERROR(fl_tflite_tensor(&builder.file, (int32_t)last->tensor, &output));
    *network = (fl_network_t){.operators = operators,
                              .operator_count = operator_count,
                              .input_size = input.elements,
                              .output_size = output.elements,
                              .input_scale = input.scale,
                              .input_zero_point = input.zero_point,
                              .output_scale = output.scale,
                              .output_zero_point = output.zero_point,
                              .input = activation_at(&builder, 0),
                              .output = builder.activations + last->offset};
    return FL_OK;
}

void fl_network_run(fl_network_t *network) {
    for (uint32_t i = 0; i < network->operator_count; ++i) {
        fl_operator_run(&network->operators[i]);
    }
}
