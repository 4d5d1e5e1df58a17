/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/* What the agent remembers across resets: one record, saved whole. Its bytes are in
 * agent/docs/FORMAT.md; what each phase means is in agent/docs/DESIGN.md. */
#ifndef FIELDLOOP_AGENT_SRC_STATE_RECORD_H
#define FIELDLOOP_AGENT_SRC_STATE_RECORD_H

#include "fieldloop_agent/agent.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { FL_STATE_SECTOR = 0 };

/* Loads the record into the state and the kept of an agent that is all zeros. FL_OK, also for a
 * device that has none yet; FL_ERR_CORRUPT for a record of another format; FL_ERR_IO, and the
 * record of a device that has none, if it cannot be read. */
fl_status_t fl_state_load(const fl_flash_t *flash, fl_agent_t *agent);

/* Saves the record. After an error the one before stands. */
fl_status_t fl_state_save(const fl_flash_t *flash, fl_agent_t *agent);

bool fl_state_is_refused(const fl_agent_t *agent, const uint8_t set[FL_REFUSED_BYTES]);

/* Remembers a set; with the list full the oldest gives way. */
void fl_state_refuse(fl_agent_t *agent, const uint8_t set[FL_REFUSED_BYTES]);

#ifdef __cplusplus
}
#endif

#endif
