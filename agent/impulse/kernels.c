/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "agent/impulse/kernels.h"

#include <stddef.h>
#include <string.h>

static int8_t finish(const fl_operator_t *op, int32_t value) {
    return (int8_t)(fl_limit(value, op->low, op->high) + op->output_zero_point);
}

static void fully_connected(const fl_operator_t *op) {
    const fl_rows_t *shape = &op->shape.rows;
    const int8_t *input = op->input;
    int8_t *output = op->output;
    for (uint32_t row = 0; row < shape->rows; ++row) {
        const int8_t *weights = op->weights;
        for (uint32_t unit = 0; unit < shape->units; ++unit) {
            const fl_channel_t *channel = &op->channels[unit];
            int32_t sum = channel->bias;
            for (uint32_t i = 0; i < shape->depth; ++i) {
                sum += (int32_t)input[i] * weights[i];
            }
            *output++ = finish(op, fl_scale_by(sum, channel->factor));
            weights += shape->depth;
        }
        input += shape->depth;
    }
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
    const size_t y = (size_t)(rows.origin + row * s->dilation_height);
    const size_t x = (size_t)(columns.origin + column * s->dilation_width);
    return image + (y * s->in_width + x) * s->in_channels;
}

static void conv_pixel(const fl_operator_t *op, const int8_t *image, span_t rows, span_t columns,
                       int8_t *output) {
    const fl_sliding_t *s = &op->shape.sliding;
    const size_t filter_size = (size_t)s->filter_height * s->filter_width * s->in_channels;
    for (uint32_t out = 0; out < s->out_channels; ++out) {
        const int8_t *filter = op->weights + out * filter_size;
        int32_t sum = op->channels[out].bias;
        for (int32_t row = rows.first; row < rows.end; ++row) {
            for (int32_t column = columns.first; column < columns.end; ++column) {
                const int8_t *values = pixel(s, image, rows, columns, row, column);
                const int8_t *weights =
                    filter + ((size_t)row * s->filter_width + (size_t)column) * s->in_channels;
                for (uint32_t i = 0; i < s->in_channels; ++i) {
                    sum += (values[i] - op->input_zero_point) * weights[i];
                }
            }
        }
        output[out] = finish(op, fl_scale_by(sum, op->channels[out].factor));
    }
}

static void depthwise_pixel(const fl_operator_t *op, const int8_t *image, span_t rows,
                            span_t columns, int8_t *output) {
    const fl_sliding_t *s = &op->shape.sliding;
    for (uint32_t out = 0; out < s->out_channels; ++out) {
        const uint32_t in = out / s->depth_multiplier;
        int32_t sum = op->channels[out].bias;
        for (int32_t row = rows.first; row < rows.end; ++row) {
            for (int32_t column = columns.first; column < columns.end; ++column) {
                const int32_t value = pixel(s, image, rows, columns, row, column)[in];
                const size_t tap = (size_t)row * s->filter_width + (size_t)column;
                sum += (value - op->input_zero_point) * op->weights[tap * s->out_channels + out];
            }
        }
        output[out] = finish(op, fl_scale_by(sum, op->channels[out].factor));
    }
}

/* Input and output have the same quantisation. */
static void average_pixel(const fl_operator_t *op, const int8_t *image, span_t rows, span_t columns,
                          int8_t *output) {
    const fl_sliding_t *s = &op->shape.sliding;
    const int32_t count = (rows.end - rows.first) * (columns.end - columns.first);
    for (uint32_t channel = 0; channel < s->out_channels; ++channel) {
        int32_t sum = 0;
        for (int32_t row = rows.first; row < rows.end; ++row) {
            for (int32_t column = columns.first; column < columns.end; ++column) {
                sum += pixel(s, image, rows, columns, row, column)[channel];
            }
        }
        const int32_t average = sum > 0 ? (sum + count / 2) / count : (sum - count / 2) / count;
        output[channel] = finish(op, average - op->output_zero_point);
    }
}

static void max_pixel(const fl_operator_t *op, const int8_t *image, span_t rows, span_t columns,
                      int8_t *output) {
    const fl_sliding_t *s = &op->shape.sliding;
    for (uint32_t channel = 0; channel < s->out_channels; ++channel) {
        int32_t largest = INT8_MIN;
        for (int32_t row = rows.first; row < rows.end; ++row) {
            for (int32_t column = columns.first; column < columns.end; ++column) {
                const int32_t value = pixel(s, image, rows, columns, row, column)[channel];
                largest = value > largest ? value : largest;
            }
        }
        output[channel] = finish(op, largest - op->output_zero_point);
    }
}

typedef void pixel_function_t(const fl_operator_t *op, const int8_t *image, span_t rows,
                              span_t columns, int8_t *output);

static void slide(const fl_operator_t *op, pixel_function_t *compute) {
    const fl_sliding_t *s = &op->shape.sliding;
    const int8_t *image = op->input;
    int8_t *output = op->output;
    for (uint32_t batch = 0; batch < s->batches; ++batch) {
        for (uint32_t y = 0; y < s->out_height; ++y) {
            for (uint32_t x = 0; x < s->out_width; ++x) {
                compute(op, image, rows_of(s, y), columns_of(s, x), output);
                output += s->out_channels;
            }
        }
        image += (size_t)s->in_height * s->in_width * s->in_channels;
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

static void softmax(const fl_operator_t *op) {
    const fl_rows_t *shape = &op->shape.rows;
    for (uint32_t row = 0; row < shape->rows; ++row) {
        const size_t start = (size_t)row * shape->depth;
        softmax_row(shape, op->input + start, op->output + start);
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

static void logistic(const fl_operator_t *op) {
    const fl_rows_t *shape = &op->shape.rows;
    for (uint32_t i = 0; i < shape->depth; ++i) {
        const int32_t centred = op->input[i] - op->input_zero_point;
        int32_t result = 0;
        if (centred >= shape->radius) {
            result = 255;
        } else if (centred > -shape->radius) {
            const int32_t scaled = fl_scale_by(centred, shape->factor);
            result = fl_rounding_shift_right(logistic_of(scaled), 31 - 8);
        }
        op->output[i] = (int8_t)fl_limit(result - 128, INT8_MIN, INT8_MAX);
    }
}

static void add(const fl_operator_t *op) {
    const fl_sum_t *shape = &op->shape.sum;
    const int32_t unit = (int32_t)1 << FL_ADD_LEFT_SHIFT;
    for (uint32_t i = 0; i < shape->size; ++i) {
        const int32_t input = (op->input[i] - op->input_zero_point) * unit;
        const int32_t other = (op->other[i] - shape->other_zero_point) * unit;
        const int32_t sum =
            fl_scale_by(input, shape->input_factor) + fl_scale_by(other, shape->other_factor);
        op->output[i] = finish(op, fl_scale_by(sum, shape->output_factor));
    }
}

static void quantize(const fl_operator_t *op) {
    const fl_rows_t *shape = &op->shape.rows;
    for (uint32_t i = 0; i < shape->depth; ++i) {
        op->output[i] = finish(op, fl_scale_by(op->input[i] - op->input_zero_point, shape->factor));
    }
}

void fl_operator_run(const fl_operator_t *op) {
    switch (op->code) {
        case FL_OP_ADD: add(op); break;
        case FL_OP_AVERAGE_POOL_2D: slide(op, average_pixel); break;
        case FL_OP_CONV_2D: slide(op, conv_pixel); break;
        case FL_OP_DEPTHWISE_CONV_2D: slide(op, depthwise_pixel); break;
        case FL_OP_FULLY_CONNECTED: fully_connected(op); break;
        case FL_OP_LOGISTIC: logistic(op); break;
        case FL_OP_MAX_POOL_2D: slide(op, max_pixel); break;
        case FL_OP_RESHAPE: memcpy(op->output, op->input, op->shape.rows.depth); break;
        case FL_OP_SOFTMAX: softmax(op); break;
        case FL_OP_QUANTIZE: quantize(op); break;
        default: break; /* Not reached: fl_network_open refuses other codes. */
    }
}
