/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/* From an offer to a confirmed set of components. Every step that must survive a reset is one save
 * of the record, and the report of the step is decided in the same save; agent/docs/DESIGN.md has
 * the table.
 *
 * Firmware has a second memory besides the record: the bootloader's. The record is saved first and
 * the bootloader told afterwards, except at the end of a trial, where a confirmed bootloader with a
 * record that still says TRIAL can be mended, and the opposite could not. At each start the port
 * says which firmware runs, and that decides what is left to do. */
#include <string.h>

#include "bytes.h"
#include "flash.h"
#include "internal.h"
#include "state_record.h"
#include "trust.h"

/* What the running program does about record.phase. */
enum {
    STEP_IDLE = 0,
    STEP_HASH, /* Reads back what flash has of a component. */
    STEP_FETCH,
    STEP_READY,     /* Waits for consent to install. */
    STEP_INSTALLED, /* Waits for consent to restart. */
};

/* Of an ArtifactChunk's data. */
enum { CHUNK_MAX = sizeof((FL_PB(ArtifactChunk) *)0)->data.bytes };

/* A shorter deferral that follows another one need not outlive a restart. */
static const uint32_t DEFERRAL_SAVE_MS = 60000;
static const uint32_t DEFAULT_TRIAL_WINDOWS = 10;
static const uint32_t DEFAULT_TRIAL_TIMEOUT_MS = 600000;

/* --- Components --- */

static bool installs(const fl_state_t *state, unsigned kind) {
    return (state->target.install & fl_kind_bit(kind)) != 0;
}

static const fl_flash_t *area(const fl_agent_t *agent, unsigned kind, uint8_t slot) {
    switch (kind) {
        case FL_KIND_MODEL: return &agent->port->slot[slot];
        case FL_KIND_FIRMWARE: return &agent->port->firmware.slot;
        default: return &agent->port->configuration[slot];
    }
}

FL_APART static bool has_kind(const fl_agent_t *agent, unsigned kind) {
    return area(agent, kind, 0)->size > 0;
}

/* Where the next component of a kind goes: never where the confirmed one is. */
static uint8_t free_slot(const fl_agent_t *agent, unsigned kind) {
    return kind != FL_KIND_FIRMWARE && agent->kept.active[kind].slot == 0 ? 1 : 0;
}

static const fl_flash_t *target_area(const fl_agent_t *agent, unsigned kind) {
    return area(agent, kind, free_slot(agent, kind));
}

/* What is in place of a kind: as confirmed, or once the target is installed. */
static void get_component(const fl_agent_t *agent, unsigned kind, bool of_target,
                          fl_component_t *component) {
    const fl_state_t *state = &agent->state;
    const fl_artifact_t *artifact = &agent->kept.release.artifact[kind];
    *component = agent->kept.active[kind];
    if (of_target && installs(state, kind)) {
        component->slot = free_slot(agent, kind);
        component->size = artifact->size;
        memcpy(component->digest, artifact->digest, sizeof component->digest);
    }
    if (of_target && (state->target.named & fl_kind_bit(kind)) != 0) {
        component->release_sequence = agent->kept.release.rollout.release_sequence;
    }
}

/* Names what the device would run with the target's components in place of its own: the first bytes
 * of a digest over the digests of all. A component is good or bad together with the others, so this
 * is what is refused after a failed trial, and not each of its digests. */
static void name_set(const fl_agent_t *agent, uint8_t named, const fl_release_t *release,
                     uint8_t name[FL_REFUSED_BYTES]) {
    fl_part_t parts[FL_KIND_COUNT];
    uint8_t digest[32];
    for (unsigned kind = 0; kind < FL_KIND_COUNT; kind++) {
        parts[kind].data = (named & fl_kind_bit(kind)) != 0 ? release->artifact[kind].digest
                                                            : agent->kept.active[kind].digest;
        parts[kind].size = sizeof digest;
    }
    fl_hash(agent->port, parts, FL_KIND_COUNT, digest);
    memcpy(name, digest, FL_REFUSED_BYTES);
}

/* --- Reports --- */

/* Decides a report. It is saved with the record that the caller saves next, and put in the outbox
 * by publish_report(); a reset in between is made good by fl_update_boot(). */
FL_APART static void decide_report(fl_agent_t *agent, FL_PB(UpdatePhase) phase,
                                   FL_PB(UpdateCause) cause, const fl_rollout_t *rollout) {
    fl_pending_report_t *report = &agent->kept.report;
    report->sequence = agent->next_sequence++; /* Reserved by the save that follows. */
    report->rollout = *rollout;
    report->phase = (uint8_t)phase;
    report->cause = (uint8_t)cause;
}

FL_APART static void publish_report(fl_agent_t *agent) {
    const fl_pending_report_t *report = &agent->kept.report;
    uint8_t buffer[FL_MESSAGE_HEAD + FL_PB(UpdateReport_size)];
    fl_writer_t writer;
    fl_component_t model;
    if (report->sequence == 0) {
        return;
    }
    /* Decided with the report, so that a repetition after a reset has the same bytes. */
    get_component(agent, FL_KIND_MODEL, report->phase == FL_PHASE(TRIAL), &model);
    fl_writer_t *to = fl_frame_begin(&writer, buffer, sizeof buffer);
    to = fl_put_long(to, FL_PB(UpdateReport_sequence_tag), report->sequence);
    to = fl_put_text(to, FL_PB(UpdateReport_rollout_id_tag), report->rollout.id);
    to = fl_put_number(to, FL_PB(UpdateReport_phase_tag), report->phase);
    to = fl_put_number(to, FL_PB(UpdateReport_cause_tag), report->cause);
    to = fl_put_bytes(to, FL_PB(UpdateReport_active_digest_tag), model.digest,
                      model.slot == FL_SLOT_NONE ? 0 : sizeof model.digest);
    to =
        fl_put_long(to, FL_PB(UpdateReport_release_sequence_tag), report->rollout.release_sequence);
    if (fl_agent_enqueue_frame(agent, FL_ENTRY_REPORT, report->sequence, to,
                               FL_PB(DeviceMessage_update_report_tag)) == FL_OK) {
        (void)fl_outbox_sync(&agent->outbox);
    }
}

/* Whether the last report said just this: a server that repeats an offer gets no report, and flash
 * no write, for each repetition. */
static bool is_reported(const fl_agent_t *agent, FL_PB(UpdatePhase) phase, FL_PB(UpdateCause) cause,
                        const fl_rollout_t *rollout) {
    const fl_pending_report_t *report = &agent->kept.report;
    return report->phase == (uint8_t)phase && report->cause == (uint8_t)cause &&
           memcmp(&report->rollout, rollout, sizeof *rollout) == 0;
}

/* Saves the record with the report that was decided, and sends that on its way. */
static bool save_and_publish(fl_agent_t *agent) {
    if (fl_agent_save(agent) != FL_OK) {
        return false;
    }
    publish_report(agent);
    return true;
}

/* Decides a report, saves the record with it and sends it on its way. */
static fl_status_t save_and_report(fl_agent_t *agent, FL_PB(UpdatePhase) phase,
                                   FL_PB(UpdateCause) cause, const fl_rollout_t *rollout) {
    const fl_pending_report_t before = agent->kept.report;
    decide_report(agent, phase, cause, rollout);
    if (!save_and_publish(agent)) {
        agent->kept.report = before; /* It was not told. */
        return FL_ERR_IO;
    }
    return FL_OK;
}

FL_APART static fl_status_t report_target(fl_agent_t *agent, FL_PB(UpdatePhase) phase,
                                          FL_PB(UpdateCause) cause) {
    return save_and_report(agent, phase, cause, &agent->kept.release.rollout);
}

/* Reports it unless the last report said just this. */
static bool report_once(fl_agent_t *agent, FL_PB(UpdatePhase) phase, FL_PB(UpdateCause) cause,
                        const fl_rollout_t *rollout) {
    if (is_reported(agent, phase, cause, rollout)) {
        return false;
    }
    (void)save_and_report(agent, phase, cause, rollout);
    return true;
}

/* --- Start --- */

/* A hash that is computed over flash. */
typedef struct flash_hash {
    const fl_port_t *port;
    fl_sha256_t *hash;
} flash_hash_t;

static fl_status_t add_to_hash(void *context, const uint8_t *data, uint32_t size) {
    const flash_hash_t *to = context;
    to->port->sha256_update(to->port->context, to->hash, data, size);
    return FL_OK;
}

static fl_status_t hash_area(const fl_agent_t *agent, const fl_flash_t *flash, fl_sha256_t *hash,
                             uint32_t offset, uint32_t size) {
    flash_hash_t to = {.port = agent->port, .hash = hash};
    return fl_flash_each(flash, offset, size, add_to_hash, &to);
}

/* Ends a hash. Whether it is the digest that was expected. */
static bool hash_ends_as(const fl_agent_t *agent, fl_sha256_t *hash, const uint8_t expected[32]) {
    uint8_t digest[32];
    agent->port->sha256_finish(agent->port->context, hash, digest);
    return memcmp(digest, expected, sizeof digest) == 0;
}

/* Whether a component is there and its bytes are whole. */
FL_APART static bool is_whole(const fl_agent_t *agent, unsigned kind,
                              const fl_component_t *component) {
    fl_sha256_t hash;
    fl_status_t status = FL_ERR_NOT_FOUND;
    if (component->slot != FL_SLOT_NONE) {
        const fl_flash_t *flash = area(agent, kind, component->slot);
        agent->port->sha256_start(agent->port->context, &hash);
        status = component->size > flash->size ? FL_ERR_NO_SPACE
                                               : hash_area(agent, flash, &hash, 0, component->size);
    }
    if (status != FL_OK) {
        return false;
    }
    if (!hash_ends_as(agent, &hash, component->digest)) {
        fl_agent_log(agent, FL_LOG_WARNING, "the bytes of a component in flash have changed");
        return false;
    }
    return true;
}

/* Starts a component, or tells the application that there is no configuration. One that is damaged
 * is left out: if the set brought it, that is a cause; if it was there before, the set is not to
 * blame. */
static FL_PB(UpdateCause) start_component(fl_agent_t *agent, unsigned kind, bool of_target) {
    const fl_app_t *app = agent->app;
    const bool is_model = kind == FL_KIND_MODEL;
    fl_component_t configuration;
    fl_component_t *component = &configuration;
    fl_status_t status = FL_OK;
    if (is_model) {
        component = &agent->model;
    }
    get_component(agent, kind, of_target, component);
    const bool whole = is_whole(agent, kind, component);
    if (is_model && whole) {
        status = app->model_start(app->context, component->slot, component->size, component->digest,
                                  &agent->info);
    } else if (!is_model && app->configuration_start != NULL) {
        status =
            app->configuration_start(app->context, whole ? component->slot : FL_SLOT_NONE,
                                     whole ? component->size : 0, whole ? component->digest : NULL);
    }
    const bool started = whole && status == FL_OK;
    if (is_model) {
        agent->running.on = started;
    } else {
        agent->running.configuration = started;
    }
    if (whole ? started : !of_target || !installs(&agent->state, kind)) {
        return FL_CAUSE(UNSPECIFIED);
    }
    if (!whole || status == FL_ERR_IO) {
        return FL_CAUSE(STORAGE);
    }
    fl_agent_log(agent, FL_LOG_WARNING,
                 is_model ? "the model did not start or failed its self-test"
                          : "the application refused its configuration");
    return is_model ? FL_CAUSE(SELF_TEST) : FL_CAUSE(DECLINED);
}

/* Starts what the set consists of, the configuration first. A target is given up at once when part
 * of it does not start. */
static FL_PB(UpdateCause) start_set(fl_agent_t *agent, bool target) {
    FL_PB(UpdateCause) cause = FL_CAUSE(UNSPECIFIED);
    if (has_kind(agent, FL_KIND_CONFIGURATION)) {
        cause = start_component(agent, FL_KIND_CONFIGURATION, target);
    }
    return target && cause != FL_CAUSE(UNSPECIFIED) ? cause
                                                    : start_component(agent, FL_KIND_MODEL, target);
}

/* Which firmware runs is a fact that the port tells; the record follows it, unless the firmware is
 * the target's and its trial has not ended. Returns whether it is the target's. */
static bool learn_firmware(fl_agent_t *agent) {
    fl_state_t *state = &agent->state;
    fl_component_t *active = &agent->kept.active[FL_KIND_FIRMWARE];
    uint8_t digest[32];
    if (!has_kind(agent, FL_KIND_FIRMWARE) ||
        agent->port->firmware.running(agent->port->context, digest) != FL_OK) {
        return false;
    }
    if (state->phase >= FL_PHASE_DOWNLOADED && installs(state, FL_KIND_FIRMWARE) &&
        memcmp(digest, agent->kept.release.artifact[FL_KIND_FIRMWARE].digest, sizeof digest) == 0) {
        return true;
    }
    if (active->slot == FL_SLOT_NONE || memcmp(digest, active->digest, sizeof digest) != 0) {
        *active = (fl_component_t){.slot = 0}; /* It came from elsewhere. */
        memcpy(active->digest, digest, sizeof digest);
    }
    return false;
}

/* Ends the trial: the set before is what counts, and this one is never tried again. With its
 * firmware running, the bootloader has to go back first. */
static void decide_revert(fl_agent_t *agent, FL_PB(UpdateCause) cause, bool runs_firmware) {
    fl_state_t *state = &agent->state;
    uint8_t name[FL_REFUSED_BYTES];
    name_set(agent, state->target.named, &agent->kept.release, name);
    fl_state_refuse(agent, name);
    state->phase = runs_firmware ? FL_PHASE_REVERTING : FL_PHASE_IDLE;
    state->target.boots = 0;
    agent->running.on = false;
    agent->running.configuration = false;
    decide_report(agent, FL_PHASE(REVERTED), cause, &agent->kept.release.rollout);
    fl_agent_log(agent, FL_LOG_WARNING, "the set on trial was reverted");
}

/* Starts that a set on trial has. With firmware each of them takes two: the bootloader undoes a
 * swap that is not confirmed, and the start after that only asks for it again. */
static uint8_t boots_allowed(const fl_state_t *state) {
    return installs(state, FL_KIND_FIRMWARE) ? 2 * FIELDLOOP_AGENT_TRIAL_BOOTS
                                             : FIELDLOOP_AGENT_TRIAL_BOOTS;
}

/* What a start does before anything of a set is started: with a restart it is not finished, and is
 * bounded by the count of starts. */
static void count_start(fl_agent_t *agent, bool runs_firmware) {
    fl_state_t *state = &agent->state;
    if (state->phase == FL_PHASE_DOWNLOADED && runs_firmware) {
        /* The bootloader swapped, so a newer record said TRIAL: it was lost to damaged flash. */
        state->phase = FL_PHASE_TRIAL;
        state->target.boots = 0;
    }
    if (state->phase == FL_PHASE_TRIAL) {
        agent->kept.ask_again_ms = 0;
        state->target.boots++;
        if (state->target.boots > boots_allowed(state)) {
            decide_revert(agent, FL_CAUSE(RESTARTS), runs_firmware);
        }
    } else if (state->phase == FL_PHASE_REVERTING) {
        state->target.boots++;
        if (!runs_firmware || state->target.boots > FIELDLOOP_AGENT_TRIAL_BOOTS) {
            /* Back; or, after as many attempts, what runs is what there is. */
            state->phase = FL_PHASE_IDLE;
            (void)learn_firmware(agent);
        }
    }
}

/* The bootloader has to act before the set that is due can run. True when that is under way. */
static bool swap_firmware(fl_agent_t *agent, bool runs_firmware) {
    const fl_state_t *state = &agent->state;
    const bool forward = state->phase == FL_PHASE_TRIAL && installs(state, FL_KIND_FIRMWARE);
    if (runs_firmware ? state->phase != FL_PHASE_REVERTING : !forward) {
        return false;
    }
    /* A firmware on trial goes with the reset alone. If it is still here after one, it was
     * confirmed to the bootloader, and only another swap brings the one before back. */
    const bool fresh = state->phase == FL_PHASE_REVERTING && state->target.boots == 0;
    if (!fresh && agent->port->firmware.request_swap(agent->port->context) != FL_OK && forward) {
        return false;
    }
    fl_agent_reboot(agent);
    return true;
}

void fl_update_boot(fl_agent_t *agent) {
    fl_state_t *state = &agent->state;
    const bool runs_firmware = learn_firmware(agent);
    const bool going_back = state->phase == FL_PHASE_REVERTING;

    count_start(agent, runs_firmware);
    if (going_back && state->phase == FL_PHASE_IDLE &&
        agent->port->firmware.confirm(agent->port->context) != FL_OK) {
        fl_agent_log(agent, FL_LOG_WARNING, "the firmware could not be confirmed");
    }
    /* Saved before anything is started: a model that hangs must not escape the count of starts. A
     * report that a save decided may not have reached the outbox before the reset, or in a way that
     * reads right once and not again. The server counts it once. */
    const bool saved = save_and_publish(agent);
    if (saved && swap_firmware(agent, runs_firmware)) {
        return;
    }
    /* A start that cannot be counted is one of the confirmed set; or of the one that fits the
     * firmware, which the next reset takes back if it was never healthy. */
    if (state->phase == FL_PHASE_TRIAL && (saved || runs_firmware)) {
        FL_PB(UpdateCause) cause = FL_CAUSE(STORAGE);
        if (runs_firmware || !installs(state, FL_KIND_FIRMWARE)) {
            cause = start_set(agent, true);
        }
        if (cause == FL_CAUSE(UNSPECIFIED)) {
            agent->running.on_trial = true;
            agent->trial.since_ms = fl_agent_now(agent);
            (void)report_once(agent, FL_PHASE(TRIAL), FL_CAUSE(UNSPECIFIED),
                              &agent->kept.release.rollout);
            return;
        }
        decide_revert(agent, cause, runs_firmware);
        (void)save_and_publish(agent);
        /* Uncounted, only for a set that was never healthy: its firmware goes with the reset. */
        if ((saved || cause != FL_CAUSE(STORAGE)) && swap_firmware(agent, runs_firmware)) {
            return;
        }
    }
    if (state->phase == FL_PHASE_REVERTING) {
        return; /* It was not saved. The confirmed set does not fit the firmware that is here. */
    }
    (void)start_set(agent, false);
    if (agent->kept.active[FL_KIND_MODEL].slot != FL_SLOT_NONE && !agent->running.on) {
        fl_agent_log(agent, FL_LOG_WARNING, "no fit model: waiting for an update");
    }
}

/* --- Consent --- */

/* FL_CONSENT_NOW, FL_CONSENT_DECLINED, or anything else for later. */
static uint32_t ask(fl_agent_t *agent, fl_step_t step, bool forced, const fl_rollout_t *rollout) {
    const fl_app_t *app = agent->app;
    const uint64_t now_ms = fl_agent_unix_ms(agent);
    uint32_t answer = FL_CONSENT_NOW;
    if (!forced && app->consents != NULL) {
        if (now_ms < agent->kept.ask_again_ms) {
            return 1;
        }
        answer = app->consents(app->context, step);
    }
    const bool declined = answer == FL_CONSENT_DECLINED;
    if (answer == FL_CONSENT_NOW || (declined && step != FL_STEP_REBOOT)) {
        agent->kept.ask_again_ms = 0;
        return answer;
    }
    agent->kept.ask_again_ms = declined ? UINT64_MAX : now_ms + answer;
    const FL_PB(UpdateCause) cause = declined ? FL_CAUSE(DECLINED) : FL_CAUSE(UNSPECIFIED);
    if (report_once(agent, FL_PHASE(DEFERRED), cause, rollout)) {
        fl_agent_log(agent, FL_LOG_INFO, "the application asked to wait");
    } else if (answer >= DEFERRAL_SAVE_MS) {
        (void)fl_agent_save(agent);
    }
    return answer;
}

static uint32_t ask_about_target(fl_agent_t *agent, fl_step_t step) {
    return ask(agent, step, agent->update.forced, &agent->kept.release.rollout);
}

/* --- Offer --- */

static void refuse_offer(fl_agent_t *agent, const fl_offer_t *offer, FL_PB(UpdateCause) cause) {
    if (report_once(agent, FL_PHASE(FAILED), cause, &offer->release.rollout)) {
        fl_agent_log(agent, FL_LOG_WARNING, "an offer was refused");
    }
}

FL_APART static bool is_running(const fl_agent_t *agent, unsigned kind,
                                const fl_component_t *component) {
    switch (kind) {
        case FL_KIND_MODEL: return agent->running.on;
        case FL_KIND_CONFIGURATION: return agent->running.configuration;
        default: return component->slot != FL_SLOT_NONE;
    }
}

/* Kinds that the device does not run already. */
static uint8_t kinds_to_install(const fl_agent_t *agent, const fl_offer_t *offer) {
    uint8_t kinds = offer->target.named;
    for (unsigned kind = 0; kind < FL_KIND_COUNT; kind++) {
        const fl_component_t *active = &agent->kept.active[kind];
        if (is_running(agent, kind, active) &&
            memcmp(active->digest, offer->release.artifact[kind].digest, sizeof active->digest) ==
                0) {
            kinds &= (uint8_t)~fl_kind_bit(kind);
        }
    }
    return kinds;
}

/* Notes the release with the components that it names. */
FL_APART static void note_release(fl_agent_t *agent, uint8_t named, uint64_t release_sequence) {
    for (unsigned kind = 0; kind < FL_KIND_COUNT; kind++) {
        if ((named & fl_kind_bit(kind)) != 0) {
            agent->kept.active[kind].release_sequence = release_sequence;
        }
    }
    agent->model.release_sequence = agent->kept.active[FL_KIND_MODEL].release_sequence;
    if (release_sequence > agent->kept.confirmed_sequence) {
        agent->kept.confirmed_sequence = release_sequence;
    }
}

/* The release names what runs already. */
static void adopt_running(fl_agent_t *agent, const fl_offer_t *offer) {
    if (is_reported(agent, FL_PHASE(CONFIRMED), FL_CAUSE(UNSPECIFIED), &offer->release.rollout)) {
        return;
    }
    agent->state.phase = FL_PHASE_IDLE;
    agent->update.step = STEP_IDLE;
    agent->update.allowed = false;
    note_release(agent, offer->target.named, offer->release.rollout.release_sequence);
    agent->session.state_needed = true;
    (void)save_and_report(agent, FL_PHASE(CONFIRMED), FL_CAUSE(UNSPECIFIED),
                          &offer->release.rollout);
}

/* Whether the offer names what is downloaded, or was. */
static bool is_target(const fl_agent_t *agent, const fl_offer_t *offer) {
    const fl_state_t *state = &agent->state;
    const fl_release_t *release = &agent->kept.release;
    return (state->phase == FL_PHASE_DOWNLOADING || state->phase == FL_PHASE_DOWNLOADED) &&
           state->target.named == offer->target.named &&
           memcmp(release->artifact, offer->release.artifact, sizeof release->artifact) == 0;
}

/* The component at hand. */
FL_APART static const fl_artifact_t *wanted(const fl_agent_t *agent) {
    return &agent->kept.release.artifact[agent->update.kind];
}

static uint32_t target_size(const fl_agent_t *agent) {
    return wanted(agent)->size;
}

/* Bytes of the component at hand that are in its slot for certain. */
static uint32_t written(const fl_agent_t *agent) {
    const fl_target_t *target = &agent->state.target;
    return (target->done & fl_kind_bit(agent->update.kind)) != 0 ? target_size(agent)
                                                                 : target->written;
}

/* Ends the hash of the component. Whether its bytes are those that the release names. */
static bool has_wanted_digest(fl_agent_t *agent) {
    return hash_ends_as(agent, &agent->fetch.hash, wanted(agent)->digest);
}

static void begin_hash(fl_agent_t *agent) {
    agent->update.step = STEP_HASH;
    agent->fetch.hashed = 0;
    agent->port->sha256_start(agent->port->context, &agent->fetch.hash);
}

/* Takes up the next component that is not hashed yet. False when there is none. */
static bool begin_component(fl_agent_t *agent) {
    fl_update_t *update = &agent->update;
    update->kind = 0;
    while ((agent->state.target.install & ~update->checked & fl_kind_bit(update->kind)) == 0) {
        if (++update->kind == FL_KIND_COUNT) {
            return false;
        }
    }
    agent->fetch.received = written(agent);
    fl_flash_writer_init(&agent->fetch.writer, target_area(agent, update->kind),
                         agent->fetch.received);
    agent->transfer.requested_end = 0;
    begin_hash(agent);
    return true;
}

static void accept(fl_agent_t *agent, const fl_offer_t *offer) {
    fl_state_t *state = &agent->state;
    fl_update_t *update = &agent->update;
    const bool same = is_target(agent, offer);
    update->forced = offer->forced;
    if (same && memcmp(&agent->kept.release.rollout, &offer->release.rollout,
                       sizeof offer->release.rollout) == 0) {
        update->allowed = true;
    } else {
        if (!same) {
            state->phase = FL_PHASE_DOWNLOADING;
            state->target = offer->target;
            agent->kept.release = offer->release;
            update->step = STEP_IDLE;
        }
        agent->kept.release.rollout = offer->release.rollout;
        fl_agent_log(agent, FL_LOG_INFO, "an offer was accepted");
        update->allowed = report_target(agent, FL_PHASE(ACCEPTED), FL_CAUSE(UNSPECIFIED)) == FL_OK;
        if (!update->allowed) {
            state->phase = FL_PHASE_IDLE; /* It is accepted anew when that can be remembered. */
        }
    }
    if (update->allowed && update->step == STEP_IDLE) {
        update->checked = 0;
        (void)begin_component(agent);
    }
}

/* Why a set that the documents allow cannot be installed here. */
static FL_PB(UpdateCause) check_set(const fl_agent_t *agent, const fl_offer_t *offer) {
    uint8_t name[FL_REFUSED_BYTES];
    for (unsigned kind = 0; kind < FL_KIND_COUNT; kind++) {
        if ((offer->target.named & fl_kind_bit(kind)) == 0) {
            continue;
        }
        if (!has_kind(agent, kind)) {
            return FL_CAUSE(NOT_FOR_THIS_DEVICE);
        }
        if (offer->release.artifact[kind].size > target_area(agent, kind)->size) {
            return FL_CAUSE(TOO_LARGE);
        }
    }
    name_set(agent, offer->target.named, &offer->release, name);
    return fl_state_is_refused(agent, name) ? FL_CAUSE(REFUSED_BEFORE) : FL_CAUSE(UNSPECIFIED);
}

void fl_update_offer(fl_agent_t *agent, const fl_field_t *message) {
    fl_state_t *state = &agent->state;
    uint8_t buffer[FL_ROOT_BYTES];
    fl_root_t root;
    fl_offer_t offer;
    fl_identity_t identity;
    if (state->phase >= FL_PHASE_TRIAL || fl_agent_root(agent, buffer, &root) != FL_OK ||
        agent->port->identity(agent->port->context, &identity) != FL_OK) {
        return; /* One trial at a time; the state report says that it is on. */
    }
    const fl_offer_context_t context = {.project = agent->config->project,
                                        .hardware_id = agent->config->hardware_id,
                                        .device_id = identity.device_id,
                                        .nonce = agent->sent.nonce,
                                        .now_ms = fl_agent_unix_ms(agent),
                                        .confirmed_sequence = agent->kept.confirmed_sequence};
    FL_PB(UpdateCause) cause = fl_trust_offer(message, agent->port, &root, &context, &offer);
    if (cause == FL_CAUSE(UNSPECIFIED)) {
        cause = check_set(agent, &offer);
    }
    if (cause != FL_CAUSE(UNSPECIFIED)) {
        refuse_offer(agent, &offer, cause);
        return;
    }
    offer.target.install = kinds_to_install(agent, &offer);
    if (offer.target.install == 0) {
        adopt_running(agent, &offer);
        return;
    }
    if (!offer.forced &&
        is_reported(agent, FL_PHASE(FAILED), FL_CAUSE(DECLINED), &offer.release.rollout)) {
        return;
    }
    /* What is downloaded needs no consent to download. */
    if (state->phase != FL_PHASE_DOWNLOADED || !is_target(agent, &offer)) {
        const uint32_t answer = ask(agent, FL_STEP_DOWNLOAD, offer.forced, &offer.release.rollout);
        if (answer != FL_CONSENT_NOW) {
            agent->update.allowed = false;
            if (answer == FL_CONSENT_DECLINED) {
                refuse_offer(agent, &offer, FL_CAUSE(DECLINED));
            }
            return;
        }
    }
    accept(agent, &offer);
}

/* --- Download --- */

/* The set cannot be installed. What is in its slots is worth nothing. */
static void fail(fl_agent_t *agent, FL_PB(UpdateCause) cause) {
    agent->update.step = STEP_IDLE;
    agent->update.allowed = false;
    agent->state.phase = FL_PHASE_IDLE;
    fl_agent_log(agent, FL_LOG_WARNING, "the set was given up");
    (void)report_target(agent, FL_PHASE(FAILED), cause);
}

uint32_t fl_update_request(const fl_agent_t *agent, fl_writer_t *writer) {
    const fl_update_t *update = &agent->update;
    const uint32_t received = agent->fetch.received;
    if (!update->allowed || update->step != STEP_FETCH) {
        return 0;
    }
    const uint32_t left = target_size(agent) - received;
    const uint32_t size =
        left < FIELDLOOP_AGENT_DOWNLOAD_WINDOW ? left : FIELDLOOP_AGENT_DOWNLOAD_WINDOW;
    writer = fl_put_bytes(writer, FL_PB(ArtifactRequest_digest_tag), wanted(agent)->digest, 32);
    writer = fl_put_number(writer, FL_PB(ArtifactRequest_offset_tag), received);
    (void)fl_put_number(writer, FL_PB(ArtifactRequest_length_tag), size);
    return received + size;
}

/* At a sector's end: writes down how far the download is, now and then. */
static fl_status_t journal(fl_agent_t *agent) {
    const uint32_t received = agent->fetch.received;
    if (received - agent->state.target.written < FIELDLOOP_AGENT_JOURNAL_STEP) {
        return FL_OK;
    }
    FL_RETURN_IF_ERROR(fl_flash_sync(agent->fetch.writer.flash));
    agent->state.target.written = received;
    return fl_agent_save(agent);
}

/* Programs bytes behind those that were programmed before; a sector is erased when it is entered.
 */
static fl_status_t store(fl_agent_t *agent, const uint8_t *data, uint32_t size) {
    fl_fetch_t *fetch = &agent->fetch;
    const fl_flash_t *flash = fetch->writer.flash;
    while (size > 0) {
        const uint32_t in_sector = fetch->received % flash->sector_size;
        if (in_sector == 0) {
            FL_RETURN_IF_ERROR(journal(agent));
            FL_RETURN_IF_ERROR(flash->erase(flash->context, fetch->received));
        }
        const uint32_t room = flash->sector_size - in_sector;
        const uint32_t part = size < room ? size : room;
        FL_RETURN_IF_ERROR(fl_flash_write(&fetch->writer, data, part));
        fetch->received += part;
        if (fetch->received == target_size(agent)) {
            FL_RETURN_IF_ERROR(fl_flash_write_end(&fetch->writer));
        }
        data += part;
        size -= part;
    }
    return FL_OK;
}

/* All bytes came: they must be the right ones before anything else is asked of flash. */
static void end_fetch(fl_agent_t *agent) {
    if (!has_wanted_digest(agent)) {
        fail(agent, FL_CAUSE(DIGEST_MISMATCH));
    } else if (fl_flash_sync(agent->fetch.writer.flash) != FL_OK) {
        fail(agent, FL_CAUSE(STORAGE));
    } else {
        begin_hash(agent);
    }
}

fl_status_t fl_update_chunk(fl_agent_t *agent, const fl_field_t *chunk) {
    fl_update_t *update = &agent->update;
    const fl_slice_t data = chunk[FL_PB(ArtifactChunk_data_tag) - 1].bytes;
    const uint32_t offset = fl_wire_number(&chunk[FL_PB(ArtifactChunk_offset_tag) - 1]);
    const uint32_t artifact = fl_wire_number(&chunk[FL_PB(ArtifactChunk_artifact_tag) - 1]);
    if (data.size == 0 || data.size > CHUNK_MAX) {
        return FL_ERR_CORRUPT;
    }
    if (!update->allowed || update->step != STEP_FETCH || offset != agent->fetch.received ||
        artifact != fl_get_u32(wanted(agent)->digest)) {
        return FL_OK; /* A late answer to a request that was repeated, or is no longer of use. */
    }
    if (data.size > target_size(agent) - agent->fetch.received) {
        return FL_ERR_CORRUPT;
    }
    agent->port->sha256_update(agent->port->context, &agent->fetch.hash, data.data, data.size);
    if (store(agent, data.data, (uint32_t)data.size) != FL_OK) {
        fail(agent, FL_CAUSE(STORAGE));
    } else if (agent->fetch.received == target_size(agent)) {
        end_fetch(agent);
    }
    return FL_OK;
}

/* --- Steps --- */

/* All of the set is in flash and was read back. */
static fl_status_t end_download(fl_agent_t *agent) {
    if (agent->state.phase == FL_PHASE_DOWNLOADING) {
        agent->state.phase = FL_PHASE_DOWNLOADED;
        FL_RETURN_IF_ERROR(report_target(agent, FL_PHASE(DOWNLOADED), FL_CAUSE(UNSPECIFIED)));
        fl_agent_log(agent, FL_LOG_INFO, "the set was downloaded");
    }
    agent->update.step = STEP_READY;
    return FL_OK;
}

/* The component is in flash, and all of it was read back. */
static void end_component(fl_agent_t *agent) {
    fl_update_t *update = &agent->update;
    fl_target_t *target = &agent->state.target;
    const uint8_t bit = fl_kind_bit(update->kind);
    const bool news = (target->done & bit) == 0;
    if (!has_wanted_digest(agent)) {
        fail(agent, FL_CAUSE(STORAGE));
        return;
    }
    update->checked |= bit;
    target->done |= bit;
    target->written = news ? 0 : target->written;
    const bool more = begin_component(agent);
    if ((more && news && fl_agent_save(agent) != FL_OK) ||
        (!more && end_download(agent) != FL_OK)) {
        fail(agent, FL_CAUSE(STORAGE));
    }
}

/* Hashes a piece of what flash has of the component: what an earlier start left of it, or all. */
static void hash_piece(fl_agent_t *agent) {
    fl_fetch_t *fetch = &agent->fetch;
    const uint32_t left = fetch->received - fetch->hashed;
    const uint32_t part = left < FIELDLOOP_AGENT_HASH_STEP ? left : FIELDLOOP_AGENT_HASH_STEP;
    if (hash_area(agent, fetch->writer.flash, &fetch->hash, fetch->hashed, part) != FL_OK) {
        fail(agent, FL_CAUSE(STORAGE));
        return;
    }
    fetch->hashed += part;
    if (part < left) {
        return;
    }
    if (fetch->received < target_size(agent)) {
        agent->update.step = STEP_FETCH;
    } else {
        end_component(agent);
    }
}

/* One save, from which on the whole set is what the next restart starts. */
static void install(fl_agent_t *agent) {
    fl_state_t *state = &agent->state;
    if (!agent->update.allowed) {
        return; /* A rollout that was paused or ended meanwhile goes no further. */
    }
    const uint32_t answer = ask_about_target(agent, FL_STEP_INSTALL);
    if (answer == FL_CONSENT_DECLINED) {
        fail(agent, FL_CAUSE(DECLINED));
    }
    if (answer != FL_CONSENT_NOW) {
        return;
    }
    state->phase = FL_PHASE_TRIAL;
    state->target.boots = 0;
    if (fl_agent_save(agent) != FL_OK) {
        state->phase = FL_PHASE_DOWNLOADED;
    } else if (installs(state, FL_KIND_FIRMWARE) &&
               agent->port->firmware.request_swap(agent->port->context) != FL_OK) {
        fail(agent, FL_CAUSE(STORAGE));
    } else {
        fl_agent_log(agent, FL_LOG_INFO, "the set is installed and starts with the next restart");
        agent->update.step = STEP_INSTALLED;
    }
}

static void restart(fl_agent_t *agent) {
    if (ask_about_target(agent, FL_STEP_REBOOT) == FL_CONSENT_NOW) {
        fl_agent_log(agent, FL_LOG_INFO, "restarting into the new set");
        fl_agent_reboot(agent);
    }
}

static void confirm(fl_agent_t *agent) {
    fl_state_t *state = &agent->state;
    fl_component_t before[FL_KIND_COUNT];
    const uint64_t sequence_before = agent->kept.confirmed_sequence;
    if (installs(state, FL_KIND_FIRMWARE) &&
        agent->port->firmware.confirm(agent->port->context) != FL_OK) {
        return; /* Tried again with the next poll. */
    }
    memcpy(before, agent->kept.active, sizeof before);
    for (unsigned kind = 0; kind < FL_KIND_COUNT; kind++) {
        get_component(agent, kind, true, &agent->kept.active[kind]);
    }
    note_release(agent, state->target.named, agent->kept.release.rollout.release_sequence);
    state->phase = FL_PHASE_IDLE;
    if (report_target(agent, FL_PHASE(CONFIRMED), FL_CAUSE(UNSPECIFIED)) != FL_OK) {
        memcpy(agent->kept.active, before, sizeof before);
        agent->kept.confirmed_sequence = sequence_before;
        state->phase = FL_PHASE_TRIAL;
        return; /* Tried again with the next poll. */
    }
    agent->running.on_trial = false;
    agent->session.state_needed = true;
    fl_agent_log(agent, FL_LOG_INFO, "the set was confirmed");
}

static void revert(fl_agent_t *agent) {
    /* What the trial counted is worth reporting; it must be closed while the model still counts. */
    fl_agent_flush(agent);
    decide_revert(agent, FL_CAUSE(UNHEALTHY), installs(&agent->state, FL_KIND_FIRMWARE));
    /* If it cannot be saved, the count of starts ends the trial. */
    (void)save_and_publish(agent);
    fl_agent_reboot(agent);
}

/* Windows in a row that make the set healthy. A device without a model has none to show. */
static uint32_t trial_windows(const fl_agent_t *agent) {
    const uint32_t windows = agent->state.settings.trial_windows;
    if (!agent->running.on) {
        return 0;
    }
    return windows == 0 ? DEFAULT_TRIAL_WINDOWS : windows;
}

uint64_t fl_update_deadline(const fl_agent_t *agent) {
    const uint64_t ask_again_ms = agent->kept.ask_again_ms;
    const uint8_t step = agent->update.step;
    if (agent->running.on_trial) {
        const uint32_t timeout = agent->state.settings.trial_timeout_ms;
        return agent->trial.since_ms + (timeout == 0 ? DEFAULT_TRIAL_TIMEOUT_MS : timeout);
    }
    if (((step != STEP_READY || !agent->update.allowed) && step != STEP_INSTALLED) ||
        ask_again_ms == UINT64_MAX) {
        return UINT64_MAX;
    }
    const uint64_t unix_ms = fl_agent_unix_ms(agent);
    return ask_again_ms <= unix_ms ? 0 : fl_agent_now(agent) + (ask_again_ms - unix_ms);
}

bool fl_update_step(fl_agent_t *agent) {
    fl_update_t *update = &agent->update;
    if (agent->running.on_trial && fl_agent_can_save(agent)) {
        if (agent->session.contacted && agent->trial.healthy >= trial_windows(agent)) {
            confirm(agent);
        } else if (fl_agent_now(agent) >= fl_update_deadline(agent)) {
            revert(agent);
        }
        return false;
    }
    const uint8_t before = update->step;
    switch (before) {
        case STEP_HASH: hash_piece(agent); return true;
        case STEP_READY: install(agent); break;
        case STEP_INSTALLED: restart(agent); break;
        default: break;
    }
    return update->step != before;
}

void fl_update_observe(fl_agent_t *agent, bool classified) {
    if (agent->running.on_trial) {
        agent->trial.healthy = classified ? agent->trial.healthy + 1u : 0;
    }
}

void fl_update_describe(const fl_agent_t *agent, fl_writer_t *writer) {
    const bool on_trial = agent->running.on_trial;
    for (unsigned kind = 0; kind < FL_KIND_COUNT; kind++) {
        if (!has_kind(agent, kind)) {
            continue;
        }
        fl_component_t component;
        get_component(agent, kind, on_trial, &component);
        uint8_t *message = fl_put_begin(writer, FL_PB(StateReport_components_tag));
        writer = fl_put_number(writer, FL_PB(ComponentState_kind_tag), kind + 1u);
        if (is_running(agent, kind, &component)) {
            writer = fl_put_bytes(writer, FL_PB(ComponentState_active_digest_tag), component.digest,
                                  sizeof component.digest);
            writer = fl_put_number(writer, FL_PB(ComponentState_confirmed_tag),
                                   on_trial && installs(&agent->state, kind) ? 0 : 1);
            writer = fl_put_long(writer, FL_PB(ComponentState_release_sequence_tag),
                                 component.release_sequence);
        }
        fl_put_end(writer, message);
    }
}
