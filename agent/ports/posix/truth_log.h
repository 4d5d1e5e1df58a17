/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/**
 * @file
 * @brief What the recordings' labels say about the model's predictions, as lines of JSON in a file.
 *
 * For judging in tests and demonstrations. Nothing of it is ever sent.
 */
#ifndef FIELDLOOP_AGENT_PORTS_POSIX_TRUTH_LOG_H
#define FIELDLOOP_AGENT_PORTS_POSIX_TRUTH_LOG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "fieldloop_agent/status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { FL_TRUTH_LABELS = 64, FL_TRUTH_CLASSES = 32, FL_TRUTH_NAME_BYTES = 64 };

typedef struct fl_truth_log {
    FILE *file; /**< NULL when there is none: every call is then without effect. */
    char model[65];
    char source[256];
    char classes[FL_TRUTH_CLASSES][FL_TRUTH_NAME_BYTES];
    uint32_t class_count;
    char labels[FL_TRUTH_LABELS][FL_TRUTH_NAME_BYTES];
    uint32_t label_count;
    uint32_t pairs[FL_TRUTH_LABELS][FL_TRUTH_CLASSES];
    double confidence_sum;
    uint32_t windows;
    uint64_t start_ms; /**< Of the first window since the last line. */
    uint64_t end_ms;
    bool split; /**< A line was written within the period that is open. */
} fl_truth_log_t;

/** Opens the file for appending; path may be NULL. FL_OK or FL_ERR_IO. */
fl_status_t fl_truth_log_open(fl_truth_log_t *log, const char *path);
void fl_truth_log_close(fl_truth_log_t *log);

/** Names the model and its classes, for the windows that follow. */
void fl_truth_log_set_model(fl_truth_log_t *log, const uint8_t digest[32],
                            const char *const *classes, uint32_t class_count);
void fl_truth_log_set_source(fl_truth_log_t *log, const char *source);

/** Counts a window whose readings all have the label; label NULL counts none. */
void fl_truth_log_count(fl_truth_log_t *log, uint64_t start_ms, uint32_t stride_ms,
                        const char *label, uint32_t predicted_class, double confidence);

/** Writes the line of a period that the agent closed. */
void fl_truth_log_period(fl_truth_log_t *log, uint64_t start_ms, uint32_t period_ms);

/** Writes what was counted so far: before the recordings or the model change. */
void fl_truth_log_flush(fl_truth_log_t *log);

/** Writes the line of a recording that was put in the outbox; label may be NULL. */
void fl_truth_log_sample(fl_truth_log_t *log, uint64_t start_ms, const char *label, double purity);

#ifdef __cplusplus
}
#endif

#endif
