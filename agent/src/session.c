/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/* The connection: frames, who speaks when, what waits for an answer, and when to try again.
 *
 * One frame is built at a time, and only when the one before has left. After HelloReply the order
 * is: StateReport, update reports, CheckIn, then parts of an artifact and the rest of the outbox,
 * one uplink at a time; so a server that answers a CheckIn has seen how the last update ended. */
#include <pb_decode.h>
#include <pb_encode.h>
#include <string.h>

#include "internal.h"

enum {
    CLOSED = 0,
    CONNECTING,
    HELLO, /* Sent; HelloReply is due. */
    READY,
};

enum {
    FRAME_HEADER = 2,
    FRAMES_PER_POLL = 16,
    SAMPLE_CHUNK_MAX = 1024,
    SAMPLE_CHUNK_OVERHEAD = FL_PB(SampleChunk_size) - SAMPLE_CHUNK_MAX + 8,
    BACKOFF_MIN_MS = 100,
    RENEW_RETRY_MS = 3600 * 1000,
};

static const uint64_t NEVER = UINT64_MAX;

static uint64_t add_ms(uint64_t a, uint64_t b) {
    return a > NEVER - b ? NEVER : a + b;
}

/* --- Waiting and giving up --- */

/* Full jitter: evenly distributed up to a limit that doubles with each failure in a row. */
static uint32_t backoff(fl_agent_t *agent) {
    fl_session_t *session = &agent->session;
    uint32_t limit = FIELDLOOP_AGENT_BACKOFF_BASE_MS;
    for (uint8_t i = 0; i < session->attempts && limit < FIELDLOOP_AGENT_BACKOFF_CAP_MS; i++) {
        limit *= 2u;
    }
    if (limit > FIELDLOOP_AGENT_BACKOFF_CAP_MS) {
        limit = FIELDLOOP_AGENT_BACKOFF_CAP_MS;
    }
    if (session->attempts < UINT8_MAX) {
        session->attempts++;
    }
    return BACKOFF_MIN_MS + fl_agent_random(agent, limit);
}

/* Nothing that was sent counts as delivered. */
static void forget_requests(fl_session_t *session) {
    session->state_needed = session->state_needed || session->state_sequence != 0;
    session->state_sequence = 0;
    session->check_in_waiting = false;
    session->enroll_waiting = false;
    session->uplink.sequence = 0;
    session->requested_end = 0;
    session->chunk_deadline_ms = NEVER;
}

static void close_session(fl_agent_t *agent, uint64_t retry_ms) {
    fl_session_t *session = &agent->session;
    if (session->state != CLOSED) {
        agent->port->close(agent->port->context);
    }
    session->state = CLOSED;
    session->reconnect = false;
    session->next_attempt_ms = add_ms(fl_agent_now(agent), retry_ms);
    session->rx_size = 0;
    session->tx_size = 0;
    session->tx_sent = 0;
    agent->update.allowed = false;
    forget_requests(session);
}

static void fail_session(fl_agent_t *agent, const char *why) {
    fl_agent_log(agent, FL_LOG_INFO, why);
    close_session(agent, backoff(agent));
}

/* What a server asked for, and a little more, so that those it told the same do not come at once.
 */
static uint32_t retry_delay(fl_agent_t *agent, uint32_t retry_after_ms) {
    if (retry_after_ms == 0) {
        return backoff(agent);
    }
    const uint32_t extra = fl_agent_random(agent, retry_after_ms / 8u);
    return retry_after_ms > UINT32_MAX - extra ? UINT32_MAX : retry_after_ms + extra;
}

bool fl_session_awaits_chunks(const fl_agent_t *agent) {
    return agent->session.requested_end > agent->update.received;
}

static bool awaits_answer(const fl_agent_t *agent) {
    const fl_session_t *session = &agent->session;
    return session->state == CONNECTING || session->state == HELLO || session->check_in_waiting ||
           session->enroll_waiting || session->state_sequence != 0 ||
           session->uplink.sequence != 0 || session->tx_sent < session->tx_size ||
           fl_session_awaits_chunks(agent);
}

/* --- Sending --- */

static bool queue_frame(fl_agent_t *agent, uint32_t tag, const pb_msgdesc_t *fields,
                        const void *message) {
    fl_session_t *session = &agent->session;
    size_t size = 0;
    if (fl_wire_encode(tag, fields, message, session->tx + FRAME_HEADER,
                       sizeof session->tx - FRAME_HEADER, &size) != FL_OK ||
        size > session->peer_max_frame) {
        return false;
    }
    session->tx[0] = (uint8_t)(size >> 8);
    session->tx[1] = (uint8_t)size;
    session->tx_size = (uint32_t)size + FRAME_HEADER;
    session->tx_sent = 0;
    session->activity_ms = fl_agent_now(agent);
    return true;
}

static void send_hello(fl_agent_t *agent) {
    fl_session_t *session = &agent->session;
    FL_PB(Hello)
    hello = {
        .protocol = 1,
        .max_frame_bytes = FIELDLOOP_AGENT_RX_BYTES,
        .agent_version = FIELDLOOP_AGENT_VERSION,
        .root_version = agent->root_version,
        .boot_count = agent->state.boot_count,
    };
    session->peer_max_frame = FIELDLOOP_AGENT_TX_BYTES;
    memcpy(hello.nonce, session->nonce, sizeof hello.nonce);
    memcpy(hello.hardware_id, agent->config->hardware_id, strlen(agent->config->hardware_id));
    if (!agent->enrolled) {
        memcpy(hello.project, agent->config->project, strlen(agent->config->project));
    }
    if (queue_frame(agent, FL_PB(DeviceMessage_hello_tag), FL_PB(Hello_fields), &hello)) {
        session->state = HELLO;
    } else {
        fail_session(agent, "Hello could not be encoded");
    }
}

static bool send_state(fl_agent_t *agent) {
    fl_session_t *session = &agent->session;
    FL_PB(StateReport)
    report = {
        .sequence = fl_agent_sequence(agent),
        .confirmed_release_sequence = agent->state.confirmed_sequence,
        .dropped_uplinks = agent->outbox.dropped,
    };
    for (unsigned kind = 0; kind < FL_KIND_COUNT; kind++) {
        FL_PB(ComponentState) *component = &report.components[report.components_count];
        if (fl_update_describe(agent, (fl_kind_t)kind, component)) {
            report.components_count++;
        }
    }
    if (report.sequence == 0 || !queue_frame(agent, FL_PB(DeviceMessage_state_report_tag),
                                             FL_PB(StateReport_fields), &report)) {
        return false;
    }
    session->state_sequence = report.sequence;
    session->state_needed = false;
    return true;
}

static bool send_check_in(fl_agent_t *agent) {
    /* no_update stays unset, whatever the application says: a forced rollout must come through. */
    const FL_PB(CheckIn) check_in = {.settings_version = agent->state.settings.version};
    agent->session.check_in_waiting =
        queue_frame(agent, FL_PB(DeviceMessage_check_in_tag), FL_PB(CheckIn_fields), &check_in);
    return agent->session.check_in_waiting;
}

static bool send_artifact_request(fl_agent_t *agent) {
    fl_session_t *session = &agent->session;
    FL_PB(ArtifactRequest) request = FL_PB(ArtifactRequest_init_zero);
    if (!fl_update_wants(agent, &request)) {
        return false;
    }
    if (!queue_frame(agent, FL_PB(DeviceMessage_artifact_request_tag),
                     FL_PB(ArtifactRequest_fields), &request)) {
        return false;
    }
    session->requested_end = request.offset + request.length;
    session->chunk_deadline_ms = fl_agent_now(agent) + FIELDLOOP_AGENT_CHUNK_TIMEOUT_MS;
    return true;
}

/* An entry that is encoded already: its bytes are the frame. */
static bool send_stored(fl_agent_t *agent, const fl_entry_t *entry) {
    fl_session_t *session = &agent->session;
    if (entry->size > session->peer_max_frame || entry->size > FIELDLOOP_AGENT_TX_BYTES ||
        fl_outbox_read(&agent->outbox, entry, 0, session->tx + FRAME_HEADER, entry->size) !=
            FL_OK) {
        return false;
    }
    session->tx[0] = (uint8_t)(entry->size >> 8);
    session->tx[1] = (uint8_t)entry->size;
    session->tx_size = entry->size + FRAME_HEADER;
    session->tx_sent = 0;
    session->activity_ms = fl_agent_now(agent);
    session->uplink_complete = true;
    return true;
}

/* The next chunk of a recording: see enqueue_sample() for the entry. */
static bool send_sample_chunk(fl_agent_t *agent) {
    fl_session_t *session = &agent->session;
    const fl_entry_t *entry = &session->uplink;
    FL_PB(SampleChunk) chunk;
    uint8_t header[FL_PB(SampleHeader_size)];
    uint8_t prefix[2];
    if (fl_outbox_read(&agent->outbox, entry, 0, prefix, sizeof prefix) != FL_OK) {
        return false;
    }
    const uint32_t header_size = (uint32_t)prefix[0] | (uint32_t)prefix[1] << 8;
    const uint32_t payload_at = (uint32_t)sizeof prefix + header_size;
    if (header_size > sizeof header || payload_at >= entry->size ||
        session->peer_max_frame < 2u * SAMPLE_CHUNK_OVERHEAD) {
        return false;
    }
    memset(&chunk, 0, sizeof chunk);
    chunk.sequence = entry->sequence;
    chunk.offset = session->uplink_sent;
    chunk.total_bytes = entry->size - payload_at;
    if (chunk.offset == 0) {
        const fl_slice_t encoded = {.data = header, .size = header_size};
        chunk.has_header = true;
        if (fl_outbox_read(&agent->outbox, entry, sizeof prefix, header, header_size) != FL_OK ||
            fl_wire_decode(encoded, FL_PB(SampleHeader_fields), &chunk.header) != FL_OK) {
            return false;
        }
    }
    uint32_t size = chunk.total_bytes - chunk.offset;
    size = size < SAMPLE_CHUNK_MAX ? size : SAMPLE_CHUNK_MAX;
    const uint32_t room = session->peer_max_frame - SAMPLE_CHUNK_OVERHEAD;
    size = size < room ? size : room;
    if (fl_outbox_read(&agent->outbox, entry, payload_at + chunk.offset, chunk.data.bytes, size) !=
        FL_OK) {
        return false;
    }
    chunk.data.size = (pb_size_t)size;
    if (!queue_frame(agent, FL_PB(DeviceMessage_sample_chunk_tag), FL_PB(SampleChunk_fields),
                     &chunk)) {
        return false;
    }
    session->uplink_sent += size;
    session->uplink_complete = session->uplink_sent == chunk.total_bytes;
    return true;
}

/* The next frame of what waits in the outbox, down to the given kind. */
static bool send_uplink(fl_agent_t *agent, fl_entry_kind_t least) {
    fl_session_t *session = &agent->session;
    if (session->uplink.sequence == 0) {
        fl_entry_t entry;
        if (fl_outbox_next(&agent->outbox, least, &entry) != FL_OK) {
            return false;
        }
        session->uplink = entry;
        session->uplink_sent = 0;
        session->uplink_complete = false;
    }
    if (session->uplink_complete) {
        return false;
    }
    const bool is_sample = session->uplink.kind >= FL_ENTRY_RANDOM;
    if (is_sample ? send_sample_chunk(agent) : send_stored(agent, &session->uplink)) {
        return true;
    }
    /* It can never be sent: it must not keep the others from it. */
    fl_agent_log(agent, FL_LOG_WARNING, "an uplink that cannot be sent was dropped");
    if (fl_outbox_done(&agent->outbox, session->uplink.sequence) == FL_OK) {
        agent->outbox.dropped++;
    }
    session->uplink.sequence = 0;
    return false;
}

static bool send_certificate_request(fl_agent_t *agent) {
    fl_session_t *session = &agent->session;
    const fl_port_t *port = agent->port;
    size_t size = 0;
    bool queued = false;
    if (agent->enrolled) {
        FL_PB(RenewRequest) request = FL_PB(RenewRequest_init_zero);
        if (port->identity_request(port->context, request.csr.bytes, sizeof request.csr.bytes,
                                   &size) == FL_OK) {
            request.csr.size = (pb_size_t)size;
            queued = queue_frame(agent, FL_PB(DeviceMessage_renew_request_tag),
                                 FL_PB(RenewRequest_fields), &request);
        }
    } else {
        FL_PB(EnrollRequest) request = FL_PB(EnrollRequest_init_zero);
        const size_t token_size = strlen(agent->config->token);
        if (token_size < sizeof request.token &&
            port->identity_request(port->context, request.csr.bytes, sizeof request.csr.bytes,
                                   &size) == FL_OK) {
            memcpy(request.token, agent->config->token, token_size);
            request.csr.size = (pb_size_t)size;
            queued = queue_frame(agent, FL_PB(DeviceMessage_enroll_request_tag),
                                 FL_PB(EnrollRequest_fields), &request);
        }
    }
    session->enroll_waiting = queued;
    if (!queued && agent->enrolled) {
        fl_agent_log(agent, FL_LOG_WARNING, "a certificate request could not be made");
        session->renew_after_ms = add_ms(fl_agent_now(agent), RENEW_RETRY_MS);
    } else if (!queued) {
        fail_session(agent, "a certificate request could not be made");
    }
    return queued;
}

/* Two thirds of its life are over. */
static bool renewal_is_due(const fl_agent_t *agent) {
    const fl_identity_t *identity = &agent->identity;
    const uint64_t now_ms = fl_agent_unix_ms(agent);
    if (identity->not_after_ms <= identity->not_before_ms ||
        fl_agent_now(agent) < agent->session.renew_after_ms) {
        return false;
    }
    return now_ms >=
           identity->not_before_ms + (identity->not_after_ms - identity->not_before_ms) / 3u * 2u;
}

/* Puts the next frame in tx. False when there is nothing to say now. */
static bool send_next(fl_agent_t *agent) {
    fl_session_t *session = &agent->session;
    const uint64_t now = fl_agent_now(agent);
    if (session->enroll_waiting || now < session->paused_until_ms) {
        return false;
    }
    if (!agent->enrolled) {
        return send_certificate_request(agent);
    }
    if (session->state_needed && session->state_sequence == 0) {
        return send_state(agent);
    }
    if (session->state_sequence != 0) {
        return false;
    }
    if (renewal_is_due(agent)) {
        return send_certificate_request(agent);
    }
    const bool check_in_due = now >= session->next_check_in_ms && !session->check_in_waiting;
    if (send_uplink(agent, check_in_due ? FL_ENTRY_REPORT : FL_ENTRY_CHOSEN)) {
        return true;
    }
    if (check_in_due && session->uplink.sequence == 0) {
        return send_check_in(agent);
    }
    return !fl_session_awaits_chunks(agent) && send_artifact_request(agent);
}

/* Hands tx to the connection. False when it takes no more now, or broke. */
static bool flush_tx(fl_agent_t *agent) {
    fl_session_t *session = &agent->session;
    while (session->tx_sent < session->tx_size) {
        size_t sent = 0;
        const fl_status_t status =
            agent->port->send(agent->port->context, session->tx + session->tx_sent,
                              session->tx_size - session->tx_sent, &sent);
        if (status == FL_ERR_AGAIN) {
            return false;
        }
        if (status != FL_OK) {
            fail_session(agent, "the connection broke");
            return false;
        }
        session->tx_sent += (uint32_t)sent;
        session->activity_ms = fl_agent_now(agent);
    }
    return true;
}

/* --- Receiving --- */

static void on_hello_reply(fl_agent_t *agent, const FL_PB(HelloReply) * reply) {
    fl_session_t *session = &agent->session;
    if (reply->protocol != 1) {
        fail_session(agent, "the server speaks no protocol that this agent knows");
        return;
    }
    session->state = READY;
    if (reply->max_frame_bytes < session->peer_max_frame) {
        session->peer_max_frame = reply->max_frame_bytes;
    }
    session->state_needed = true;
    session->next_check_in_ms = fl_agent_now(agent);
    session->paused_until_ms = 0;
    fl_agent_learn_time(agent, reply->now_ms);
    if (agent->enrolled) {
        session->contacted = true;
    }
}

static void on_settings(fl_agent_t *agent, const FL_PB(Settings) * given) {
    fl_settings_t *settings = &agent->state.settings;
    const fl_settings_t before = *settings;
    settings->version = given->version;
    settings->sketch_period_ms = given->sketch_period_ms < 1000 ? 1000 : given->sketch_period_ms;
    settings->trial_windows = given->trial_windows;
    settings->trial_timeout_ms = given->trial_timeout_ms;
    settings->samples_per_period = given->has_collection ? given->collection.samples_per_period : 0;
    settings->samples_total = given->has_collection ? given->collection.samples_total : 0;
    settings->plan_id = given->has_collection ? given->collection.plan_id : 0;
    settings->random_share = given->has_collection ? given->collection.random_share : 1.0f;
    if (!(settings->random_share >= 0.5f)) {
        settings->random_share = 0.5f;
    } else if (settings->random_share > 1.0f) {
        settings->random_share = 1.0f;
    }
    if (fl_agent_save(agent) != FL_OK) {
        *settings = before;
    }
}

static void on_done(fl_agent_t *agent, uint64_t sequence) {
    fl_session_t *session = &agent->session;
    if (sequence == 0) {
        return;
    }
    if (sequence == session->state_sequence) {
        session->state_sequence = 0;
        return;
    }
    (void)fl_outbox_done(&agent->outbox, sequence);
    if (sequence == agent->state.report.sequence) {
        agent->state.report.sequence = 0; /* Not sent again after the next start. */
    }
    if (sequence == session->uplink.sequence) {
        session->uplink.sequence = 0;
    }
}

static void on_certificate(fl_agent_t *agent, fl_slice_t message) {
    fl_session_t *session = &agent->session;
    fl_slice_t certificate;
    fl_slice_t issuer;
    if (!session->enroll_waiting) {
        return;
    }
    const bool first = !agent->enrolled;
    if (fl_wire_pair(message, &certificate, &issuer) != FL_OK ||
        agent->port->identity_store(agent->port->context, certificate.data, certificate.size,
                                    issuer.data, issuer.size) != FL_OK) {
        session->renew_after_ms = add_ms(fl_agent_now(agent), RENEW_RETRY_MS);
        fail_session(agent, "the certificate could not be used");
        return;
    }
    fl_agent_log(agent, FL_LOG_INFO, first ? "enrolled" : "the certificate was renewed");
    session->attempts = 0;
    session->reconnect = true;
}

static void on_error(fl_agent_t *agent, const FL_PB(Error) * error) {
    fl_session_t *session = &agent->session;
    fl_agent_log(agent, FL_LOG_WARNING, error->detail[0] != '\0' ? error->detail : "server error");
    if (error->code == FL_PB(ErrorCode_ERROR_CODE_REJECTED)) {
        on_done(agent, error->sequence);
        return;
    }
    if (error->code == FL_PB(ErrorCode_ERROR_CODE_NOT_FOUND) && session->state == READY) {
        /* The offer no longer holds; another one may. What is in the slot is kept for it. */
        agent->update.allowed = false;
        session->requested_end = 0;
        return;
    }
    const uint32_t delay = retry_delay(agent, error->retry_after_ms);
    if (session->enroll_waiting && agent->enrolled) {
        session->renew_after_ms = add_ms(fl_agent_now(agent), RENEW_RETRY_MS);
    }
    if (error->code == FL_PB(ErrorCode_ERROR_CODE_UNAVAILABLE) && session->state == READY &&
        agent->enrolled) {
        /* The session stands; what was asked is asked again later. */
        forget_requests(session);
        session->paused_until_ms = add_ms(fl_agent_now(agent), delay);
        return;
    }
    close_session(agent, delay);
}

static fl_status_t dispatch(fl_agent_t *agent, const fl_field_t *field) {
    fl_session_t *session = &agent->session;
    const fl_slice_t body = field->bytes;
    union {
        FL_PB(HelloReply) hello_reply;
        FL_PB(CheckInReply) check_in_reply;
        FL_PB(Ack) ack;
        FL_PB(Settings) settings;
        FL_PB(Error) error;
    } message;
    memset(&message, 0, sizeof message);
    if (field->number == FL_PB(ServerMessage_error_tag)) {
        FL_RETURN_IF_ERROR(fl_wire_decode(body, FL_PB(Error_fields), &message.error));
        on_error(agent, &message.error);
        return FL_OK;
    }
    if ((session->state == HELLO) != (field->number == FL_PB(ServerMessage_hello_reply_tag))) {
        return FL_ERR_CORRUPT;
    }
    switch (field->number) {
        case FL_PB(ServerMessage_hello_reply_tag):
            FL_RETURN_IF_ERROR(
                fl_wire_decode(body, FL_PB(HelloReply_fields), &message.hello_reply));
            on_hello_reply(agent, &message.hello_reply);
            break;
        case FL_PB(ServerMessage_check_in_reply_tag):
            FL_RETURN_IF_ERROR(
                fl_wire_decode(body, FL_PB(CheckInReply_fields), &message.check_in_reply));
            session->check_in_waiting = false;
            session->attempts = 0;
            session->next_check_in_ms =
                fl_agent_now(agent) + message.check_in_reply.next_check_in_ms;
            break;
        case FL_PB(ServerMessage_ack_tag):
            FL_RETURN_IF_ERROR(fl_wire_decode(body, FL_PB(Ack_fields), &message.ack));
            on_done(agent, message.ack.sequence);
            break;
        case FL_PB(ServerMessage_settings_tag):
            FL_RETURN_IF_ERROR(fl_wire_decode(body, FL_PB(Settings_fields), &message.settings));
            on_settings(agent, &message.settings);
            break;
        case FL_PB(ServerMessage_update_offer_tag): fl_update_offer(agent, body); break;
        case FL_PB(ServerMessage_artifact_chunk_tag):
            FL_RETURN_IF_ERROR(fl_update_chunk(agent, body));
            session->chunk_deadline_ms = fl_agent_now(agent) + FIELDLOOP_AGENT_CHUNK_TIMEOUT_MS;
            break;
        case FL_PB(ServerMessage_certificate_reply_tag): on_certificate(agent, body); break;
        case FL_PB(ServerMessage_root_tag): fl_agent_rotate_root(agent, body); break;
        default: break; /* Of a later version of the protocol. */
    }
    return FL_OK;
}

static fl_status_t handle_frame(fl_agent_t *agent, fl_slice_t frame) {
    fl_field_t field;
    fl_field_t last = {0};
    /* The last member of a oneof counts. */
    for (;;) {
        const fl_status_t status = fl_wire_next(&frame, &field);
        if (status == FL_ERR_NOT_FOUND) {
            break;
        }
        FL_RETURN_IF_ERROR(status);
        if (field.wire_type == 2) {
            last = field;
        }
    }
    return last.number == 0 ? FL_OK : dispatch(agent, &last);
}

/* Takes what has arrived, up to a frame. True when a frame was handled. */
static bool receive_frame(fl_agent_t *agent) {
    fl_session_t *session = &agent->session;
    for (;;) {
        uint32_t wanted = FRAME_HEADER;
        if (session->rx_size >= FRAME_HEADER) {
            const uint32_t size = (uint32_t)session->rx[0] << 8 | session->rx[1];
            if (size > FIELDLOOP_AGENT_RX_BYTES) {
                fail_session(agent, "the server sent a frame that is too large");
                return false;
            }
            wanted += size;
            if (session->rx_size == wanted) {
                session->rx_size = 0;
                const fl_slice_t frame = {.data = session->rx + FRAME_HEADER, .size = size};
                if (handle_frame(agent, frame) != FL_OK) {
                    fail_session(agent, "the server sent a frame that breaks the protocol");
                    return false;
                }
                return true;
            }
        }
        size_t size = 0;
        const fl_status_t status = agent->port->receive(
            agent->port->context, session->rx + session->rx_size, wanted - session->rx_size, &size);
        if (status == FL_ERR_AGAIN) {
            return false;
        }
        if (status != FL_OK) {
            fail_session(agent, "the server closed the connection");
            return false;
        }
        session->rx_size += (uint32_t)size;
        session->activity_ms = fl_agent_now(agent);
    }
}

/* --- The session as a whole --- */

void fl_session_init(fl_agent_t *agent) {
    fl_session_t *session = &agent->session;
    const uint64_t now = fl_agent_now(agent);
    session->state = CLOSED;
    session->chunk_deadline_ms = NEVER;
    session->next_attempt_ms = now + fl_agent_random(agent, agent->config->first_contact_ms);
    session->next_check_in_ms = now;
    agent->enrolled = agent->port->identity(agent->port->context, &agent->identity) == FL_OK;
}

/* When there is something to connect for; the backoff may say later. */
static uint64_t wanted_at(const fl_agent_t *agent) {
    const fl_session_t *session = &agent->session;
    if (!agent->enrolled && agent->config->token == NULL) {
        return NEVER;
    }
    const bool has_news = !agent->enrolled || session->state_needed || agent->outbox.live > 0;
    const uint64_t from = has_news ? 0 : session->next_check_in_ms;
    return from > session->next_attempt_ms ? from : session->next_attempt_ms;
}

static void begin_connect(fl_agent_t *agent) {
    fl_session_t *session = &agent->session;
    const fl_port_t *port = agent->port;
    agent->enrolled = port->identity(port->context, &agent->identity) == FL_OK;
    if (port->random(port->context, session->nonce, sizeof session->nonce) != FL_OK) {
        close_session(agent, backoff(agent));
        return;
    }
    session->state = CONNECTING;
    session->activity_ms = fl_agent_now(agent);
}

static void continue_connect(fl_agent_t *agent) {
    const fl_status_t status = agent->port->connect(agent->port->context, agent->enrolled);
    if (status == FL_OK) {
        send_hello(agent);
    } else if (status != FL_ERR_AGAIN) {
        agent->session.state = CLOSED; /* There is nothing to close. */
        fail_session(agent, status == FL_ERR_TRUST ? "the server could not be verified"
                                                   : "the server could not be reached");
    }
}

/* Receives, then sends, until neither goes on. True when only the limit ended it. */
static bool exchange(fl_agent_t *agent) {
    fl_session_t *session = &agent->session;
    for (unsigned i = 0; i < FRAMES_PER_POLL; i++) {
        if (agent->halted || !flush_tx(agent)) {
            return false;
        }
        const bool received = receive_frame(agent);
        if (session->reconnect) {
            close_session(agent, 0);
            return true;
        }
        if (session->state == CLOSED) {
            return false;
        }
        const bool queued = session->state == READY && send_next(agent);
        if (session->state == CLOSED || (!received && !queued)) {
            return false;
        }
    }
    return true;
}

bool fl_session_poll(fl_agent_t *agent) {
    fl_session_t *session = &agent->session;
    const uint64_t now = fl_agent_now(agent);
    if (session->state == CLOSED) {
        if (now < wanted_at(agent)) {
            return false;
        }
        begin_connect(agent);
    }
    if (session->state == CONNECTING) {
        continue_connect(agent);
    }
    bool more = false;
    if (session->state == HELLO || session->state == READY) {
        more = exchange(agent);
    }
    if (session->state == READY && fl_session_awaits_chunks(agent) &&
        now >= session->chunk_deadline_ms) {
        session->requested_end = 0; /* Asked for again with the next turn. */
        more = true;
    }
    if (session->state != CLOSED && awaits_answer(agent) &&
        now >= session->activity_ms + FIELDLOOP_AGENT_REPLY_TIMEOUT_MS) {
        fail_session(agent, "the server did not answer");
    }
    return more;
}

uint64_t fl_session_deadline(const fl_agent_t *agent) {
    const fl_session_t *session = &agent->session;
    if (session->state == CLOSED) {
        return wanted_at(agent);
    }
    uint64_t next =
        awaits_answer(agent) ? session->activity_ms + FIELDLOOP_AGENT_REPLY_TIMEOUT_MS : NEVER;
    if (session->state != READY) {
        return next;
    }
    if (fl_session_awaits_chunks(agent) && session->chunk_deadline_ms < next) {
        next = session->chunk_deadline_ms;
    }
    if (fl_agent_now(agent) < session->paused_until_ms) {
        return session->paused_until_ms < next ? session->paused_until_ms : next;
    }
    /* While an answer is awaited, its arrival or its time-out comes before the check-in. */
    if (!awaits_answer(agent) && session->next_check_in_ms < next) {
        next = session->next_check_in_ms;
    }
    return next;
}
