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

/* Bytes of fl_state_t. The record has them one behind the other, in this order, as they lie in
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
        offsetof(fl_state_t, first),                                       \
            offsetof(fl_state_t, last) + sizeof(((fl_state_t *)0)->last) - \
                offsetof(fl_state_t, first),                               \
    }
#define FIELD(member) RANGE(member, member)
#define COMPONENT(kind)                                                      \
    FIELD(active[kind].slot), RANGE(active[kind].digest, active[kind].size), \
        FIELD(active[kind].release_sequence)
_Static_assert(sizeof(fl_rollout_t) == 48 && sizeof(fl_artifact_t) == 36 &&
                   sizeof(fl_settings_t) == 32 && offsetof(fl_target_t, rollout) == 8,
               "there is padding in the record");

static const field_t FIELDS[] = {
    FIELD(boot_count),
    RANGE(time_floor_ms, sequence_limit),
    FIELD(dropped_uplinks),
    FIELD(confirmed_sequence),
    COMPONENT(FL_KIND_MODEL),
    COMPONENT(FL_KIND_FIRMWARE),
    COMPONENT(FL_KIND_CONFIGURATION),
    FIELD(phase),
    FIELD(target.rollout),
    RANGE(target.named, target.written),
    FIELD(target.artifact),
    FIELD(ask_again_ms),
    FIELD(report.sequence),
    RANGE(report.phase, report.cause),
    FIELD(report.rollout.id),
    FIELD(report.rollout.release_sequence),
    FIELD(settings),
    RANGE(plan_id, plan_used),
    FIELD(refused_count),
};

/* Copies the record to or from a buffer: one walk serves both directions, so that they cannot
 * disagree. Returns the bytes that it takes; 0 if the buffer is too small. */
static size_t walk(fl_state_t *state, uint8_t *buffer, size_t capacity, bool reading) {
    uint8_t *base = (uint8_t *)state;
    size_t at = 0;
    for (size_t i = 0; i <= sizeof FIELDS / sizeof FIELDS[0]; i++) {
        field_t field = {offsetof(fl_state_t, refused), 0};
        if (i < sizeof FIELDS / sizeof FIELDS[0]) {
            field = FIELDS[i];
        } else if (state->refused_count <= FIELDLOOP_AGENT_REFUSED_MAX) {
            field.size = (uint16_t)(FL_REFUSED_BYTES * state->refused_count);
        }
        if (capacity - at < field.size) {
            return 0;
        }
        memcpy(reading ? base + field.offset : buffer + at,
               reading ? buffer + at : base + field.offset, field.size);
        at += field.size;
    }
    return at;
}

/* Whether the rest of the agent may rely on what a record says: whole and of this format, but
 * perhaps of another build. */
static bool is_sound(const fl_state_t *state) {
    for (unsigned kind = 0; kind < FL_KIND_COUNT; kind++) {
        if (state->active[kind].slot > 1 && state->active[kind].slot != FL_SLOT_NONE) {
            return false;
        }
    }
    const uint8_t all = (uint8_t)(fl_kind_bit(FL_KIND_COUNT) - 1u);
    return state->phase <= FL_PHASE_REVERTING && (state->target.named & ~all) == 0 &&
           (state->target.install & ~state->target.named) == 0 &&
           (state->target.done & ~state->target.install) == 0 &&
           (state->phase == FL_PHASE_IDLE || state->target.install != 0) &&
           state->refused_count <= FIELDLOOP_AGENT_REFUSED_MAX;
}

fl_status_t fl_state_load(const fl_flash_t *flash, fl_state_t *state) {
    uint8_t buffer[STATE_BYTES];
    size_t size = 0;
    memset(state, 0, sizeof *state);
    for (unsigned kind = 0; kind < FL_KIND_COUNT; kind++) {
        state->active[kind].slot = FL_SLOT_NONE;
    }
    const fl_status_t status = fl_record_load(flash, FL_STATE_SECTOR, buffer, sizeof buffer, &size);
    if (status == FL_ERR_NOT_FOUND) {
        /* 0 means "no report" and is never used. */
        state->sequence_limit = 1;
        return FL_OK;
    }
    FL_RETURN_IF_ERROR(status);
    if (size == 0 || buffer[0] != STATE_FORMAT || walk(state, buffer + 1, size - 1u, true) == 0) {
        return FL_ERR_CORRUPT;
    }
    state->target.rollout.id[sizeof state->target.rollout.id - 1] = '\0';
    state->report.rollout.id[sizeof state->report.rollout.id - 1] = '\0';
    return is_sound(state) ? FL_OK : FL_ERR_CORRUPT;
}

fl_status_t fl_state_save(const fl_flash_t *flash, fl_state_t *state) {
    uint8_t buffer[STATE_BYTES];
    buffer[0] = STATE_FORMAT;
    const size_t size = walk(state, buffer + 1, sizeof buffer - 1u, false);
    if (size == 0) {
        return FL_ERR_NO_SPACE;
    }
    return fl_record_save(flash, FL_STATE_SECTOR, buffer, size + 1u);
}

bool fl_state_is_refused(const fl_state_t *state, const uint8_t set[FL_REFUSED_BYTES]) {
    for (uint8_t i = 0; i < state->refused_count; i++) {
        if (memcmp(state->refused[i], set, FL_REFUSED_BYTES) == 0) {
            return true;
        }
    }
    return false;
}

void fl_state_refuse(fl_state_t *state, const uint8_t set[FL_REFUSED_BYTES]) {
    if (fl_state_is_refused(state, set)) {
        return;
    }
    if (state->refused_count == FIELDLOOP_AGENT_REFUSED_MAX) {
        memmove(state->refused[0], state->refused[1], sizeof state->refused - FL_REFUSED_BYTES);
        state->refused_count--;
    }
    memcpy(state->refused[state->refused_count++], set, FL_REFUSED_BYTES);
}
