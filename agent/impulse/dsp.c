/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "agent/impulse/dsp.h"

#include <math.h>
#include <pb_decode.h>
#include <stdbool.h>

#include "agent/impulse/float_math.h"
#include "agent/impulse/metadata.h"
#include "agent/impulse/tflite.h"

enum { FORMAT = 1, MAX_WINDOW_LENGTH = 65535, MIN_FFT_LENGTH = 8 };
enum { FLATTEN_FEATURES = 7, SHAPE_FEATURES = 2, SPECTRAL_MOMENTS = 3 };

static const float smallest_power = 1e-10f;

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

static float scale_or_one(float scale) {
    return scale == 0.0f ? 1.0f : scale;
}

static bool is_positive(float value) {
    return fl_is_finite(value) && value > 0.0f;
}

/* Features of a block; FL_ERR_UNSUPPORTED if it is not one that this build computes. */
static fl_status_t block_features(const fl_dsp_t *dsp, const fieldloop_agent_v1_DspBlock *block,
                                  uint32_t *count) {
    switch (block->which_block) {
        case fieldloop_agent_v1_DspBlock_raw_tag:
            *count = dsp->config.window.length * dsp->block_axes;
            return fl_is_finite(block->block.raw.scale) ? FL_OK : FL_ERR_UNSUPPORTED;
        case fieldloop_agent_v1_DspBlock_flatten_tag:
            *count = FLATTEN_FEATURES * dsp->block_axes;
            if (block->block.flatten.without_shape) {
                *count -= SHAPE_FEATURES * dsp->block_axes;
            }
            return fl_is_finite(block->block.flatten.scale) ? FL_OK : FL_ERR_UNSUPPORTED;
        case fieldloop_agent_v1_DspBlock_spectral_tag: {
            const uint32_t length = block->block.spectral.fft_length;
            if (length < MIN_FFT_LENGTH || length > FL_FFT_MAX_LENGTH ||
                (length & (length - 1)) != 0) {
                return FL_ERR_UNSUPPORTED;
            }
            *count = (SPECTRAL_MOMENTS + length / 2) * dsp->block_axes;
            return FL_OK;
        }
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
    uint32_t longest_fft = 0;
    for (uint32_t i = 0; i < config->blocks_count; ++i) {
        const fieldloop_agent_v1_DspBlock *block = &config->blocks[i];
        uint32_t count = 0;
        FL_RETURN_IF_ERROR(block_features(dsp, block, &count));
        dsp->feature_count += count;
        if (block->which_block == fieldloop_agent_v1_DspBlock_spectral_tag &&
            block->block.spectral.fft_length > longest_fft) {
            longest_fft = block->block.spectral.fft_length;
        }
    }
    dsp->scratch_size = sizeof(float) * ((size_t)config->window.length + 2 * (size_t)longest_fft);
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

/* Value of a block axis in a reading: the sensor's, or the magnitude of a group of them. */
static float axis_value(const fl_dsp_t *dsp, const uint8_t *window, uint32_t reading,
                        uint32_t axis) {
    const uint8_t *values = window + sizeof(float) * ((size_t)reading * dsp->window_axes);
    if (axis < dsp->window_axes) {
        return fl_read_f32(values + sizeof(float) * axis);
    }
    const fieldloop_agent_v1_MagnitudeAxis *group =
        &dsp->config.magnitudes[axis - dsp->window_axes];
    float squares = 0.0f;
    for (uint32_t i = 0; i < group->count; ++i) {
        const float value = fl_read_f32(values + sizeof(float) * (group->first_axis + i));
        squares += value * value;
    }
    return sqrtf(squares);
}

/* Moments of an axis. Skewness and excess kurtosis of an axis that does not vary are 0. */
typedef struct moments {
    float average;
    float minimum;
    float maximum;
    float rms;
    float deviation;
    float skewness;
    float kurtosis;
} moments_t;

/* Powers of deviations divided by the standard one: they neither overflow nor vanish. */
static void shape_of(const float *values, uint32_t length, moments_t *moments) {
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

static moments_t moments_of(const float *values, uint32_t length, bool with_shape) {
    moments_t moments = {.minimum = values[0], .maximum = values[0]};
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

static float *raw(const fl_dsp_t *dsp, const fieldloop_agent_v1_RawBlock *block,
                  const uint8_t *window, float *features) {
    const float scale = scale_or_one(block->scale);
    for (uint32_t i = 0; i < dsp->config.window.length; ++i) {
        for (uint32_t axis = 0; axis < dsp->block_axes; ++axis) {
            *features++ = axis_value(dsp, window, i, axis) * scale;
        }
    }
    return features;
}

static float *flatten(const fieldloop_agent_v1_FlattenBlock *block, const float *values,
                      uint32_t length, float *features) {
    const moments_t moments = moments_of(values, length, !block->without_shape);
    *features++ = moments.average;
    *features++ = moments.minimum;
    *features++ = moments.maximum;
    *features++ = moments.rms;
    *features++ = moments.deviation;
    if (!block->without_shape) {
        *features++ = moments.skewness;
        *features++ = moments.kurtosis;
    }
    return features;
}

/* Power spectrum of the frame that starts at `values`; what lies past its end counts as 0. */
static void frame_spectrum(const float *values, uint32_t available, uint32_t fft_length,
                           float *real, float *imaginary) {
    const uint32_t step = FL_FFT_MAX_LENGTH / fft_length;
    for (uint32_t i = 0; i < fft_length; ++i) {
        const float hann = 0.5f - 0.5f * fl_cosine(i * step);
        real[i] = i < available ? values[i] * hann : 0.0f;
        imaginary[i] = 0.0f;
    }
    fl_fft(real, imaginary, fft_length);
}

/* `values` are changed: their mean is removed. */
static float *spectral(const fieldloop_agent_v1_SpectralBlock *block, float *values,
                       uint32_t length, float *features, float *fft) {
    const moments_t moments = moments_of(values, length, true);
    for (uint32_t i = 0; i < length; ++i) {
        values[i] -= moments.average;
    }
    *features++ = moments.deviation; /* RMS without the mean. */
    *features++ = moments.skewness;
    *features++ = moments.kurtosis;

    const uint32_t fft_length = block->fft_length;
    const uint32_t hop = fft_length / 2;
    const uint32_t bins = fft_length / 2;
    const uint32_t frames = length < fft_length ? 1 : 1 + (length - fft_length) / hop;
    float *real = fft;
    float *imaginary = fft + fft_length;
    for (uint32_t frame = 0; frame < frames; ++frame) {
        const uint32_t start = frame * hop;
        frame_spectrum(values + start, length - start, fft_length, real, imaginary);
        for (uint32_t bin = 0; bin < bins; ++bin) {
            const float x = real[bin + 1];
            const float y = imaginary[bin + 1];
            const float power = (x * x + y * y) / (float)fft_length;
            if (frame == 0) {
                features[bin] = power;
            } else if (block->average_frames) {
                features[bin] += power;
            } else if (!(power <= features[bin])) { /* NaN of an overflow gets through. */
                features[bin] = power;
            }
        }
    }
    for (uint32_t bin = 0; bin < bins; ++bin) {
        const float power = block->average_frames ? features[bin] / (float)frames : features[bin];
        features[bin] = power <= smallest_power ? fl_ln(smallest_power)
                        : fl_is_finite(power)   ? fl_ln(power)
                                                : power;
    }
    return features + bins;
}

static float *axis_features(const fl_dsp_t *dsp, const fieldloop_agent_v1_DspBlock *block,
                            const uint8_t *window, uint32_t axis, float *features, float *values) {
    const uint32_t length = dsp->config.window.length;
    const bool is_flatten = block->which_block == fieldloop_agent_v1_DspBlock_flatten_tag;
    const float scale = is_flatten ? scale_or_one(block->block.flatten.scale) : 1.0f;
    for (uint32_t i = 0; i < length; ++i) {
        values[i] = axis_value(dsp, window, i, axis) * scale;
    }
    return is_flatten ? flatten(&block->block.flatten, values, length, features)
                      : spectral(&block->block.spectral, values, length, features, values + length);
}

fl_status_t fl_dsp_features_of_bytes(const fl_dsp_t *dsp, const uint8_t *window, float *features,
                                     uint8_t *scratch) {
    const size_t window_values = (size_t)dsp->config.window.length * dsp->window_axes;
    for (size_t i = 0; i < window_values; ++i) {
        if (!fl_is_finite(fl_read_f32(window + sizeof(float) * i))) {
            return FL_ERR_ARG;
        }
    }
    float *next = features;
    for (uint32_t i = 0; i < dsp->config.blocks_count; ++i) {
        const fieldloop_agent_v1_DspBlock *block = &dsp->config.blocks[i];
        if (block->which_block == fieldloop_agent_v1_DspBlock_raw_tag) {
            next = raw(dsp, &block->block.raw, window, next);
            continue;
        }
        for (uint32_t axis = 0; axis < dsp->block_axes; ++axis) {
            next = axis_features(dsp, block, window, axis, next, (float *)(void *)scratch);
        }
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
    return fl_dsp_features_of_bytes(dsp, (const uint8_t *)window, features, scratch);
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
