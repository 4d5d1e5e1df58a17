/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "agent/impulse/cost.h"

#include "agent/impulse/dsp.h"
#include "agent/impulse/kernels.h"
#include "agent/impulse/network.h"

enum { PER_OPERATOR = 60, PER_OUTPUT = 40, PER_PRODUCT = 4, PER_EXPONENTIAL = 250 };

static uint64_t sliding_products(const fl_sliding_t *s, uint64_t taps_per_output) {
    return (uint64_t)s->batches * s->out_height * s->out_width * s->out_channels * taps_per_output;
}

uint64_t fl_operator_instructions(const fl_operator_t *op) {
    const fl_sliding_t *s = &op->shape.sliding;
    const fl_rows_t *r = &op->shape.rows;
    const uint64_t outputs = sliding_products(s, 1);
    const uint64_t taps = (uint64_t)s->filter_height * s->filter_width;
    switch (op->code) {
        case FL_OP_CONV_2D:
        case FL_OP_FULLY_CONNECTED:
            return PER_OPERATOR + PER_OUTPUT * outputs +
                   PER_PRODUCT * outputs * taps * s->in_channels;
        case FL_OP_DEPTHWISE_CONV_2D:
        case FL_OP_AVERAGE_POOL_2D:
        case FL_OP_MAX_POOL_2D:
            return PER_OPERATOR + PER_OUTPUT * outputs + 2 * PER_PRODUCT * outputs * taps;
        case FL_OP_SOFTMAX:
        case FL_OP_LOGISTIC: return PER_OPERATOR + (uint64_t)r->rows * r->depth * PER_EXPONENTIAL;
        default: return PER_OPERATOR + PER_OUTPUT * (uint64_t)r->depth;
    }
}

/* Signal processing, by kind of work. */
enum {
    PER_FEATURE = 20, /* Standardising and quantising. */
    PER_RAW_VALUE = 12,
    PER_FLATTEN_VALUE = 90,
    PER_FRAME_VALUE = 20,
    PER_BUTTERFLY = 30,
    PER_BIN = 15,
    PER_LOGARITHM = 60,
    PER_CEPSTRAL_PRODUCT = 8,
    PER_FILTER_SECTION = 20
};

static uint64_t logarithm_2(uint64_t n) {
    uint64_t result = 0;
    while (n > 1) {
        n >>= 1;
        ++result;
    }
    return result;
}

/* One frame: its values taken, the transform, the powers of its bins. */
static uint64_t spectrum_instructions(uint64_t fft_length) {
    return PER_FRAME_VALUE * fft_length +
           PER_BUTTERFLY * (fft_length / 2) * logarithm_2(fft_length) + PER_BIN * (fft_length / 2);
}

static uint64_t frames_of(uint64_t length, uint64_t frame, uint64_t stride) {
    return length < frame || stride == 0 ? 1 : 1 + (length - frame) / stride;
}

static uint64_t spectral_instructions(const fieldloop_agent_v1_SpectralBlock *block,
                                      uint64_t length) {
    const uint64_t bins = block->fft_length / 2;
    const uint64_t sections = !block->has_filter         ? 0
                              : block->filter.order == 0 ? 3
                                                         : block->filter.order / 2;
    return length * (PER_FLATTEN_VALUE + PER_FILTER_SECTION * sections) +
           frames_of(length, block->fft_length, block->fft_length / 2) *
               spectrum_instructions(block->fft_length) +
           bins * PER_LOGARITHM;
}

static uint64_t mel_instructions(uint64_t length, uint64_t frames, uint64_t fft_length,
                                 uint64_t filters) {
    /* Every bin lies under two filters. */
    return length * PER_RAW_VALUE +
           frames * (spectrum_instructions(fft_length) + 2 * PER_BIN * (fft_length / 2) +
                     filters * PER_LOGARITHM);
}

/* Of one axis. */
static uint64_t block_instructions(const fieldloop_agent_v1_DspBlock *block, uint64_t length) {
    switch (block->which_block) {
        case fieldloop_agent_v1_DspBlock_flatten_tag: return length * PER_FLATTEN_VALUE;
        case fieldloop_agent_v1_DspBlock_spectral_tag:
            return spectral_instructions(&block->block.spectral, length);
        case fieldloop_agent_v1_DspBlock_mfe_tag: {
            const fieldloop_agent_v1_MfeBlock *mfe = &block->block.mfe;
            return mel_instructions(length, frames_of(length, mfe->frame_length, mfe->frame_stride),
                                    mfe->fft_length, mfe->filter_count);
        }
        case fieldloop_agent_v1_DspBlock_mfcc_tag: {
            const fieldloop_agent_v1_MfccBlock *mfcc = &block->block.mfcc;
            const uint64_t frames = frames_of(length, mfcc->frame_length, mfcc->frame_stride);
            const uint64_t normalised =
                (uint64_t)mfcc->normalisation_frames * mfcc->coefficient_count;
            const uint64_t products =
                (uint64_t)mfcc->filter_count * mfcc->coefficient_count + 2 * normalised;
            return mel_instructions(length, frames, mfcc->fft_length, mfcc->filter_count) +
                   frames * products * PER_CEPSTRAL_PRODUCT;
        }
        default: return length * PER_RAW_VALUE;
    }
}

static uint64_t dsp_instructions(const fl_dsp_t *dsp) {
    uint64_t instructions = (uint64_t)dsp->feature_count * PER_FEATURE;
    for (uint32_t i = 0; i < dsp->config.blocks_count; ++i) {
        instructions +=
            dsp->block_axes * block_instructions(&dsp->config.blocks[i], dsp->config.window.length);
    }
    return instructions;
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
