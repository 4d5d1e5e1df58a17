/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/* Text in JSON. */
#ifndef FIELDLOOP_AGENT_PORTS_POSIX_JSON_TEXT_H
#define FIELDLOOP_AGENT_PORTS_POSIX_JSON_TEXT_H

#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Writes text as a JSON string, with its quotes. */
void fl_json_string(FILE *file, const char *text);

#ifdef __cplusplus
}
#endif

#endif
