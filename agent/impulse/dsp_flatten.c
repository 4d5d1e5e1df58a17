/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <stdbool.h>

#include "agent/impulse/dsp_blocks.h"

enum { MOMENTS = 5, SHAPE_MOMENTS = 2 };

/* A sum with Kahan's compensation: its error does not grow with the number of terms. */
typedef struct sum {
    float value;
    float lost;
} sum_t;

static void sum_add(sum_t *sum, float term) {
    const float corrected = term - sum->lost;
    const float value = sum->value + corrected;
    sum->lost = (value - sum->value) - corrected;
    sum->value = value;
}

/* Powers of deviations divided by the standard one: they neither overflow nor vanish. */
static void shape_of(const float *values, uint32_t length, fl_moments_t *moments) {
    moments->skewness = 0.0f;
    moments->kurtosis = 0.0f;
    const float inverse = 1.0f / moments->deviation;
    if (!(moments->deviation > 0.0f) || !fl_is_finite(inverse)) {
        return;
    }
    sum_t cubes = {0};
    sum_t fourths = {0};
    for (uint32_t i = 0; i < length; ++i) {
        const float t = (values[i] - moments->average) * inverse;
        sum_add(&cubes, t * t * t);
        sum_add(&fourths, t * t * (t * t));
    }
    moments->skewness = cubes.value / (float)length;
    moments->kurtosis = fourths.value / (float)length - 3.0f;
}

fl_moments_t fl_moments_of(const float *values, uint32_t length, bool with_shape) {
    fl_moments_t moments = {.minimum = values[0], .maximum = values[0]};
    const float count = (float)length;
    sum_t sum = {0};
    sum_t squares = {0};
    for (uint32_t i = 0; i < length; ++i) {
        const float value = values[i];
        sum_add(&sum, value);
        sum_add(&squares, value * value);
        moments.minimum = value < moments.minimum ? value : moments.minimum;
        moments.maximum = value > moments.maximum ? value : moments.maximum;
    }
    /* A second pass takes out the rounding of the first average, which would show in the deviation
     * of an axis that varies little around a large value. */
    const float estimate = sum.value / count;
    sum_t rest = {0};
    for (uint32_t i = 0; i < length; ++i) {
        sum_add(&rest, values[i] - estimate);
    }
    moments.average = estimate + rest.value / count;
    sum_t deviations = {0};
    for (uint32_t i = 0; i < length; ++i) {
        const float deviation = values[i] - moments.average;
        sum_add(&deviations, deviation * deviation);
    }
    moments.rms = sqrtf(squares.value / count);
    moments.deviation = sqrtf(deviations.value / count);
    if (with_shape) {
        shape_of(values, length, &moments);
    }
    return moments;
}

fl_status_t fl_flatten_check(const fl_dsp_t *dsp, const fieldloop_agent_v1_FlattenBlock *block,
                             fl_block_needs_t *needs) {
    if (!fl_is_finite(block->scale)) {
        return FL_ERR_UNSUPPORTED;
    }
    needs->features_of_axis = MOMENTS + (block->without_shape ? 0 : SHAPE_MOMENTS);
    needs->scratch_values = dsp->config.window.length;
    return FL_OK;
}

void fl_flatten(const fl_axis_t *axis, const fieldloop_agent_v1_FlattenBlock *block,
                float *features, float *scratch) {
    const uint32_t length = axis->dsp->config.window.length;
    const float scale = fl_scale_or_one(block->scale);
    for (uint32_t i = 0; i < length; ++i) {
        scratch[i] = fl_axis_value(axis, i) * scale;
    }
    const fl_moments_t moments = fl_moments_of(scratch, length, !block->without_shape);
    *features++ = moments.average;
    *features++ = moments.minimum;
    *features++ = moments.maximum;
    *features++ = moments.rms;
    *features++ = moments.deviation;
    if (!block->without_shape) {
        *features++ = moments.skewness;
        *features++ = moments.kurtosis;
    }
}
