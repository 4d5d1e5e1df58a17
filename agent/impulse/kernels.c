/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "agent/impulse/kernels.h"

#include <stddef.h>
#include <string.h>

#include "agent/impulse/dot.h"

static const int8_t *values_at(const fl_memory_t *memory, fl_place_t place) {
    const uint8_t *base = (place & FL_PLACE_IN_MODEL) != 0 ? memory->model : memory->arena;
    return (const int8_t *)(base + (place & ~FL_PLACE_IN_MODEL));
}

static int8_t *output_of(const fl_operator_t *op, const fl_memory_t *memory) {
    return (int8_t *)(memory->arena + op->output);
}

static const fl_channel_t *channels_of(const fl_operator_t *op, const fl_memory_t *memory) {
    return (const void *)(memory->arena + op->channels);
}

static int8_t finish(const fl_operator_t *op, int32_t value) {
    return (int8_t)(fl_limit(value, op->low, op->high) + op->output_zero_point);
}

/* The taps of a filter that fall on the image, along one dimension. */
typedef struct span {
    int32_t origin; /* Image position of tap 0; negative in the padding. */
    int32_t first;  /* First tap inside. */
    int32_t end;    /* One past the last tap inside. */
} span_t;

static span_t span_of(uint32_t out, uint32_t stride, uint32_t pad, uint32_t dilation, uint32_t taps,
                      uint32_t size) {
    span_t span = {.origin = (int32_t)(out * stride) - (int32_t)pad, .end = (int32_t)taps};
    const int32_t step = (int32_t)dilation;
    if (span.origin < 0) {
        span.first = (-span.origin + step - 1) / step;
    }
    const int32_t room = (int32_t)size - span.origin;
    const int32_t inside = room <= 0 ? 0 : (room + step - 1) / step;
    if (inside < span.end) {
        span.end = inside;
    }
    return span;
}

static span_t rows_of(const fl_sliding_t *s, uint32_t y) {
    return span_of(y, s->stride_height, s->pad_top, s->dilation_height, s->filter_height,
                   s->in_height);
}

static span_t columns_of(const fl_sliding_t *s, uint32_t x) {
    return span_of(x, s->stride_width, s->pad_left, s->dilation_width, s->filter_width,
                   s->in_width);
}

/* Values of the image at a tap. */
static const int8_t *pixel(const fl_sliding_t *s, const int8_t *image, span_t rows, span_t columns,
                           int32_t row, int32_t column) {
    const int32_t y = rows.origin + row * s->dilation_height;
    const int32_t x = columns.origin + column * s->dilation_width;
    return image + ((size_t)y * s->in_width + (size_t)x) * s->in_channels;
}

/* Says whether the pixels of a whole filter follow each other in the image. */
static bool is_contiguous(const fl_sliding_t *s) {
    const bool one_row = s->filter_height == 1;
    const bool whole_rows = s->dilation_height == 1 && s->filter_width == s->in_width;
    return (s->filter_width == 1 || s->dilation_width == 1) && (one_row || whole_rows);
}

static bool is_whole(span_t span, uint32_t taps) {
    return span.first == 0 && span.end == (int32_t)taps;
}

bool fl_conv_needs_scratch(const fl_sliding_t *s) {
    return !is_contiguous(s) || !is_whole(rows_of(s, 0), s->filter_height) ||
           !is_whole(columns_of(s, 0), s->filter_width) ||
           !is_whole(rows_of(s, s->out_height - 1u), s->filter_height) ||
           !is_whole(columns_of(s, s->out_width - 1u), s->filter_width);
}

/* Copies what is under the filter; beside the image there is the zero point, which adds nothing. */
static void gather(const fl_operator_t *op, const int8_t *image, span_t rows, span_t columns,
                   int8_t *patch) {
    const fl_sliding_t *s = &op->shape.sliding;
    const size_t size = s->in_channels;
    const size_t row_size = s->filter_width * size;
    memset(patch, op->input_zero_point, s->filter_height * row_size);
    for (int32_t row = rows.first; row < rows.end; ++row) {
        int8_t *target = patch + (size_t)row * row_size + (size_t)columns.first * size;
        const int8_t *source = pixel(s, image, rows, columns, row, columns.first);
        if (s->dilation_width == 1) {
            memcpy(target, source, (size_t)(columns.end - columns.first) * size);
            continue;
        }
        for (int32_t column = columns.first; column < columns.end; ++column) {
            memcpy(target, source, size);
            target += size;
            source += s->dilation_width * size;
        }
    }
}

/* All output channels of one pixel, from the values under the filter. */
static void conv_pixel(const fl_operator_t *op, const fl_memory_t *memory, const int8_t *patch,
                       int8_t *output) {
    const fl_sliding_t *s = &op->shape.sliding;
    const uint32_t size = (uint32_t)s->filter_height * s->filter_width * s->in_channels;
    const int32_t offset = -op->input_zero_point;
    const int8_t *weights = (const int8_t *)memory->model + op->weights;
    const fl_channel_t *channel = channels_of(op, memory);
    const fl_channel_t *end = channel + s->out_channels;
    for (; end - channel >= FL_DOT_FILTERS; channel += FL_DOT_FILTERS) {
        int32_t sums[FL_DOT_FILTERS] = {channel[0].bias, channel[1].bias};
        fl_dot_filters(patch, weights, size, offset, sums);
        *output++ = finish(op, fl_scale_by(sums[0], channel[0].factor));
        *output++ = finish(op, fl_scale_by(sums[1], channel[1].factor));
        weights += (size_t)FL_DOT_FILTERS * size;
    }
    for (; channel < end; ++channel) {
        const int32_t sum = fl_dot(patch, weights, size, offset, channel->bias);
        *output++ = finish(op, fl_scale_by(sum, channel->factor));
        weights += size;
    }
}

static void conv_window(const fl_operator_t *op, const fl_memory_t *memory, const int8_t *image,
                        span_t rows, span_t columns, int8_t *output) {
    const fl_sliding_t *s = &op->shape.sliding;
    if (is_contiguous(s) && is_whole(rows, s->filter_height) &&
        is_whole(columns, s->filter_width)) {
        conv_pixel(op, memory, pixel(s, image, rows, columns, 0, 0), output);
        return;
    }
    gather(op, image, rows, columns, memory->scratch);
    conv_pixel(op, memory, memory->scratch, output);
}

/* One output channel, `values` and `weights` at the first tap inside. */
static int32_t depthwise_sum(const fl_operator_t *op, const int8_t *values, const int8_t *weights,
                             span_t rows, span_t columns, int32_t sum) {
    const fl_sliding_t *s = &op->shape.sliding;
    const size_t row_step = (size_t)s->dilation_height * s->in_width * s->in_channels;
    const size_t column_step = (size_t)s->dilation_width * s->in_channels;
    const size_t weights_step = (size_t)s->filter_width * s->out_channels;
    const int32_t count = columns.end - columns.first;
    for (int32_t row = rows.first; row < rows.end; ++row) {
        const int8_t *value = values;
        const int8_t *weight = weights;
        for (int32_t i = 0; i < count; ++i) {
            sum += (*value - op->input_zero_point) * *weight;
            value += column_step;
            weight += s->out_channels;
        }
        values += row_step;
        weights += weights_step;
    }
    return sum;
}

/* FL_DOT_CHANNELS channels at a time, as many as there are whole groups; returns how many. */
static uint32_t depthwise_groups(const fl_operator_t *op, const fl_channel_t *channels,
                                 const int8_t *values, const int8_t *weights, span_t rows,
                                 span_t columns, int8_t *output) {
    const fl_sliding_t *s = &op->shape.sliding;
    const size_t row_step = (size_t)s->dilation_height * s->in_width * s->in_channels;
    const uint32_t column_step = (uint32_t)s->dilation_width * s->in_channels;
    const size_t weights_step = (size_t)s->filter_width * s->out_channels;
    uint32_t done = 0;
    for (; done + FL_DOT_CHANNELS <= s->out_channels; done += FL_DOT_CHANNELS) {
        int32_t sums[FL_DOT_CHANNELS];
        for (uint32_t i = 0; i < FL_DOT_CHANNELS; ++i) {
            sums[i] = channels[done + i].bias;
        }
        const int8_t *value = values + done;
        const int8_t *weight = weights + done;
        for (int32_t row = rows.first; row < rows.end; ++row) {
            fl_dot_channels(value, column_step, weight, s->out_channels,
                            (uint32_t)(columns.end - columns.first), -op->input_zero_point, sums);
            value += row_step;
            weight += weights_step;
        }
        for (uint32_t i = 0; i < FL_DOT_CHANNELS; ++i) {
            output[done + i] = finish(op, fl_scale_by(sums[i], channels[done + i].factor));
        }
    }
    return done;
}

static void depthwise_window(const fl_operator_t *op, const fl_memory_t *memory,
                             const int8_t *image, span_t rows, span_t columns, int8_t *output) {
    const fl_sliding_t *s = &op->shape.sliding;
    const fl_channel_t *channels = channels_of(op, memory);
    const int8_t *values = pixel(s, image, rows, columns, rows.first, columns.first);
    const size_t first_tap = (size_t)rows.first * s->filter_width + (size_t)columns.first;
    const int8_t *weights =
        (const int8_t *)memory->model + op->weights + first_tap * s->out_channels;
    uint32_t out = 0;
    if (s->depth_multiplier == 1) {
        out = depthwise_groups(op, channels, values, weights, rows, columns, output);
    }
    for (; out < s->out_channels; ++out) {
        const int8_t *value = values + out / s->depth_multiplier;
        const int32_t sum =
            depthwise_sum(op, value, weights + out, rows, columns, channels[out].bias);
        output[out] = finish(op, fl_scale_by(sum, channels[out].factor));
    }
}

/* Input and output have the same quantisation. */
static void average_window(const fl_operator_t *op, const fl_memory_t *memory, const int8_t *image,
                           span_t rows, span_t columns, int8_t *output) {
    (void)memory;
    const fl_sliding_t *s = &op->shape.sliding;
    const int32_t count = (rows.end - rows.first) * (columns.end - columns.first);
    for (uint32_t channel = 0; channel < s->out_channels; ++channel) {
        int32_t sum = 0;
        for (int32_t row = rows.first; row < rows.end; ++row) {
            const int8_t *value = pixel(s, image, rows, columns, row, columns.first) + channel;
            for (int32_t column = columns.first; column < columns.end; ++column) {
                sum += *value;
                value += s->in_channels;
            }
        }
        /* NOLINTNEXTLINE(clang-analyzer-core.*): a window always holds a pixel. */
        const int32_t average = sum > 0 ? (sum + count / 2) / count : (sum - count / 2) / count;
        output[channel] = finish(op, average - op->output_zero_point);
    }
}

static void max_window(const fl_operator_t *op, const fl_memory_t *memory, const int8_t *image,
                       span_t rows, span_t columns, int8_t *output) {
    (void)memory;
    const fl_sliding_t *s = &op->shape.sliding;
    for (uint32_t channel = 0; channel < s->out_channels; ++channel) {
        int32_t largest = INT8_MIN;
        for (int32_t row = rows.first; row < rows.end; ++row) {
            const int8_t *value = pixel(s, image, rows, columns, row, columns.first) + channel;
            for (int32_t column = columns.first; column < columns.end; ++column) {
                largest = *value > largest ? *value : largest;
                value += s->in_channels;
            }
        }
        output[channel] = finish(op, largest - op->output_zero_point);
    }
}

/* Computes all channels of one output pixel. */
typedef void window_function_t(const fl_operator_t *op, const fl_memory_t *memory,
                               const int8_t *image, span_t rows, span_t columns, int8_t *output);

static void slide(const fl_operator_t *op, const fl_memory_t *memory, window_function_t *compute) {
    const fl_sliding_t *s = &op->shape.sliding;
    const int8_t *image = values_at(memory, op->input);
    int8_t *output = output_of(op, memory);
    for (uint32_t batch = 0; batch < s->batches; ++batch) {
        for (uint32_t y = 0; y < s->out_height; ++y) {
            const span_t rows = rows_of(s, y);
            for (uint32_t x = 0; x < s->out_width; ++x) {
                compute(op, memory, image, rows, columns_of(s, x), output);
                output += s->out_channels;
            }
        }
        image += (size_t)s->in_height * s->in_width * s->in_channels;
    }
}

/* Every row is an image of one pixel. */
static void fully_connected(const fl_operator_t *op, const fl_memory_t *memory) {
    const fl_sliding_t *s = &op->shape.sliding;
    const int8_t *input = values_at(memory, op->input);
    int8_t *output = output_of(op, memory);
    for (uint32_t row = 0; row < s->batches; ++row) {
        conv_pixel(op, memory, input, output);
        input += s->in_channels;
        output += s->out_channels;
    }
}

static int32_t leading_zeros(uint32_t x) {
    int32_t count = 0;
    for (uint32_t bit = 0x80000000u; bit != 0 && (x & bit) == 0; bit >>= 1) {
        ++count;
    }
    return count;
}

/* Differences to the largest input are Q5.26, their exponentials Q0.31, the sum of these Q12.19. */
static void softmax_row(const fl_rows_t *shape, const int8_t *input, int8_t *output) {
    int32_t largest = INT8_MIN;
    for (uint32_t i = 0; i < shape->depth; ++i) {
        largest = input[i] > largest ? input[i] : largest;
    }
    int32_t sum = 0;
    for (uint32_t i = 0; i < shape->depth; ++i) {
        const int32_t difference = input[i] - largest;
        if (difference >= -shape->radius) {
            const int32_t scaled = fl_scale_by(difference, shape->factor);
            sum += fl_rounding_shift_right(fl_exp_of_negative(scaled, FL_SOFTMAX_INTEGER_BITS), 12);
        }
    }
    /* sum = (1 + a) * 2^(12 - zeros) with a in [0, 1). */
    const int32_t zeros = leading_zeros((uint32_t)sum);
    const int32_t a = (int32_t)(((uint32_t)sum << zeros) - 0x80000000u);
    const int32_t reciprocal = fl_one_over_one_plus(a);
    const int32_t shift = 12 - zeros + 31 - 8;
    for (uint32_t i = 0; i < shape->depth; ++i) {
        const int32_t difference = input[i] - largest;
        int32_t probability = 0;
        if (difference >= -shape->radius) {
            const int32_t scaled = fl_scale_by(difference, shape->factor);
            const int32_t exponential = fl_exp_of_negative(scaled, FL_SOFTMAX_INTEGER_BITS);
            probability = fl_rounding_shift_right(fl_high_mul(reciprocal, exponential), shift);
        }
        output[i] = (int8_t)fl_limit(probability - 128, INT8_MIN, INT8_MAX);
    }
}

static void softmax(const fl_operator_t *op, const fl_memory_t *memory) {
    const fl_rows_t *shape = &op->shape.rows;
    const int8_t *input = values_at(memory, op->input);
    int8_t *output = output_of(op, memory);
    for (uint32_t row = 0; row < shape->rows; ++row) {
        softmax_row(shape, input, output);
        input += shape->depth;
        output += shape->depth;
    }
}

/* 1 / (1 + e^-x), x in Q4.27, from the non-negative side: s(-x) = 1 - s(x). */
static int32_t logistic_of(int32_t x) {
    if (x == 0) {
        return (int32_t)1 << 30;
    }
    const int32_t positive =
        fl_one_over_one_plus(fl_exp_of_negative(x > 0 ? -x : x, FL_LOGISTIC_INTEGER_BITS));
    return x > 0 ? positive : INT32_MAX - positive;
}

static void logistic(const fl_operator_t *op, const fl_memory_t *memory) {
    const fl_rows_t *shape = &op->shape.rows;
    const int8_t *input = values_at(memory, op->input);
    int8_t *output = output_of(op, memory);
    for (uint32_t i = 0; i < shape->depth; ++i) {
        const int32_t centred = input[i] - op->input_zero_point;
        int32_t result = 0;
        if (centred >= shape->radius) {
            result = 255;
        } else if (centred > -shape->radius) {
            const int32_t scaled = fl_scale_by(centred, shape->factor);
            result = fl_rounding_shift_right(logistic_of(scaled), 31 - 8);
        }
        output[i] = (int8_t)fl_limit(result - 128, INT8_MIN, INT8_MAX);
    }
}

/* Computes `count` values; a step of 0 repeats the one value of an operand. */
typedef void pair_function_t(const fl_operator_t *op, const int8_t *input, uint32_t input_step,
                             const int8_t *other, uint32_t other_step, uint32_t count,
                             int8_t *output);

static void add(const fl_operator_t *op, const int8_t *input, uint32_t input_step,
                const int8_t *other, uint32_t other_step, uint32_t count, int8_t *output) {
    const fl_pair_t *shape = &op->shape.pair;
    const int32_t unit = (int32_t)1 << FL_ADD_LEFT_SHIFT;
    for (uint32_t i = 0; i < count; ++i) {
        const int32_t a = (*input - op->input_zero_point) * unit;
        const int32_t b = (*other - shape->other_zero_point) * unit;
        const int32_t sum =
            fl_scale_by(a, shape->input_factor) + fl_scale_by(b, shape->other_factor);
        output[i] = finish(op, fl_scale_by(sum, shape->output_factor));
        input += input_step;
        other += other_step;
    }
}

static void mul(const fl_operator_t *op, const int8_t *input, uint32_t input_step,
                const int8_t *other, uint32_t other_step, uint32_t count, int8_t *output) {
    const fl_pair_t *shape = &op->shape.pair;
    for (uint32_t i = 0; i < count; ++i) {
        const int32_t product =
            (*input - op->input_zero_point) * (*other - shape->other_zero_point);
        output[i] = finish(op, fl_scale_by(product, shape->output_factor));
        input += input_step;
        other += other_step;
    }
}

/* Steps of an operand along four dimensions, 0 where it is repeated. */
static void pair_steps(const uint32_t dims[4], uint8_t repeats, uint32_t steps[4]) {
    uint32_t step = 1;
    for (uint32_t i = 4; i-- > 0;) {
        const bool repeated = (repeats & 1u << i) != 0;
        steps[i] = repeated ? 0 : step;
        step *= repeated ? 1 : dims[i];
    }
}

static size_t step_to(const uint32_t steps[4], uint32_t i, uint32_t j, uint32_t k) {
    return (size_t)i * steps[0] + (size_t)j * steps[1] + (size_t)k * steps[2];
}

static void run_pair(const fl_operator_t *op, const fl_memory_t *memory, pair_function_t *compute) {
    const fl_pair_t *shape = &op->shape.pair;
    const uint32_t *dims = shape->dims;
    const int8_t *input = values_at(memory, op->input);
    const int8_t *other = values_at(memory, op->other);
    int8_t *output = output_of(op, memory);
    uint32_t a[4];
    uint32_t b[4];
    pair_steps(dims, shape->input_repeats, a);
    pair_steps(dims, shape->other_repeats, b);
    for (uint32_t i = 0; i < dims[0]; ++i) {
        for (uint32_t j = 0; j < dims[1]; ++j) {
            for (uint32_t k = 0; k < dims[2]; ++k) {
                compute(op, input + step_to(a, i, j, k), a[3], other + step_to(b, i, j, k), b[3],
                        dims[3], output);
                output += dims[3];
            }
        }
    }
}

/* Sum over the reduced dimensions of what lies at `input`. */
static int32_t sum_over(const uint32_t inner[4], const uint32_t steps[4], const int8_t *input) {
    int32_t sum = 0;
    for (uint32_t i = 0; i < inner[0]; ++i) {
        for (uint32_t j = 0; j < inner[1]; ++j) {
            for (uint32_t k = 0; k < inner[2]; ++k) {
                const int8_t *value = input + step_to(steps, i, j, k);
                for (uint32_t l = 0; l < inner[3]; ++l) {
                    sum += value[l];
                }
            }
        }
    }
    return sum;
}

static void mean(const fl_operator_t *op, const fl_memory_t *memory) {
    const fl_mean_t *shape = &op->shape.mean;
    const int8_t *input = values_at(memory, op->input);
    int8_t *output = output_of(op, memory);
    uint32_t outer[4];
    uint32_t inner[4];
    uint32_t steps[4];
    pair_steps(shape->dims, 0, steps);
    for (uint32_t i = 0; i < 4; ++i) {
        const bool reduced = (shape->reduced & 1u << i) != 0;
        outer[i] = reduced ? 1 : shape->dims[i];
        inner[i] = reduced ? shape->dims[i] : 1;
    }
    const int32_t zero = op->input_zero_point * shape->count;
    for (uint32_t i = 0; i < outer[0]; ++i) {
        for (uint32_t j = 0; j < outer[1]; ++j) {
            for (uint32_t k = 0; k < outer[2]; ++k) {
                const int8_t *value = input + step_to(steps, i, j, k);
                for (uint32_t l = 0; l < outer[3]; ++l) {
                    const int32_t sum = sum_over(inner, steps, value + l);
                    *output++ = finish(op, fl_scale_by(sum - zero, shape->factor));
                }
            }
        }
    }
}

static void pad(const fl_operator_t *op, const fl_memory_t *memory) {
    const fl_pad_t *s = &op->shape.pad;
    const int8_t *input = values_at(memory, op->input);
    int8_t *output = output_of(op, memory);
    memset(output, op->output_zero_point, (size_t)s->out[0] * s->out[1] * s->out[2] * s->out[3]);
    for (uint32_t i = 0; i < s->in[0]; ++i) {
        for (uint32_t j = 0; j < s->in[1]; ++j) {
            for (uint32_t k = 0; k < s->in[2]; ++k) {
                const size_t row =
                    ((size_t)(i + s->before[0]) * s->out[1] + j + s->before[1]) * s->out[2] + k +
                    s->before[2];
                memcpy(output + row * s->out[3] + s->before[3], input, s->in[3]);
                input += s->in[3];
            }
        }
    }
}

static void copy(const fl_operator_t *op, const fl_memory_t *memory) {
    const fl_copy_t *shape = &op->shape.copy;
    const int8_t *input = values_at(memory, op->input);
    int8_t *output = output_of(op, memory);
    for (uint32_t row = 0; row < shape->rows; ++row) {
        memcpy(output, input, shape->size);
        input += shape->size;
        output += shape->output_stride;
    }
}

static void quantize(const fl_operator_t *op, const fl_memory_t *memory) {
    const fl_rows_t *shape = &op->shape.rows;
    const int8_t *input = values_at(memory, op->input);
    int8_t *output = output_of(op, memory);
    for (uint32_t i = 0; i < shape->depth; ++i) {
        output[i] = finish(op, fl_scale_by(input[i] - op->input_zero_point, shape->factor));
    }
}

void fl_operator_run(const fl_operator_t *op, const fl_memory_t *memory) {
    switch (op->code) {
        case FL_OP_ADD: run_pair(op, memory, add); break;
        case FL_OP_AVERAGE_POOL_2D: slide(op, memory, average_window); break;
        case FL_OP_CONV_2D: slide(op, memory, conv_window); break;
        case FL_OP_DEPTHWISE_CONV_2D: slide(op, memory, depthwise_window); break;
        case FL_OP_FULLY_CONNECTED: fully_connected(op, memory); break;
        case FL_OP_LOGISTIC: logistic(op, memory); break;
        case FL_OP_MAX_POOL_2D: slide(op, memory, max_window); break;
        case FL_OP_MEAN: mean(op, memory); break;
        case FL_OP_MUL: run_pair(op, memory, mul); break;
        case FL_OP_PAD: pad(op, memory); break;
        case FL_OP_QUANTIZE: quantize(op, memory); break;
        case FL_OP_RESHAPE: copy(op, memory); break;
        case FL_OP_SOFTMAX: softmax(op, memory); break;
        default: break; /* Not reached: the builder refuses other codes. */
    }
}
