/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "state_record.h"

#include <stddef.h>
#include <string.h>

#include "fieldloop_agent/record.h"

enum {
    STATE_FORMAT = 2,
    STATE_BYTES = 512 + FL_REFUSED_BYTES * FIELDLOOP_AGENT_REFUSED_MAX,
};

/* Bytes of fl_agent_t. The record has them one behind the other, in this order, as they lie in
 * memory. */
typedef struct field {
    uint16_t offset;
    uint16_t size;
} field_t;

/* Numbers are little endian in the record. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "a port to big endian must swap");

/* The members from one to another one, between which there must be no padding. */
#define RANGE(first, last)                                                 \
    {                                                                      \
        offsetof(fl_agent_t, first),                                       \
            offsetof(fl_agent_t, last) + sizeof(((fl_agent_t *)0)->last) - \
                offsetof(fl_agent_t, first),                               \
    }
#define FIELD(member) RANGE(member, member)
#define COMPONENT(kind)                                      \
    RANGE(kept.active[kind].slot, kept.active[kind].digest), \
        RANGE(kept.active[kind].size, kept.active[kind].release_sequence)
_Static_assert(sizeof(fl_rollout_t) == 48 && sizeof(fl_artifact_t) == 36 &&
                   sizeof(fl_settings_t) == 32 && sizeof(fl_target_t) == 8 &&
                   offsetof(fl_component_t, digest) == 1,
               "there is padding in the record");

static const field_t FIELDS[] = {
    FIELD(state.boot_count),
    RANGE(kept.time_floor_ms, kept.sequence_limit),
    FIELD(state.dropped_uplinks),
    FIELD(kept.confirmed_sequence),
    COMPONENT(FL_KIND_MODEL),
    COMPONENT(FL_KIND_FIRMWARE),
    COMPONENT(FL_KIND_CONFIGURATION),
    FIELD(state.phase),
    FIELD(kept.release.rollout),
    FIELD(state.target),
    FIELD(kept.release.artifact),
    FIELD(kept.ask_again_ms),
    FIELD(kept.report.sequence),
    RANGE(kept.report.phase, kept.report.cause),
    FIELD(kept.report.rollout.id),
    FIELD(kept.report.rollout.release_sequence),
    FIELD(state.settings),
    RANGE(state.plan_id, state.plan_used),
    FIELD(state.refused_count),
    FIELD(kept.refused), /* As many as there are. */
};

enum { FIELD_COUNT = sizeof FIELDS / sizeof FIELDS[0] };

/* Copies the record to or from a buffer: one walk serves both directions, so that they cannot
 * disagree. Returns the bytes that it takes; 0 if the buffer is too small, or a number of refused
 * sets too large. */
static size_t walk(fl_agent_t *agent, uint8_t *buffer, size_t capacity, bool reading) {
    size_t at = 0;
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        uint8_t *field = (uint8_t *)agent + FIELDS[i].offset;
        size_t size = FIELDS[i].size;
        if (i == FIELD_COUNT - 1u) {
            size = (size_t)FL_REFUSED_BYTES * agent->state.refused_count;
        }
        if (size > FIELDS[i].size || size > capacity - at) {
            return 0;
        }
        memcpy(reading ? field : buffer + at, reading ? buffer + at : field, size);
        at += size;
    }
    return at;
}

/* Whether the rest of the agent may rely on what a record says: whole and of this format, but
 * perhaps of another build. */
static bool is_sound(const fl_agent_t *agent) {
    const fl_state_t *state = &agent->state;
    for (unsigned kind = 0; kind < FL_KIND_COUNT; kind++) {
        if (agent->kept.active[kind].slot > 1 && agent->kept.active[kind].slot != FL_SLOT_NONE) {
            return false;
        }
    }
    const uint8_t all = (uint8_t)(fl_kind_bit(FL_KIND_COUNT) - 1u);
    return state->phase <= FL_PHASE_REVERTING && (state->target.named & ~all) == 0 &&
           (state->target.install & ~state->target.named) == 0 &&
           (state->target.done & ~state->target.install) == 0 &&
           (state->phase == FL_PHASE_IDLE || state->target.install != 0);
}

fl_status_t fl_state_load(const fl_flash_t *flash, fl_agent_t *agent) {
    uint8_t buffer[STATE_BYTES];
    size_t size = 0;
    for (unsigned kind = 0; kind < FL_KIND_COUNT; kind++) {
        agent->kept.active[kind].slot = FL_SLOT_NONE;
    }
    const fl_status_t status = fl_record_load(flash, FL_STATE_SECTOR, buffer, sizeof buffer, &size);
    if (status == FL_ERR_NOT_FOUND) {
        /* 0 means "no report" and is never used. */
        agent->kept.sequence_limit = 1;
        return FL_OK;
    }
    FL_RETURN_IF_ERROR(status);
    if (size == 0 || buffer[0] != STATE_FORMAT || walk(agent, buffer + 1, size - 1u, true) == 0) {
        return FL_ERR_CORRUPT;
    }
    agent->kept.release.rollout.id[sizeof agent->kept.release.rollout.id - 1] = '\0';
    agent->kept.report.rollout.id[sizeof agent->kept.report.rollout.id - 1] = '\0';
    return is_sound(agent) ? FL_OK : FL_ERR_CORRUPT;
}

fl_status_t fl_state_save(const fl_flash_t *flash, fl_agent_t *agent) {
    uint8_t buffer[STATE_BYTES];
    buffer[0] = STATE_FORMAT;
    const size_t size = walk(agent, buffer + 1, sizeof buffer - 1u, false);
    if (size == 0) {
        return FL_ERR_NO_SPACE;
    }
    return fl_record_save(flash, FL_STATE_SECTOR, buffer, size + 1u);
}

bool fl_state_is_refused(const fl_agent_t *agent, const uint8_t set[FL_REFUSED_BYTES]) {
    for (uint8_t i = 0; i < agent->state.refused_count; i++) {
        if (memcmp(agent->kept.refused[i], set, FL_REFUSED_BYTES) == 0) {
            return true;
        }
    }
    return false;
}

void fl_state_refuse(fl_agent_t *agent, const uint8_t set[FL_REFUSED_BYTES]) {
    if (fl_state_is_refused(agent, set)) {
        return;
    }
    if (agent->state.refused_count == FIELDLOOP_AGENT_REFUSED_MAX) {
        memmove(agent->kept.refused[0], agent->kept.refused[1],
                sizeof agent->kept.refused - FL_REFUSED_BYTES);
        agent->state.refused_count--;
    }
    memcpy(agent->kept.refused[agent->state.refused_count++], set, FL_REFUSED_BYTES);
}
