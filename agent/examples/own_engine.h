/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/**
 * @file
 * @brief A device with an inference engine of its own; agent/docs/OWN_ENGINE.md walks through it.
 */
#ifndef FIELDLOOP_AGENT_EXAMPLES_OWN_ENGINE_H
#define FIELDLOOP_AGENT_EXAMPLES_OWN_ENGINE_H

#include "fieldloop_agent/fieldloop_agent.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { OWN_ENGINE_READINGS = 8 };

/** A second of the sensor. */
typedef struct own_engine_window {
    uint64_t start_ms; /**< Unix milliseconds. */
    float readings[OWN_ENGINE_READINGS];
} own_engine_window_t;

/** Why a wait ended. */
typedef enum own_engine_event {
    OWN_ENGINE_WINDOW, /**< The sensor filled a window. */
    OWN_ENGINE_TIME,   /**< It is time, or the connection has news. */
    OWN_ENGINE_END,    /**< The agent asked for the reboot, or the program is to end. */
} own_engine_event_t;

/** What the board gives. */
typedef struct own_engine_board {
    void *context;
    const fl_port_t *port;
    const fl_agent_config_t *config;
    /** Sleeps until a window is there, or until a time of port->now_ms. */
    own_engine_event_t (*wait)(void *context, uint64_t until_ms, own_engine_window_t *window);
} own_engine_board_t;

/** Runs until the board ends it. */
fl_status_t own_engine_run(fl_agent_t *agent, const own_engine_board_t *board);

#ifdef __cplusplus
}
#endif

#endif
