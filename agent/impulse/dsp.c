/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "agent/impulse/dsp.h"

#include <pb_decode.h>
#include <stdbool.h>

#include "agent/impulse/dsp_blocks.h"
#include "agent/impulse/float_math.h"
#include "agent/impulse/metadata.h"
#include "agent/impulse/tflite.h"

enum { FORMAT = 1, MAX_WINDOW_LENGTH = 65535 };

static bool is_positive(float value) {
    return fl_is_finite(value) && value > 0.0f;
}

float fl_log_energy(float energy) {
    const float smallest = 1e-10f;
    if (energy <= smallest) {
        return fl_ln(smallest);
    }
    return fl_is_finite(energy) ? fl_ln(energy) : energy - energy;
}

static fl_status_t raw_check(const fl_dsp_t *dsp, const fieldloop_agent_v1_RawBlock *block,
                             fl_block_needs_t *needs) {
    needs->features_of_axis = dsp->config.window.length;
    needs->scratch_values = 0;
    return fl_is_finite(block->scale) ? FL_OK : FL_ERR_UNSUPPORTED;
}

/* FL_ERR_UNSUPPORTED for a block that is none of those that this build computes. */
static fl_status_t check_block(const fl_dsp_t *dsp, const fieldloop_agent_v1_DspBlock *block,
                               fl_block_needs_t *needs) {
    switch (block->which_block) {
        case fieldloop_agent_v1_DspBlock_raw_tag: return raw_check(dsp, &block->block.raw, needs);
        case fieldloop_agent_v1_DspBlock_flatten_tag:
            return fl_flatten_check(dsp, &block->block.flatten, needs);
        case fieldloop_agent_v1_DspBlock_spectral_tag:
            return fl_spectral_check(dsp, &block->block.spectral, needs);
        case fieldloop_agent_v1_DspBlock_mfe_tag:
            return fl_mfe_check(dsp, &block->block.mfe, needs);
        case fieldloop_agent_v1_DspBlock_mfcc_tag:
            return fl_mfcc_check(dsp, &block->block.mfcc, needs);
        default: return FL_ERR_UNSUPPORTED;
    }
}

static fl_status_t check_window(fl_dsp_t *dsp) {
    const fieldloop_agent_v1_Impulse *config = &dsp->config;
    const fieldloop_agent_v1_Window *window = &config->window;
    if (!config->has_window || window->length < 1 || window->length > MAX_WINDOW_LENGTH ||
        window->stride < 1 || window->stride > window->length ||
        !is_positive(window->frequency_hz) || window->axes_count < 1) {
        return FL_ERR_UNSUPPORTED;
    }
    dsp->window_axes = window->axes_count;
    dsp->block_axes = dsp->window_axes + config->magnitudes_count;
    for (uint32_t i = 0; i < config->magnitudes_count; ++i) {
        const fieldloop_agent_v1_MagnitudeAxis *group = &config->magnitudes[i];
        if (group->count < 2 || group->count > 3 || group->first_axis >= dsp->window_axes ||
            group->count > dsp->window_axes - group->first_axis) {
            return FL_ERR_UNSUPPORTED;
        }
    }
    return FL_OK;
}

static fl_status_t check_blocks(fl_dsp_t *dsp) {
    const fieldloop_agent_v1_Impulse *config = &dsp->config;
    if (config->blocks_count < 1) {
        return FL_ERR_UNSUPPORTED;
    }
    for (uint32_t i = 0; i < config->blocks_count; ++i) {
        fl_block_needs_t needs = {0};
        FL_RETURN_IF_ERROR(check_block(dsp, &config->blocks[i], &needs));
        dsp->feature_count += needs.features_of_axis * dsp->block_axes;
        const size_t scratch_size = sizeof(float) * (size_t)needs.scratch_values;
        dsp->scratch_size = scratch_size > dsp->scratch_size ? scratch_size : dsp->scratch_size;
    }
    return FL_OK;
}

static fl_status_t open_standardisation(fl_dsp_t *dsp, fl_span_t metadata) {
    if (!dsp->config.has_standardisation) {
        return FL_OK;
    }
    fl_span_t message;
    fl_span_t mean;
    fl_span_t inverse;
    FL_RETURN_IF_ERROR(
        fl_metadata_field(metadata, fieldloop_agent_v1_Impulse_standardisation_tag, &message));
    FL_RETURN_IF_ERROR(fl_metadata_field(message, FL_METADATA_MEAN_TAG, &mean));
    FL_RETURN_IF_ERROR(fl_metadata_field(message, FL_METADATA_INVERSE_DEVIATION_TAG, &inverse));
    const size_t size = (size_t)dsp->feature_count * sizeof(float);
    if (mean.size != size || inverse.size != size ||
        !is_positive(dsp->config.standardisation.clip)) {
        return FL_ERR_UNSUPPORTED;
    }
    for (uint32_t i = 0; i < dsp->feature_count; ++i) {
        if (!fl_is_finite(fl_read_f32(mean.data + 4 * (size_t)i)) ||
            !is_positive(fl_read_f32(inverse.data + 4 * (size_t)i))) {
            return FL_ERR_UNSUPPORTED;
        }
    }
    dsp->mean = mean.data;
    dsp->inverse_deviation = inverse.data;
    return FL_OK;
}

fl_status_t fl_dsp_open(fl_dsp_t *dsp, const uint8_t *metadata, size_t size) {
    *dsp = (fl_dsp_t){.config = fieldloop_agent_v1_Impulse_init_zero};
    pb_istream_t stream = pb_istream_from_buffer(metadata, size);
    if (!pb_decode(&stream, fieldloop_agent_v1_Impulse_fields, &dsp->config)) {
        return FL_ERR_CORRUPT;
    }
    if (dsp->config.format != FORMAT) {
        return FL_ERR_UNSUPPORTED;
    }
    FL_RETURN_IF_ERROR(check_window(dsp));
    FL_RETURN_IF_ERROR(check_blocks(dsp));
    return open_standardisation(dsp, (fl_span_t){metadata, size});
}

static void raw(const fl_dsp_t *dsp, const fieldloop_agent_v1_RawBlock *block, fl_window_t window,
                float *features) {
    const float scale = fl_scale_or_one(block->scale);
    for (uint32_t i = 0; i < dsp->config.window.length; ++i) {
        for (uint32_t index = 0; index < dsp->block_axes; ++index) {
            const fl_axis_t axis = {dsp, window, index};
            *features++ = fl_axis_value(&axis, i) * scale;
        }
    }
}

static void axis_features(const fl_axis_t *axis, const fieldloop_agent_v1_DspBlock *block,
                          float *features, float *scratch) {
    switch (block->which_block) {
        case fieldloop_agent_v1_DspBlock_flatten_tag:
            fl_flatten(axis, &block->block.flatten, features, scratch);
            break;
        case fieldloop_agent_v1_DspBlock_spectral_tag:
            fl_spectral(axis, &block->block.spectral, features, scratch);
            break;
        case fieldloop_agent_v1_DspBlock_mfe_tag:
            fl_mfe(axis, &block->block.mfe, features, scratch);
            break;
        default: fl_mfcc(axis, &block->block.mfcc, features, scratch); break;
    }
}

/* Features of a block; returns where those of the next begin. */
static float *block_features(const fl_dsp_t *dsp, const fieldloop_agent_v1_DspBlock *block,
                             fl_window_t window, float *features, float *scratch) {
    fl_block_needs_t needs = {0};
    (void)check_block(dsp, block, &needs); /* Passed when the metadata was opened. */
    if (block->which_block == fieldloop_agent_v1_DspBlock_raw_tag) {
        raw(dsp, &block->block.raw, window, features);
    } else {
        for (uint32_t index = 0; index < dsp->block_axes; ++index) {
            const fl_axis_t axis = {dsp, window, index};
            axis_features(&axis, block, features + (size_t)index * needs.features_of_axis, scratch);
        }
    }
    return features + (size_t)dsp->block_axes * needs.features_of_axis;
}

fl_status_t fl_dsp_features_of(const fl_dsp_t *dsp, fl_window_t window, float *features,
                               uint8_t *scratch) {
    const size_t window_values = (size_t)dsp->config.window.length * dsp->window_axes;
    for (size_t i = 0; i < window_values; ++i) {
        if (!fl_is_finite(fl_window_value(&window, i))) {
            return FL_ERR_ARG;
        }
    }
    float *next = features;
    for (uint32_t i = 0; i < dsp->config.blocks_count; ++i) {
        next = block_features(dsp, &dsp->config.blocks[i], window, next, (float *)(void *)scratch);
    }
    for (uint32_t i = 0; i < dsp->feature_count; ++i) {
        if (!fl_is_finite(features[i])) {
            return FL_ERR_ARG;
        }
    }
    return FL_OK;
}

fl_status_t fl_dsp_features(const fl_dsp_t *dsp, const float *window, float *features,
                            uint8_t *scratch) {
    const fl_window_t values = {.values = (const uint8_t *)window, .is_int16 = false};
    return fl_dsp_features_of(dsp, values, features, scratch);
}

void fl_dsp_standardise(const fl_dsp_t *dsp, float *features) {
    if (dsp->mean == NULL) {
        return;
    }
    const float clip = dsp->config.standardisation.clip;
    for (uint32_t i = 0; i < dsp->feature_count; ++i) {
        const float mean = fl_read_f32(dsp->mean + sizeof(float) * i);
        const float inverse = fl_read_f32(dsp->inverse_deviation + sizeof(float) * i);
        const float z = (features[i] - mean) * inverse;
        features[i] = z < -clip ? -clip : z > clip ? clip : z;
    }
}
