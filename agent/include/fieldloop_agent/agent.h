/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/**
 * @file
 * @brief The device agent: keeps a model up to date and reports how it does.
 *
 * The application calls fl_agent_init() once at start, fl_agent_observe() for each window that its
 * model saw, and fl_agent_poll() whenever the time it returned has come, data arrived, or something
 * was observed. Nothing blocks longer than one flash erase or one signature. One agent is used by
 * one thread at a time; agents share nothing. agent/docs/DESIGN.md explains the state machines.
 */
#ifndef FIELDLOOP_AGENT_AGENT_H
#define FIELDLOOP_AGENT_AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fieldloop_agent/app.h"
#include "fieldloop_agent/config.h"
#include "fieldloop_agent/outbox.h"
#include "fieldloop_agent/port.h"
#include "fieldloop_agent/state.h"
#include "fieldloop_agent/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What the device is; pointers must outlive the agent. */
typedef struct fl_agent_config {
    const char *project;     /**< Without a prefix, at most 39 bytes. */
    const char *hardware_id; /**< At most 31 bytes. */
    const char *token;       /**< Enrolment token, used while not enrolled, at most 63 bytes; NULL
                                for none. */
    const uint8_t *root;     /**< SignedDocument of a RootDocument, from manufacture. */
    size_t root_size;
    uint32_t first_contact_ms; /**< The first connection comes at a random time up to this. */
} fl_agent_config_t;

/** One window that the running model saw. */
typedef struct fl_observation {
    uint64_t start_ms;      /**< Unix milliseconds of the sensor clock. */
    uint32_t stride_ms;     /**< Signal from its start to the start of the next window. */
    uint64_t first_reading; /**< Readings before its first one, since the sensor was started. */
    bool classified;        /**< False if the model failed; the members below are then not read. */
    uint32_t predicted_class;
    float confidence;           /**< 0 to 1. */
    bool anomalous;             /**< The model's anomaly block calls it so; else false. */
    float anomaly;              /**< Its score; read if anomalous. */
    const uint8_t *channel_bin; /**< fl_model_info_t.channel_count bins. */
    const float *channel_value; /**< As many values. */
    const float *values;        /**< The window, axes within a reading. */
    const int16_t
        *values_int16; /**< Instead of it, for a signal of integers: half as much to send. */
    size_t value_count;
} fl_observation_t;

/** What runs, as fl_agent_init() started it. */
typedef struct fl_running {
    bool on;            /**< False when there is no model, or none that is fit. */
    bool on_trial;      /**< The set that was installed last is not confirmed yet. */
    bool configuration; /**< The application took its configuration. */
} fl_running_t;

/* Chooses about the windows with the lowest values of a period, without keeping any back. */
typedef struct fl_lowest {
    uint8_t quota; /* Windows wanted of this period, at most FIELDLOOP_AGENT_CHOSEN_MAX. */
    uint8_t left;  /* Of them. */
    uint8_t count;
    float threshold;                          /* Value at or below which a window is taken. */
    float values[FIELDLOOP_AGENT_CHOSEN_MAX]; /* The lowest of this period, ascending. */
} fl_lowest_t;

/* Counts of a reference channel. */
typedef struct fl_channel {
    float mean;
    float m2; /* Sum of the squared distances from the mean. */
    float min;
    float max;
    uint16_t bins[FL_BINS_MAX];
} fl_channel_t;

/* What is counted and chosen in a period. */
typedef struct fl_period {
    bool open;
    uint16_t granted; /* Recordings that the plan allows. */
    uint16_t chosen;  /* Of them. */
    uint16_t random_quota;
    uint16_t random_left;
    uint16_t windows_expected; /* In a whole period. */
    uint16_t windows;          /* Classified. */
    uint16_t failures;
    uint64_t start_ms;
    uint64_t end_ms;      /* Of the last window's stride. */
    uint32_t duration_ms; /* As planned: of at most UINT16_MAX windows. */
    uint16_t class_counts[FL_CLASSES_MAX];
    fl_channel_t channels[FL_CHANNELS_MAX];
} fl_period_t;

/* The period that is open, and the choice of recordings. */
typedef struct fl_monitor {
    uint32_t reserved; /* Counted in state.plan_used and not granted to a period. */
    fl_period_t period;
    fl_lowest_t uncertain; /* By confidence. */
    fl_lowest_t novel;     /* By the anomaly score, negated. */
} fl_monitor_t;

/* What is being done about state.phase. */
typedef struct fl_update {
    uint8_t step;
    uint8_t kind;    /* Component that is fetched or hashed. */
    uint8_t checked; /* Kinds whose bytes were hashed as flash has them. */
    bool allowed;    /* This session's server offered the set. */
    bool forced;
} fl_update_t;

/* A component on its way into its slot. */
typedef struct fl_fetch {
    uint32_t received; /* Bytes taken from chunks, or found in the slot. */
    fl_flash_writer_t writer;
    uint32_t hashed; /* Bytes read back. */
    fl_sha256_t hash;
} fl_fetch_t;

/* A set on trial. */
typedef struct fl_trial {
    uint64_t since_ms;
    uint32_t healthy; /* Windows in a row without failure. */
} fl_trial_t;

/* The connection. */
typedef struct fl_session {
    uint8_t state;
    uint8_t attempts; /* Failures in a row. */
    bool contacted;   /* A server that knows the device answered since the start. */
    bool state_needed;
    bool check_in_waiting;
    bool enroll_waiting; /* For a certificate, be it the first or a newer one. */
    bool uplink_complete;
    uint8_t chunk_retries; /* Requests for a part that nothing came for. */
    uint8_t root_saves_failed;
    uint16_t peer_max_frame;
} fl_session_t;

/* How far the session is with what it receives, sends and asks for. */
typedef struct fl_transfer {
    /* One frame, in one of two directions: none is built while part of one is held that came. */
    uint32_t rx_size;       /* Bytes of it that came. */
    uint32_t tx_end;        /* Where the one that is sent ends; tx_at is what is left of it. */
    uint32_t tx_at;         /* In the buffer. */
    uint32_t uplink_sent;   /* Bytes of its payload that were sent. */
    uint32_t requested_end; /* Of the last ArtifactRequest. */
} fl_transfer_t;

/* What the session waits for an answer to. */
typedef struct fl_sent {
    uint64_t state_sequence; /* StateReport that waits for its Ack, 0 for none. */
    fl_entry_t uplink;       /* Entry that is sent or waits for its Ack; sequence 0 for none. */
    uint8_t nonce[16];       /* Of the Hello. */
} fl_sent_t;

/* When the session does what. On the clock of now_ms(), but for renew_at_x3. */
typedef struct fl_due {
    uint64_t next_attempt_ms;
    uint64_t next_check_in_ms;
    uint64_t paused_until_ms;
    uint64_t renew_at_x3_ms; /* Thrice the Unix time from which the certificate is renewed. */
    uint64_t renew_after_ms; /* Time before which a renewal is not tried again. */
    uint64_t activity_ms;    /* When a frame was begun or ended last. */
    uint64_t chunk_deadline_ms;
} fl_due_t;

/** An agent. Treat the members as private, except running, model, state, kept and trace_id, which
 * may be read. */
typedef struct fl_agent {
    /* What is used most comes first: Thumb has instructions of two bytes for bytes up to 31 and for
     * words up to 124 behind where a pointer points. */
    fl_update_t update;
    fl_running_t running;
    bool enrolled;
    bool halted; /* The port was told to reboot. */
    bool root_in_flash;
    fl_session_t session;
    fl_state_t state;
    const fl_port_t *port;
    const fl_app_t *app;
    const fl_agent_config_t *config;
    fl_transfer_t transfer;
    union { /* Nothing is downloaded on trial. */
        fl_fetch_t fetch;
        fl_trial_t trial;
    };
    uint32_t random_state;
    uint32_t root_version;
    fl_due_t due;
    fl_sent_t sent;
    fl_kept_t kept;
    uint64_t next_sequence;
    uint64_t time_base_ms;      /* now_ms() when kept.time_floor_ms was learnt. */
    uint64_t time_saved_ms;     /* time_floor_ms as saved last. */
    uint64_t unsynced_since_ms; /* 0 when the outbox is synced. */
    uint64_t save_after_ms;     /* Time before which the record is not saved again. */
#if FIELDLOOP_AGENT_TRACE
    uint8_t trace_id[16]; /**< As the servers' logs call the session; zeros while there is none. */
#endif
    fl_component_t model; /**< The one that runs, if running.on. */
    fl_model_info_t info; /* Of it. */
    fl_outbox_t outbox;
    fl_monitor_t monitor;
    uint8_t frame[FIELDLOOP_AGENT_RX_BYTES + 2]; /* See fl_transfer_t.rx_size. */
} fl_agent_t;

/**
 * @brief Reads flash, counts the start, and starts what is due: the set on trial, or the confirmed
 * one.
 *
 * All pointers must outlive the agent. Blocks while the bytes of the components are hashed. May ask
 * the port to restart, when the bootloader has to swap the firmware first.
 *
 * @return FL_OK, also when there is no model, or flash that cannot be read; FL_ERR_ARG if the
 * port's flash or a text of the configuration is out of its limits; FL_ERR_CORRUPT if the root or
 *         the state record says what this build does not understand; FL_ERR_IO without random
 * bytes.
 */
fl_status_t fl_agent_init(fl_agent_t *agent, const fl_port_t *port, const fl_app_t *app,
                          const fl_agent_config_t *config);

/**
 * @brief Does what can be done now.
 *
 * @return When to call again at the latest, on the clock of fl_port_t.now_ms; call earlier when the
 *         connection has news or something was observed.
 */
uint64_t fl_agent_poll(fl_agent_t *agent);

/** Counts a window of the running model, and puts it in the outbox if it is chosen. */
void fl_agent_observe(fl_agent_t *agent, const fl_observation_t *observation);

/**
 * @brief Closes the period that is being counted and makes the outbox durable: before an orderly
 * end.
 */
void fl_agent_flush(fl_agent_t *agent);

#ifdef __cplusplus
}
#endif

#endif
