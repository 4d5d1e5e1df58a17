/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/**
 * @file
 * @brief A flash area in a file.
 *
 * Sectors and units are those given; erased bytes read as 0xFF. Nothing is durable before sync().
 */
#ifndef FIELDLOOP_AGENT_PORTS_POSIX_POSIX_FLASH_H
#define FIELDLOOP_AGENT_PORTS_POSIX_POSIX_FLASH_H

#include "fieldloop_agent/port.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fl_posix_flash {
    int file;
    uint32_t size;
    uint32_t sector_size;
    bool dirty; /* Written since the last sync. */
} fl_posix_flash_t;

/** Opens the file, or makes it, erased. A file of another size is made anew. FL_OK or FL_ERR_IO. */
fl_status_t fl_posix_flash_open(fl_posix_flash_t *flash, const char *path, uint32_t size,
                                uint32_t sector_size);

void fl_posix_flash_close(fl_posix_flash_t *flash);

/** The area for fl_port_t; flash must outlive it. */
fl_flash_t fl_posix_flash_area(fl_posix_flash_t *flash);

#ifdef __cplusplus
}
#endif

#endif
