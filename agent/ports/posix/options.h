/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/* The command line of fieldloop-agent. */
#ifndef FIELDLOOP_AGENT_PORTS_POSIX_OPTIONS_H
#define FIELDLOOP_AGENT_PORTS_POSIX_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "posix_transport.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Texts point into argv or into the structure. */
typedef struct fl_options {
    const char *state;
    fl_posix_server_t servers[FL_POSIX_MAX_SERVERS];
    size_t server_count;
    const char *server_name; /**< NULL: the host of each. */
    const char *ca;
    const char *root;
    const char *project;
    const char *token;
    const char *token_file;
    char hardware_id[64];
    const char *configuration_file;
    const char *firmware;
    const char **replay; /**< Of malloc(). */
    size_t replay_count;
    double speed;
    uint64_t seed;
    const char *truth_log;
    const char *truth_column;
    uint32_t first_contact_ms;
    bool control;
    bool verbose;
    bool log_json;
    bool help;
} fl_options_t;

/**
 * @brief Parses the command line.
 *
 * @param error  Set on false: names the flag, the value and what was expected.
 */
bool fl_options_parse(fl_options_t *options, int argc, char **argv, char *error, size_t capacity);
void fl_options_free(fl_options_t *options);

/** Text of --help. */
extern const char fl_options_help[];

#ifdef __cplusplus
}
#endif

#endif
