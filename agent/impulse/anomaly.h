/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/**
 * @file
 * @brief The anomaly block: how far a window is from the training data, by the formulas of
 * proto/fieldloop/agent/v1/impulse.proto.
 */
#ifndef FIELDLOOP_AGENT_IMPULSE_ANOMALY_H
#define FIELDLOOP_AGENT_IMPULSE_ANOMALY_H

#include <stddef.h>
#include <stdint.h>

#include "agent/impulse/dsp.h"
#include "fieldloop_agent/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Most features an anomaly block looks at. */
#define FL_ANOMALY_MAX_FEATURES 32
/** Most clusters or components. */
#define FL_ANOMALY_MAX_CLUSTERS 32
/** Scores are limited to +- this, so that sums of their squares stay finite. */
#define FL_ANOMALY_MAX_SCORE 1e15f

/** A checked anomaly block; its arrays are little-endian float32 in the metadata. */
typedef struct fl_anomaly {
    uint32_t feature_count;
    uint32_t features[FL_ANOMALY_MAX_FEATURES]; /**< Indices of the features it looks at. */
    uint32_t cluster_count;
    float threshold;
    const uint8_t *offsets;            /**< A radius, or a log weight, for each cluster. */
    const uint8_t *centres;            /**< Clusters x features. */
    const uint8_t *inverse_deviations; /**< Clusters x features; NULL for k-means. */
} fl_anomaly_t;

/**
 * @brief Finds and checks the anomaly block of a serialised fieldloop.agent.v1.Impulse.
 *
 * @param dsp       As fl_dsp_open opened it from the same metadata.
 * @param metadata  Must outlive `anomaly`.
 * @return FL_OK; FL_ERR_NOT_FOUND if the impulse has no anomaly block; FL_ERR_CORRUPT if it does
 * not parse, has not exactly one method, or its arrays do not fit each other; FL_ERR_UNSUPPORTED if
 * a value or a number is out of range.
 */
fl_status_t fl_anomaly_open(fl_anomaly_t *anomaly, const fl_dsp_t *dsp, const uint8_t *metadata,
                            size_t size);

/** Score of standardised features, limited to +-FL_ANOMALY_MAX_SCORE. */
float fl_anomaly_score(const fl_anomaly_t *anomaly, const float *features);

#ifdef __cplusplus
}
#endif

#endif
