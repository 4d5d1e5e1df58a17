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
#include "fieldloop_agent/port.h"

#ifdef __cplusplus
extern "C" {
#endif

/** How far an update is. */
typedef enum fl_phase {
    FL_PHASE_IDLE = 0,        /**< Nothing to install. */
    FL_PHASE_DOWNLOADING = 1, /**< Part of the set is in its slots. */
    FL_PHASE_DOWNLOADED = 2,  /**< All of it is there and matches; waits for consent. */
    FL_PHASE_TRIAL = 3,       /**< Installed: the set is what is started. */
    FL_PHASE_REVERTING = 4,   /**< The trial failed, and the bootloader has to go back. */
} fl_phase_t;

/** What a component is: its ComponentKind less one, so that it counts from 0. */
typedef enum fl_kind {
    FL_KIND_MODEL = 0,
    FL_KIND_FIRMWARE = 1,
    FL_KIND_CONFIGURATION = 2,
    FL_KIND_COUNT = 3,
} fl_kind_t;

/** Bit of a kind in a set of kinds. */
static inline uint8_t fl_kind_bit(unsigned kind) {
    return (1u << kind) & 0xffu;
}

/** A release, and the rollout that gives it. */
typedef struct fl_rollout {
    uint64_t release_sequence;
    char id[40]; /**< Ended and filled up with zeros, so that two are compared byte for byte. */
} fl_rollout_t;

/** Bytes that a release names. */
typedef struct fl_artifact {
    uint8_t digest[32];
    uint32_t size;
} fl_artifact_t;

/** A component that is in place. */
typedef struct fl_component {
    uint8_t slot;       /**< 0, 1 or FL_SLOT_NONE. Firmware: 0, its place is the bootloader's. */
    uint8_t digest[32]; /**< Zeros without a slot. */
    uint32_t size;
    uint64_t release_sequence; /**< Of the release that it came from; 0 for none. */
} fl_component_t;

/** What a release consists of. */
typedef struct fl_release {
    fl_rollout_t rollout;
    fl_artifact_t artifact[FL_KIND_COUNT]; /**< Zeros where the release names none. */
} fl_release_t;

/** The set that is downloaded, installed or on trial. */
typedef struct fl_target {
    uint8_t named;    /**< Kinds of the release. */
    uint8_t install;  /**< Of them, those that the device does not run already. */
    uint8_t done;     /**< Of these, those that are in their slots whole. */
    uint8_t boots;    /**< Starts on trial, or with firmware that has to go. */
    uint32_t written; /**< Bytes of the first missing component that are in its slot. */
} fl_target_t;

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
    uint64_t sequence; /**< 0 once it is acknowledged. */
    fl_rollout_t rollout;
    uint8_t phase; /**< UpdatePhase. */
    uint8_t cause; /**< UpdateCause. */
} fl_pending_report_t;

/** Bytes by which a refused set is known: the first of a digest over its components' digests. */
#define FL_REFUSED_BYTES 8u

/** What of the record is used most. */
typedef struct fl_state {
    uint8_t phase; /**< fl_phase_t. */
    uint8_t refused_count;
    fl_target_t target; /**< Meaningful unless idle. */
    uint32_t boot_count;
    uint32_t dropped_uplinks;
    uint32_t plan_id;   /**< Plan that plan_used counts. */
    uint32_t plan_used; /**< Recordings that may have been sent under it. */
    fl_settings_t settings;
} fl_state_t;

/** The rest of it. */
typedef struct fl_kept {
    uint64_t time_floor_ms;      /**< Unix time that is certainly past. */
    uint64_t sequence_limit;     /**< Sequences from here on were never used. */
    uint64_t confirmed_sequence; /**< Highest release sequence ever confirmed. */
    uint64_t ask_again_ms;       /**< Unix time before which no consent is asked for. */
    fl_pending_report_t report;
    fl_release_t release;                 /**< Of the target. */
    fl_component_t active[FL_KIND_COUNT]; /**< Confirmed; what a revert goes back to. */
    uint8_t refused[FIELDLOOP_AGENT_REFUSED_MAX][FL_REFUSED_BYTES];
} fl_kept_t;

#ifdef __cplusplus
}
#endif

#endif
