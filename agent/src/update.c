/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/* From an offer to a confirmed model. Every step that must survive a reset is one save of the
 * record, and the report of the step is decided in the same save; agent/docs/DESIGN.md has the
 * table. */
#include <string.h>

#include "flash.h"
#include "internal.h"
#include "state_record.h"
#include "trust.h"

/* What the running program does about record.phase. */
enum {
    STEP_IDLE = 0,
    STEP_REHASH, /* Hashing what an earlier start downloaded. */
    STEP_FETCH,
    STEP_VERIFY, /* Hashing all of it, as flash has it. */
    STEP_READY,  /* Waits for consent to restart. */
};

static const uint32_t DEFAULT_TRIAL_WINDOWS = 10;
static const uint32_t DEFAULT_TRIAL_TIMEOUT_MS = 600000;

static void log_text(const fl_agent_t *agent, const char *text) {
    fl_agent_log(agent, FL_LOG_INFO, text);
}

/* --- Reports --- */

/* Decides a report. It is saved with the record that the caller saves next, and put in the outbox
 * by publish_report(); a reset in between is made good by fl_update_boot(). */
static void decide_report(fl_agent_t *agent, FL_PB(UpdatePhase) phase, FL_PB(UpdateCause) cause,
                          const char *rollout_id, uint64_t release_sequence) {
    fl_pending_report_t *report = &agent->state.report;
    const fl_model_t *model = agent->running.on ? &agent->running.model : &agent->state.active;
    report->sequence = fl_agent_sequence_to_save(agent);
    report->phase = (uint8_t)phase;
    report->cause = (uint8_t)cause;
    memcpy(report->rollout_id, rollout_id, sizeof report->rollout_id);
    report->release_sequence = release_sequence;
    report->has_active = model->slot != FL_SLOT_NONE;
    memcpy(report->active_digest, model->digest, sizeof report->active_digest);
}

static void publish_report(fl_agent_t *agent) {
    const fl_pending_report_t *report = &agent->state.report;
    FL_PB(UpdateReport)
    message = {
        .sequence = report->sequence,
        .phase = (FL_PB(UpdatePhase))report->phase,
        .cause = (FL_PB(UpdateCause))report->cause,
        .release_sequence = report->release_sequence,
    };
    uint8_t encoded[FL_PB(UpdateReport_size) + 8];
    size_t size = 0;
    if (report->sequence == 0) {
        return;
    }
    memcpy(message.rollout_id, report->rollout_id, sizeof message.rollout_id);
    if (report->has_active) {
        message.active_digest.size = sizeof report->active_digest;
        memcpy(message.active_digest.bytes, report->active_digest, sizeof report->active_digest);
    }
    if (fl_wire_encode(FL_PB(DeviceMessage_update_report_tag), FL_PB(UpdateReport_fields), &message,
                       encoded, sizeof encoded, &size) != FL_OK) {
        return;
    }
    const fl_part_t part = {.data = encoded, .size = size};
    if (fl_agent_enqueue(agent, FL_ENTRY_REPORT, report->sequence, &part, 1) == FL_OK) {
        (void)fl_outbox_sync(&agent->outbox);
    }
}

/* A report that a save decided may not have reached the outbox before a reset. */
static void publish_if_missing(fl_agent_t *agent) {
    if (agent->state.report.sequence != 0 &&
        fl_outbox_find(&agent->outbox, agent->state.report.sequence) == FL_ERR_NOT_FOUND) {
        publish_report(agent);
    }
}

/* Whether the last report said just this: a server that repeats an offer gets no report, and flash
 * no write, for each repetition. */
static bool is_reported(const fl_agent_t *agent, FL_PB(UpdatePhase) phase, FL_PB(UpdateCause) cause,
                        const char *rollout_id, uint64_t release_sequence) {
    const fl_pending_report_t *report = &agent->state.report;
    return report->phase == (uint8_t)phase && report->cause == (uint8_t)cause &&
           strcmp(report->rollout_id, rollout_id) == 0 &&
           report->release_sequence == release_sequence;
}

/* Saves the record with a report and sends that on its way. */
static fl_status_t save_and_report(fl_agent_t *agent, FL_PB(UpdatePhase) phase,
                                   FL_PB(UpdateCause) cause, const char *rollout_id,
                                   uint64_t release_sequence) {
    decide_report(agent, phase, cause, rollout_id, release_sequence);
    FL_RETURN_IF_ERROR(fl_agent_save(agent));
    publish_report(agent);
    return FL_OK;
}

static fl_status_t report_target(fl_agent_t *agent, FL_PB(UpdatePhase) phase,
                                 FL_PB(UpdateCause) cause) {
    return save_and_report(agent, phase, cause, agent->state.rollout_id,
                           agent->state.target.release_sequence);
}

/* --- Start --- */

static fl_status_t hash_slot(const fl_agent_t *agent, const fl_model_t *model, fl_sha256_t *hash,
                             uint32_t offset, uint32_t size) {
    const fl_flash_t *flash = &agent->port->slot[model->slot];
    uint8_t buffer[256];
    while (size > 0) {
        const uint32_t part = size < sizeof buffer ? size : (uint32_t)sizeof buffer;
        FL_RETURN_IF_ERROR(flash->read(flash->context, offset, buffer, part));
        agent->port->sha256_update(agent->port->context, hash, buffer, part);
        offset += part;
        size -= part;
    }
    return FL_OK;
}

/* Starts a model if its bytes are whole. Sets *cause if not. */
static bool start_model(fl_agent_t *agent, const fl_model_t *model, FL_PB(UpdateCause) * cause) {
    const fl_port_t *port = agent->port;
    fl_sha256_t hash;
    uint8_t digest[32];
    *cause = FL_CAUSE(STORAGE);
    if (model->slot == FL_SLOT_NONE || model->size > port->slot[model->slot].size) {
        return false;
    }
    port->sha256_start(port->context, &hash);
    if (hash_slot(agent, model, &hash, 0, model->size) != FL_OK) {
        return false;
    }
    port->sha256_finish(port->context, &hash, digest);
    if (memcmp(digest, model->digest, sizeof digest) != 0) {
        fl_agent_log(agent, FL_LOG_WARNING, "the bytes of the model in flash have changed");
        return false;
    }
    const fl_status_t status = agent->app->model_start(
        agent->app->context, model->slot, model->size, model->digest, &agent->running.info);
    if (status != FL_OK) {
        fl_agent_log(agent, FL_LOG_WARNING, "the model did not start or failed its self-test");
        *cause = status == FL_ERR_IO ? FL_CAUSE(STORAGE) : FL_CAUSE(SELF_TEST);
        return false;
    }
    agent->running.on = true;
    agent->running.model = *model;
    return true;
}

/* Ends the trial: the model before is what counts, and the target is never tried again. */
static void decide_revert(fl_agent_t *agent, FL_PB(UpdateCause) cause) {
    fl_state_t *state = &agent->state;
    const uint64_t release_sequence = state->target.release_sequence;
    fl_state_refuse(state, state->target.digest);
    state->phase = FL_PHASE_IDLE;
    state->target.slot = FL_SLOT_NONE;
    agent->running.on = false;
    decide_report(agent, FL_PHASE(REVERTED), cause, state->rollout_id, release_sequence);
    fl_agent_log(agent, FL_LOG_WARNING, "the model on trial was reverted");
}

fl_status_t fl_update_boot(fl_agent_t *agent) {
    fl_state_t *state = &agent->state;
    FL_PB(UpdateCause) cause;

    if (state->phase == FL_PHASE_TRIAL) {
        state->trial_boots++;
        if (state->trial_boots > FIELDLOOP_AGENT_TRIAL_BOOTS) {
            decide_revert(agent, FL_CAUSE(RESTARTS));
        }
    }
    /* Saved before the model is started: one that hangs must not escape the count of starts. */
    FL_RETURN_IF_ERROR(fl_agent_save(agent));
    publish_if_missing(agent);
    if (state->phase == FL_PHASE_TRIAL) {
        if (start_model(agent, &state->target, &cause)) {
            agent->running.on_trial = true;
            agent->update.trial_since_ms = fl_agent_now(agent);
            if (!is_reported(agent, FL_PHASE(TRIAL), FL_CAUSE(UNSPECIFIED), state->rollout_id,
                             state->target.release_sequence)) {
                FL_RETURN_IF_ERROR(report_target(agent, FL_PHASE(TRIAL), FL_CAUSE(UNSPECIFIED)));
            }
            return FL_OK;
        }
        decide_revert(agent, cause);
        FL_RETURN_IF_ERROR(fl_agent_save(agent));
        publish_report(agent);
    }
    if (state->active.slot != FL_SLOT_NONE && !start_model(agent, &state->active, &cause)) {
        fl_agent_log(agent, FL_LOG_WARNING, "no fit model: waiting for an update");
    }
    return FL_OK;
}

/* --- Offer --- */

static void refuse_offer(fl_agent_t *agent, const fl_offer_t *offer, FL_PB(UpdatePhase) phase,
                         FL_PB(UpdateCause) cause) {
    if (is_reported(agent, phase, cause, offer->rollout_id, offer->release_sequence)) {
        return;
    }
    fl_agent_log(agent, FL_LOG_WARNING,
                 phase == FL_PHASE(DEFERRED) ? "an offer was deferred" : "an offer was refused");
    (void)save_and_report(agent, phase, cause, offer->rollout_id, offer->release_sequence);
}

static bool consents(const fl_agent_t *agent, bool forced, fl_step_t step) {
    return forced || agent->app->consents == NULL ||
           agent->app->consents(agent->app->context, step);
}

/* The release names what runs already. */
static void adopt_running(fl_agent_t *agent, const fl_offer_t *offer) {
    fl_state_t *state = &agent->state;
    if (is_reported(agent, FL_PHASE(CONFIRMED), FL_CAUSE(UNSPECIFIED), offer->rollout_id,
                    offer->release_sequence)) {
        return;
    }
    state->phase = FL_PHASE_IDLE;
    agent->update.step = STEP_IDLE;
    agent->update.allowed = false;
    state->active.release_sequence = offer->release_sequence;
    agent->running.model.release_sequence = offer->release_sequence;
    if (offer->release_sequence > state->confirmed_sequence) {
        state->confirmed_sequence = offer->release_sequence;
    }
    agent->session.state_needed = true;
    (void)save_and_report(agent, FL_PHASE(CONFIRMED), FL_CAUSE(UNSPECIFIED), offer->rollout_id,
                          offer->release_sequence);
}

static bool is_target(const fl_state_t *state, const fl_offer_t *offer) {
    return (state->phase == FL_PHASE_DOWNLOADING || state->phase == FL_PHASE_DOWNLOADED) &&
           state->target.size == offer->size &&
           memcmp(state->target.digest, offer->digest, sizeof offer->digest) == 0;
}

static void begin_rehash(fl_agent_t *agent) {
    fl_update_t *update = &agent->update;
    update->step = STEP_REHASH;
    update->received = agent->state.written;
    update->hashed = 0;
    update->stage_size = 0;
    agent->port->sha256_start(agent->port->context, &update->hash);
}

static void accept(fl_agent_t *agent, const fl_offer_t *offer) {
    fl_state_t *state = &agent->state;
    fl_update_t *update = &agent->update;
    update->allowed = true;
    update->forced = offer->forced;
    if (is_target(state, offer)) {
        const bool other_rollout = strcmp(state->rollout_id, offer->rollout_id) != 0 ||
                                   state->target.release_sequence != offer->release_sequence;
        if (other_rollout) {
            memcpy(state->rollout_id, offer->rollout_id, sizeof state->rollout_id);
            state->target.release_sequence = offer->release_sequence;
            if (report_target(agent, FL_PHASE(ACCEPTED), FL_CAUSE(UNSPECIFIED)) != FL_OK) {
                update->allowed = false;
                return;
            }
        }
        if (update->step == STEP_IDLE) {
            begin_rehash(agent);
        }
        return;
    }
    if (fl_session_awaits_chunks(agent)) {
        /* Chunks do not name their artifact: those of the one before must not be taken for this. */
        update->allowed = false;
        agent->session.reconnect = true;
        return;
    }
    state->phase = FL_PHASE_DOWNLOADING;
    state->target = (fl_model_t){.slot = state->active.slot == 0 ? 1 : 0,
                                 .size = offer->size,
                                 .release_sequence = offer->release_sequence};
    memcpy(state->target.digest, offer->digest, sizeof state->target.digest);
    memcpy(state->rollout_id, offer->rollout_id, sizeof state->rollout_id);
    state->written = 0;
    begin_rehash(agent);
    log_text(agent, "an offer was accepted");
    if (report_target(agent, FL_PHASE(ACCEPTED), FL_CAUSE(UNSPECIFIED)) != FL_OK) {
        update->allowed = false;
    }
}

void fl_update_offer(fl_agent_t *agent, fl_slice_t message) {
    fl_state_t *state = &agent->state;
    FL_PB(RootDocument) root;
    fl_offer_t offer;
    if (state->phase == FL_PHASE_TRIAL || fl_agent_root(agent, &root) != FL_OK) {
        return; /* One trial at a time; the state report says that it is on. */
    }
    const fl_offer_context_t context = {.project = agent->config->project,
                                        .hardware_id = agent->config->hardware_id,
                                        .device_id = agent->identity.device_id,
                                        .nonce = agent->session.nonce,
                                        .now_ms = fl_agent_unix_ms(agent),
                                        .confirmed_sequence = state->confirmed_sequence};
    FL_PB(UpdateCause) cause = fl_trust_offer(agent->port, &root, &context, message, &offer);
    const uint32_t slot = state->active.slot == 0 ? 1 : 0;
    if (cause == FL_CAUSE(UNSPECIFIED) && fl_state_is_refused(state, offer.digest)) {
        cause = FL_CAUSE(REFUSED_BEFORE);
    }
    if (cause == FL_CAUSE(UNSPECIFIED) && offer.size > agent->port->slot[slot].size) {
        cause = FL_CAUSE(TOO_LARGE);
    }
    if (cause != FL_CAUSE(UNSPECIFIED)) {
        refuse_offer(agent, &offer, FL_PHASE(FAILED), cause);
    } else if (agent->running.on &&
               memcmp(agent->running.model.digest, offer.digest, sizeof offer.digest) == 0) {
        adopt_running(agent, &offer);
    } else if (!consents(agent, offer.forced, FL_STEP_DOWNLOAD)) {
        refuse_offer(agent, &offer, FL_PHASE(DEFERRED), FL_CAUSE(UNSPECIFIED));
    } else {
        accept(agent, &offer);
    }
}

/* --- Download --- */

/* The download cannot succeed. What is in the slot is worth nothing. */
static void fail(fl_agent_t *agent, FL_PB(UpdateCause) cause) {
    agent->update.step = STEP_IDLE;
    agent->update.allowed = false;
    agent->state.phase = FL_PHASE_IDLE;
    agent->state.written = 0;
    fl_agent_log(agent, FL_LOG_WARNING, "the download failed");
    (void)report_target(agent, FL_PHASE(FAILED), cause);
}

bool fl_update_wants(const fl_agent_t *agent, uint32_t *offset, uint32_t *size) {
    const fl_update_t *update = &agent->update;
    if (!update->allowed || update->step != STEP_FETCH) {
        return false;
    }
    const uint32_t left = agent->state.target.size - update->received;
    *offset = update->received;
    *size = left < FIELDLOOP_AGENT_DOWNLOAD_WINDOW ? left : FIELDLOOP_AGENT_DOWNLOAD_WINDOW;
    return left > 0;
}

/* At a sector's end: writes down how far the download is, now and then. */
static fl_status_t journal(fl_agent_t *agent, const fl_flash_t *flash, uint32_t offset) {
    if (offset - agent->state.written < FIELDLOOP_AGENT_JOURNAL_STEP) {
        return FL_OK;
    }
    FL_RETURN_IF_ERROR(fl_flash_sync(flash));
    agent->state.written = offset;
    return fl_agent_save(agent);
}

/* Programs bytes behind those that were programmed before; a sector is erased when it is entered.
 */
static fl_status_t store(fl_agent_t *agent, const uint8_t *data, uint32_t size) {
    fl_update_t *update = &agent->update;
    const fl_flash_t *flash = &agent->port->slot[agent->state.target.slot];
    while (size > 0) {
        const uint32_t in_sector = update->received % flash->sector_size;
        if (in_sector == 0) {
            FL_RETURN_IF_ERROR(journal(agent, flash, update->received));
            FL_RETURN_IF_ERROR(flash->erase(flash->context, update->received));
        }
        const uint32_t room = flash->sector_size - in_sector;
        const uint32_t part = size < room ? size : room;
        fl_flash_writer_t writer;
        fl_flash_writer_init(&writer, flash, update->received - update->stage_size);
        writer.staged = update->stage_size;
        memcpy(writer.stage, update->stage, update->stage_size);
        FL_RETURN_IF_ERROR(fl_flash_write(&writer, data, part));
        update->received += part;
        if (update->received == agent->state.target.size) {
            FL_RETURN_IF_ERROR(fl_flash_write_end(&writer));
        }
        update->stage_size = writer.staged;
        memcpy(update->stage, writer.stage, writer.staged);
        data += part;
        size -= part;
    }
    return FL_OK;
}

static void begin_verify(fl_agent_t *agent) {
    fl_update_t *update = &agent->update;
    update->step = STEP_VERIFY;
    update->hashed = 0;
    agent->port->sha256_start(agent->port->context, &update->hash);
}

/* All bytes came: they must be the right ones before anything else is asked of flash. */
static void end_fetch(fl_agent_t *agent) {
    const fl_port_t *port = agent->port;
    uint8_t digest[32];
    port->sha256_finish(port->context, &agent->update.hash, digest);
    if (memcmp(digest, agent->state.target.digest, sizeof digest) != 0) {
        fail(agent, FL_CAUSE(DIGEST_MISMATCH));
    } else if (fl_flash_sync(&port->slot[agent->state.target.slot]) != FL_OK) {
        fail(agent, FL_CAUSE(STORAGE));
    } else {
        begin_verify(agent);
    }
}

fl_status_t fl_update_chunk(fl_agent_t *agent, fl_slice_t message) {
    fl_update_t *update = &agent->update;
    uint32_t offset;
    fl_slice_t data;
    FL_RETURN_IF_ERROR(fl_wire_chunk(message, &offset, &data));
    if (!update->allowed || update->step != STEP_FETCH || offset != update->received) {
        return FL_OK; /* A late answer to a request that was repeated. */
    }
    if (data.size > agent->state.target.size - update->received) {
        return FL_ERR_CORRUPT;
    }
    agent->port->sha256_update(agent->port->context, &update->hash, data.data, data.size);
    if (store(agent, data.data, (uint32_t)data.size) != FL_OK) {
        fail(agent, FL_CAUSE(STORAGE));
    } else if (update->received == agent->state.target.size) {
        end_fetch(agent);
    }
    return FL_OK;
}

/* --- Steps --- */

/* Hashes a piece of the slot. True once size bytes are hashed. */
static bool hash_step(fl_agent_t *agent, uint32_t size) {
    fl_update_t *update = &agent->update;
    const uint32_t left = size - update->hashed;
    const uint32_t part = left < FIELDLOOP_AGENT_HASH_STEP ? left : FIELDLOOP_AGENT_HASH_STEP;
    if (hash_slot(agent, &agent->state.target, &update->hash, update->hashed, part) != FL_OK) {
        fail(agent, FL_CAUSE(STORAGE));
        return false;
    }
    update->hashed += part;
    return update->hashed == size;
}

static void end_verify(fl_agent_t *agent) {
    const fl_port_t *port = agent->port;
    fl_state_t *state = &agent->state;
    uint8_t digest[32];
    port->sha256_finish(port->context, &agent->update.hash, digest);
    if (memcmp(digest, state->target.digest, sizeof digest) != 0) {
        fail(agent, FL_CAUSE(STORAGE));
        return;
    }
    if (state->phase == FL_PHASE_DOWNLOADING) {
        state->phase = FL_PHASE_DOWNLOADED;
        state->written = state->target.size;
        if (report_target(agent, FL_PHASE(DOWNLOADED), FL_CAUSE(UNSPECIFIED)) != FL_OK) {
            fail(agent, FL_CAUSE(STORAGE));
            return;
        }
        log_text(agent, "the model was downloaded");
    }
    agent->update.step = STEP_READY;
}

static void switch_over(fl_agent_t *agent) {
    fl_state_t *state = &agent->state;
    if (!consents(agent, agent->update.forced, FL_STEP_REBOOT)) {
        if (!is_reported(agent, FL_PHASE(DEFERRED), FL_CAUSE(UNSPECIFIED), state->rollout_id,
                         state->target.release_sequence)) {
            (void)report_target(agent, FL_PHASE(DEFERRED), FL_CAUSE(UNSPECIFIED));
        }
        return;
    }
    /* Telemetry of the model before must be counted before its successor starts. */
    fl_agent_flush(agent);
    state->phase = FL_PHASE_TRIAL;
    state->trial_boots = 0;
    if (fl_agent_save(agent) != FL_OK) {
        state->phase = FL_PHASE_DOWNLOADED;
        return;
    }
    log_text(agent, "restarting into the new model");
    fl_agent_reboot(agent);
}

static void confirm(fl_agent_t *agent) {
    fl_state_t *state = &agent->state;
    const fl_model_t before = state->active;
    const uint64_t sequence_before = state->confirmed_sequence;
    state->active = state->target;
    state->phase = FL_PHASE_IDLE;
    if (state->target.release_sequence > state->confirmed_sequence) {
        state->confirmed_sequence = state->target.release_sequence;
    }
    if (report_target(agent, FL_PHASE(CONFIRMED), FL_CAUSE(UNSPECIFIED)) != FL_OK) {
        state->active = before;
        state->confirmed_sequence = sequence_before;
        state->phase = FL_PHASE_TRIAL;
        return; /* Tried again with the next poll. */
    }
    agent->running.on_trial = false;
    agent->session.state_needed = true;
    log_text(agent, "the model was confirmed");
}

static void revert(fl_agent_t *agent) {
    /* What the trial counted is worth reporting; it must be closed while the model still counts. */
    fl_agent_flush(agent);
    decide_revert(agent, FL_CAUSE(UNHEALTHY));
    if (fl_agent_save(agent) == FL_OK) {
        publish_report(agent);
    }
    /* If it could not be saved, the count of starts ends the trial. */
    fl_agent_reboot(agent);
}

static uint32_t trial_windows(const fl_state_t *state) {
    return state->settings.trial_windows == 0 ? DEFAULT_TRIAL_WINDOWS
                                              : state->settings.trial_windows;
}

uint64_t fl_update_deadline(const fl_agent_t *agent) {
    if (!agent->running.on_trial) {
        return UINT64_MAX;
    }
    const uint32_t timeout = agent->state.settings.trial_timeout_ms;
    return agent->update.trial_since_ms + (timeout == 0 ? DEFAULT_TRIAL_TIMEOUT_MS : timeout);
}

bool fl_update_step(fl_agent_t *agent) {
    fl_update_t *update = &agent->update;
    if (agent->running.on_trial) {
        if (agent->session.contacted && update->healthy >= trial_windows(&agent->state)) {
            confirm(agent);
        } else if (fl_agent_now(agent) >= fl_update_deadline(agent)) {
            revert(agent);
        }
        return false;
    }
    switch (update->step) {
        case STEP_REHASH:
            if (hash_step(agent, agent->state.written)) {
                if (agent->state.written == agent->state.target.size) {
                    end_verify(agent);
                } else {
                    update->step = STEP_FETCH;
                }
            }
            return update->step != STEP_IDLE;
        case STEP_VERIFY:
            if (hash_step(agent, agent->state.target.size)) {
                end_verify(agent);
            }
            return update->step != STEP_IDLE;
        case STEP_READY: switch_over(agent); return false;
        default: return false;
    }
}

void fl_update_observe(fl_agent_t *agent, bool classified) {
    if (agent->running.on_trial) {
        agent->update.healthy = classified ? agent->update.healthy + 1u : 0;
    }
}
