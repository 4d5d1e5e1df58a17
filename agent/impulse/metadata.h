/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/**
 * @file
 * @brief Finds packed arrays and bytes in serialised metadata, without a copy. Internal to
 * agent/impulse.
 */
#ifndef FIELDLOOP_AGENT_IMPULSE_METADATA_H
#define FIELDLOOP_AGENT_IMPULSE_METADATA_H

#include <stddef.h>
#include <stdint.h>

#include "fieldloop_agent/status.h"

/** Fields of fieldloop.agent.v1 that nanopb does not decode, see impulse.options. */
enum {
    FL_METADATA_MEAN_TAG = 1,
    FL_METADATA_INVERSE_DEVIATION_TAG = 2,
    FL_METADATA_SELF_TEST_WINDOW_TAG = 1,
    FL_METADATA_SELF_TEST_OUTPUT_TAG = 2,
    FL_METADATA_SELF_TEST_WINDOW_INT16_TAG = 3,
    FL_METADATA_SELF_TEST_TAG = 9,
    FL_METADATA_ANOMALY_TAG = 11,
    FL_METADATA_ANOMALY_FEATURES_TAG = 1,
    FL_METADATA_ANOMALY_K_MEANS_TAG = 2,
    FL_METADATA_ANOMALY_MIXTURE_TAG = 3,
    FL_METADATA_K_MEANS_CENTRES_TAG = 1,
    FL_METADATA_K_MEANS_RADII_TAG = 2,
    FL_METADATA_MIXTURE_LOG_WEIGHTS_TAG = 1,
    FL_METADATA_MIXTURE_MEANS_TAG = 2,
    FL_METADATA_MIXTURE_INVERSE_DEVIATIONS_TAG = 3
};

/** A part of the metadata; data NULL if it is absent. */
typedef struct fl_span {
    const uint8_t *data;
    size_t size;
} fl_span_t;

/**
 * Finds the length-delimited field `tag` of a serialised message.
 * FL_ERR_CORRUPT if the message does not parse, or if the field occurs twice or is not
 * length-delimited (such as numbers that are not packed).
 */
fl_status_t fl_metadata_field(fl_span_t message, uint32_t tag, fl_span_t *field);

#endif
