/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "state_record.h"

#include <string.h>

#include "bytes.h"
#include "fieldloop_agent/record.h"

enum { STATE_FORMAT = 1, STATE_BYTES = 384 + 32 * FIELDLOOP_AGENT_REFUSED_MAX, STATE_SECTOR = 0 };

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

static void boolean(cursor_t *cursor, bool *field) {
    uint8_t value = *field ? 1u : 0u;
    u8(cursor, &value);
    *field = value != 0;
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

static void model(cursor_t *cursor, fl_model_t *field) {
    u8(cursor, &field->slot);
    bytes(cursor, field->digest, sizeof field->digest);
    u32(cursor, &field->size);
    u64(cursor, &field->release_sequence);
}

static void fields(cursor_t *cursor, fl_state_t *state) {
    u32(cursor, &state->boot_count);
    u64(cursor, &state->time_floor_ms);
    u64(cursor, &state->sequence_limit);
    u32(cursor, &state->dropped_uplinks);
    u64(cursor, &state->confirmed_sequence);
    model(cursor, &state->active);
    u8(cursor, &state->phase);
    model(cursor, &state->target);
    u32(cursor, &state->written);
    u8(cursor, &state->trial_boots);
    bytes(cursor, state->rollout_id, sizeof state->rollout_id);
    u64(cursor, &state->report.sequence);
    u8(cursor, &state->report.phase);
    u8(cursor, &state->report.cause);
    bytes(cursor, state->report.rollout_id, sizeof state->report.rollout_id);
    u64(cursor, &state->report.release_sequence);
    boolean(cursor, &state->report.has_active);
    bytes(cursor, state->report.active_digest, sizeof state->report.active_digest);
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

static bool slot_is_valid(const fl_model_t *field) {
    return field->slot <= 1 || field->slot == FL_SLOT_NONE;
}

fl_status_t fl_state_load(const fl_flash_t *flash, fl_state_t *state) {
    uint8_t buffer[STATE_BYTES];
    size_t size = 0;
    memset(state, 0, sizeof *state);
    state->active.slot = FL_SLOT_NONE;
    state->target.slot = FL_SLOT_NONE;
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
    state->rollout_id[sizeof state->rollout_id - 1] = '\0';
    state->report.rollout_id[sizeof state->report.rollout_id - 1] = '\0';
    return !cursor.failed && slot_is_valid(&state->active) && slot_is_valid(&state->target) &&
                   state->phase <= FL_PHASE_TRIAL &&
                   (state->phase == FL_PHASE_IDLE || state->target.slot != FL_SLOT_NONE) &&
                   state->refused_count <= FIELDLOOP_AGENT_REFUSED_MAX
               ? FL_OK
               : FL_ERR_CORRUPT;
}

fl_status_t fl_state_save(const fl_flash_t *flash, const fl_state_t *state) {
    uint8_t buffer[STATE_BYTES];
    fl_state_t copy = *state;
    uint8_t format = STATE_FORMAT;
    cursor_t cursor = {.at = buffer, .end = buffer + sizeof buffer, .reading = false};
    u8(&cursor, &format);
    fields(&cursor, &copy);
    if (cursor.failed) {
        return FL_ERR_NO_SPACE;
    }
    return fl_record_save(flash, STATE_SECTOR, buffer, (size_t)(cursor.at - buffer));
}

bool fl_state_is_refused(const fl_state_t *state, const uint8_t digest[32]) {
    for (uint8_t i = 0; i < state->refused_count; i++) {
        if (memcmp(state->refused[i], digest, 32) == 0) {
            return true;
        }
    }
    return false;
}

void fl_state_refuse(fl_state_t *state, const uint8_t digest[32]) {
    if (fl_state_is_refused(state, digest)) {
        return;
    }
    if (state->refused_count == FIELDLOOP_AGENT_REFUSED_MAX) {
        memmove(state->refused[0], state->refused[1], sizeof state->refused - 32u);
        state->refused_count--;
    }
    memcpy(state->refused[state->refused_count++], digest, 32);
}
