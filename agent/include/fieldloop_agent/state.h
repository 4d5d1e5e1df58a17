/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/**
 * @file
 * @brief What the agent remembers across resets.
 */
#ifndef FIELDLOOP_AGENT_STATE_H
#define FIELDLOOP_AGENT_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "fieldloop_agent/config.h"

#ifdef __cplusplus
extern "C" {
#endif

/** No slot. */
#define FL_SLOT_NONE 255u

/** How far an update is. */
typedef enum fl_phase {
    FL_PHASE_IDLE = 0,        /**< Nothing to install. */
    FL_PHASE_DOWNLOADING = 1, /**< target.written bytes of it are in its slot. */
    FL_PHASE_DOWNLOADED = 2,  /**< All of it is there and matches; waits for the restart. */
    FL_PHASE_TRIAL = 3,       /**< The target is what is started. */
} fl_phase_t;

/** A model in a slot. */
typedef struct fl_model {
    uint8_t slot; /**< 0, 1 or FL_SLOT_NONE. */
    uint8_t digest[32];
    uint32_t size;
    uint64_t release_sequence;
} fl_model_t;

/** Settings that the server gave, as in the protocol. */
typedef struct fl_settings {
    uint32_t version;
    uint32_t sketch_period_ms;
    uint32_t samples_per_period;
    float random_share;
    uint32_t samples_total;
    uint32_t plan_id;
    uint32_t trial_windows;
    uint32_t trial_timeout_ms;
} fl_settings_t;

/** A report that was decided together with the record; it is put in the outbox afterwards. */
typedef struct fl_pending_report {
    uint64_t sequence; /**< 0 for none. */
    uint8_t phase;     /**< UpdatePhase. */
    uint8_t cause;     /**< UpdateCause. */
    char rollout_id[40];
    uint64_t release_sequence;
    bool has_active;
    uint8_t active_digest[32];
} fl_pending_report_t;

/** The record. */
typedef struct fl_state {
    uint32_t boot_count;
    uint64_t time_floor_ms;  /**< Unix time that is certainly past. */
    uint64_t sequence_limit; /**< Sequences from here on were never used. */
    uint32_t dropped_uplinks;
    uint64_t confirmed_sequence; /**< Highest release sequence ever confirmed. */
    fl_model_t active;           /**< Confirmed; what a revert goes back to. */
    uint8_t phase;               /**< fl_phase_t. */
    fl_model_t target;           /**< Meaningful unless idle. */
    uint32_t written;
    uint8_t trial_boots;
    char rollout_id[40];
    fl_pending_report_t report;
    uint8_t refused_count;
    uint8_t refused[FIELDLOOP_AGENT_REFUSED_MAX][32];
    fl_settings_t settings;
    uint32_t plan_id;   /**< Plan that plan_used counts. */
    uint32_t plan_used; /**< Recordings that may have been sent under it. */
} fl_state_t;

#ifdef __cplusplus
}
#endif

#endif
