/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "agent/impulse/cost.h"

#include <stdbool.h>

#include "agent/impulse/dsp.h"
#include "agent/impulse/kernels.h"
#include "agent/impulse/network.h"

/*
 * All coefficients are tenths of an instruction, fitted to what tests/qemu measures. An operator
 * costs a part for itself, a part for each place where it computes, and a part for each value.
 */

static uint64_t share_of(uint64_t count, uint64_t part, uint64_t whole) {
    return part >= whole ? count : count * part / whole;
}

/* CONV_2D and FULLY_CONNECTED: filters two by two, values four by four. */
static uint64_t conv_tenths(const fl_operator_t *op, uint64_t start, uint64_t per_window) {
    const fl_sliding_t *s = &op->shape.sliding;
    const uint64_t windows = (uint64_t)s->batches * s->out_height * s->out_width;
    const uint64_t size = (uint64_t)s->filter_height * s->filter_width * s->in_channels;
    const uint64_t pairs = windows * (s->out_channels / 2u);
    const uint64_t singles = windows * (s->out_channels % 2u);
    const uint64_t gathered = op->scratch_size > 0 ? windows : 0;
    return start + per_window * windows + gathered * (310 + 15 * size) +
           pairs * (860 + 235 * (size / 4) + 120 * (size % 4)) +
           singles * (550 + 150 * (size / 4) + 50 * (size % 4));
}

/* Taps of a filter that fall on the image, over all outputs along one dimension. */
static uint64_t taps_inside(uint32_t outputs, uint32_t stride, uint32_t pad, uint32_t dilation,
                            uint32_t filter, uint32_t size) {
    uint64_t count = 0;
    for (uint32_t out = 0; out < outputs; ++out) {
        const int64_t origin = (int64_t)out * stride - pad;
        const int64_t before = origin < 0 ? (-origin + dilation - 1) / dilation : 0;
        const int64_t room = (int64_t)size - origin;
        const int64_t inside = room <= 0 ? 0 : (room + dilation - 1) / dilation;
        const int64_t end = inside < filter ? inside : filter;
        count += end > before ? (uint64_t)(end - before) : 0;
    }
    return count;
}

/* Where a filter slides, and how much of it falls on the image. */
typedef struct slide {
    uint64_t windows;
    uint64_t rows; /* Of all windows. */
    uint64_t taps; /* Of all windows. */
} slide_t;

static slide_t slide_of(const fl_sliding_t *s) {
    const uint64_t rows = taps_inside(s->out_height, s->stride_height, s->pad_top,
                                      s->dilation_height, s->filter_height, s->in_height);
    const uint64_t columns = taps_inside(s->out_width, s->stride_width, s->pad_left,
                                         s->dilation_width, s->filter_width, s->in_width);
    return (slide_t){.windows = (uint64_t)s->batches * s->out_height * s->out_width,
                     .rows = s->batches * rows * s->out_width,
                     .taps = s->batches * rows * columns};
}

/* Four channels at a time where they have one filter each. */
static uint64_t depthwise_tenths(const fl_sliding_t *s) {
    const slide_t slide = slide_of(s);
    const uint64_t groups = s->depth_multiplier == 1 ? s->out_channels / 4u : 0;
    const uint64_t singles = s->out_channels - 4 * groups;
    return 1115 + 1345 * slide.windows +
           groups * (2097 * slide.windows + 221 * slide.rows + 155 * slide.taps) +
           singles * (654 * slide.windows + 144 * slide.rows + 88 * slide.taps);
}

static uint64_t pool_tenths(const fl_operator_t *op) {
    const fl_sliding_t *s = &op->shape.sliding;
    const slide_t slide = slide_of(s);
    const bool average = op->code == FL_OP_AVERAGE_POOL_2D;
    return 1270 + 750 * slide.windows +
           s->out_channels * ((average ? 394u : 350u) * slide.windows + 82 * slide.rows +
                              (average ? 59u : 81u) * slide.taps);
}

static uint64_t mean_tenths(const fl_mean_t *mean) {
    uint64_t outputs = 1;
    uint64_t lines = 1;
    for (uint32_t i = 0; i < 4; ++i) {
        if ((mean->reduced & 1u << i) == 0) {
            outputs *= mean->dims[i];
        } else if (i < 3) {
            lines *= mean->dims[i];
        }
    }
    return 1850 + outputs * (1120 + 175 * lines + 55 * (uint64_t)(uint32_t)mean->count);
}

/* ADD and MUL. */
static uint64_t pair_tenths(const fl_pair_t *pair, uint64_t per_value) {
    const uint64_t rows = (uint64_t)pair->dims[0] * pair->dims[1] * pair->dims[2];
    return 2380 + rows * (270 + per_value * pair->dims[3]);
}

static uint64_t pad_tenths(const fl_pad_t *pad) {
    const uint64_t rows = (uint64_t)pad->in[0] * pad->in[1] * pad->in[2];
    const uint64_t out = (uint64_t)pad->out[0] * pad->out[1] * pad->out[2] * pad->out[3];
    return 1410 + rows * (390 + 11 * (uint64_t)pad->in[3]) + 5 * out;
}

/* Only inputs within the radius take an exponential; they are taken to be evenly spread. */
static uint64_t exponentials(const fl_rows_t *rows) {
    return share_of((uint64_t)rows->rows * rows->depth, (uint64_t)(uint32_t)rows->radius, 128);
}

uint64_t fl_operator_instructions(const fl_operator_t *op) {
    const fl_rows_t *rows = &op->shape.rows;
    const fl_copy_t *copy = &op->shape.copy;
    uint64_t tenths = 0;
    switch (op->code) {
        case FL_OP_FULLY_CONNECTED: tenths = conv_tenths(op, 600, 590); break;
        case FL_OP_CONV_2D: tenths = conv_tenths(op, 2060, 1510); break;
        case FL_OP_DEPTHWISE_CONV_2D: tenths = depthwise_tenths(&op->shape.sliding); break;
        case FL_OP_AVERAGE_POOL_2D:
        case FL_OP_MAX_POOL_2D: tenths = pool_tenths(op); break;
        case FL_OP_MEAN: tenths = mean_tenths(&op->shape.mean); break;
        case FL_OP_ADD: tenths = pair_tenths(&op->shape.pair, 887); break;
        case FL_OP_MUL: tenths = pair_tenths(&op->shape.pair, 422); break;
        case FL_OP_PAD: tenths = pad_tenths(&op->shape.pad); break;
        case FL_OP_SOFTMAX:
            tenths = 2910 + 6560 * (uint64_t)rows->rows + 3427 * exponentials(rows);
            break;
        case FL_OP_LOGISTIC: tenths = 2830 + 3135 * exponentials(rows); break;
        case FL_OP_QUANTIZE: tenths = 220 + 397 * (uint64_t)rows->depth; break;
        default: tenths = 430 + copy->rows * (340 + 5 * (uint64_t)copy->size); break;
    }
    return tenths / 10;
}

static uint64_t logarithm_2(uint64_t n) {
    uint64_t result = 0;
    while (n > 1) {
        n >>= 1;
        ++result;
    }
    return result;
}

/* Butterflies of one transform. */
static uint64_t butterfly_tenths(uint64_t fft_length) {
    return 136 * (fft_length / 2) * logarithm_2(fft_length);
}

static uint64_t frames_of(uint64_t length, uint64_t frame, uint64_t stride) {
    return length < frame || stride == 0 ? 1 : 1 + (length - frame) / stride;
}

static uint64_t moments_tenths(uint64_t length, bool with_shape) {
    return length * (868 + (with_shape ? 308u : 0u));
}

static uint64_t spectral_tenths(const fieldloop_agent_v1_SpectralBlock *block, uint64_t length) {
    const bool filtered =
        block->has_filter && block->filter.kind != fieldloop_agent_v1_Filter_Kind_KIND_UNSPECIFIED;
    const uint64_t fft = block->fft_length;
    const uint64_t sections = block->filter.order == 0 ? 3 : block->filter.order / 2;
    uint64_t tenths = moments_tenths(length, true);
    if (filtered) {
        tenths += moments_tenths(length, true) + 189 * length * sections;
    }
    return tenths + frames_of(length, fft, fft / 2) * (1542 * fft + butterfly_tenths(fft)) +
           641 * (fft / 2);
}

static uint64_t mel_tenths(uint64_t frames, uint64_t fft_length, uint64_t filters) {
    return 1723 * filters +
           frames * (1189 * fft_length + butterfly_tenths(fft_length) + 641 * filters);
}

static uint64_t mfcc_tenths(const fieldloop_agent_v1_MfccBlock *block, uint64_t length) {
    const uint64_t frames = frames_of(length, block->frame_length, block->frame_stride);
    const uint64_t coefficient =
        188 * (uint64_t)block->filter_count + 163 * (uint64_t)block->normalisation_frames;
    return mel_tenths(frames, block->fft_length, block->filter_count) +
           frames * block->coefficient_count * coefficient;
}

/* Of one axis. */
static uint64_t block_tenths(const fieldloop_agent_v1_DspBlock *block, uint64_t length) {
    const fieldloop_agent_v1_MfeBlock *mfe = &block->block.mfe;
    switch (block->which_block) {
        case fieldloop_agent_v1_DspBlock_flatten_tag:
            return moments_tenths(length, !block->block.flatten.without_shape);
        case fieldloop_agent_v1_DspBlock_spectral_tag:
            return spectral_tenths(&block->block.spectral, length);
        case fieldloop_agent_v1_DspBlock_mfe_tag:
            return mel_tenths(frames_of(length, mfe->frame_length, mfe->frame_stride),
                              mfe->fft_length, mfe->filter_count);
        case fieldloop_agent_v1_DspBlock_mfcc_tag: return mfcc_tenths(&block->block.mfcc, length);
        default: return 0; /* Raw: what its features cost. */
    }
}

/* The window is checked, magnitudes are computed for each block, features standardised. */
static uint64_t dsp_instructions(const fl_dsp_t *dsp) {
    const uint64_t length = dsp->config.window.length;
    const uint64_t magnitudes = length * (dsp->block_axes - dsp->window_axes);
    uint64_t tenths = 1218 + 962 * (uint64_t)dsp->feature_count + 77 * length * dsp->window_axes;
    for (uint32_t i = 0; i < dsp->config.blocks_count; ++i) {
        tenths += 372 * magnitudes + dsp->block_axes * block_tenths(&dsp->config.blocks[i], length);
    }
    return tenths / 10;
}

fl_status_t fl_impulse_instructions(const uint8_t *model, size_t size, uint64_t *instructions) {
    const uint8_t *metadata = NULL;
    size_t metadata_size = 0;
    fl_dsp_t dsp;
    uint64_t network = 0;
    FL_RETURN_IF_ERROR(
        fl_tflite_metadata(model, size, "fieldloop.impulse", &metadata, &metadata_size));
    FL_RETURN_IF_ERROR(fl_dsp_open(&dsp, metadata, metadata_size));
    FL_RETURN_IF_ERROR(fl_network_instructions(model, size, &network));
    *instructions = network + dsp_instructions(&dsp);
    return FL_OK;
}
