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

#include "fieldloop_agent/port.h"
#include "fieldloop_agent/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Limits of the protocol for a model. */
enum { FL_CLASSES_MAX = 32, FL_CHANNELS_MAX = 6, FL_BINS_MAX = 16 };

/** What the agent must know of a started model to count and choose windows. */
typedef struct fl_model_info {
    uint32_t reference_id;               /**< Reference.id of the model. */
    uint32_t class_count;                /**< 1 to 32. */
    uint32_t channel_count;              /**< Reference channels, up to 6. */
    uint32_t bin_count[FL_CHANNELS_MAX]; /**< Bins of each channel, 2 to 16. */
    float uncertain_below; /**< Confidence below which a window counts as uncertain. */
    bool has_anomaly;      /**< Its observations carry anomaly scores. */
    float frequency_hz;    /**< Readings a second. */
    uint32_t axes;         /**< Values in a reading. */
} fl_model_info_t;

/** Steps for which a rollout that is not forced needs the application's consent. */
typedef enum fl_step {
    FL_STEP_DOWNLOAD = 0, /**< Begin, or go on, to download. */
    FL_STEP_INSTALL = 1,  /**< Have the next restart, whatever its cause, start the new set. */
    FL_STEP_REBOOT = 2,   /**< Restart now. */
} fl_step_t;

/** Answers of fl_app_t.consents; any other is a time in milliseconds after which to ask again. */
#define FL_CONSENT_NOW 0u
#define FL_CONSENT_DECLINED UINT32_MAX

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

    /**
     * Takes the application's configuration, whose bytes the agent has verified. Called in
     * fl_agent_init(), before model_start; a second time, with the one before, after the set on
     * trial failed. NULL: the application has none.
     *
     * @param slot    Index into fl_port_t.configuration; FL_SLOT_NONE, with size 0 and digest NULL,
     * when there is none that is whole: the application's defaults count.
     * @return FL_OK; FL_ERR_IO if flash cannot be read; anything else refuses it: the update that
     * brought it is reverted.
     */
    fl_status_t (*configuration_start)(void *context, uint32_t slot, uint32_t size,
                                       const uint8_t digest[32]);

    /**
     * Whether a step may happen now: FL_CONSENT_NOW; a time in milliseconds, after which it is
     * asked again; or FL_CONSENT_DECLINED. What is declined at FL_STEP_DOWNLOAD or FL_STEP_INSTALL
     * is given up until another release or rollout is offered; at FL_STEP_REBOOT the agent leaves
     * the restart to others. The answer is reported once, and the time outlives a restart. A
     * rollout that is forced does not ask. NULL: always now.
     */
    uint32_t (*consents)(void *context, fl_step_t step);

    /** A period was counted and its sketch put in the outbox. May be NULL. */
    void (*period_closed)(void *context, uint64_t start_ms, uint32_t period_ms);

    /** The window that is being observed was put in the outbox. May be NULL. */
    void (*sample_chosen)(void *context, uint64_t start_ms, fl_reason_t reason);
} fl_app_t;

#ifdef __cplusplus
}
#endif

#endif
