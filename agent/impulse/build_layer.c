/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "agent/impulse/builder.h"

/* Field numbers of the schema, by table. */
enum { FULLY_CONNECTED_ACTIVATION = 0, FULLY_CONNECTED_WEIGHTS_FORMAT = 1 };
enum { SLIDING_PADDING = 0, SLIDING_STRIDE_WIDTH = 1, SLIDING_STRIDE_HEIGHT = 2 };
enum { CONV_ACTIVATION = 3, CONV_DILATION_WIDTH = 4, CONV_DILATION_HEIGHT = 5 };
enum { DEPTHWISE_MULTIPLIER = 3, DEPTHWISE_ACTIVATION = 4 };
enum { DEPTHWISE_DILATION_WIDTH = 5, DEPTHWISE_DILATION_HEIGHT = 6 };
enum { POOL_FILTER_WIDTH = 3, POOL_FILTER_HEIGHT = 4, POOL_ACTIVATION = 5 };

enum { OPTIONS_CONV = 1, OPTIONS_DEPTHWISE = 2, OPTIONS_POOL = 5, OPTIONS_FULLY_CONNECTED = 8 };

enum { PADDING_SAME = 0, PADDING_VALID = 1 };

/* Checks int8 weights with a scale for the tensor or one for each index of `channel_dimension`. */
static fl_status_t read_weights(fl_builder_t *builder, const fl_node_t *node, uint32_t rank,
                                uint32_t channel_dimension, fl_tensor_t *weights) {
    fl_tflite_t *file = &builder->file;
    FL_RETURN_IF_ERROR(fl_tflite_tensor(file, fl_build_input_index(builder, node, 1), weights));
    if (weights->type != FL_TFLITE_INT8 || weights->data == NULL || weights->scale_count == 0 ||
        weights->zero_point != 0) {
        return FL_REFUSE(file, FL_ERR_UNSUPPORTED,
                         "weights are not constant int8 with scales and zero point 0");
    }
    if (weights->rank != rank) {
        return FL_REFUSE(file, FL_ERR_CORRUPT, "weights have the wrong number of dimensions");
    }
    if (weights->scale_count > 1 && (weights->quantized_dimension != channel_dimension ||
                                     weights->scale_count != weights->dims[channel_dimension])) {
        return FL_REFUSE(file, FL_ERR_CORRUPT, "weights have not one scale for each channel");
    }
    return FL_OK;
}

/*
 * TensorFlow Lite multiplies the two scales of FULLY_CONNECTED with one weight scale as float32,
 * and all others as double.
 */
static bool channel_factor(const fl_operator_t *op, const fl_node_t *node,
                           const fl_tensor_t *weights, uint32_t channel, fl_factor_t *factor) {
    const double output_scale = (double)node->output.scale;
    if (op->code == FL_OP_FULLY_CONNECTED && weights->scale_count == 1) {
        const float product = node->input.scale * weights->scale;
        /* The product of two small floats can be 0, which is no factor. */
        return product > 0.0f && fl_is_finite(product) &&
               fl_factor_of((double)product / output_scale, factor);
    }
    const uint32_t index = weights->scale_count == 1 ? 0 : channel;
    const double weight_scale = (double)fl_read_f32(weights->scales + (size_t)4 * index);
    return fl_factor_of((double)node->input.scale * weight_scale / output_scale, factor);
}

static fl_status_t read_bias(fl_builder_t *builder, const fl_node_t *node, uint32_t count,
                             fl_tensor_t *bias) {
    fl_tflite_t *file = &builder->file;
    *bias = (fl_tensor_t){0};
    const int32_t index = fl_build_input_index(builder, node, 2);
    if (index == -1) {
        return FL_OK;
    }
    FL_RETURN_IF_ERROR(fl_tflite_tensor(file, index, bias));
    if (bias->type != FL_TFLITE_INT32 || bias->data == NULL) {
        return FL_REFUSE(file, FL_ERR_UNSUPPORTED, "a bias is not constant int32");
    }
    if (bias->elements != count) {
        return FL_REFUSE(file, FL_ERR_CORRUPT, "there is not one bias for each channel");
    }
    return FL_OK;
}

/*
 * Fills the channels of an operator. `taps` is the number of products in one sum: a sum that could
 * leave 32 bits is refused, so that the kernels need not look.
 */
static fl_status_t make_channels(fl_builder_t *builder, const fl_node_t *node, fl_operator_t *op,
                                 const fl_tensor_t *weights, uint32_t count, uint64_t taps) {
    fl_tflite_t *file = &builder->file;
    fl_tensor_t bias;
    FL_RETURN_IF_ERROR(read_bias(builder, node, count, &bias));
    /* Several operators may share their weights, so the file's size does not bound the arena. */
    if (builder->channel_count + (uint64_t)count > INT32_MAX / (4 * sizeof(fl_channel_t))) {
        return FL_REFUSE(file, FL_ERR_UNSUPPORTED, "the channels take 512 MiB or more");
    }
    /* |input - zero point| <= 255; |weight| <= 128. */
    const int64_t largest_sum =
        taps > INT32_MAX / (255 * 128) ? INT32_MAX + (int64_t)1 : (int64_t)taps * 255 * 128;
    op->weights = (uint32_t)(weights->data - file->data);
    op->channels = builder->channels + builder->channel_count * (uint32_t)sizeof(fl_channel_t);
    fl_channel_t *channels =
        builder->arena == NULL ? NULL : (void *)(builder->arena + op->channels);
    for (uint32_t i = 0; i < count; ++i) {
        fl_channel_t channel = {0};
        if (bias.data != NULL) {
            channel.bias = (int32_t)fl_read_u32(bias.data + 4 * (size_t)i);
        }
        const int64_t size = channel.bias < 0 ? -(int64_t)channel.bias : channel.bias;
        if (size + largest_sum > INT32_MAX) {
            return FL_REFUSE(file, FL_ERR_UNSUPPORTED, "a sum could leave 32 bits");
        }
        if (!channel_factor(op, node, weights, i, &channel.factor)) {
            return FL_REFUSE(file, FL_ERR_UNSUPPORTED, "scales are too far apart");
        }
        if (channels != NULL) {
            channels[i] = channel;
        }
    }
    builder->channel_count += count;
    return FL_OK;
}

/* One dimension of a sliding filter: output size and padding before. */
static fl_status_t slide_along(fl_tflite_t *file, uint32_t in, uint32_t out, uint32_t filter,
                               int32_t stride, int32_t dilation, uint8_t padding,
                               uint16_t *before) {
    if (stride < 1 || stride > UINT16_MAX || dilation < 1 || dilation > UINT16_MAX) {
        return FL_REFUSE(file, FL_ERR_UNSUPPORTED, "a stride or dilation is not 1 to 65535");
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
        return FL_REFUSE(file, FL_ERR_UNSUPPORTED, "the padding is neither SAME nor VALID");
    }
    if (expected != out) {
        return FL_REFUSE(file, FL_ERR_CORRUPT, "an output has not the size that its filter gives");
    }
    if (total / 2 > UINT16_MAX) {
        return FL_REFUSE(file, FL_ERR_UNSUPPORTED, "a padding is above 65535");
    }
    *before = (uint16_t)(total / 2);
    return FL_OK;
}

/* What a sliding operator says of its filter. */
typedef struct filter {
    uint32_t height, width;
    int32_t dilation_height, dilation_width;
} filter_t;

static fl_status_t set_sliding(fl_builder_t *builder, const fl_node_t *node, fl_operator_t *op,
                               filter_t filter) {
    fl_tflite_t *file = &builder->file;
    const fl_tensor_t *in = &node->input;
    const fl_tensor_t *out = &node->output;
    if (in->rank != 4 || out->rank != 4 || in->dims[0] != out->dims[0]) {
        return FL_REFUSE(file, FL_ERR_CORRUPT, "input and output are not batches of images");
    }
    for (uint32_t i = 1; i < 4; ++i) {
        if (in->dims[i] > UINT16_MAX || out->dims[i] > UINT16_MAX) {
            return FL_REFUSE(file, FL_ERR_UNSUPPORTED, "an image has a dimension above 65535");
        }
    }
    if (filter.height > UINT16_MAX || filter.width > UINT16_MAX) {
        return FL_REFUSE(file, FL_ERR_UNSUPPORTED, "a filter has a dimension above 65535");
    }
    const uint8_t padding = fl_tflite_u8(file, node->options, SLIDING_PADDING, PADDING_SAME);
    const int32_t stride_height = fl_tflite_i32(file, node->options, SLIDING_STRIDE_HEIGHT, 0);
    const int32_t stride_width = fl_tflite_i32(file, node->options, SLIDING_STRIDE_WIDTH, 0);
    uint16_t top = 0;
    uint16_t left = 0;
    FL_RETURN_IF_ERROR(slide_along(file, in->dims[1], out->dims[1], filter.height, stride_height,
                                   filter.dilation_height, padding, &top));
    FL_RETURN_IF_ERROR(slide_along(file, in->dims[2], out->dims[2], filter.width, stride_width,
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

fl_status_t fl_build_conv(fl_builder_t *builder, const fl_node_t *node, fl_operator_t *op) {
    fl_tflite_t *file = &builder->file;
    FL_RETURN_IF_ERROR(fl_build_options(builder, node, OPTIONS_CONV));
    fl_tensor_t weights;
    FL_RETURN_IF_ERROR(read_weights(builder, node, 4, 0, &weights));
    const filter_t filter = {
        .height = weights.dims[1],
        .width = weights.dims[2],
        .dilation_height = fl_tflite_i32(file, node->options, CONV_DILATION_HEIGHT, 1),
        .dilation_width = fl_tflite_i32(file, node->options, CONV_DILATION_WIDTH, 1)};
    FL_RETURN_IF_ERROR(set_sliding(builder, node, op, filter));
    if (weights.dims[0] != node->output.dims[3] || weights.dims[3] != node->input.dims[3]) {
        return FL_REFUSE(file, FL_ERR_CORRUPT, "weights and images have other channels");
    }
    const uint32_t patch = weights.elements / weights.dims[0];
    op->scratch_size = fl_conv_needs_scratch(&op->shape.sliding) ? patch : 0;
    FL_RETURN_IF_ERROR(fl_build_activation(builder, node, op,
                                           fl_tflite_u8(file, node->options, CONV_ACTIVATION, 0)));
    return make_channels(builder, node, op, &weights, weights.dims[0], patch);
}

fl_status_t fl_build_depthwise(fl_builder_t *builder, const fl_node_t *node, fl_operator_t *op) {
    fl_tflite_t *file = &builder->file;
    FL_RETURN_IF_ERROR(fl_build_options(builder, node, OPTIONS_DEPTHWISE));
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
        return FL_REFUSE(file, FL_ERR_CORRUPT, "weights and images have other channels");
    }
    op->shape.sliding.depth_multiplier = (uint16_t)multiplier;
    FL_RETURN_IF_ERROR(fl_build_activation(
        builder, node, op, fl_tflite_u8(file, node->options, DEPTHWISE_ACTIVATION, 0)));
    return make_channels(builder, node, op, &weights, weights.dims[3],
                         (uint64_t)weights.dims[1] * weights.dims[2]);
}

/* A convolution with a filter of one pixel: every row of the input is an image of one pixel. */
fl_status_t fl_build_fully_connected(fl_builder_t *builder, const fl_node_t *node,
                                     fl_operator_t *op) {
    fl_tflite_t *file = &builder->file;
    FL_RETURN_IF_ERROR(fl_build_options(builder, node, OPTIONS_FULLY_CONNECTED));
    if (fl_tflite_u8(file, node->options, FULLY_CONNECTED_WEIGHTS_FORMAT, 0) != 0) {
        return FL_REFUSE(file, FL_ERR_UNSUPPORTED, "weights have a special format");
    }
    fl_tensor_t weights;
    FL_RETURN_IF_ERROR(read_weights(builder, node, 2, 0, &weights));
    const uint32_t units = weights.dims[0];
    const uint32_t depth = weights.dims[1];
    const uint32_t rows = node->input.elements / depth;
    if (node->input.elements % depth != 0 || node->output.elements != (uint64_t)rows * units) {
        return FL_REFUSE(file, FL_ERR_CORRUPT, "weights do not fit input and output");
    }
    if (units > UINT16_MAX || depth > UINT16_MAX) {
        return FL_REFUSE(file, FL_ERR_UNSUPPORTED, "a row has more than 65535 values");
    }
    op->shape.sliding = (fl_sliding_t){.batches = rows,
                                       .in_height = 1,
                                       .in_width = 1,
                                       .in_channels = (uint16_t)depth,
                                       .out_height = 1,
                                       .out_width = 1,
                                       .out_channels = (uint16_t)units,
                                       .filter_height = 1,
                                       .filter_width = 1,
                                       .stride_height = 1,
                                       .stride_width = 1,
                                       .dilation_height = 1,
                                       .dilation_width = 1};
    FL_RETURN_IF_ERROR(fl_build_activation(
        builder, node, op, fl_tflite_u8(file, node->options, FULLY_CONNECTED_ACTIVATION, 0)));
    return make_channels(builder, node, op, &weights, units, depth);
}

fl_status_t fl_build_pool(fl_builder_t *builder, const fl_node_t *node, fl_operator_t *op) {
    fl_tflite_t *file = &builder->file;
    FL_RETURN_IF_ERROR(fl_build_options(builder, node, OPTIONS_POOL));
    const int32_t height = fl_tflite_i32(file, node->options, POOL_FILTER_HEIGHT, 0);
    const int32_t width = fl_tflite_i32(file, node->options, POOL_FILTER_WIDTH, 0);
    if (height < 1 || width < 1) {
        return FL_REFUSE(file, FL_ERR_CORRUPT, "a filter has no size");
    }
    FL_RETURN_IF_ERROR(set_sliding(builder, node, op,
                                   (filter_t){.height = (uint32_t)height,
                                              .width = (uint32_t)width,
                                              .dilation_height = 1,
                                              .dilation_width = 1}));
    if (node->input.dims[3] != node->output.dims[3]) {
        return FL_REFUSE(file, FL_ERR_CORRUPT, "input and output have other channels");
    }
    if (!fl_build_same_quantisation(&node->input, &node->output)) {
        return FL_REFUSE(file, FL_ERR_UNSUPPORTED, "input and output have another quantisation");
    }
    if ((int64_t)height * width > INT32_MAX / 256) {
        return FL_REFUSE(file, FL_ERR_UNSUPPORTED, "a sum could leave 32 bits");
    }
    return fl_build_activation(builder, node, op,
                               fl_tflite_u8(file, node->options, POOL_ACTIVATION, 0));
}
