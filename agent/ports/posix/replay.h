/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/**
 * @file
 * @brief Recordings in CSV and WAV files, resampled to a model's rate, in place of a sensor.
 *
 * The header of a CSV file names the columns. "timestamp" is in milliseconds, of any origin, and
 * may be irregular: values are interpolated linearly. A row whose timestamp does not increase is
 * left out; a gap of more than a second begins a new segment. A WAV file (PCM, 16 bits) has the
 * axis "audio", or "audio0" and so on when it has several channels, the integers as values, and no
 * labels. Windows never span two files or segments.
 */
#ifndef FIELDLOOP_AGENT_PORTS_POSIX_REPLAY_H
#define FIELDLOOP_AGENT_PORTS_POSIX_REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fieldloop_agent/status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { FL_REPLAY_ERROR_BYTES = 512 };

/** Signal without a gap. */
typedef struct fl_segment {
    size_t readings;
    float *values;   /**< readings x axes. */
    int32_t *labels; /**< One for each reading: index into labels, -1 for none. */
} fl_segment_t;

/** Recordings. Treat the members as private; read segments, segment_count and labels. */
typedef struct fl_replay {
    fl_segment_t *segments;
    size_t segment_count;
    char **labels;
    size_t label_count;
    char error[FL_REPLAY_ERROR_BYTES]; /**< What the last failing call did not like. */
} fl_replay_t;

/**
 * @brief Reads files, and the *.csv and *.wav of directories in the order of their names.
 *
 * @param axes          Names of the columns that are the axes, in order.
 * @param label_column  Column of the label; a file may lack it.
 * @return FL_OK; FL_ERR_NOT_FOUND if a path or column is missing; FL_ERR_CORRUPT; FL_ERR_IO; and
 * then replay->error says which, and there is nothing to free.
 */
fl_status_t fl_replay_load(fl_replay_t *replay, const char *const *paths, size_t path_count,
                           const char *const *axes, size_t axis_count, double frequency_hz,
                           const char *label_column);
void fl_replay_free(fl_replay_t *replay);

/** Label that most readings of a range have, or NULL; *purity is their share. */
const char *fl_replay_label(const fl_replay_t *replay, size_t segment, size_t first, size_t count,
                            double *purity);

#ifdef __cplusplus
}
#endif

#endif
