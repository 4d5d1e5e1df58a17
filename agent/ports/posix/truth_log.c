/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "truth_log.h"

#include <inttypes.h>
#include <string.h>

#include "json_text.h"

fl_status_t fl_truth_log_open(fl_truth_log_t *log, const char *path) {
    memset(log, 0, sizeof *log);
    if (path != NULL) {
        log->file = fopen(path, "ae");
        return log->file == NULL ? FL_ERR_IO : FL_OK;
    }
    return FL_OK;
}

void fl_truth_log_close(fl_truth_log_t *log) {
    if (log->file != NULL) {
        fl_truth_log_flush(log);
        (void)fclose(log->file);
        log->file = NULL;
    }
}

void fl_truth_log_set_model(fl_truth_log_t *log, const uint8_t digest[32],
                            const char *const *classes, uint32_t class_count) {
    fl_truth_log_flush(log);
    for (unsigned i = 0; i < 32; i++) {
        (void)snprintf(log->model + (size_t)2 * i, 3, "%02x", digest[i]);
    }
    log->class_count = class_count < FL_TRUTH_CLASSES ? class_count : FL_TRUTH_CLASSES;
    for (uint32_t i = 0; i < log->class_count; i++) {
        (void)snprintf(log->classes[i], sizeof log->classes[i], "%s", classes[i]);
    }
}

void fl_truth_log_set_source(fl_truth_log_t *log, const char *source) {
    fl_truth_log_flush(log);
    (void)snprintf(log->source, sizeof log->source, "%s", source);
}

/* Row of the label; FL_TRUTH_LABELS when there are too many. */
static uint32_t label_row(fl_truth_log_t *log, const char *label) {
    for (uint32_t i = 0; i < log->label_count; i++) {
        if (strncmp(log->labels[i], label, sizeof log->labels[i] - 1u) == 0) {
            return i;
        }
    }
    if (log->label_count == FL_TRUTH_LABELS) {
        return FL_TRUTH_LABELS;
    }
    (void)snprintf(log->labels[log->label_count], sizeof log->labels[0], "%s", label);
    return log->label_count++;
}

void fl_truth_log_count(fl_truth_log_t *log, uint64_t start_ms, uint32_t stride_ms,
                        const char *label, uint32_t predicted_class, double confidence) {
    if (log->file == NULL) {
        return;
    }
    if (log->windows++ == 0) {
        log->start_ms = start_ms;
    }
    log->end_ms = start_ms + stride_ms;
    if (label == NULL || predicted_class >= log->class_count) {
        return;
    }
    const uint32_t row = label_row(log, label);
    if (row < FL_TRUTH_LABELS) {
        log->pairs[row][predicted_class]++;
        log->confidence_sum += confidence;
    }
}

static void write_pairs(const fl_truth_log_t *log) {
    const char *separator = "";
    for (uint32_t row = 0; row < log->label_count; row++) {
        const char *inner = "";
        (void)fputs(separator, log->file);
        fl_json_string(log->file, log->labels[row]);
        (void)fputs(":{", log->file);
        for (uint32_t i = 0; i < log->class_count; i++) {
            if (log->pairs[row][i] > 0) {
                (void)fputs(inner, log->file);
                fl_json_string(log->file, log->classes[i]);
                (void)fprintf(log->file, ":%" PRIu32, log->pairs[row][i]);
                inner = ",";
            }
        }
        (void)fputs("}", log->file);
        separator = ",";
    }
}

static void write_line(fl_truth_log_t *log, uint64_t start_ms, uint64_t period_ms) {
    (void)fprintf(log->file,
                  "{\"type\":\"period\",\"start_ms\":%" PRIu64 ",\"period_ms\":%" PRIu64
                  ",\"model\":\"%s\",\"source\":",
                  start_ms, period_ms, log->model);
    fl_json_string(log->file, log->source);
    (void)fputs(",\"pairs\":{", log->file);
    write_pairs(log);
    (void)fprintf(log->file, "},\"confidence_sum\":%.6f}\n", log->confidence_sum);
    (void)fflush(log->file);
    log->label_count = 0;
    memset(log->pairs, 0, sizeof log->pairs);
    log->confidence_sum = 0;
    log->windows = 0;
}

void fl_truth_log_period(fl_truth_log_t *log, uint64_t start_ms, uint32_t period_ms) {
    if (log->file == NULL) {
        return;
    }
    const uint64_t end_ms = start_ms + period_ms;
    if (!log->split) {
        write_line(log, start_ms, period_ms);
    } else if (log->windows > 0) {
        write_line(log, log->start_ms, end_ms > log->start_ms ? end_ms - log->start_ms : 0);
    }
    log->split = false;
}

void fl_truth_log_flush(fl_truth_log_t *log) {
    if (log->file != NULL && log->windows > 0) {
        write_line(log, log->start_ms, log->end_ms - log->start_ms);
        log->split = true;
    }
}

void fl_truth_log_sample(fl_truth_log_t *log, uint64_t start_ms, const char *label, double purity) {
    if (log->file == NULL) {
        return;
    }
    (void)fprintf(log->file, "{\"type\":\"sample\",\"start_ms\":%" PRIu64 ",\"label\":", start_ms);
    fl_json_string(log->file, label == NULL ? "" : label);
    (void)fprintf(log->file, ",\"purity\":%.4f,\"model\":\"%s\"}\n", purity, log->model);
    (void)fflush(log->file);
}
