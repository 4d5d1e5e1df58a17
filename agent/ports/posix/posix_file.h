/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/* Small files that are replaced whole. */
#ifndef FIELDLOOP_AGENT_PORTS_POSIX_POSIX_FILE_H
#define FIELDLOOP_AGENT_PORTS_POSIX_POSIX_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "fieldloop_agent/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Reads a file into memory of malloc(), with a zero byte behind it that *size does not count.
 *
 * @return FL_OK; FL_ERR_NOT_FOUND; FL_ERR_IO.
 */
fl_status_t fl_posix_read_file(const char *path, uint8_t **data, size_t *size);

/**
 * Writes a file of mode 0600 through a temporary name: after a power cut the file has the old
 * content or the new one. FL_OK once the new one is durable; FL_ERR_IO.
 */
fl_status_t fl_posix_write_file(const char *path, const void *data, size_t size);

#ifdef __cplusplus
}
#endif

#endif
