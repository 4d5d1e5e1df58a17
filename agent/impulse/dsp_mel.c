/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdbool.h>

#include "agent/impulse/dsp_blocks.h"
#include "agent/impulse/float_math.h"

enum {
    MIN_FRAME_LENGTH = 2,
    MAX_FRAME_LENGTH = 4096,
    MAX_FRAME_STRIDE = 65535,
    MAX_FRAMES = 1024,
    MIN_FFT_LENGTH = 8,
    MIN_FILTERS = 2,
    MAX_FILTERS = 128,
    MAX_NORMALISATION_FRAMES = 1023
};

static const float lowest_noise_floor_db = -200.0f;
/* Sound of this level gives the feature 1. */
static const float full_scale_db = 12.0f;

/* What both blocks have: frames and the bank of mel filters. */
typedef struct mel {
    uint32_t frame_length;
    uint32_t frame_stride;
    uint32_t fft_length;
    uint32_t filter_count;
    float low_hz;
    float high_hz; /* Never 0. */
    float frequency_hz;
    float pre_emphasis;
    float scale; /* Never 0. */
    uint32_t frames;
} mel_t;

/* Memory while one axis is computed; all of it in the scratch. */
typedef struct mel_scratch {
    uint32_t *corners; /* Bins, filter_count + 2 of them. */
    float *even;       /* fft_length / 2 + 1 values; the powers of a frame. */
    float *odd;        /* fft_length / 2 values. */
    float *rest;
} mel_scratch_t;

static mel_t complete(const fl_dsp_t *dsp, mel_t mel) {
    const fieldloop_agent_v1_Window *window = &dsp->config.window;
    mel.frequency_hz = window->frequency_hz;
    mel.high_hz = mel.high_hz == 0.0f ? 0.5f * window->frequency_hz : mel.high_hz;
    mel.scale = fl_scale_or_one(mel.scale);
    if (mel.frame_stride > 0 && window->length >= mel.frame_length) {
        mel.frames = 1 + (window->length - mel.frame_length) / mel.frame_stride;
    }
    return mel;
}

static mel_t mel_of_mfe(const fl_dsp_t *dsp, const fieldloop_agent_v1_MfeBlock *block) {
    return complete(dsp, (mel_t){.frame_length = block->frame_length,
                                 .frame_stride = block->frame_stride,
                                 .fft_length = block->fft_length,
                                 .filter_count = block->filter_count,
                                 .low_hz = block->low_hz,
                                 .high_hz = block->high_hz,
                                 .pre_emphasis = block->pre_emphasis,
                                 .scale = block->scale});
}

static mel_t mel_of_mfcc(const fl_dsp_t *dsp, const fieldloop_agent_v1_MfccBlock *block) {
    return complete(dsp, (mel_t){.frame_length = block->frame_length,
                                 .frame_stride = block->frame_stride,
                                 .fft_length = block->fft_length,
                                 .filter_count = block->filter_count,
                                 .low_hz = block->low_hz,
                                 .high_hz = block->high_hz,
                                 .pre_emphasis = block->pre_emphasis,
                                 .scale = block->scale});
}

static bool is_in_range(const mel_t *mel) {
    const uint32_t fft_length = mel->fft_length;
    return mel->frame_length >= MIN_FRAME_LENGTH && mel->frame_length <= MAX_FRAME_LENGTH &&
           mel->frame_stride >= 1 && mel->frame_stride <= MAX_FRAME_STRIDE && mel->frames >= 1 &&
           mel->frames <= MAX_FRAMES && fft_length >= MIN_FFT_LENGTH &&
           fft_length <= FL_FFT_MAX_LENGTH && (fft_length & (fft_length - 1)) == 0 &&
           mel->filter_count >= MIN_FILTERS && mel->filter_count <= MAX_FILTERS &&
           mel->low_hz >= 0.0f && mel->low_hz < mel->high_hz &&
           mel->high_hz <= 0.5f * mel->frequency_hz && mel->pre_emphasis >= 0.0f &&
           mel->pre_emphasis < 1.0f && fl_is_finite(mel->scale);
}

static uint32_t mel_scratch_values(const mel_t *mel) {
    return mel->filter_count + 2 + mel->fft_length + 1;
}

static mel_scratch_t divide_scratch(const mel_t *mel, float *scratch) {
    mel_scratch_t parts;
    parts.corners = (uint32_t *)(void *)scratch;
    parts.even = scratch + mel->filter_count + 2;
    parts.odd = parts.even + mel->fft_length / 2 + 1;
    parts.rest = parts.odd + mel->fft_length / 2;
    return parts;
}

/* ln(1 + f / 700); the factor 1127 of the mel scale cancels where the corners are spaced. */
static float mel_of_hz(float hz) {
    return fl_ln(1.0f + hz / 700.0f);
}

static uint32_t bin_of_hz(const mel_t *mel, float hz) {
    const float bin = hz * (float)mel->fft_length / mel->frequency_hz;
    const uint32_t last = mel->fft_length / 2;
    return bin >= (float)last ? last : bin > 0.0f ? (uint32_t)bin : 0;
}

/* The ends are taken as they are given, so that no rounding moves them to another bin. */
static void find_corners(const mel_t *mel, uint32_t *corners) {
    const uint32_t last = mel->filter_count + 1;
    const float low = mel_of_hz(mel->low_hz);
    const float high = mel_of_hz(mel->high_hz);
    corners[0] = bin_of_hz(mel, mel->low_hz);
    for (uint32_t i = 1; i < last; ++i) {
        const float at = low + (high - low) * ((float)i / (float)last);
        corners[i] = bin_of_hz(mel, 700.0f * (fl_exp(at) - 1.0f));
    }
    corners[last] = bin_of_hz(mel, mel->high_hz);
}

/* Reads a frame, pre-emphasised and filled up with zeros, and computes its powers. */
static void frame_powers(const fl_axis_t *axis, const mel_t *mel, uint32_t frame,
                         const mel_scratch_t *scratch) {
    const uint32_t start = frame * mel->frame_stride;
    const uint32_t count =
        mel->frame_length < mel->fft_length ? mel->frame_length : mel->fft_length;
    float before = start == 0 ? 0.0f : fl_axis_value(axis, start - 1) * mel->scale;
    for (uint32_t i = 0; i < mel->fft_length; ++i) {
        float emphasised = 0.0f;
        if (i < count) {
            const float value = fl_axis_value(axis, start + i) * mel->scale;
            emphasised = value - mel->pre_emphasis * before;
            before = value;
        }
        (i % 2 == 0 ? scratch->even : scratch->odd)[i / 2] = emphasised;
    }
    fl_power_spectrum(scratch->even, scratch->odd, mel->fft_length);
}

/* Energy behind the triangle of corners[0] to corners[2]. Its middle has the weight 1 also where
 * corners coincide, so that no filter is empty. */
static float filter_energy(const float *powers, const uint32_t *corners) {
    const uint32_t left = corners[0];
    const uint32_t middle = corners[1];
    const uint32_t right = corners[2];
    float energy = powers[middle];
    float rising = 0.0f;
    for (uint32_t k = left + 1; k < middle; ++k) {
        rising += (float)(k - left) * powers[k];
    }
    if (middle > left) {
        energy += rising / (float)(middle - left);
    }
    float falling = 0.0f;
    for (uint32_t k = middle + 1; k < right; ++k) {
        falling += (float)(right - k) * powers[k];
    }
    if (right > middle) {
        energy += falling / (float)(right - middle);
    }
    return energy;
}

fl_status_t fl_mfe_check(const fl_dsp_t *dsp, const fieldloop_agent_v1_MfeBlock *block,
                         fl_block_needs_t *needs) {
    const mel_t mel = mel_of_mfe(dsp, block);
    if (!is_in_range(&mel) || !(block->noise_floor_db >= lowest_noise_floor_db) ||
        !(block->noise_floor_db <= 0.0f)) {
        return FL_ERR_UNSUPPORTED;
    }
    needs->features_of_axis = mel.frames * mel.filter_count;
    needs->scratch_values = mel_scratch_values(&mel);
    return FL_OK;
}

void fl_mfe(const fl_axis_t *axis, const fieldloop_agent_v1_MfeBlock *block, float *features,
            float *scratch) {
    const float decibels = 4.34294482f; /* 10 / ln(10) */
    const float range = full_scale_db - block->noise_floor_db;
    const mel_t mel = mel_of_mfe(axis->dsp, block);
    const mel_scratch_t parts = divide_scratch(&mel, scratch);
    find_corners(&mel, parts.corners);
    for (uint32_t frame = 0; frame < mel.frames; ++frame) {
        frame_powers(axis, &mel, frame, &parts);
        for (uint32_t i = 0; i < mel.filter_count; ++i) {
            const float level =
                decibels * fl_log_energy(filter_energy(parts.even, parts.corners + i));
            const float value = (level - block->noise_floor_db) / range;
            *features++ = value < 0.0f ? 0.0f : value > 1.0f ? 1.0f : value;
        }
    }
}

fl_status_t fl_mfcc_check(const fl_dsp_t *dsp, const fieldloop_agent_v1_MfccBlock *block,
                          fl_block_needs_t *needs) {
    const mel_t mel = mel_of_mfcc(dsp, block);
    if (!is_in_range(&mel) || block->coefficient_count < 1 ||
        block->coefficient_count > mel.filter_count ||
        block->normalisation_frames > MAX_NORMALISATION_FRAMES ||
        (block->normalisation_frames != 0 && block->normalisation_frames % 2 == 0)) {
        return FL_ERR_UNSUPPORTED;
    }
    /* The energies of a frame and half a turn of cosines; afterwards one coefficient's column. */
    const uint32_t transform = mel.filter_count + 2 * mel.filter_count + 1;
    const uint32_t column =
        block->normalisation_frames > 0 ? mel.frames + block->normalisation_frames - 1 : 0;
    needs->features_of_axis = mel.frames * block->coefficient_count;
    needs->scratch_values = mel_scratch_values(&mel) + (transform > column ? transform : column);
    return FL_OK;
}

/* cos(pi i / (2 filter_count)) for i from 0 to 2 filter_count: half a turn. */
static void find_cosines(uint32_t filter_count, float *cosines) {
    for (uint32_t i = 0; i <= 2 * filter_count; ++i) {
        cosines[i] = fl_cos_pi((float)i / (float)(2 * filter_count));
    }
}

/* Orthonormal DCT-II: X_k = sqrt(2 / N) sum x_n cos(pi k (2 n + 1) / 2 N), X_0 by 1 / sqrt(2). */
static float cosine_coefficient(const float *values, uint32_t count, const float *cosines,
                                uint32_t k) {
    const uint32_t turn = 4 * count;
    uint32_t angle = k;
    float sum = 0.0f;
    for (uint32_t n = 0; n < count; ++n) {
        sum += values[n] * cosines[angle <= 2 * count ? angle : turn - angle];
        angle += 2 * k;
        angle = angle < turn ? angle : angle - turn;
    }
    return sum * sqrtf((k == 0 ? 1.0f : 2.0f) / (float)count);
}

/* Index into a row of `count` values that is mirrored at its ends, the end values repeated. */
static uint32_t mirrored(int32_t at, int32_t count) {
    const int32_t period = 2 * count;
    /* NOLINTNEXTLINE(clang-analyzer-core.DivideZero): there is at least one frame. */
    int32_t rest = at % period;
    rest = rest < 0 ? rest + period : rest;
    return (uint32_t)(rest < count ? rest : period - 1 - rest);
}

/* Standardises the column of one coefficient over the `around` frames around each. */
static void normalise(float *features, uint32_t frames, uint32_t stride, uint32_t around,
                      float *column) {
    const uint32_t reach = around / 2;
    for (uint32_t i = 0; i < frames + 2 * reach; ++i) {
        const uint32_t frame = mirrored((int32_t)i - (int32_t)reach, (int32_t)frames);
        column[i] = features[(size_t)frame * stride];
    }
    for (uint32_t i = 0; i < frames; ++i) {
        const float value = column[i + reach];
        float sum = 0.0f; /* Less the value itself: exactly 0 if all are equal. */
        for (uint32_t k = i; k < i + around; ++k) {
            sum += column[k] - value;
        }
        const float average = sum / (float)around;
        float squares = 0.0f;
        for (uint32_t k = i; k < i + around; ++k) {
            const float deviation = column[k] - value - average;
            squares += deviation * deviation;
        }
        features[(size_t)i * stride] = -average / (sqrtf(squares / (float)around) + 1e-10f);
    }
}

void fl_mfcc(const fl_axis_t *axis, const fieldloop_agent_v1_MfccBlock *block, float *features,
             float *scratch) {
    const mel_t mel = mel_of_mfcc(axis->dsp, block);
    const mel_scratch_t parts = divide_scratch(&mel, scratch);
    float *energies = parts.rest;
    float *cosines = energies + mel.filter_count;
    find_corners(&mel, parts.corners);
    find_cosines(mel.filter_count, cosines);
    float *next = features;
    for (uint32_t frame = 0; frame < mel.frames; ++frame) {
        frame_powers(axis, &mel, frame, &parts);
        for (uint32_t i = 0; i < mel.filter_count; ++i) {
            energies[i] = fl_log_energy(filter_energy(parts.even, parts.corners + i));
        }
        for (uint32_t k = 0; k < block->coefficient_count; ++k) {
            *next++ = cosine_coefficient(energies, mel.filter_count, cosines, k);
        }
    }
    for (uint32_t k = 0; block->normalisation_frames > 0 && k < block->coefficient_count; ++k) {
        normalise(features + k, mel.frames, block->coefficient_count, block->normalisation_frames,
                  parts.rest);
    }
}
