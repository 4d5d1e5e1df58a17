/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "fieldloop_agent/agent.h"

#include <string.h>

#include "bytes.h"
#include "fieldloop_agent/record.h"
#include "flash.h"
#include "internal.h"
#include "state_record.h"
#include "trust.h"

enum {
    SEQUENCE_BLOCK = 1024,           /* Sequences reserved with one write of the record. */
    OUTBOX_SYNC_MS = 1000,           /* Longest time for which telemetry is not durable. */
    TIME_SAVE_MS = 24 * 3600 * 1000, /* Progress of the time floor worth a write of its own. */
    RETRY_MS = 10,                   /* Shortest time between two polls that had nothing to do. */
    UNSAVED_RETRY_MS = 1000,         /* The same while the record cannot be saved. */
    SAVE_RETRY_MS = 3600 * 1000,     /* Until the record is saved again after that failed. */
    ROOT_SAVES_FAILED_MAX = 8,       /* Since the start: then no other root document is taken. */
    TOKEN_MAX = 63,
    STATE_SECTORS = 4,
    STATE_SECTOR_MIN = 1280,
};

_Static_assert(FIELDLOOP_AGENT_RX_BYTES >= 2560 && FIELDLOOP_AGENT_RX_BYTES <= 65535,
               "FIELDLOOP_AGENT_RX_BYTES is outside what the protocol allows");
_Static_assert(FIELDLOOP_AGENT_RX_BYTES + FL_FRAME_LENGTH >=
                   FL_MESSAGE_HEAD + FL_PB(DeviceMessage_size),
               "a DeviceMessage does not fit a frame");

#if FIELDLOOP_AGENT_LOG_TEXT
void fl_agent_write_log(const fl_agent_t *agent, fl_log_level_t level, const char *text) {
    if (agent->port->log != NULL) {
        agent->port->log(agent->port->context, level, text);
    }
}
#endif

uint64_t fl_agent_now(const fl_agent_t *agent) {
    return agent->port->now_ms(agent->port->context);
}

uint64_t fl_agent_in(const fl_agent_t *agent, uint32_t ms) {
    return fl_agent_now(agent) + ms;
}

uint64_t fl_agent_unix_ms(const fl_agent_t *agent) {
    if (agent->kept.time_floor_ms == 0) {
        return 0;
    }
    return agent->kept.time_floor_ms + (fl_agent_now(agent) - agent->time_base_ms);
}

/* Never back: whoever sets the clock back wants an expired document to count. */
FL_APART static void advance_time(fl_agent_t *agent, uint64_t unix_ms) {
    const uint64_t known_ms = fl_agent_unix_ms(agent);
    agent->kept.time_floor_ms = unix_ms > known_ms ? unix_ms : known_ms;
    agent->time_base_ms = fl_agent_now(agent);
}

void fl_agent_learn_time(fl_agent_t *agent, uint64_t unix_ms) {
    advance_time(agent, unix_ms);
    if (agent->kept.time_floor_ms - agent->time_saved_ms >= TIME_SAVE_MS) {
        (void)fl_agent_save(agent);
    }
}

uint32_t fl_agent_random(fl_agent_t *agent, uint32_t limit) {
    /* A Weyl sequence, mixed by the last steps of MurmurHash3 (Appleby), and scaled by the high
     * half of a product. */
    agent->random_state += 0x9e3779b9u;
    uint32_t z = agent->random_state;
    z = (z ^ (z >> 16)) * 0x85ebca6bu;
    z = (z ^ (z >> 13)) * 0xc2b2ae35u;
    z ^= z >> 16;
    return (uint32_t)((z * ((uint64_t)limit + 1u)) >> 32);
}

uint64_t fl_agent_sequence(fl_agent_t *agent) {
    if (agent->next_sequence >= agent->kept.sequence_limit && fl_agent_save(agent) != FL_OK) {
        return 0;
    }
    return agent->next_sequence++;
}

bool fl_agent_can_save(const fl_agent_t *agent) {
    return fl_agent_now(agent) >= agent->save_after_ms;
}

fl_status_t fl_agent_save(fl_agent_t *agent) {
    if (!fl_agent_can_save(agent)) {
        return FL_ERR_IO;
    }
    const uint64_t limit = agent->kept.sequence_limit;
    if (agent->next_sequence >= limit) {
        agent->kept.sequence_limit = agent->next_sequence + SEQUENCE_BLOCK;
    }
    agent->state.dropped_uplinks = agent->outbox.dropped;
    advance_time(agent, 0);
    fl_status_t status = fl_state_save(&agent->port->state, agent);
    if (status != FL_OK) {
        status = fl_state_save(&agent->port->state, agent);
    }
    if (status == FL_OK) {
        agent->time_saved_ms = agent->kept.time_floor_ms;
    } else {
        agent->kept.sequence_limit = limit;
        agent->save_after_ms = fl_agent_in(agent, SAVE_RETRY_MS);
        fl_agent_log(agent, FL_LOG_WARNING, "the state record could not be saved");
    }
    return status;
}

static fl_status_t root_in_flash(const fl_port_t *port, uint8_t buffer[FL_ROOT_BYTES],
                                 fl_root_t *root) {
    size_t size = 0;
    FL_RETURN_IF_ERROR(fl_record_load(&port->state, FL_ROOT_SECTOR, buffer, FL_ROOT_BYTES, &size));
    const fl_slice_t document = {.data = buffer, .size = size};
    return fl_trust_open_root(&document, root);
}

fl_status_t fl_agent_root(const fl_agent_t *agent, uint8_t buffer[FL_ROOT_BYTES], fl_root_t *root) {
    if (agent->root_in_flash) {
        return root_in_flash(agent->port, buffer, root);
    }
    const fl_slice_t document = {.data = agent->config->root, .size = agent->config->root_size};
    return fl_trust_open_root(&document, root);
}

static fl_status_t find_root(fl_agent_t *agent) {
    uint8_t buffer[FL_ROOT_BYTES];
    fl_root_t root;
    FL_RETURN_IF_ERROR(fl_agent_root(agent, buffer, &root));
    agent->root_version = root.version;
    const fl_status_t status = root_in_flash(agent->port, buffer, &root);
    /* A newer one that cannot be read may be there: then no offer is taken. */
    agent->root_in_flash = status == FL_ERR_IO;
    if (status == FL_OK && root.version > agent->root_version) {
        agent->root_version = root.version;
        agent->root_in_flash = true;
    }
    return FL_OK;
}

void fl_agent_rotate_root(fl_agent_t *agent, const fl_slice_t *signed_root) {
    uint8_t buffer[FL_ROOT_BYTES];
    fl_root_t current;
    uint32_t version = 0;
    if (agent->session.root_saves_failed >= ROOT_SAVES_FAILED_MAX ||
        fl_agent_root(agent, buffer, &current) != FL_OK ||
        fl_trust_next_root(agent->port, &current, signed_root, &version) != FL_OK) {
        fl_agent_log(agent, FL_LOG_WARNING, "a root document was refused");
        return;
    }
    if (fl_record_save(&agent->port->state, FL_ROOT_SECTOR, signed_root->data, signed_root->size) !=
        FL_OK) {
        agent->session.root_saves_failed++;
        fl_agent_log(agent, FL_LOG_WARNING, "the root document could not be saved");
        return;
    }
    agent->root_version = version;
    agent->root_in_flash = true;
    fl_agent_log(agent, FL_LOG_INFO, "the root document was replaced by its next version");
}

void fl_agent_reboot(fl_agent_t *agent) {
    fl_agent_flush(agent);
    agent->port->close(agent->port->context);
    agent->halted = true;
    agent->port->reboot(agent->port->context);
}

fl_status_t fl_agent_enqueue(fl_agent_t *agent, fl_entry_kind_t kind, uint64_t sequence,
                             const fl_part_t *parts, size_t part_count) {
    const fl_status_t status = fl_outbox_append(&agent->outbox, kind, sequence, parts, part_count);
    if (status != FL_OK) {
        fl_agent_log(agent, FL_LOG_WARNING, "an uplink was dropped: the outbox has no room");
        return status;
    }
    if (agent->unsynced_since_ms == 0) {
        agent->unsynced_since_ms = fl_agent_now(agent) + 1u;
    }
    return FL_OK;
}

fl_status_t fl_agent_enqueue_frame(fl_agent_t *agent, fl_entry_kind_t kind, uint64_t sequence,
                                   fl_writer_t *writer, uint32_t number) {
    const size_t size = fl_frame_end(writer, number);
    if (size == 0) {
        return FL_ERR_NO_SPACE;
    }
    const fl_part_t part = {.data = writer->start + FL_FRAME_LENGTH,
                            .size = size - FL_FRAME_LENGTH};
    return fl_agent_enqueue(agent, kind, sequence, &part, 1);
}

/* Whether a text has between 1 and max bytes. */
static bool is_text(const char *text, size_t max) {
    return text != NULL && strlen(text) - 1u < max;
}

/* Whether a slot is one that the agent can use, or is not there and need not be. */
FL_APART static bool is_slot(const fl_flash_t *flash, bool wanted) {
    return wanted ? fl_flash_is_usable(flash, 1, FL_PROGRAM_SIZE_MAX) : flash->size == 0;
}

static bool has_usable_flash(const fl_port_t *port) {
    const bool has_configuration = port->configuration[0].size != 0;
    return fl_flash_is_usable(&port->state, STATE_SECTORS, STATE_SECTOR_MIN) &&
           is_slot(&port->slot[0], true) && is_slot(&port->slot[1], true) &&
           is_slot(&port->configuration[0], has_configuration) &&
           is_slot(&port->configuration[1], has_configuration) &&
           is_slot(&port->firmware.slot, port->firmware.running != NULL);
}

fl_status_t fl_agent_init(fl_agent_t *agent, const fl_port_t *port, const fl_app_t *app,
                          const fl_agent_config_t *config) {
    const FL_PB(Hello) *limits = NULL;
    memset(agent, 0, sizeof *agent);
    agent->port = port;
    agent->app = app;
    agent->config = config;
    if (!is_text(config->project, sizeof limits->project - 1u) ||
        !is_text(config->hardware_id, sizeof limits->hardware_id - 1u) ||
        (config->token != NULL && strlen(config->token) > TOKEN_MAX) || !has_usable_flash(port)) {
        return FL_ERR_ARG;
    }
    FL_RETURN_IF_ERROR(
        port->random(port->context, &agent->random_state, sizeof agent->random_state));
    FL_RETURN_IF_ERROR(find_root(agent));
    const fl_status_t loaded = fl_state_load(&port->state, agent);
    if (loaded == FL_ERR_IO) {
        agent->save_after_ms = UINT64_MAX; /* Nothing takes the place of what cannot be read. */
    } else {
        FL_RETURN_IF_ERROR(loaded);
    }
    FL_RETURN_IF_ERROR(fl_outbox_mount(&agent->outbox, &port->outbox));

    agent->outbox.dropped = agent->state.dropped_uplinks;
    agent->time_saved_ms = agent->kept.time_floor_ms;
    agent->time_base_ms = fl_agent_now(agent);
    /* The newest record may be lost, and with it a block that it reserved and that was used. */
    agent->next_sequence =
        agent->kept.sequence_limit +
        (fl_record_is_alone(&port->state, FL_STATE_SECTOR) ? 2u * SEQUENCE_BLOCK : 0);
    agent->state.boot_count++;
    fl_update_boot(agent);
    if (!agent->halted) {
        fl_session_init(agent);
    }
    return FL_OK;
}

FL_APART static void sync_outbox(fl_agent_t *agent) {
    agent->unsynced_since_ms = 0;
    if (fl_outbox_sync(&agent->outbox) != FL_OK) {
        fl_agent_log(agent, FL_LOG_WARNING, "the outbox could not be made durable");
    }
}

uint64_t fl_agent_poll(fl_agent_t *agent) {
    if (agent->halted) {
        return UINT64_MAX;
    }
    const bool session_busy = fl_session_poll(agent);
    const bool update_busy = !agent->halted && fl_update_step(agent);
    if (agent->halted) {
        return UINT64_MAX;
    }
    const uint64_t now = fl_agent_now(agent);
    uint64_t next = fl_session_deadline(agent);
    if (agent->unsynced_since_ms != 0) {
        if (now >= agent->unsynced_since_ms + OUTBOX_SYNC_MS) {
            sync_outbox(agent);
        } else if (agent->unsynced_since_ms + OUTBOX_SYNC_MS < next) {
            next = agent->unsynced_since_ms + OUTBOX_SYNC_MS;
        }
    }
    const uint64_t trial = fl_update_deadline(agent);
    next = trial < next ? trial : next;
    if (session_busy || update_busy) {
        return now;
    }
    /* What is due and could not be done, such as for want of flash, must not keep the CPU busy. */
    const uint64_t soonest = now + (fl_agent_can_save(agent) ? RETRY_MS : UNSAVED_RETRY_MS);
    return next < soonest ? soonest : next;
}

void fl_agent_observe(fl_agent_t *agent, const fl_observation_t *observation) {
    if (agent->halted || !agent->running.on) {
        return;
    }
    fl_monitor_observe(agent, observation);
    fl_update_observe(agent, observation->classified);
}

void fl_agent_flush(fl_agent_t *agent) {
    fl_monitor_close(agent);
    fl_monitor_return_reserve(agent);
    sync_outbox(agent);
}
