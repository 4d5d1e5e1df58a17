/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/**
 * @file
 * @brief The application of fieldloop-agent: runs the model on the recordings and feeds the agent.
 */
#ifndef FIELDLOOP_AGENT_PORTS_POSIX_DEVICE_H
#define FIELDLOOP_AGENT_PORTS_POSIX_DEVICE_H

#include "agent/impulse/impulse.h"
#include "fieldloop_agent/agent.h"
#include "options.h"
#include "posix_port.h"
#include "replay.h"
#include "sensor.h"
#include "truth_log.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fl_device {
    const fl_options_t *options;
    fl_posix_t *posix;
    fl_agent_t *agent;
    fl_app_t app;
    char **replay_paths; /* Of malloc(), as their texts. */
    size_t replay_count;
    char sensor_path[4096];
    uint64_t sensor_saved_ms;
    bool has_model;
    uint8_t *model;
    void *arena;
    fl_impulse_t impulse;
    int16_t *integers; /* Room for a window of integers. */
    fl_replay_t replay;
    fl_sensor_t sensor;
    fl_truth_log_t truth;
    const char *window_label; /* Of the window that is being observed. */
    double window_purity;
} fl_device_t;

/** Fills in device->app; then the agent may be initialised. False after logging what went wrong. */
bool fl_device_open(fl_device_t *device, const fl_options_t *options, fl_posix_t *posix,
                    fl_agent_t *agent);

/** Keeps the sensor's position and frees everything. */
void fl_device_close(fl_device_t *device);

/** Classifies the windows that are due. Returns when to call again, on the monotonic clock. */
uint64_t fl_device_run(fl_device_t *device);

/** Plays other recordings; the ones before go on if these cannot be read. */
void fl_device_set_replay(fl_device_t *device, const char *const *paths, size_t path_count);

#ifdef __cplusplus
}
#endif

#endif
