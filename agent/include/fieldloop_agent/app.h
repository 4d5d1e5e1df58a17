/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/**
 * @file
 * @brief What the application gives the agent: how its model is started, and when it may be
 * replaced.
 *
 * The agent knows no inference engine. Bring your own, or fieldloop::impulse.
 */
#ifndef FIELDLOOP_AGENT_APP_H
#define FIELDLOOP_AGENT_APP_H

#include <stdbool.h>
#include <stdint.h>

#include "fieldloop_agent/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What the agent must know of a started model to count and choose windows. */
typedef struct fl_model_info {
    uint32_t reference_id;  /**< Reference.id of the model. */
    uint32_t class_count;   /**< 1 to 32. */
    uint32_t channel_count; /**< Reference channels, up to 6. */
    uint32_t bin_count[6];  /**< Bins of each channel, 2 to 16. */
    float uncertain_below;  /**< Confidence below which a window counts as uncertain. */
    bool has_anomaly;       /**< Its observations carry anomaly scores. */
    float frequency_hz;     /**< Readings a second. */
    uint32_t axes;          /**< Values in a reading. */
} fl_model_info_t;

/** Steps for which a rollout that is not forced needs the application's consent. */
typedef enum fl_step {
    FL_STEP_DOWNLOAD = 0, /**< Begin, or go on, to download. */
    FL_STEP_REBOOT = 1,   /**< Restart into the new model. */
} fl_step_t;

/** Why a recording was chosen; the numbers are those of SampleReason. */
typedef enum fl_reason {
    FL_REASON_RANDOM = 1,
    FL_REASON_UNCERTAIN = 2,
    FL_REASON_NOVEL = 3,
} fl_reason_t;

/** Hooks of the application. Called from fl_agent_init(), fl_agent_poll() and fl_agent_observe().
 */
typedef struct fl_app {
    /** Passed back as the first argument. May be NULL. */
    void *context;

    /**
     * Opens the model in a slot, whose bytes the agent has verified, and runs its self-test. Called
     * in fl_agent_init(), at most twice: the second time after the model on trial failed.
     *
     * @param slot    Index into fl_port_t.slot.
     * @param info    Set on FL_OK.
     * @return FL_OK; FL_ERR_IO if flash cannot be read; anything else means that the model is
     * unfit.
     */
    fl_status_t (*model_start)(void *context, uint32_t slot, uint32_t size,
                               const uint8_t digest[32], fl_model_info_t *info);

    /** Whether a step may happen now. May be NULL: always. */
    bool (*consents)(void *context, fl_step_t step);

    /** A period was counted and its sketch put in the outbox. May be NULL. */
    void (*period_closed)(void *context, uint64_t start_ms, uint32_t period_ms);

    /** The window that is being observed was put in the outbox. May be NULL. */
    void (*sample_chosen)(void *context, uint64_t start_ms, fl_reason_t reason);
} fl_app_t;

#ifdef __cplusplus
}
#endif

#endif
