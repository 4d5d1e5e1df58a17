/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdbool.h>

#include "agent/impulse/dsp_blocks.h"
#include "agent/impulse/float_math.h"

enum { MOMENTS = 3, MIN_FFT_LENGTH = 8, MAX_FFT_LENGTH = 256, DEFAULT_ORDER = 6, MAX_ORDER = 8 };

static const fieldloop_agent_v1_Filter_Kind no_filter =
    fieldloop_agent_v1_Filter_Kind_KIND_UNSPECIFIED;
static const fieldloop_agent_v1_Filter_Kind low_pass = fieldloop_agent_v1_Filter_Kind_KIND_LOW_PASS;
static const fieldloop_agent_v1_Filter_Kind high_pass =
    fieldloop_agent_v1_Filter_Kind_KIND_HIGH_PASS;

/* KIND_UNSPECIFIED for a block without a filter. */
static fieldloop_agent_v1_Filter_Kind filter_kind(const fieldloop_agent_v1_SpectralBlock *block) {
    return block->has_filter ? block->filter.kind : no_filter;
}

/* Whether the power of a bin is a feature. */
static bool is_kept(const fl_dsp_t *dsp, const fieldloop_agent_v1_SpectralBlock *block,
                    uint32_t bin) {
    const float frequency_hz =
        (float)bin * dsp->config.window.frequency_hz / (float)block->fft_length;
    const fieldloop_agent_v1_Filter_Kind kind = filter_kind(block);
    return kind == no_filter || (kind == low_pass ? frequency_hz <= block->filter.cutoff_hz
                                                  : frequency_hz >= block->filter.cutoff_hz);
}

static fl_status_t check_filter(const fl_dsp_t *dsp,
                                const fieldloop_agent_v1_SpectralBlock *block) {
    const fieldloop_agent_v1_Filter *filter = &block->filter;
    const fieldloop_agent_v1_Filter_Kind kind = filter_kind(block);
    if (kind == no_filter) {
        return FL_OK;
    }
    const bool fits = (kind == low_pass || kind == high_pass) && filter->cutoff_hz > 0.0f &&
                      filter->cutoff_hz < 0.5f * dsp->config.window.frequency_hz &&
                      filter->order <= MAX_ORDER && filter->order % 2 == 0;
    return fits ? FL_OK : FL_ERR_UNSUPPORTED;
}

fl_status_t fl_spectral_check(const fl_dsp_t *dsp, const fieldloop_agent_v1_SpectralBlock *block,
                              fl_block_needs_t *needs) {
    const uint32_t length = block->fft_length;
    if (length < MIN_FFT_LENGTH || length > MAX_FFT_LENGTH || (length & (length - 1)) != 0) {
        return FL_ERR_UNSUPPORTED;
    }
    FL_RETURN_IF_ERROR(check_filter(dsp, block));
    needs->features_of_axis = MOMENTS;
    for (uint32_t bin = 1; bin <= length / 2; ++bin) {
        needs->features_of_axis += is_kept(dsp, block, bin) ? 1 : 0;
    }
    needs->scratch_values = dsp->config.window.length + length + 2;
    return FL_OK;
}

/*
 * Filters in place. A second-order section of the Butterworth filter is an integrator pair under
 * the trapezoidal rule, which is the bilinear transform with the cut-off prewarped (Zavalishin, The
 * Art of VA Filter Design, 4; Simper, Solving the continuous SVF equations using trapezoidal
 * integration). Unlike the direct forms it keeps its precision in float32 when the cut-off is far
 * below the rate. Section i of n / 2 has 1 / Q = 2 sin(pi (2 i + 1) / 2 n).
 */
static void filter_values(const fieldloop_agent_v1_Filter *filter, float frequency_hz,
                          float *values, uint32_t length) {
    const uint32_t order = filter->order == 0 ? DEFAULT_ORDER : filter->order;
    const float ratio = filter->cutoff_hz / frequency_hz;
    const float g = fl_sin_pi(ratio) / fl_cos_pi(ratio);
    for (uint32_t i = 0; i < order / 2; ++i) {
        const float damping = 2.0f * fl_sin_pi((float)(2 * i + 1) / (float)(2 * order));
        const float a1 = 1.0f / (1.0f + g * (g + damping));
        const float a2 = g * a1;
        const float a3 = g * a2;
        float state1 = 0.0f;
        float state2 = 0.0f;
        for (uint32_t n = 0; n < length; ++n) {
            const float difference = values[n] - state2;
            const float band = a1 * state1 + a2 * difference;
            const float low = state2 + a2 * state1 + a3 * difference;
            state1 = 2.0f * band - state1;
            state2 = 2.0f * low - state2;
            values[n] = filter->kind == low_pass ? low : values[n] - damping * band - low;
        }
    }
}

/* Powers of the frame that starts at `values`; what lies past its end counts as 0. */
static void frame_powers(const float *values, uint32_t available, uint32_t fft_length, float *even,
                         float *odd) {
    const uint32_t step = FL_FFT_MAX_LENGTH / fft_length;
    for (uint32_t i = 0; i < fft_length; ++i) {
        const float hann = 0.5f - 0.5f * fl_cosine(i * step);
        (i % 2 == 0 ? even : odd)[i / 2] = i < available ? values[i] * hann : 0.0f;
    }
    fl_power_spectrum(even, odd, fft_length);
}

/* Takes the powers of a frame over into the features of the bins that are kept. */
static void take_powers(const fl_dsp_t *dsp, const fieldloop_agent_v1_SpectralBlock *block,
                        const float *powers, bool first, float *features) {
    for (uint32_t bin = 1; bin <= block->fft_length / 2; ++bin) {
        if (!is_kept(dsp, block, bin)) {
            continue;
        }
        const float power = powers[bin];
        if (!first && block->average_frames) {
            *features += power;
        } else if (first || !(power <= *features)) { /* NaN of an overflow gets through. */
            *features = power;
        }
        ++features;
    }
}

void fl_spectral(const fl_axis_t *axis, const fieldloop_agent_v1_SpectralBlock *block,
                 float *features, float *scratch) {
    const fl_dsp_t *dsp = axis->dsp;
    const uint32_t length = dsp->config.window.length;
    float *values = scratch;
    for (uint32_t i = 0; i < length; ++i) {
        values[i] = fl_axis_value(axis, i);
    }
    fl_moments_t moments = fl_moments_of(values, length, true);
    for (uint32_t i = 0; i < length; ++i) {
        values[i] -= moments.average;
    }
    moments.rms = moments.deviation; /* Without the mean. */
    if (filter_kind(block) != no_filter) {
        filter_values(&block->filter, dsp->config.window.frequency_hz, values, length);
        moments = fl_moments_of(values, length, true);
    }
    *features++ = moments.rms;
    *features++ = moments.skewness;
    *features++ = moments.kurtosis;

    const uint32_t fft_length = block->fft_length;
    const uint32_t hop = fft_length / 2;
    /* NOLINTNEXTLINE(clang-analyzer-core.*): an FFT has at least 16 points. */
    const uint32_t frames = length < fft_length ? 1 : 1 + (length - fft_length) / hop;
    float *even = values + length;
    float *odd = even + fft_length / 2 + 1;
    for (uint32_t frame = 0; frame < frames; ++frame) {
        const uint32_t start = frame * hop;
        frame_powers(values + start, length - start, fft_length, even, odd);
        take_powers(dsp, block, even, frame == 0, features);
    }
    for (uint32_t bin = 1; bin <= fft_length / 2; ++bin) {
        if (is_kept(dsp, block, bin)) {
            *features =
                fl_log_energy(block->average_frames ? *features / (float)frames : *features);
            ++features;
        }
    }
}
