/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/* Reading flash that may fail now and then, and writing byte ranges to flash that takes whole units
 * only. */
#ifndef FIELDLOOP_AGENT_SRC_FLASH_H
#define FIELDLOOP_AGENT_SRC_FLASH_H

#include "fieldloop_agent/port.h"

/* Reads a range, again if that fails: a sector counts as one that cannot be read, and what it holds
 * as lost, after three attempts. */
fl_status_t fl_flash_read(const fl_flash_t *flash, uint32_t offset, void *dst, uint32_t size);

/* Begins at a unit-aligned offset. */
void fl_flash_writer_init(fl_flash_writer_t *writer, const fl_flash_t *flash, uint32_t offset);
fl_status_t fl_flash_write(fl_flash_writer_t *writer, const void *src, size_t size);

/* Fills the last unit up with the erased value and programs it. */
fl_status_t fl_flash_write_end(fl_flash_writer_t *writer);

fl_status_t fl_flash_sync(const fl_flash_t *flash);

/* Takes a piece of what was read; anything but FL_OK ends the reading. */
typedef fl_status_t fl_flash_take_t(void *context, const uint8_t *data, uint32_t size);

/* Reads a range piece by piece. FL_OK, or what take returned, or FL_ERR_IO. */
fl_status_t fl_flash_each(const fl_flash_t *flash, uint32_t offset, uint32_t size,
                          fl_flash_take_t *take, void *context);

/* FL_OK if every byte of the range reads as erased, FL_ERR_NOT_FOUND if not, FL_ERR_IO. */
fl_status_t fl_flash_check_erased(const fl_flash_t *flash, uint32_t offset, uint32_t size);

/* CRC-32 over a range, continuing from *crc. */
fl_status_t fl_flash_crc32(const fl_flash_t *flash, uint32_t offset, uint32_t size, uint32_t *crc);

/* Whether the geometry is one that the agent can use. */
bool fl_flash_is_usable(const fl_flash_t *flash, uint32_t sectors_min, uint32_t sector_size_min);

#endif
