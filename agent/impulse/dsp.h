/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/**
 * @file
 * @brief Signal processing: from a window of readings to standardised features.
 *
 * The formulas are those of proto/fieldloop/agent/v1/impulse.proto.
 */
#ifndef FIELDLOOP_AGENT_IMPULSE_DSP_H
#define FIELDLOOP_AGENT_IMPULSE_DSP_H

#include <fieldloop/agent/v1/impulse.nanopb.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fieldloop_agent/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A checked recipe. Treat the members as private; read feature_count and scratch_size. */
typedef struct fl_dsp {
    fieldloop_agent_v1_Impulse config; /**< As decoded, but for what is read in place. */
    uint32_t window_axes;              /**< Axes of the sensor. */
    uint32_t block_axes;               /**< With the magnitudes. */
    uint32_t feature_count;            /**< Features of one window. */
    size_t scratch_size;               /**< Bytes of scratch that fl_dsp_features needs. */
    const uint8_t *mean;               /**< feature_count float32, little endian; NULL: none. */
    const uint8_t *inverse_deviation;  /**< feature_count float32, little endian; NULL: none. */
} fl_dsp_t;

/**
 * @brief Decodes and checks a serialised fieldloop.agent.v1.Impulse.
 *
 * `metadata` must outlive `dsp`. A missing standardisation is allowed (the trainer computes raw
 * features first); one of the wrong length is not. Classes, references and the self test are not
 * looked at. On an error *dsp is not to be used.
 *
 * @return FL_OK; FL_ERR_CORRUPT if it does not parse; FL_ERR_UNSUPPORTED if a value is out of its
 *         range.
 */
fl_status_t fl_dsp_open(fl_dsp_t *dsp, const uint8_t *metadata, size_t size);

/**
 * @brief Computes the features of one window, before standardisation.
 *
 * @param window    length x axes values, axes within a reading.
 * @param features  Room for feature_count values.
 * @param scratch   scratch_size bytes, aligned to 8.
 * @return FL_OK; FL_ERR_ARG if a value is NaN or infinite, or so large that a feature overflows.
 */
fl_status_t fl_dsp_features(const fl_dsp_t *dsp, const float *window, float *features,
                            uint8_t *scratch);

/** A window as it lies in memory, of any alignment. */
typedef struct fl_window {
    const uint8_t *values; /**< Little endian. */
    bool is_int16;         /**< int16; else float32. */
} fl_window_t;

/** As fl_dsp_features. A window of int16 has the features of the same numbers as float32. */
fl_status_t fl_dsp_features_of(const fl_dsp_t *dsp, fl_window_t window, float *features,
                               uint8_t *scratch);

/**
 * @brief Standardises features in place: z = clamp((x - mean) * inverse_deviation, -clip, clip).
 *
 * Without a standardisation the features stay as they are.
 */
void fl_dsp_standardise(const fl_dsp_t *dsp, float *features);

#ifdef __cplusplus
}
#endif

#endif
