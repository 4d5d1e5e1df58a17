/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "json_text.h"

void fl_json_string(FILE *file, const char *text) {
    (void)fputc('"', file);
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '"' || *c == '\\') {
            (void)fputc('\\', file);
            (void)fputc(*c, file);
        } else if ((unsigned char)*c < 0x20) {
            (void)fprintf(file, "\\u%04x", (unsigned)(unsigned char)*c);
        } else {
            (void)fputc(*c, file);
        }
    }
    (void)fputc('"', file);
}
