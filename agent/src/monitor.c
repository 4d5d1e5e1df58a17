/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/* Counts windows and chooses recordings.
 *
 * Random ones: with R of the N windows that a period has, each window is chosen with probability
 * exactly R/N, by selection sampling (Knuth, The Art of Computer Programming 2, 3.4.2, algorithm
 * S): a window is taken with probability (still wanted)/(still to come). No window needs to be
 * kept.
 *
 * Uncertain ones: taken as they come when the confidence is below the model's uncertain_below and
 * not above a threshold: the U-th lowest confidence of the period before. So about the U most
 * uncertain of a period are sent without keeping any back, and never more than U.
 *
 * Novel ones: the same with windows that the model's anomaly block calls anomalous, by the highest
 * scores. A model without that block has none. */
#include <float.h>
#include <string.h>

#include <pb_encode.h>

#include "internal.h"

enum { HEADER_PREFIX = 2, MAX_PAYLOAD = 65536 };

static const uint32_t DEFAULT_PERIOD_MS = 60000;

/* The payload is sent as the values lie in memory, and the protocol says little endian. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "a port to big endian must swap");

static uint32_t minimum(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

/* Takes recordings out of the plan's total, before any of them can be sent. The record counts them
 * a sixteenth of the total at a time, so that not every period writes flash. */
static uint32_t reserve(fl_agent_t *agent, uint32_t wanted) {
    fl_state_t *state = &agent->state;
    fl_monitor_t *monitor = &agent->monitor;
    const uint32_t total = state->settings.samples_total;
    if (state->plan_id != state->settings.plan_id) {
        state->plan_id = state->settings.plan_id;
        state->plan_used = 0;
        monitor->reserved = 0;
    }
    if (total == 0) {
        return wanted;
    }
    if (monitor->reserved < wanted && state->plan_used < total) {
        const uint32_t missing = wanted - monitor->reserved;
        const uint32_t step = missing > total / 16u ? missing : total / 16u;
        const uint32_t extra = minimum(step, total - state->plan_used);
        state->plan_used += extra;
        if (fl_agent_save(agent) != FL_OK) {
            state->plan_used -= extra;
            return 0;
        }
        monitor->reserved += extra;
    }
    const uint32_t granted = minimum(wanted, monitor->reserved);
    monitor->reserved -= granted;
    return granted;
}

void fl_monitor_return_reserve(fl_agent_t *agent) {
    if (agent->monitor.reserved > 0) {
        agent->state.plan_used -= agent->monitor.reserved;
        agent->monitor.reserved = 0;
        (void)fl_agent_save(agent);
    }
}

/* Begins a period. Without one before, every window that is offered may be taken up to `highest`.
 */
static void open_lowest(fl_lowest_t *lowest, uint32_t quota, float highest) {
    lowest->quota = minimum(quota, FIELDLOOP_AGENT_CHOSEN_MAX);
    lowest->left = lowest->quota;
    lowest->threshold = lowest->quota > 0 && lowest->count >= lowest->quota
                            ? lowest->values[lowest->quota - 1u]
                            : highest;
    lowest->count = 0;
}

static void open_period(fl_agent_t *agent, uint64_t start_ms, uint32_t stride_ms) {
    fl_monitor_t *monitor = &agent->monitor;
    const fl_settings_t *settings = &agent->state.settings;
    const fl_model_info_t *info = &agent->running.info;

    monitor->open = true;
    monitor->sketch = (FL_PB(SketchReport)){0};
    memcpy(monitor->sketch.model_digest, agent->running.model.digest, 32);
    monitor->sketch.reference_id = info->reference_id;
    monitor->sketch.start_ms = start_ms;
    monitor->sketch.class_counts_count = (pb_size_t)info->class_count;
    monitor->sketch.channels_count = (pb_size_t)info->channel_count;
    for (uint32_t i = 0; i < info->channel_count; i++) {
        monitor->sketch.channels[i].bins_count = (pb_size_t)info->bin_count[i];
    }
    monitor->period_ms =
        settings->sketch_period_ms == 0 ? DEFAULT_PERIOD_MS : settings->sketch_period_ms;
    const uint32_t stride = stride_ms == 0 ? 1u : stride_ms;
    monitor->windows_expected = (monitor->period_ms - 1u) / stride + 1u;
    monitor->windows_seen = 0;
    monitor->chosen = 0;

    const uint32_t granted =
        reserve(agent, minimum(settings->samples_per_period, monitor->windows_expected));
    const float share = settings->random_share;
    uint32_t random = (uint32_t)((float)granted * share);
    if ((float)random < (float)granted * share) {
        random++;
    }
    monitor->random_quota = minimum(random, granted);
    monitor->random_left = monitor->random_quota;
    monitor->granted = granted;
    const uint32_t chosen = granted - monitor->random_quota;
    const uint32_t novel = info->has_anomaly ? chosen / 2u : 0;
    open_lowest(&monitor->uncertain, chosen - novel, info->uncertain_below);
    open_lowest(&monitor->novel, novel, FLT_MAX);
}

void fl_monitor_close(fl_agent_t *agent) {
    fl_monitor_t *monitor = &agent->monitor;
    FL_PB(SketchReport) *sketch = &monitor->sketch;
    uint8_t encoded[FL_PB(DeviceMessage_size)];
    size_t size = 0;
    if (!monitor->open) {
        return;
    }
    monitor->open = false;
    if (agent->state.settings.samples_total != 0) {
        monitor->reserved += monitor->granted - monitor->chosen;
    }
    const uint64_t counted_ms =
        monitor->end_ms > sketch->start_ms ? monitor->end_ms - sketch->start_ms : 0;
    sketch->period_ms = counted_ms < monitor->period_ms ? (uint32_t)counted_ms : monitor->period_ms;
    sketch->sequence = fl_agent_sequence(agent);
    if (sketch->sequence == 0 ||
        fl_wire_encode(FL_PB(DeviceMessage_sketch_report_tag), FL_PB(SketchReport_fields), sketch,
                       encoded, sizeof encoded, &size) != FL_OK) {
        return;
    }
    const fl_part_t part = {.data = encoded, .size = size};
    if (fl_agent_enqueue(agent, FL_ENTRY_SKETCH, sketch->sequence, &part, 1) == FL_OK &&
        agent->app->period_closed != NULL) {
        agent->app->period_closed(agent->app->context, sketch->start_ms, sketch->period_ms);
    }
}

static void count(fl_agent_t *agent, const fl_observation_t *observation) {
    FL_PB(SketchReport) *sketch = &agent->monitor.sketch;
    if (!observation->classified) {
        sketch->failures++;
        return;
    }
    sketch->windows++;
    if (observation->predicted_class < sketch->class_counts_count) {
        sketch->class_counts[observation->predicted_class]++;
    }
    for (pb_size_t i = 0; i < sketch->channels_count; i++) {
        FL_PB(ChannelSketch) *channel = &sketch->channels[i];
        const float value = observation->channel_value[i];
        if (observation->channel_bin[i] < channel->bins_count) {
            channel->bins[observation->channel_bin[i]]++;
        }
        if (sketch->windows == 1 || value < channel->min) {
            channel->min = value;
        }
        if (sketch->windows == 1 || value > channel->max) {
            channel->max = value;
        }
        /* Welford 1962. */
        const float delta = value - channel->mean;
        channel->mean += delta / (float)sketch->windows;
        channel->m2 += delta * (value - channel->mean);
    }
}

/* Keeps the lowest values of the period. */
static void note_value(fl_lowest_t *lowest, float value) {
    uint32_t at = lowest->count;
    if (at < FIELDLOOP_AGENT_CHOSEN_MAX) {
        lowest->count++;
    } else if (value < lowest->values[at - 1u]) {
        at--;
    } else {
        return;
    }
    while (at > 0 && lowest->values[at - 1u] > value) {
        lowest->values[at] = lowest->values[at - 1u];
        at--;
    }
    lowest->values[at] = value;
}

static bool take_lowest(fl_lowest_t *lowest, float value) {
    if (lowest->left == 0 || value > lowest->threshold) {
        return false;
    }
    lowest->left--;
    return true;
}

static bool chosen_at_random(fl_agent_t *agent) {
    fl_monitor_t *monitor = &agent->monitor;
    if (monitor->windows_seen >= monitor->windows_expected) {
        return false;
    }
    const uint32_t to_come = monitor->windows_expected - monitor->windows_seen;
    if (fl_agent_random(agent, to_come - 1u) >= monitor->random_left) {
        return false;
    }
    monitor->random_left--;
    return true;
}

static void enqueue_sample(fl_agent_t *agent, const fl_observation_t *observation,
                           fl_reason_t reason, float probability) {
    const fl_port_t *port = agent->port;
    const bool is_int16 = observation->values_int16 != NULL;
    const void *payload = is_int16 ? (const void *)observation->values_int16 : observation->values;
    const size_t payload_size =
        observation->value_count * (is_int16 ? sizeof(int16_t) : sizeof(float));
    FL_PB(SampleHeader)
    header = {
        .start_ms = observation->start_ms,
        .first_reading = observation->first_reading,
        .frequency_hz = agent->running.info.frequency_hz,
        .axes = agent->running.info.axes,
        .encoding = is_int16 ? FL_PB(SampleEncoding_SAMPLE_ENCODING_I16)
                             : FL_PB(SampleEncoding_SAMPLE_ENCODING_F32),
        .scale = 1.0f,
        .reason = (FL_PB(SampleReason))reason, /* The numbers are the same. */
        .probability = probability,
        .predicted_class = observation->predicted_class,
        .confidence = observation->confidence,
    };
    fl_sha256_t hash;
    memcpy(header.model_digest, agent->running.model.digest, 32);
    port->sha256_start(port->context, &hash);
    port->sha256_update(port->context, &hash, payload, payload_size);
    port->sha256_finish(port->context, &hash, header.payload_digest);

    uint8_t encoded[FL_PB(SampleHeader_size)];
    pb_ostream_t stream = pb_ostream_from_buffer(encoded, sizeof encoded);
    const uint64_t sequence = fl_agent_sequence(agent);
    if (payload_size > MAX_PAYLOAD) {
        fl_agent_log(agent, FL_LOG_WARNING, "a window is too large to be sent as a recording");
        return;
    }
    if (payload_size == 0 || sequence == 0 ||
        !pb_encode(&stream, FL_PB(SampleHeader_fields), &header)) {
        return;
    }
    const uint8_t prefix[HEADER_PREFIX] = {(uint8_t)stream.bytes_written,
                                           (uint8_t)(stream.bytes_written >> 8)};
    agent->monitor.chosen++;
    const fl_part_t parts[] = {{.data = prefix, .size = sizeof prefix},
                               {.data = encoded, .size = stream.bytes_written},
                               {.data = payload, .size = payload_size}};
    const fl_entry_kind_t kind = reason == FL_REASON_RANDOM ? FL_ENTRY_RANDOM : FL_ENTRY_CHOSEN;
    if (fl_agent_enqueue(agent, kind, sequence, parts, sizeof parts / sizeof parts[0]) == FL_OK &&
        agent->app->sample_chosen != NULL) {
        agent->app->sample_chosen(agent->app->context, observation->start_ms, reason);
    }
}

static void choose(fl_agent_t *agent, const fl_observation_t *observation) {
    fl_monitor_t *monitor = &agent->monitor;
    /* A window that failed takes part in the draw as well: the probability of the others stays. */
    const bool random = chosen_at_random(agent);
    monitor->windows_seen++;
    if (!observation->classified) {
        return;
    }
    const bool unsure = observation->confidence < agent->running.info.uncertain_below;
    if (random) {
        enqueue_sample(agent, observation, FL_REASON_RANDOM,
                       (float)monitor->random_quota / (float)monitor->windows_expected);
    } else if (observation->anomalous && take_lowest(&monitor->novel, -observation->anomaly)) {
        enqueue_sample(agent, observation, FL_REASON_NOVEL, 1.0f);
    } else if (unsure && take_lowest(&monitor->uncertain, observation->confidence)) {
        enqueue_sample(agent, observation, FL_REASON_UNCERTAIN, 1.0f);
    }
    note_value(&monitor->uncertain, observation->confidence);
    if (observation->anomalous) {
        note_value(&monitor->novel, -observation->anomaly);
    }
}

void fl_monitor_observe(fl_agent_t *agent, const fl_observation_t *observation) {
    fl_monitor_t *monitor = &agent->monitor;
    uint64_t start_ms = observation->start_ms;
    if (monitor->open) {
        const uint64_t period_start = monitor->sketch.start_ms;
        const uint64_t period_end = period_start + monitor->period_ms;
        const uint64_t next_end = period_end + monitor->period_ms;
        if (start_ms < period_start || start_ms >= period_end) {
            fl_monitor_close(agent);
            /* Periods follow each other without a gap while the signal does. */
            if (start_ms >= period_end && start_ms < next_end) {
                start_ms = period_end;
            }
        }
    }
    if (!monitor->open) {
        open_period(agent, start_ms, observation->stride_ms);
    }
    monitor->end_ms = observation->start_ms + observation->stride_ms;
    count(agent, observation);
    choose(agent, observation);
}
