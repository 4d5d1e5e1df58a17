/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "replay.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "posix_file.h"
#include "wav.h"

enum { MAX_COLUMNS = 64, MAX_AXES = 12 };

static const double GAP_MS = 1000.0;

/* A growing array of rows. */
typedef struct rows {
    size_t count;
    size_t capacity;
    double *times;
    float *values;
    int32_t *labels;
} rows_t;

typedef struct load {
    fl_replay_t *replay;
    const char *path;
    const char *const *axes;
    size_t axis_count;
    double frequency_hz;
    const char *label_column;
    int time_column;
    int label_index;
    int axis_columns[MAX_AXES];
} load_t;

static fl_status_t complain(const load_t *load, fl_status_t status, const char *what) {
    (void)snprintf(load->replay->error, sizeof load->replay->error, "%s: %s", load->path, what);
    return status;
}

static fl_status_t complain_about(const load_t *load, fl_status_t status, const char *what,
                                  const char *name) {
    (void)snprintf(load->replay->error, sizeof load->replay->error, "%s: %s '%s'", load->path, what,
                   name);
    return status;
}

/* Splits a line in place at its commas. */
static int split(char *line, char **cells) {
    int count = 0;
    char *at = line;
    while (count < MAX_COLUMNS) {
        cells[count++] = at;
        at = strchr(at, ',');
        if (at == NULL) {
            break;
        }
        *at++ = '\0';
    }
    return count;
}

/* Takes a line off the text, without its end. NULL at the end. */
static char *next_line(char **text) {
    char *line = *text;
    if (*line == '\0') {
        return NULL;
    }
    char *end = line + strcspn(line, "\n");
    *text = *end == '\0' ? end : end + 1;
    *end = '\0';
    const size_t length = strlen(line);
    if (length > 0 && line[length - 1] == '\r') {
        line[length - 1] = '\0';
    }
    return line;
}

static int find_column(char **cells, int count, const char *name) {
    for (int i = 0; i < count; i++) {
        if (strcmp(cells[i], name) == 0) {
            return i;
        }
    }
    return -1;
}

static fl_status_t read_header(load_t *load, char *line) {
    char *cells[MAX_COLUMNS];
    const int count = split(line, cells);
    load->time_column = find_column(cells, count, "timestamp");
    if (load->time_column < 0) {
        return complain_about(load, FL_ERR_NOT_FOUND, "no column", "timestamp");
    }
    load->label_index = find_column(cells, count, load->label_column);
    for (size_t i = 0; i < load->axis_count; i++) {
        load->axis_columns[i] = find_column(cells, count, load->axes[i]);
        if (load->axis_columns[i] < 0) {
            return complain_about(load, FL_ERR_NOT_FOUND, "no column", load->axes[i]);
        }
    }
    return FL_OK;
}

static int32_t intern_label(fl_replay_t *replay, const char *text) {
    for (size_t i = 0; i < replay->label_count; i++) {
        if (strcmp(replay->labels[i], text) == 0) {
            return (int32_t)i;
        }
    }
    char **grown = realloc(replay->labels, (replay->label_count + 1u) * sizeof *grown);
    char *copy = strdup(text);
    if (grown == NULL || copy == NULL) {
        free(copy);
        replay->labels = grown == NULL ? replay->labels : grown;
        return -1;
    }
    replay->labels = grown;
    replay->labels[replay->label_count] = copy;
    return (int32_t)replay->label_count++;
}

static bool parse_number(const char *text, double *value) {
    char *end;
    *value = strtod(text, &end);
    return end != text && *end == '\0' && isfinite(*value);
}

static bool reserve_row(rows_t *rows, size_t axis_count) {
    if (rows->count < rows->capacity) {
        return true;
    }
    const size_t capacity = rows->capacity == 0 ? 1024 : rows->capacity * 2u;
    double *times = realloc(rows->times, capacity * sizeof *times);
    rows->times = times == NULL ? rows->times : times;
    float *values = realloc(rows->values, capacity * axis_count * sizeof *values);
    rows->values = values == NULL ? rows->values : values;
    int32_t *labels = realloc(rows->labels, capacity * sizeof *labels);
    rows->labels = labels == NULL ? rows->labels : labels;
    if (times == NULL || values == NULL || labels == NULL) {
        return false;
    }
    rows->capacity = capacity;
    /* cppcheck-suppress memleak ; rows holds all three. */
    return true;
}

static void free_rows(rows_t *rows) {
    free(rows->times);
    free(rows->values);
    free(rows->labels);
}

/* Resamples rows to a segment: reading i is at the first row's time + i / frequency. */
static fl_status_t add_segment(load_t *load, const rows_t *rows) {
    fl_replay_t *replay = load->replay;
    const size_t axes = load->axis_count;
    if (rows->count < 2) {
        return FL_OK;
    }
    const double step_ms = 1000.0 / load->frequency_hz;
    const double span_ms = rows->times[rows->count - 1] - rows->times[0];
    /* The last reading may lie on the last row but for rounding. */
    const size_t readings = (size_t)floor(span_ms / step_ms + 1e-9) + 1u;
    fl_segment_t *grown = realloc(replay->segments, (replay->segment_count + 1u) * sizeof *grown);
    if (grown == NULL) {
        return complain(load, FL_ERR_IO, "out of memory");
    }
    replay->segments = grown;
    fl_segment_t *segment = &replay->segments[replay->segment_count++];
    segment->readings = readings;
    segment->values = malloc(readings * axes * sizeof *segment->values);
    segment->labels = malloc(readings * sizeof *segment->labels);
    if (segment->values == NULL || segment->labels == NULL) {
        return complain(load, FL_ERR_IO, "out of memory");
    }
    size_t row = 0;
    for (size_t i = 0; i < readings; i++) {
        const double at = rows->times[0] + (double)i * step_ms;
        while (row + 2u < rows->count && rows->times[row + 1u] <= at) {
            row++;
        }
        const double before = rows->times[row];
        double share = (at - before) / (rows->times[row + 1u] - before);
        share = share > 1.0 ? 1.0 : share;
        for (size_t a = 0; a < axes; a++) {
            const double from = (double)rows->values[row * axes + a];
            const double to = (double)rows->values[(row + 1u) * axes + a];
            segment->values[i * axes + a] = (float)(from + (to - from) * share);
        }
        segment->labels[i] = rows->labels[share < 1.0 ? row : row + 1u];
    }
    return FL_OK;
}

static fl_status_t read_rows(load_t *load, char *text, rows_t *rows) {
    size_t line_number = 1;
    char *line;
    while ((line = next_line(&text)) != NULL) {
        char *cells[MAX_COLUMNS];
        double time_ms;
        line_number++;
        if (*line == '\0') {
            continue;
        }
        const int count = split(line, cells);
        if (load->time_column >= count || !parse_number(cells[load->time_column], &time_ms)) {
            (void)snprintf(load->replay->error, sizeof load->replay->error,
                           "%s:%zu: no timestamp in milliseconds", load->path, line_number);
            return FL_ERR_CORRUPT;
        }
        if (rows->count > 0 && time_ms <= rows->times[rows->count - 1]) {
            continue;
        }
        if (rows->count > 0 && time_ms - rows->times[rows->count - 1] > GAP_MS) {
            FL_RETURN_IF_ERROR(add_segment(load, rows));
            rows->count = 0;
        }
        if (!reserve_row(rows, load->axis_count)) {
            return complain(load, FL_ERR_IO, "out of memory");
        }
        for (size_t a = 0; a < load->axis_count; a++) {
            double value;
            if (load->axis_columns[a] >= count ||
                !parse_number(cells[load->axis_columns[a]], &value)) {
                (void)snprintf(load->replay->error, sizeof load->replay->error,
                               "%s:%zu: column '%s' is no number", load->path, line_number,
                               load->axes[a]);
                return FL_ERR_CORRUPT;
            }
            rows->values[rows->count * load->axis_count + a] = (float)value;
        }
        rows->times[rows->count] = time_ms;
        rows->labels[rows->count] = load->label_index >= 0 && load->label_index < count &&
                                            cells[load->label_index][0] != '\0'
                                        ? intern_label(load->replay, cells[load->label_index])
                                        : -1;
        rows->count++;
    }
    return add_segment(load, rows);
}

static fl_status_t load_csv(load_t *load, uint8_t *data) {
    char *text = (char *)data;
    char *header = next_line(&text);
    if (header == NULL) {
        return complain(load, FL_ERR_CORRUPT, "no header line");
    }
    FL_RETURN_IF_ERROR(read_header(load, header));
    rows_t rows = {0};
    const fl_status_t status = read_rows(load, text, &rows);
    free_rows(&rows);
    return status;
}

/* Finds the channels by the names that uploaded WAV files get: "audio", or "audio0" and so on. */
static fl_status_t find_channels(load_t *load, const fl_wav_t *wav) {
    for (size_t i = 0; i < load->axis_count; i++) {
        load->axis_columns[i] = -1;
        for (uint32_t channel = 0; channel < wav->channels; channel++) {
            char name[32] = "audio";
            if (wav->channels > 1) {
                (void)snprintf(name, sizeof name, "audio%" PRIu32, channel);
            }
            if (strcmp(name, load->axes[i]) == 0) {
                load->axis_columns[i] = (int)channel;
            }
        }
        if (load->axis_columns[i] < 0) {
            return complain_about(load, FL_ERR_NOT_FOUND, "no channel", load->axes[i]);
        }
    }
    return FL_OK;
}

static fl_status_t load_wav(load_t *load, const uint8_t *data, size_t size) {
    fl_wav_t wav;
    const fl_status_t read = fl_wav_read(&wav, data, size);
    if (read != FL_OK) {
        return complain(load, read, "no WAV file of PCM with 16 bits");
    }
    FL_RETURN_IF_ERROR(find_channels(load, &wav));
    rows_t rows = {0};
    fl_status_t status = FL_OK;
    for (size_t i = 0; i < wav.readings && status == FL_OK; i++) {
        if (!reserve_row(&rows, load->axis_count)) {
            status = complain(load, FL_ERR_IO, "out of memory");
            break;
        }
        for (size_t a = 0; a < load->axis_count; a++) {
            rows.values[i * load->axis_count + a] =
                fl_wav_value(&wav, i, (uint32_t)load->axis_columns[a]);
        }
        rows.times[i] = (double)i * 1000.0 / wav.frequency_hz;
        rows.labels[i] = -1;
        rows.count++;
    }
    if (status == FL_OK) {
        status = add_segment(load, &rows);
    }
    free_rows(&rows);
    return status;
}

static bool has_ending(const char *name, const char *ending) {
    const size_t length = strlen(name);
    const size_t tail = strlen(ending);
    return length > tail && strcmp(name + length - tail, ending) == 0;
}

static fl_status_t load_file(load_t *load, const char *path) {
    uint8_t *data = NULL;
    size_t size = 0;
    load->path = path;
    fl_status_t status = fl_posix_read_file(path, &data, &size);
    if (status != FL_OK) {
        return complain(load, status,
                        status == FL_ERR_NOT_FOUND ? "no such file" : strerror(errno));
    }
    status = has_ending(path, ".wav") ? load_wav(load, data, size) : load_csv(load, data);
    free(data);
    return status;
}

static int is_recording(const struct dirent *entry) {
    return has_ending(entry->d_name, ".csv") || has_ending(entry->d_name, ".wav");
}

static fl_status_t load_directory(load_t *load, const char *directory) {
    struct dirent **entries = NULL;
    load->path = directory;
    const int count = scandir(directory, &entries, is_recording, alphasort);
    if (count < 0) {
        return complain(load, FL_ERR_IO, strerror(errno));
    }
    fl_status_t status =
        count == 0 ? complain(load, FL_ERR_NOT_FOUND, "no *.csv or *.wav files") : FL_OK;
    for (int i = 0; i < count; i++) {
        if (status == FL_OK) {
            char path[4096];
            (void)snprintf(path, sizeof path, "%s/%s", directory, entries[i]->d_name);
            status = load_file(load, path);
        }
        free(entries[i]);
    }
    free(entries);
    load->path = directory;
    return status;
}

fl_status_t fl_replay_load(fl_replay_t *replay, const char *const *paths, size_t path_count,
                           const char *const *axes, size_t axis_count, double frequency_hz,
                           const char *label_column) {
    memset(replay, 0, sizeof *replay);
    load_t load = {.replay = replay,
                   .path = "",
                   .axes = axes,
                   .axis_count = axis_count,
                   .frequency_hz = frequency_hz,
                   .label_column = label_column};
    if (axis_count == 0 || axis_count > MAX_AXES || !(frequency_hz > 0)) {
        return complain(&load, FL_ERR_ARG, "the model names no axes or no rate");
    }
    fl_status_t status = FL_OK;
    for (size_t i = 0; i < path_count && status == FL_OK; i++) {
        struct stat info;
        load.path = paths[i];
        if (stat(paths[i], &info) != 0) {
            status = complain(&load, FL_ERR_NOT_FOUND, strerror(errno));
        } else if (S_ISDIR(info.st_mode)) {
            status = load_directory(&load, paths[i]);
        } else {
            status = load_file(&load, paths[i]);
        }
    }
    if (status != FL_OK) {
        char error[FL_REPLAY_ERROR_BYTES];
        memcpy(error, replay->error, sizeof error);
        fl_replay_free(replay);
        memcpy(replay->error, error, sizeof error);
    }
    return status;
}

void fl_replay_free(fl_replay_t *replay) {
    for (size_t i = 0; i < replay->segment_count; i++) {
        free(replay->segments[i].values);
        free(replay->segments[i].labels);
    }
    for (size_t i = 0; i < replay->label_count; i++) {
        free(replay->labels[i]);
    }
    free(replay->segments);
    free(replay->labels);
    memset(replay, 0, sizeof *replay);
}

const char *fl_replay_label(const fl_replay_t *replay, size_t segment, size_t first, size_t count,
                            double *purity) {
    const int32_t *labels = replay->segments[segment].labels + first;
    int32_t best = -1;
    size_t best_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (labels[i] < 0 || labels[i] == best || (i > 0 && labels[i] == labels[i - 1u])) {
            continue;
        }
        size_t same = 0;
        for (size_t k = i; k < count; k++) {
            same += labels[k] == labels[i] ? 1u : 0u;
        }
        if (same > best_count) {
            best = labels[i];
            best_count = same;
        }
        if (best_count * 2u >= count) {
            break;
        }
    }
    *purity = count == 0 ? 0.0 : (double)best_count / (double)count;
    return best < 0 ? NULL : replay->labels[best];
}
