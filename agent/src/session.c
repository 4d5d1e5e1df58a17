/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/* The connection: frames, who speaks when, what waits for an answer, and when to try again.
 *
 * One buffer serves both directions: a frame is built only when the one before has left and no part
 * of one is held that came. The device has at most three unanswered frames of its own on the way,
 * so a server that is busy sending can always take them; and a frame that does not end in time, in
 * either direction, ends the session.
 *
 * After HelloReply the order is: StateReport, update reports, CheckIn, then parts of an artifact
 * and the rest of the outbox, one uplink at a time; so a server that answers a CheckIn has seen how
 * the last update ended. */
#include <string.h>

#include "internal.h"

enum {
    CLOSED = 0,
    CONNECTING,
    HELLO, /* Sent; HelloReply is due. */
    READY,
};

enum {
    FRAMES_PER_POLL = 16,
    SAMPLE_CHUNK_MAX = 1024,
    SAMPLE_CHUNK_OVERHEAD = FL_PB(SampleChunk_size) - SAMPLE_CHUNK_MAX + 8,
    CSR_MAX = 512,
    PEER_FRAME_MIN = 640, /* The largest frame that cannot be made smaller fits. */
    BACKOFF_MIN_MS = 100,
    RENEW_RETRY_MS = 3600 * 1000,
    RENEW_BUSY_MS = 60 * 1000,
};

/* Requests for a part of an artifact that a server leaves without any answer. */
enum { CHUNK_RETRIES = FIELDLOOP_AGENT_REPLY_TIMEOUT_MS / FIELDLOOP_AGENT_CHUNK_TIMEOUT_MS };

static const uint64_t NEVER = UINT64_MAX;

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
FL_APART static void forget_requests(fl_agent_t *agent) {
    fl_session_t *session = &agent->session;
    session->state_needed = session->state_needed || agent->sent.state_sequence != 0;
    agent->sent.state_sequence = 0;
    session->check_in_waiting = false;
    session->enroll_waiting = false;
    agent->sent.uplink.sequence = 0;
    agent->transfer.requested_end = 0;
    session->chunk_retries = 0;
}

static void close_session(fl_agent_t *agent, uint32_t retry_ms) {
    fl_session_t *session = &agent->session;
    if (session->state != CLOSED) {
        agent->port->close(agent->port->context);
    }
    session->state = CLOSED;
    agent->due.next_attempt_ms = fl_agent_in(agent, retry_ms);
    agent->transfer.rx_size = 0;
    agent->transfer.tx_end = 0;
    agent->transfer.tx_at = 0;
    agent->update.allowed = false;
#if FIELDLOOP_AGENT_TRACE
    memset(agent->trace_id, 0, sizeof agent->trace_id);
#endif
    forget_requests(agent);
}

static void give_up_session(fl_agent_t *agent) {
    close_session(agent, backoff(agent));
}
#define fail_session(agent, why)               \
    do {                                       \
        fl_agent_log(agent, FL_LOG_INFO, why); \
        give_up_session(agent);                \
    } while (0)

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
    return agent->transfer.requested_end > agent->fetch.received;
}

/* The same, and none is coming: a part that is on its way, however slowly, is not asked for again.
 */
static bool misses_chunks(const fl_agent_t *agent) {
    return fl_session_awaits_chunks(agent) && agent->transfer.rx_size == 0;
}

/* Whether the other side has to act: to answer, to take what is sent, or to end its frame. */
static bool awaits_answer(const fl_agent_t *agent) {
    const fl_session_t *session = &agent->session;
    return session->state == CONNECTING || session->state == HELLO || session->check_in_waiting ||
           session->enroll_waiting || agent->sent.state_sequence != 0 ||
           agent->sent.uplink.sequence != 0 || agent->transfer.tx_at < agent->transfer.tx_end ||
           agent->transfer.rx_size > 0 || fl_session_awaits_chunks(agent);
}

/* --- Sending --- */

FL_APART static fl_writer_t *begin_frame(fl_agent_t *agent, fl_writer_t *writer) {
    return fl_frame_begin(writer, agent->frame, sizeof agent->frame);
}

/* Sends a frame. False if it is larger than one may be, or 0 bytes because it did not fit. */
static bool queue(fl_agent_t *agent, const uint8_t *frame, size_t size) {
    fl_session_t *session = &agent->session;
    if (size - FL_FRAME_LENGTH > session->peer_max_frame) {
        return false;
    }
    agent->transfer.tx_at = (uint32_t)(frame - agent->frame);
    agent->transfer.tx_end = agent->transfer.tx_at + (uint32_t)size;
    agent->due.activity_ms = fl_agent_now(agent);
    return true;
}

static bool queue_frame(fl_agent_t *agent, fl_writer_t *writer, uint32_t number) {
    const size_t size = fl_frame_end(writer, number);
    return queue(agent, writer->start, size);
}

static void send_hello(fl_agent_t *agent) {
    fl_session_t *session = &agent->session;
    fl_writer_t writer;
    fl_writer_t *to = begin_frame(agent, &writer);
    to = fl_put_number(to, FL_PB(Hello_protocol_tag), 1);
    to = fl_put_number(to, FL_PB(Hello_max_frame_bytes_tag), FIELDLOOP_AGENT_RX_BYTES);
    to = fl_put_bytes(to, FL_PB(Hello_nonce_tag), agent->sent.nonce, sizeof agent->sent.nonce);
    to = fl_put_text(to, FL_PB(Hello_hardware_id_tag), agent->config->hardware_id);
    to = fl_put_text(to, FL_PB(Hello_agent_version_tag), FIELDLOOP_AGENT_VERSION);
    to = fl_put_number(to, FL_PB(Hello_root_version_tag), agent->root_version);
    to = fl_put_number(to, FL_PB(Hello_boot_count_tag), agent->state.boot_count);
    if (!agent->enrolled) {
        to = fl_put_text(to, FL_PB(Hello_project_tag), agent->config->project);
    }
#if FIELDLOOP_AGENT_TRACE
    to = fl_put_number(to, FL_PB(Hello_want_trace_id_tag), 1);
#endif
    session->peer_max_frame = FIELDLOOP_AGENT_RX_BYTES;
    (void)queue_frame(agent, to, FL_PB(DeviceMessage_hello_tag));
    session->state = HELLO;
}

static bool send_state(fl_agent_t *agent) {
    fl_session_t *session = &agent->session;
    const uint64_t sequence = fl_agent_sequence(agent);
    fl_writer_t writer;
    fl_writer_t *to = begin_frame(agent, &writer);
    to = fl_put_long(to, FL_PB(StateReport_sequence_tag), sequence);
    fl_update_describe(agent, to);
    to = fl_put_long(to, FL_PB(StateReport_confirmed_release_sequence_tag),
                     agent->kept.confirmed_sequence);
    to = fl_put_number(to, FL_PB(StateReport_dropped_uplinks_tag), agent->outbox.dropped);
    if (sequence == 0 || !queue_frame(agent, to, FL_PB(DeviceMessage_state_report_tag))) {
        return false;
    }
    agent->sent.state_sequence = sequence;
    session->state_needed = false;
    return true;
}

/* no_update stays unset, whatever the application says: a forced rollout must come through. */
static bool send_check_in(fl_agent_t *agent) {
    fl_writer_t writer;
    fl_writer_t *to = begin_frame(agent, &writer);
    to = fl_put_number(to, FL_PB(CheckIn_settings_version_tag), agent->state.settings.version);
    agent->session.check_in_waiting = queue_frame(agent, to, FL_PB(DeviceMessage_check_in_tag));
    return agent->session.check_in_waiting;
}

static bool send_artifact_request(fl_agent_t *agent) {
    fl_writer_t writer;
    fl_writer_t *to = begin_frame(agent, &writer);
    const uint32_t end = fl_update_request(agent, to);
    if (end == 0 || !queue_frame(agent, to, FL_PB(DeviceMessage_artifact_request_tag))) {
        return false;
    }
    agent->transfer.requested_end = end;
    agent->due.chunk_deadline_ms = fl_agent_in(agent, FIELDLOOP_AGENT_CHUNK_TIMEOUT_MS);
    return true;
}

/* An entry that is encoded already: its bytes are the frame. */
static bool send_stored(fl_agent_t *agent, const fl_entry_t *entry) {
    fl_session_t *session = &agent->session;
    uint8_t *frame = agent->frame;
    if (entry->size > FIELDLOOP_AGENT_RX_BYTES ||
        fl_outbox_read(&agent->outbox, entry, 0, frame + FL_FRAME_LENGTH, entry->size) != FL_OK) {
        return false;
    }
    frame[0] = (uint8_t)(entry->size >> 8);
    frame[1] = (uint8_t)entry->size;
    session->uplink_complete = true;
    return queue(agent, frame, entry->size + FL_FRAME_LENGTH);
}

/* The next chunk of a recording, from flash to the frame: see enqueue_sample() for the entry. */
static bool send_sample_chunk(fl_agent_t *agent) {
    fl_session_t *session = &agent->session;
    const fl_outbox_t *outbox = &agent->outbox;
    const fl_entry_t *entry = &agent->sent.uplink;
    const uint32_t at = agent->transfer.uplink_sent;
    fl_writer_t writer;
    uint8_t prefix[2];
    if (fl_outbox_read(outbox, entry, 0, prefix, sizeof prefix) != FL_OK) {
        return false;
    }
    const uint32_t header_size = (uint32_t)prefix[0] | (uint32_t)prefix[1] << 8;
    const uint32_t payload_at = (uint32_t)sizeof prefix + header_size;
    if (header_size > FL_PB(SampleHeader_size) || payload_at >= entry->size) {
        return false;
    }
    const uint32_t total = entry->size - payload_at;
    const uint32_t room = session->peer_max_frame - SAMPLE_CHUNK_OVERHEAD;
    uint32_t size = total - at < SAMPLE_CHUNK_MAX ? total - at : SAMPLE_CHUNK_MAX;
    size = size < room ? size : room;

    fl_writer_t *to = begin_frame(agent, &writer);
    to = fl_put_long(to, FL_PB(SampleChunk_sequence_tag), entry->sequence);
    uint8_t *header = at > 0 ? NULL : fl_put_room(to, FL_PB(SampleChunk_header_tag), header_size);
    to = fl_put_number(to, FL_PB(SampleChunk_offset_tag), at);
    to = fl_put_number(to, FL_PB(SampleChunk_total_bytes_tag), total);
    uint8_t *data = fl_put_room(to, FL_PB(SampleChunk_data_tag), size);
    if (data == NULL ||
        (header != NULL &&
         fl_outbox_read(outbox, entry, sizeof prefix, header, header_size) != FL_OK) ||
        fl_outbox_read(outbox, entry, payload_at + at, data, size) != FL_OK ||
        !queue_frame(agent, to, FL_PB(DeviceMessage_sample_chunk_tag))) {
        return false;
    }
    agent->transfer.uplink_sent += size;
    session->uplink_complete = agent->transfer.uplink_sent == total;
    return true;
}

/* The next frame of what waits in the outbox, down to the given kind. */
static bool send_uplink(fl_agent_t *agent, fl_entry_kind_t least) {
    fl_session_t *session = &agent->session;
    if (agent->sent.uplink.sequence == 0) {
        if (fl_outbox_next(&agent->outbox, least, &agent->sent.uplink) != FL_OK) {
            return false;
        }
        agent->transfer.uplink_sent = 0;
        session->uplink_complete = false;
    }
    if (session->uplink_complete) {
        return false;
    }
    const bool is_sample = agent->sent.uplink.kind >= FL_ENTRY_RANDOM;
    if (is_sample ? send_sample_chunk(agent) : send_stored(agent, &agent->sent.uplink)) {
        return true;
    }
    /* It can never be sent: it must not keep the others from it. */
    fl_agent_log(agent, FL_LOG_WARNING, "an uplink that cannot be sent was dropped");
    if (fl_outbox_done(&agent->outbox, agent->sent.uplink.sequence) == FL_OK) {
        agent->outbox.dropped++;
    }
    agent->sent.uplink.sequence = 0;
    return false;
}

static void put_off_renewal(fl_agent_t *agent) {
    agent->due.renew_after_ms = fl_agent_in(agent, RENEW_RETRY_MS);
}

static bool send_certificate_request(fl_agent_t *agent) {
    fl_session_t *session = &agent->session;
    const fl_port_t *port = agent->port;
    const bool renews = agent->enrolled;
    /* Made at the frame's end, from where it moves to its place. */
    uint8_t *csr = agent->frame + sizeof agent->frame - CSR_MAX;
    fl_writer_t writer;
    size_t size = 0;
    bool queued = port->identity_request(port->context, csr, CSR_MAX, &size) == FL_OK;
    if (queued) {
        fl_writer_t *to = begin_frame(agent, &writer);
        if (!renews) {
            to = fl_put_text(to, FL_PB(EnrollRequest_token_tag), agent->config->token);
        }
        uint8_t *room = fl_put_room(
            to, renews ? FL_PB(RenewRequest_csr_tag) : FL_PB(EnrollRequest_csr_tag), size);
        memmove(room, csr, size);
        queued = queue_frame(agent, to,
                             renews ? FL_PB(DeviceMessage_renew_request_tag)
                                    : FL_PB(DeviceMessage_enroll_request_tag));
    }
    session->enroll_waiting = queued;
    if (!queued && renews) {
        fl_agent_log(agent, FL_LOG_WARNING, "a certificate request could not be made");
        put_off_renewal(agent);
    } else if (!queued) {
        fail_session(agent, "a certificate request could not be made");
    }
    return queued;
}

static bool renewal_is_due(const fl_agent_t *agent) {
    return 3u * fl_agent_unix_ms(agent) >= agent->due.renew_at_x3_ms &&
           fl_agent_now(agent) >= agent->due.renew_after_ms;
}

/* Builds the next frame. False when there is nothing to say now. */
static bool send_next(fl_agent_t *agent) {
    fl_session_t *session = &agent->session;
    const uint64_t now = fl_agent_now(agent);
    if (session->enroll_waiting || now < agent->due.paused_until_ms) {
        return false;
    }
    if (!agent->enrolled) {
        return send_certificate_request(agent);
    }
    if (session->state_needed && agent->sent.state_sequence == 0) {
        return send_state(agent);
    }
    if (agent->sent.state_sequence != 0) {
        return false;
    }
    if (renewal_is_due(agent)) {
        return send_certificate_request(agent);
    }
    const bool check_in_due = now >= agent->due.next_check_in_ms && !session->check_in_waiting;
    if (send_uplink(agent, check_in_due ? FL_ENTRY_REPORT : FL_ENTRY_CHOSEN)) {
        return true;
    }
    if (check_in_due && agent->sent.uplink.sequence == 0) {
        return send_check_in(agent);
    }
    return !fl_session_awaits_chunks(agent) && send_artifact_request(agent);
}

/* Hands the frame to the connection. FL_ERR_AGAIN when it takes no more now. */
static fl_status_t flush_frame(fl_agent_t *agent) {
    while (agent->transfer.tx_at < agent->transfer.tx_end) {
        size_t sent = 0;
        FL_RETURN_IF_ERROR(
            agent->port->send(agent->port->context, agent->frame + agent->transfer.tx_at,
                              agent->transfer.tx_end - agent->transfer.tx_at, &sent));
        agent->transfer.tx_at += (uint32_t)sent;
    }
    return FL_OK;
}

/* --- Receiving --- */

static fl_status_t on_hello_reply(fl_agent_t *agent, const fl_field_t *reply) {
    fl_session_t *session = &agent->session;
    const uint32_t max_frame = fl_wire_number(&reply[FL_PB(HelloReply_max_frame_bytes_tag) - 1]);
    if (fl_wire_number(&reply[FL_PB(HelloReply_protocol_tag) - 1]) != 1 ||
        max_frame < PEER_FRAME_MIN) {
        fl_agent_log(agent, FL_LOG_INFO, "the server speaks no protocol that this agent knows");
        return FL_ERR_UNSUPPORTED;
    }
    session->state = READY;
    if (max_frame < session->peer_max_frame) {
        session->peer_max_frame = (uint16_t)max_frame;
    }
    session->state_needed = true;
    agent->due.next_check_in_ms = fl_agent_now(agent);
    agent->due.paused_until_ms = 0;
    fl_agent_learn_time(agent, reply[FL_PB(HelloReply_now_ms_tag) - 1].value);
#if FIELDLOOP_AGENT_TRACE
    const fl_slice_t *trace_id = &reply[FL_PB(HelloReply_trace_id_tag) - 1].bytes;
    if (trace_id->size == sizeof agent->trace_id) { /* A server may know of none. */
        memcpy(agent->trace_id, trace_id->data, sizeof agent->trace_id);
    }
#endif
    if (agent->enrolled) {
        session->contacted = true;
    }
    return FL_OK;
}

static fl_status_t on_settings(fl_agent_t *agent, const fl_field_t *given) {
    fl_field_t plan[FL_PB(CollectionPlan_plan_id_tag)];
    fl_settings_t *settings = &agent->state.settings;
    const fl_settings_t before = *settings;
    FL_RETURN_IF_ERROR(fl_wire_read(&given[FL_PB(Settings_collection_tag) - 1].bytes, plan,
                                    FL_PB(CollectionPlan_plan_id_tag)));
    const uint32_t period_ms = fl_wire_number(&given[FL_PB(Settings_sketch_period_ms_tag) - 1]);
    settings->version = fl_wire_number(&given[FL_PB(Settings_version_tag) - 1]);
    settings->sketch_period_ms = period_ms < 1000 ? 1000 : period_ms;
    settings->trial_windows = fl_wire_number(&given[FL_PB(Settings_trial_windows_tag) - 1]);
    settings->trial_timeout_ms = fl_wire_number(&given[FL_PB(Settings_trial_timeout_ms_tag) - 1]);
    settings->samples_per_period =
        fl_wire_number(&plan[FL_PB(CollectionPlan_samples_per_period_tag) - 1]);
    settings->samples_total = fl_wire_number(&plan[FL_PB(CollectionPlan_samples_total_tag) - 1]);
    settings->plan_id = fl_wire_number(&plan[FL_PB(CollectionPlan_plan_id_tag) - 1]);
    settings->random_share = fl_wire_float(&plan[FL_PB(CollectionPlan_random_share_tag) - 1]);
    if (!(settings->random_share >= 0.5f)) {
        settings->random_share = 0.5f;
    } else if (settings->random_share > 1.0f) {
        settings->random_share = 1.0f;
    }
    if (fl_agent_save(agent) != FL_OK) {
        *settings = before;
    }
    return FL_OK;
}

static void on_done(fl_agent_t *agent, uint64_t sequence) {
    if (sequence == 0) {
        return;
    }
    if (sequence == agent->sent.state_sequence) {
        agent->sent.state_sequence = 0;
        return;
    }
    (void)fl_outbox_done(&agent->outbox, sequence);
    if (sequence == agent->kept.report.sequence) {
        agent->kept.report.sequence = 0; /* Not sent again after the next start. */
    }
    if (sequence == agent->sent.uplink.sequence) {
        agent->sent.uplink.sequence = 0;
    }
}

static fl_status_t on_certificate(fl_agent_t *agent, const fl_field_t *reply) {
    fl_session_t *session = &agent->session;
    const fl_slice_t *certificate = &reply[FL_PB(CertificateReply_certificate_tag) - 1].bytes;
    const fl_slice_t *issuer = &reply[FL_PB(CertificateReply_issuer_tag) - 1].bytes;
    if (!session->enroll_waiting) {
        return FL_OK;
    }
    if (agent->port->identity_store(agent->port->context, certificate->data, certificate->size,
                                    issuer->data, issuer->size) != FL_OK) {
        fl_agent_log(agent, FL_LOG_INFO, "the certificate could not be used");
        put_off_renewal(agent);
        return FL_ERR_CORRUPT;
    }
    fl_agent_log(agent, FL_LOG_INFO, agent->enrolled ? "the certificate was renewed" : "enrolled");
    session->attempts = 0;
    close_session(agent, 0); /* To present it. */
    return FL_OK;
}

static void log_error(const fl_agent_t *agent, const fl_slice_t *detail) {
#if FIELDLOOP_AGENT_LOG_TEXT
    const FL_PB(Error) *limits = NULL;
    char text[sizeof limits->detail];
    const bool has_text = detail->size > 0 && fl_wire_copy_text(detail, text, sizeof text - 1u);
    fl_agent_log(agent, FL_LOG_WARNING, has_text ? text : "server error");
#else
    (void)agent;
    (void)detail;
#endif
}

static void on_error(fl_agent_t *agent, const fl_field_t *error) {
    fl_session_t *session = &agent->session;
    const uint32_t code = fl_wire_number(&error[FL_PB(Error_code_tag) - 1]);
    log_error(agent, &error[FL_PB(Error_detail_tag) - 1].bytes);
    if (code == FL_PB(ErrorCode_ERROR_CODE_REJECTED)) {
        on_done(agent, error[FL_PB(Error_sequence_tag) - 1].value);
        return;
    }
    if (code == FL_PB(ErrorCode_ERROR_CODE_NOT_FOUND) && session->state == READY) {
        /* The offer no longer holds; another one may. What is in the slot is kept for it. */
        agent->update.allowed = false;
        agent->transfer.requested_end = 0;
        return;
    }
    const uint32_t delay =
        retry_delay(agent, fl_wire_number(&error[FL_PB(Error_retry_after_ms_tag) - 1]));
    if (session->enroll_waiting && agent->enrolled) {
        put_off_renewal(agent);
    }
    if (code == FL_PB(ErrorCode_ERROR_CODE_UNAVAILABLE) && session->state == READY &&
        agent->enrolled) {
        /* The session stands; what was asked is asked again later, a renewal some time after all
         * else, but not as late as one that was refused: the certificate may be about to end. */
        agent->due.paused_until_ms = fl_agent_in(agent, delay);
        if (session->enroll_waiting) {
            agent->due.renew_after_ms = agent->due.paused_until_ms + RENEW_BUSY_MS;
        }
        forget_requests(agent);
        return;
    }
    close_session(agent, delay);
}

/* Whether the server may send a message of this number now. */
FL_APART static bool is_due(const fl_session_t *session, uint32_t number) {
    const uint8_t state = number == FL_PB(ServerMessage_hello_reply_tag) ? HELLO : READY;
    return session->state == state || number == FL_PB(ServerMessage_error_tag);
}

static fl_status_t dispatch(fl_agent_t *agent, uint32_t number, const fl_slice_t *body) {
    fl_session_t *session = &agent->session;
    /* Enough for every message, whose fields are all numbered up to 5. */
    fl_field_t fields[FL_PB(Settings_trial_timeout_ms_tag)];
    if (!is_due(session, number)) {
        return FL_ERR_CORRUPT;
    }
    if (number > FL_PB(ServerMessage_error_tag)) {
        return FL_OK; /* Of a later version of the protocol. */
    }
    FL_RETURN_IF_ERROR(fl_wire_read(body, fields, sizeof fields / sizeof fields[0]));
    switch (number) {
        case FL_PB(ServerMessage_hello_reply_tag): return on_hello_reply(agent, fields);
        case FL_PB(ServerMessage_check_in_reply_tag):
            session->check_in_waiting = false;
            session->attempts = 0;
            fl_agent_learn_time(agent, 0); /* A connection may last for weeks. */
            agent->due.next_check_in_ms = fl_agent_in(
                agent, fl_wire_number(&fields[FL_PB(CheckInReply_next_check_in_ms_tag) - 1]));
            return FL_OK;
        case FL_PB(ServerMessage_update_offer_tag): fl_update_offer(agent, fields); return FL_OK;
        case FL_PB(ServerMessage_artifact_chunk_tag):
            agent->due.chunk_deadline_ms = fl_agent_in(agent, FIELDLOOP_AGENT_CHUNK_TIMEOUT_MS);
            return fl_update_chunk(agent, fields);
        case FL_PB(ServerMessage_ack_tag):
            on_done(agent, fields[FL_PB(Ack_sequence_tag) - 1].value);
            return FL_OK;
        case FL_PB(ServerMessage_certificate_reply_tag): return on_certificate(agent, fields);
        case FL_PB(ServerMessage_settings_tag): return on_settings(agent, fields);
        case FL_PB(ServerMessage_root_tag): fl_agent_rotate_root(agent, body); return FL_OK;
        default: on_error(agent, fields); return FL_OK;
    }
}

static fl_status_t handle_frame(fl_agent_t *agent, fl_slice_t frame) {
    fl_field_t field;
    fl_slice_t body = {0};
    uint32_t number = 0;
    /* The last member of a oneof counts. */
    for (;;) {
        const fl_status_t status = fl_wire_next(&frame, &field);
        if (status == FL_ERR_NOT_FOUND) {
            break;
        }
        FL_RETURN_IF_ERROR(status);
        if (field.wire_type == 2) {
            number = field.number;
            body = field.bytes;
        }
    }
    return number == 0 ? FL_OK : dispatch(agent, number, &body);
}

/* Takes what has arrived, up to a frame. FL_OK when one was handled, FL_ERR_AGAIN when there is
 * none yet. */
FL_APART static fl_status_t receive_frame(fl_agent_t *agent) {
    for (;;) {
        uint32_t wanted = FL_FRAME_LENGTH;
        if (agent->transfer.rx_size >= FL_FRAME_LENGTH) {
            const uint32_t size = (uint32_t)agent->frame[0] << 8 | agent->frame[1];
            if (size > FIELDLOOP_AGENT_RX_BYTES) {
                return FL_ERR_NO_SPACE;
            }
            wanted += size;
            if (agent->transfer.rx_size == wanted) {
                agent->transfer.rx_size = 0;
                agent->due.activity_ms = fl_agent_now(agent);
                return handle_frame(
                    agent, (fl_slice_t){.data = agent->frame + FL_FRAME_LENGTH, .size = size});
            }
        }
        size_t size = 0;
        FL_RETURN_IF_ERROR(agent->port->receive(agent->port->context,
                                                agent->frame + agent->transfer.rx_size,
                                                wanted - agent->transfer.rx_size, &size));
        if (agent->transfer.rx_size == 0) {
            /* The whole frame has to come in time, or a byte now and then would hold the device. */
            agent->due.activity_ms = fl_agent_now(agent);
        }
        agent->transfer.rx_size += (uint32_t)size;
    }
}

/* --- The session as a whole --- */

/* Whether there is a certificate, and when two thirds of its life are over. */
static void read_identity(fl_agent_t *agent) {
    fl_identity_t identity;
    agent->enrolled = agent->port->identity(agent->port->context, &identity) == FL_OK;
    agent->due.renew_at_x3_ms = NEVER;
    if (agent->enrolled && identity.not_after_ms > identity.not_before_ms &&
        identity.not_after_ms < NEVER / 4u) {
        agent->due.renew_at_x3_ms = identity.not_before_ms + 2u * identity.not_after_ms;
    }
}

void fl_session_init(fl_agent_t *agent) {
    fl_session_t *session = &agent->session;
    session->state = CLOSED;
    agent->due.next_attempt_ms =
        fl_agent_in(agent, fl_agent_random(agent, agent->config->first_contact_ms));
    agent->due.next_check_in_ms = fl_agent_now(agent);
    read_identity(agent);
}

/* When there is something to connect for; the backoff may say later. */
static uint64_t wanted_at(const fl_agent_t *agent) {
    const fl_session_t *session = &agent->session;
    if (!agent->enrolled && agent->config->token == NULL) {
        return NEVER;
    }
    const bool has_news = !agent->enrolled || session->state_needed || agent->outbox.live > 0;
    const uint64_t from = has_news ? 0 : agent->due.next_check_in_ms;
    return from > agent->due.next_attempt_ms ? from : agent->due.next_attempt_ms;
}

static void begin_connect(fl_agent_t *agent) {
    fl_session_t *session = &agent->session;
    const fl_port_t *port = agent->port;
    read_identity(agent);
    if (port->random(port->context, agent->sent.nonce, sizeof agent->sent.nonce) != FL_OK) {
        close_session(agent, backoff(agent));
        return;
    }
    session->state = CONNECTING;
    agent->due.activity_ms = fl_agent_now(agent);
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

/* Receives, then sends, until neither goes on: FL_ERR_AGAIN. FL_OK when only the limit ended it;
 * anything else ends the session. */
FL_APART static fl_status_t exchange(fl_agent_t *agent) {
    fl_session_t *session = &agent->session;
    for (unsigned i = 0; i < FRAMES_PER_POLL; i++) {
        FL_RETURN_IF_ERROR(flush_frame(agent));
        const fl_status_t received = receive_frame(agent);
        if (session->state == CLOSED) {
            return FL_ERR_AGAIN;
        }
        if (received != FL_OK && received != FL_ERR_AGAIN) {
            return received;
        }
        const bool queued =
            session->state == READY && agent->transfer.rx_size == 0 && send_next(agent);
        if (!queued && (received != FL_OK || session->state == CLOSED)) {
            return FL_ERR_AGAIN;
        }
    }
    return FL_OK;
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
        const fl_status_t status = exchange(agent);
        more = status == FL_OK;
        if (!more && status != FL_ERR_AGAIN) {
            fail_session(agent, status == FL_ERR_CLOSED ? "the connection was closed or broke"
                                : status == FL_ERR_NO_SPACE
                                    ? "the server sent a frame that is too large"
                                    : "the server sent a frame that breaks the protocol");
        }
    }
    if (misses_chunks(agent) && now >= agent->due.chunk_deadline_ms) {
        if (session->chunk_retries >= CHUNK_RETRIES) {
            fail_session(agent, "the server did not answer");
            return false;
        }
        session->chunk_retries++;
        agent->transfer.requested_end = 0; /* Asked for again with the next turn. */
        more = true;
    }
    if (session->state != CLOSED && awaits_answer(agent) &&
        now >= agent->due.activity_ms + FIELDLOOP_AGENT_REPLY_TIMEOUT_MS) {
        fail_session(agent, "the server did not answer");
    }
    return more;
}

uint64_t fl_session_deadline(const fl_agent_t *agent) {
    const fl_session_t *session = &agent->session;
    if (session->state == CLOSED) {
        return wanted_at(agent);
    }
    /* While an answer is awaited, its arrival or its time-out comes before all else. */
    if (awaits_answer(agent)) {
        const uint64_t timeout_ms = agent->due.activity_ms + FIELDLOOP_AGENT_REPLY_TIMEOUT_MS;
        return misses_chunks(agent) && agent->due.chunk_deadline_ms < timeout_ms
                   ? agent->due.chunk_deadline_ms
                   : timeout_ms;
    }
    return fl_agent_now(agent) < agent->due.paused_until_ms ? agent->due.paused_until_ms
                                                            : agent->due.next_check_in_ms;
}
