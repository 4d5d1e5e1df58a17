/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/**
 * @file
 * @brief The blocks of the signal processing, each over one axis of a window. Internal to
 * agent/impulse.
 *
 * A block has two functions: one checks its parameters once, when the metadata is opened, and says
 * what it needs; the other computes. The latter trusts the former.
 */
#ifndef FIELDLOOP_AGENT_IMPULSE_DSP_BLOCKS_H
#define FIELDLOOP_AGENT_IMPULSE_DSP_BLOCKS_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "agent/impulse/dsp.h"
#include "agent/impulse/tflite.h"

/** What a block needs. */
typedef struct fl_block_needs {
    uint32_t features_of_axis;
    uint32_t scratch_values; /**< Values of 4 bytes, used for one axis after the other. */
} fl_block_needs_t;

/** One axis of a window: a sensor's, or a magnitude. */
typedef struct fl_axis {
    const fl_dsp_t *dsp;
    fl_window_t window;
    uint32_t index; /**< Below dsp->block_axes. */
} fl_axis_t;

/** A value of a window; `index` counts the axes within a reading. */
static inline float fl_window_value(const fl_window_t *window, size_t index) {
    if (!window->is_int16) {
        return fl_read_f32(window->values + sizeof(float) * index);
    }
    int16_t value;
    memcpy(&value, window->values + sizeof value * index, sizeof value);
    return (float)value;
}

/** Value of the axis in a reading. */
static inline float fl_axis_value(const fl_axis_t *axis, uint32_t reading) {
    const fl_dsp_t *dsp = axis->dsp;
    const size_t first = (size_t)reading * dsp->window_axes;
    if (axis->index < dsp->window_axes) {
        return fl_window_value(&axis->window, first + axis->index);
    }
    const fieldloop_agent_v1_MagnitudeAxis *group =
        &dsp->config.magnitudes[axis->index - dsp->window_axes];
    float squares = 0.0f;
    for (uint32_t i = 0; i < group->count; ++i) {
        const float value = fl_window_value(&axis->window, first + group->first_axis + i);
        squares += value * value;
    }
    return sqrtf(squares);
}

/** A scale as the messages give it: 0 stands for 1. */
static inline float fl_scale_or_one(float scale) {
    return scale == 0.0f ? 1.0f : scale;
}

/** ln(max(energy, 1e-10)); NaN if the energy is not finite. */
float fl_log_energy(float energy);

/* --- dsp_flatten.c --- */

/** Moments of an axis. Skewness and excess kurtosis of an axis that does not vary are 0. */
typedef struct fl_moments {
    float average;
    float minimum;
    float maximum;
    float rms;
    float deviation;
    float skewness;
    float kurtosis;
} fl_moments_t;

/** Moments of `length` values, at least 1; without `with_shape` the last two are left out. */
fl_moments_t fl_moments_of(const float *values, uint32_t length, bool with_shape);

fl_status_t fl_flatten_check(const fl_dsp_t *dsp, const fieldloop_agent_v1_FlattenBlock *block,
                             fl_block_needs_t *needs);
void fl_flatten(const fl_axis_t *axis, const fieldloop_agent_v1_FlattenBlock *block,
                float *features, float *scratch);

/* --- dsp_spectral.c --- */

fl_status_t fl_spectral_check(const fl_dsp_t *dsp, const fieldloop_agent_v1_SpectralBlock *block,
                              fl_block_needs_t *needs);
void fl_spectral(const fl_axis_t *axis, const fieldloop_agent_v1_SpectralBlock *block,
                 float *features, float *scratch);

/* --- dsp_mel.c --- */

fl_status_t fl_mfe_check(const fl_dsp_t *dsp, const fieldloop_agent_v1_MfeBlock *block,
                         fl_block_needs_t *needs);
void fl_mfe(const fl_axis_t *axis, const fieldloop_agent_v1_MfeBlock *block, float *features,
            float *scratch);
fl_status_t fl_mfcc_check(const fl_dsp_t *dsp, const fieldloop_agent_v1_MfccBlock *block,
                          fl_block_needs_t *needs);
void fl_mfcc(const fl_axis_t *axis, const fieldloop_agent_v1_MfccBlock *block, float *features,
             float *scratch);

#endif
