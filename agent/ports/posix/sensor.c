/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "sensor.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "posix_file.h"

static const double LAG_MS = 1000.0;

static uint64_t mix(uint64_t seed) {
    uint64_t z = seed + 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static bool fits(const fl_sensor_t *sensor, size_t segment, size_t offset) {
    return offset + sensor->length <= sensor->replay->segments[segment].readings;
}

/* Moves to the first window from here on; after the last segment comes the first. */
static bool settle(fl_sensor_t *sensor) {
    for (size_t i = 0; i <= sensor->replay->segment_count; i++) {
        if (sensor->at.segment < sensor->replay->segment_count &&
            fits(sensor, sensor->at.segment, sensor->at.offset)) {
            return true;
        }
        sensor->at.segment = sensor->replay->segment_count == 0
                                 ? 0
                                 : (sensor->at.segment + 1u) % sensor->replay->segment_count;
        sensor->at.offset = 0;
    }
    return false;
}

static void draw_start(fl_sensor_t *sensor, uint64_t seed) {
    uint64_t windows = 0;
    for (size_t i = 0; i < sensor->replay->segment_count; i++) {
        const size_t readings = sensor->replay->segments[i].readings;
        windows += readings < sensor->length ? 0 : (readings - sensor->length) / sensor->stride + 1;
    }
    uint64_t left = windows == 0 ? 0 : mix(seed) % windows;
    sensor->at.segment = 0;
    sensor->at.offset = 0;
    for (size_t i = 0; i < sensor->replay->segment_count; i++) {
        const size_t readings = sensor->replay->segments[i].readings;
        const uint64_t here =
            readings < sensor->length ? 0 : (readings - sensor->length) / sensor->stride + 1;
        if (left < here) {
            sensor->at.segment = i;
            sensor->at.offset = (size_t)left * sensor->stride;
            return;
        }
        left -= here;
    }
}

fl_status_t fl_sensor_start(fl_sensor_t *sensor, const fl_replay_t *replay, uint64_t source,
                            size_t axes, size_t length, size_t stride, double frequency_hz,
                            double speed, uint64_t seed, uint64_t now_ms) {
    sensor->replay = replay;
    sensor->axes = axes;
    sensor->length = length;
    sensor->stride = stride;
    sensor->frequency_hz = frequency_hz;
    sensor->speed = speed;
    sensor->base_clock_ms = sensor->at.clock_ms;
    sensor->elapsed = 0;
    sensor->pace_ms = now_ms;
    sensor->pace_elapsed = 0;
    if (sensor->at.source != source) {
        sensor->at.source = source;
        draw_start(sensor, seed);
    }
    if (!settle(sensor)) {
        sensor->replay = NULL;
        return FL_ERR_NOT_FOUND;
    }
    return FL_OK;
}

/* Real milliseconds that readings of signal take. */
static double real_ms(const fl_sensor_t *sensor, uint64_t readings) {
    return (double)readings * 1000.0 / sensor->frequency_hz / sensor->speed;
}

uint64_t fl_sensor_due_ms(const fl_sensor_t *sensor) {
    if (sensor->replay == NULL) {
        return UINT64_MAX;
    }
    const uint64_t end = sensor->elapsed + sensor->length - sensor->pace_elapsed;
    return sensor->pace_ms + (uint64_t)ceil(real_ms(sensor, end));
}

bool fl_sensor_take(fl_sensor_t *sensor, uint64_t now_ms, fl_sensor_window_t *window) {
    const uint64_t due_ms = fl_sensor_due_ms(sensor);
    if (due_ms > now_ms) {
        return false;
    }
    if ((double)(now_ms - due_ms) > LAG_MS) {
        sensor->pace_ms += now_ms - due_ms;
    }
    const fl_segment_t *segment = &sensor->replay->segments[sensor->at.segment];
    window->values = segment->values + sensor->at.offset * sensor->axes;
    window->segment = sensor->at.segment;
    window->offset = sensor->at.offset;
    window->start_ms = sensor->at.clock_ms;
    window->first_reading = sensor->at.first_reading;
    window->stride_ms = (uint32_t)lround((double)sensor->stride * 1000.0 / sensor->frequency_hz);

    sensor->at.offset += sensor->stride;
    /* A new segment begins behind the end of the last window: two windows of different recordings
     * never claim the same time. */
    const size_t step =
        fits(sensor, sensor->at.segment, sensor->at.offset) ? sensor->stride : sensor->length;
    sensor->elapsed += step;
    sensor->at.first_reading += step;
    sensor->at.clock_ms = sensor->base_clock_ms + (uint64_t)llround((double)sensor->elapsed *
                                                                    1000.0 / sensor->frequency_hz);
    (void)settle(sensor);
    return true;
}

fl_status_t fl_sensor_load(const char *path, fl_sensor_position_t *position) {
    uint8_t *text = NULL;
    size_t size = 0;
    memset(position, 0, sizeof *position);
    const fl_status_t status = fl_posix_read_file(path, &text, &size);
    if (status != FL_OK) {
        return status == FL_ERR_NOT_FOUND ? FL_OK : status;
    }
    uint64_t fields[5];
    char *at = (char *)text;
    bool valid = true;
    for (size_t i = 0; i < 5 && valid; i++) {
        char *end = at;
        errno = 0;
        fields[i] = strtoull(at, &end, 10);
        valid = end != at && errno == 0;
        at = end;
    }
    free(text);
    if (!valid) {
        return FL_ERR_CORRUPT;
    }
    *position = (fl_sensor_position_t){.clock_ms = fields[0],
                                       .first_reading = fields[1],
                                       .source = fields[2],
                                       .segment = (size_t)fields[3],
                                       .offset = (size_t)fields[4]};
    return FL_OK;
}

fl_status_t fl_sensor_save(const char *path, const fl_sensor_position_t *position) {
    char text[128];
    const int length = snprintf(text, sizeof text, "%" PRIu64 " %" PRIu64 " %" PRIu64 " %zu %zu\n",
                                position->clock_ms, position->first_reading, position->source,
                                position->segment, position->offset);
    return fl_posix_write_file(path, text, (size_t)length);
}
