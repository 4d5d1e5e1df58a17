/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/* Functions that the agent's own files share. Each takes the agent that fl_agent_init() made. */
#ifndef FIELDLOOP_AGENT_SRC_INTERNAL_H
#define FIELDLOOP_AGENT_SRC_INTERNAL_H

#include "apart.h"
#include "fieldloop_agent/agent.h"
#include "trust.h"
#include "wire.h"

#define FL_PHASE(name) FL_PB(UpdatePhase_UPDATE_PHASE_##name)
#define FL_CAUSE(name) FL_PB(UpdateCause_UPDATE_CAUSE_##name)

enum { FL_ROOT_SECTOR = 2 };

/* --- agent.c --- */

/* A macro, so that the texts are not there either when they are left out. */
#if FIELDLOOP_AGENT_LOG_TEXT
void fl_agent_write_log(const fl_agent_t *agent, fl_log_level_t level, const char *text);
#define fl_agent_log(agent, level, text) fl_agent_write_log(agent, level, text)
#else
#define fl_agent_log(agent, level, text) ((void)(agent), (void)(level))
#endif
uint64_t fl_agent_now(const fl_agent_t *agent);

/* The time that comes in so many milliseconds. */
uint64_t fl_agent_in(const fl_agent_t *agent, uint32_t ms);

/* Unix time that is certainly past; 0 when no server was ever heard. */
uint64_t fl_agent_unix_ms(const fl_agent_t *agent);
void fl_agent_learn_time(fl_agent_t *agent, uint64_t unix_ms);

/* Evenly distributed in [0, limit]. For jitter and choice, not for secrets. */
uint32_t fl_agent_random(fl_agent_t *agent, uint32_t limit);

/* A sequence never used before, or 0 if it could not be reserved. */
uint64_t fl_agent_sequence(fl_agent_t *agent);

/* False for an hour after a save failed: flash that is worn out is not worn further. */
bool fl_agent_can_save(const fl_agent_t *agent);

/* Saves the record, and with it that sequences up to agent->next_sequence were used. */
fl_status_t fl_agent_save(fl_agent_t *agent);

/* The newest root document. Its bytes are in the buffer, or those that the application gave. */
enum { FL_ROOT_BYTES = FL_PB(SignedDocument_size) };
fl_status_t fl_agent_root(const fl_agent_t *agent, uint8_t buffer[FL_ROOT_BYTES], fl_root_t *root);

/* Takes a newer root document, or logs why not. */
void fl_agent_rotate_root(fl_agent_t *agent, const fl_slice_t *signed_root);

void fl_agent_reboot(fl_agent_t *agent);

/* Puts an entry in the outbox. */
fl_status_t fl_agent_enqueue(fl_agent_t *agent, fl_entry_kind_t kind, uint64_t sequence,
                             const fl_part_t *parts, size_t part_count);

/* Ends a frame with its field number and puts it in the outbox, without its length.
 * FL_ERR_NO_SPACE if it did not fit. */
fl_status_t fl_agent_enqueue_frame(fl_agent_t *agent, fl_entry_kind_t kind, uint64_t sequence,
                                   fl_writer_t *writer, uint32_t number);

/* --- update.c --- */

/* Counts a start on trial, saves the record, and starts the set that is due; or restarts the
 * device, which then is halted, for the bootloader to bring the firmware that is due. */
void fl_update_boot(fl_agent_t *agent);
/* Takes the fields of an UpdateOffer. */
void fl_update_offer(fl_agent_t *agent, const fl_field_t *message);
/* Takes the fields of an ArtifactChunk. FL_ERR_CORRUPT when it breaks the protocol. */
fl_status_t fl_update_chunk(fl_agent_t *agent, const fl_field_t *chunk);
/* Puts the next part to ask for in an ArtifactRequest. Returns where the part ends in the artifact;
 * 0 when none is wanted now. */
uint32_t fl_update_request(const fl_agent_t *agent, fl_writer_t *writer);
/* Hashing, switching, ending a trial. True when there is more to do at once. */
bool fl_update_step(fl_agent_t *agent);
/* When the trial times out, or consent is asked for again; 0 for now, UINT64_MAX for never. */
uint64_t fl_update_deadline(const fl_agent_t *agent);
void fl_update_observe(fl_agent_t *agent, bool classified);
/* Puts a ComponentState of each kind that the device has in a StateReport. */
void fl_update_describe(const fl_agent_t *agent, fl_writer_t *writer);

/* --- monitor.c --- */

void fl_monitor_observe(fl_agent_t *agent, const fl_observation_t *observation);
/* Closes the period that is open, if one is. */
void fl_monitor_close(fl_agent_t *agent);
/* Gives recordings that were reserved and not chosen back to the plan. */
void fl_monitor_return_reserve(fl_agent_t *agent);

/* --- session.c --- */

void fl_session_init(fl_agent_t *agent);
/* True when there is more to do at once. */
bool fl_session_poll(fl_agent_t *agent);
uint64_t fl_session_deadline(const fl_agent_t *agent);
/* Whether parts of an artifact were asked for and have not come. */
bool fl_session_awaits_chunks(const fl_agent_t *agent);

#endif
