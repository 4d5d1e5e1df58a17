/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/**
 * @file
 * @brief Runs the impulse of a .tflite model: window -> signal processing -> int8 network.
 *
 * The same code runs on the device, in the trainer's feature step and in the evaluation service, so
 * that what is evaluated is what ships. No heap, no global state; the model file and the arena are
 * the caller's and must outlive the impulse. Results are the same bits on every target: float32
 * without contraction, no call of libm but sqrtf.
 */
#ifndef FIELDLOOP_AGENT_IMPULSE_IMPULSE_H
#define FIELDLOOP_AGENT_IMPULSE_IMPULSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/impulse/anomaly.h"
#include "agent/impulse/dsp.h"
#include "agent/impulse/network.h"
#include "fieldloop_agent/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Most classes a model can have. */
#define FL_MAX_CLASSES 32
/** Most reference channels a model can have. */
#define FL_MAX_CHANNELS 6

/** One classified window. */
typedef struct fl_inference {
    int8_t output[FL_MAX_CLASSES];        /**< Outputs of the network, one per class. */
    float probability[FL_MAX_CLASSES];    /**< The same, dequantised. */
    uint32_t predicted_class;             /**< Index of the largest output; the lowest of equals. */
    float confidence;                     /**< Its probability. */
    float novelty;                        /**< Mean over the features of z * z. */
    bool has_anomaly;                     /**< The model has an anomaly block. */
    float anomaly;                        /**< Its score; 0 without one. */
    bool anomalous;                       /**< The score is above the block's threshold. */
    uint8_t channel_bin[FL_MAX_CHANNELS]; /**< Bin of each reference channel. */
    float channel_value[FL_MAX_CHANNELS]; /**< Value of each reference channel. */
} fl_inference_t;

/** An opened model. Treat the members as private. */
typedef struct fl_impulse {
    const uint8_t *model;
    size_t model_size;
    fl_dsp_t dsp;
    fl_network_t network;
    bool has_anomaly;
    fl_anomaly_t anomaly;
    float *features;              /**< In the arena: z values, dsp.feature_count of them. */
    uint8_t *scratch;             /**< In the arena: for the signal processing. */
    fl_window_t self_test_window; /**< Values NULL: the model carries no self-test. */
    const uint8_t *self_test_output;
    size_t self_test_output_size;
} fl_impulse_t;

/**
 * @brief Says how many bytes of arena fl_impulse_open needs for a model.
 *
 * The arena holds the features, then the arena of the network (see network.h); the scratch of the
 * signal processing shares memory with the activations. Takes about 4 KB of stack, as
 * fl_impulse_open does 2 KB.
 *
 * @return FL_OK; FL_ERR_NOT_FOUND if the file is a model without an impulse; FL_ERR_CORRUPT if the
 *         file or its metadata cannot be read or disagree; FL_ERR_UNSUPPORTED if it has an
 * operator, a shape or a value that is not run.
 */
fl_status_t fl_impulse_arena_size(const uint8_t *model, size_t size, size_t *arena_size);

/**
 * @brief Opens a model. Checks every offset, shape and index once, so that running cannot read
 * outside the file or the arena. The features must be as many as the network's inputs and the
 * classes as its outputs. On an error *impulse is not to be used.
 *
 * @param arena  Aligned to 8 bytes.
 * @return As fl_impulse_arena_size; FL_ERR_NO_SPACE if the arena is too small; FL_ERR_ARG if it is
 *         not aligned.
 */
fl_status_t fl_impulse_open(fl_impulse_t *impulse, const uint8_t *model, size_t size, void *arena,
                            size_t arena_size);

/**
 * @brief Quantises as the input of the network is: value / scale rounded, halves away from zero,
 * plus the zero point, clamped to int8. NaN gives -128.
 */
int8_t fl_quantise(float value, float scale, int32_t zero_point);

/** Readings in a window times axes: the number of floats fl_impulse_run takes. */
size_t fl_impulse_window_values(const fl_impulse_t *impulse);

/**
 * @brief Classifies one window.
 *
 * @param window  length x axes values, axes within a reading, in the sensor's units.
 * @param result  Set on FL_OK.
 * @return FL_OK; FL_ERR_ARG if a value is NaN or infinite, or so large that a feature overflows.
 */
fl_status_t fl_impulse_run(fl_impulse_t *impulse, const float *window, fl_inference_t *result);

/** As fl_impulse_run, for a window of integers, such as audio; the result is the same. */
fl_status_t fl_impulse_run_int16(fl_impulse_t *impulse, const int16_t *window,
                                 fl_inference_t *result);

/**
 * @brief Runs the self-test vector of the model.
 *
 * @return FL_OK if the output is the same to the bit; FL_ERR_SELF_TEST if not; FL_ERR_NOT_FOUND if
 *         the model carries none.
 */
fl_status_t fl_impulse_self_test(fl_impulse_t *impulse);

#ifdef __cplusplus
}
#endif

#endif
