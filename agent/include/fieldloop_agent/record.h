/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/**
 * @file
 * @brief A record that a power cut can neither lose nor mix: two sectors take turns.
 *
 * A save goes to the sector that does not hold the newest copy, so that a reset at any point, also
 * in the middle of a program or an erase, leaves the old record or the new one. Of two sectors one
 * of which cannot be read any more the other one counts, and is never overwritten. The bytes are
 * described in agent/docs/FORMAT.md.
 */
#ifndef FIELDLOOP_AGENT_RECORD_H
#define FIELDLOOP_AGENT_RECORD_H

#include "fieldloop_agent/port.h"
#include "fieldloop_agent/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Bytes of a sector that a record's header takes. */
#define FL_RECORD_HEADER_SIZE 32u

/**
 * @brief Loads the newest copy.
 *
 * @param flash         The area.
 * @param first_sector  Index of the first of the record's two sectors.
 * @param dst           Undefined unless FL_OK.
 * @return FL_OK; FL_ERR_NOT_FOUND if none was ever saved whole; FL_ERR_NO_SPACE if it is larger
 *         than @p capacity; FL_ERR_IO if a sector cannot be read and the other one holds no copy.
 */
fl_status_t fl_record_load(const fl_flash_t *flash, uint32_t first_sector, void *dst,
                           size_t capacity, size_t *size);

/** Whether there is one copy only: the one that would be loaded may be the newest but one. */
bool fl_record_is_alone(const fl_flash_t *flash, uint32_t first_sector);

/**
 * @brief Saves a copy in place of the older one. Blocks for one sector erase.
 *
 * @return FL_OK once it survives a reset and reads back; FL_ERR_NO_SPACE if it does not fit a
 * sector; FL_ERR_IO, also when what was written does not read back: the record before still stands.
 */
fl_status_t fl_record_save(const fl_flash_t *flash, uint32_t first_sector, const void *src,
                           size_t size);

#ifdef __cplusplus
}
#endif

#endif
