/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/**
 * @file
 * @brief A sensor that plays recordings: which window is due when, on which clock.
 *
 * The sensor clock is Unix milliseconds and advances with the signal. At speed 1 that is the wall
 * clock; at another speed it runs ahead of it or behind, and goes on where it was after a restart.
 */
#ifndef FIELDLOOP_AGENT_PORTS_POSIX_SENSOR_H
#define FIELDLOOP_AGENT_PORTS_POSIX_SENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fieldloop_agent/status.h"
#include "replay.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Where the signal is; what a restart keeps. */
typedef struct fl_sensor_position {
    uint64_t clock_ms;      /**< Sensor clock at the next window's start. */
    uint64_t first_reading; /**< Readings before the next window. */
    uint64_t source;        /**< Fingerprint of the list of recordings. */
    size_t segment;
    size_t offset; /**< Of the next window in its segment. */
} fl_sensor_position_t;

typedef struct fl_sensor {
    const fl_replay_t *replay; /**< The caller's; NULL for none. */
    size_t axes;
    size_t length; /**< Readings in a window. */
    size_t stride;
    double frequency_hz;
    double speed;
    fl_sensor_position_t at;
    uint64_t base_clock_ms; /* at.clock_ms is this + elapsed / frequency. */
    uint64_t elapsed;       /* Readings since. */
    uint64_t pace_ms;       /* Monotonic time at which pace_elapsed was due. */
    uint64_t pace_elapsed;
} fl_sensor_t;

/** A window of the signal. */
typedef struct fl_sensor_window {
    const float *values;
    size_t segment;
    size_t offset;
    uint64_t start_ms;
    uint64_t first_reading;
    uint32_t stride_ms;
} fl_sensor_window_t;

/**
 * @brief Plays a replay for a model from a position on.
 *
 * @param source  Fingerprint of the recordings; if at.source is another, a new start is drawn from
 *                the seed.
 * @return FL_OK; FL_ERR_NOT_FOUND if no segment holds a window: nothing is ever due then.
 */
fl_status_t fl_sensor_start(fl_sensor_t *sensor, const fl_replay_t *replay, uint64_t source,
                            size_t axes, size_t length, size_t stride, double frequency_hz,
                            double speed, uint64_t seed, uint64_t now_ms);

/** When the next window is complete, on the monotonic clock; UINT64_MAX for never. */
uint64_t fl_sensor_due_ms(const fl_sensor_t *sensor);

/**
 * @brief Takes the next window if it is complete.
 *
 * A caller that falls more than a second behind loses no window: the signal waits for it.
 */
bool fl_sensor_take(fl_sensor_t *sensor, uint64_t now_ms, fl_sensor_window_t *window);

/** Reads and writes the position. Reading gives zeros when there is none. */
fl_status_t fl_sensor_load(const char *path, fl_sensor_position_t *position);
fl_status_t fl_sensor_save(const char *path, const fl_sensor_position_t *position);

#ifdef __cplusplus
}
#endif

#endif
