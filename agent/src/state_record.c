/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "state_record.h"

#include <string.h>

#include "bytes.h"
#include "fieldloop_agent/record.h"

enum {
    STATE_FORMAT = 2,
    STATE_BYTES = 512 + FL_REFUSED_BYTES * FIELDLOOP_AGENT_REFUSED_MAX,
    STATE_SECTOR = 0,
};

/* One walk over the fields serves both directions, so that they cannot disagree. */
typedef struct cursor {
    uint8_t *at;
    const uint8_t *end;
    bool reading;
    bool failed;
} cursor_t;

static void bytes(cursor_t *cursor, void *field, size_t size) {
    if ((size_t)(cursor->end - cursor->at) < size) {
        cursor->failed = true;
        return;
    }
    if (cursor->reading) {
        memcpy(field, cursor->at, size);
    } else {
        memcpy(cursor->at, field, size);
    }
    cursor->at += size;
}

static void u8(cursor_t *cursor, uint8_t *field) {
    bytes(cursor, field, 1);
}

static void u32(cursor_t *cursor, uint32_t *field) {
    uint8_t raw[4];
    fl_put_u32(raw, *field);
    bytes(cursor, raw, sizeof raw);
    *field = fl_get_u32(raw);
}

static void u64(cursor_t *cursor, uint64_t *field) {
    uint8_t raw[8];
    fl_put_u64(raw, *field);
    bytes(cursor, raw, sizeof raw);
    *field = fl_get_u64(raw);
}

static void f32(cursor_t *cursor, float *field) {
    uint32_t raw;
    memcpy(&raw, field, sizeof raw);
    u32(cursor, &raw);
    memcpy(field, &raw, sizeof raw);
}

static void components(cursor_t *cursor, fl_component_t *field) {
    for (unsigned kind = 0; kind < FL_KIND_COUNT; kind++) {
        u8(cursor, &field[kind].slot);
        bytes(cursor, field[kind].digest, sizeof field[kind].digest);
        u32(cursor, &field[kind].size);
        u64(cursor, &field[kind].release_sequence);
    }
}

static void target(cursor_t *cursor, fl_target_t *field) {
    u64(cursor, &field->release_sequence);
    bytes(cursor, field->rollout_id, sizeof field->rollout_id);
    u8(cursor, &field->named);
    u8(cursor, &field->install);
    u8(cursor, &field->done);
    u8(cursor, &field->boots);
    u32(cursor, &field->written);
    for (unsigned kind = 0; kind < FL_KIND_COUNT; kind++) {
        bytes(cursor, field->artifact[kind].digest, sizeof field->artifact[kind].digest);
        u32(cursor, &field->artifact[kind].size);
    }
}

static void fields(cursor_t *cursor, fl_state_t *state) {
    u32(cursor, &state->boot_count);
    u64(cursor, &state->time_floor_ms);
    u64(cursor, &state->sequence_limit);
    u32(cursor, &state->dropped_uplinks);
    u64(cursor, &state->confirmed_sequence);
    components(cursor, state->active);
    u8(cursor, &state->phase);
    target(cursor, &state->target);
    u64(cursor, &state->ask_again_ms);
    u64(cursor, &state->report.sequence);
    u8(cursor, &state->report.phase);
    u8(cursor, &state->report.cause);
    bytes(cursor, state->report.rollout_id, sizeof state->report.rollout_id);
    u64(cursor, &state->report.release_sequence);
    u32(cursor, &state->settings.version);
    u32(cursor, &state->settings.sketch_period_ms);
    u32(cursor, &state->settings.samples_per_period);
    f32(cursor, &state->settings.random_share);
    u32(cursor, &state->settings.samples_total);
    u32(cursor, &state->settings.plan_id);
    u32(cursor, &state->settings.trial_windows);
    u32(cursor, &state->settings.trial_timeout_ms);
    u32(cursor, &state->plan_id);
    u32(cursor, &state->plan_used);
    u8(cursor, &state->refused_count);
    for (uint8_t i = 0; i < state->refused_count && i < FIELDLOOP_AGENT_REFUSED_MAX; i++) {
        bytes(cursor, state->refused[i], sizeof state->refused[i]);
    }
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
    const fl_status_t status = fl_record_load(flash, STATE_SECTOR, buffer, sizeof buffer, &size);
    if (status == FL_ERR_NOT_FOUND) {
        /* 0 means "no report" and is never used. */
        state->sequence_limit = 1;
        return FL_OK;
    }
    FL_RETURN_IF_ERROR(status);
    uint8_t format = 0;
    cursor_t cursor = {.at = buffer, .end = buffer + size, .reading = true};
    u8(&cursor, &format);
    if (format != STATE_FORMAT) {
        return FL_ERR_CORRUPT;
    }
    fields(&cursor, state);
    state->target.rollout_id[sizeof state->target.rollout_id - 1] = '\0';
    state->report.rollout_id[sizeof state->report.rollout_id - 1] = '\0';
    return !cursor.failed && is_sound(state) ? FL_OK : FL_ERR_CORRUPT;
}

fl_status_t fl_state_save(const fl_flash_t *flash, fl_state_t *state) {
    uint8_t buffer[STATE_BYTES];
    uint8_t format = STATE_FORMAT;
    cursor_t cursor = {.at = buffer, .end = buffer + sizeof buffer, .reading = false};
    u8(&cursor, &format);
    fields(&cursor, state);
    if (cursor.failed) {
        return FL_ERR_NO_SPACE;
    }
    return fl_record_save(flash, STATE_SECTOR, buffer, (size_t)(cursor.at - buffer));
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
