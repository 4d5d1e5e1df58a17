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

#include "internal.h"

enum {
    HEADER_PREFIX = 2,
    MAX_PAYLOAD = 65536,
    CHANNEL_BYTES = 2 + 2 + 3 * FL_BINS_MAX + 4 * 5,
    SKETCH_BYTES = FL_MESSAGE_HEAD + 96 + 3 * FL_CLASSES_MAX + FL_CHANNELS_MAX * CHANNEL_BYTES,
};

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
    lowest->quota = (uint8_t)minimum(quota, FIELDLOOP_AGENT_CHOSEN_MAX);
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
    monitor->start_ms = start_ms;
    memset(monitor->class_counts, 0, sizeof monitor->class_counts);
    memset(monitor->channels, 0, sizeof monitor->channels);
    const uint32_t stride = stride_ms == 0 ? 1u : stride_ms;
    const uint32_t planned_ms =
        settings->sketch_period_ms == 0 ? DEFAULT_PERIOD_MS : settings->sketch_period_ms;
    /* Its counters have 16 bits. */
    const uint32_t windows = minimum((planned_ms - 1u) / stride + 1u, UINT16_MAX);
    monitor->period_ms = windows < UINT16_MAX ? planned_ms : minimum(planned_ms, windows * stride);
    monitor->windows_expected = (uint16_t)windows;
    monitor->windows_seen = 0;
    monitor->windows = 0;
    monitor->failures = 0;
    monitor->chosen = 0;

    const uint32_t granted =
        reserve(agent, minimum(settings->samples_per_period, monitor->windows_expected));
    const float share = settings->random_share;
    uint32_t random = (uint32_t)((float)granted * share);
    if ((float)random < (float)granted * share) {
        random++;
    }
    monitor->random_quota = (uint16_t)minimum(random, granted);
    monitor->random_left = monitor->random_quota;
    monitor->granted = (uint16_t)granted;
    const uint32_t chosen = granted - monitor->random_quota;
    const uint32_t novel = info->has_anomaly ? chosen / 2u : 0;
    open_lowest(&monitor->uncertain, chosen - novel, info->uncertain_below);
    open_lowest(&monitor->novel, novel, FLT_MAX);
}

static void put_channel(fl_writer_t *writer, const fl_channel_t *channel, uint32_t bins) {
    uint8_t *message = fl_put_begin(writer, FL_PB(SketchReport_channels_tag));
    uint8_t *packed = fl_put_begin(writer, FL_PB(ChannelSketch_bins_tag));
    for (uint32_t i = 0; i < bins; i++) {
        fl_put_element(writer, channel->bins[i]);
    }
    fl_put_end(writer, packed);
    fl_put_float(writer, FL_PB(ChannelSketch_mean_tag), channel->mean);
    fl_put_float(writer, FL_PB(ChannelSketch_m2_tag), channel->m2);
    fl_put_float(writer, FL_PB(ChannelSketch_min_tag), channel->min);
    fl_put_float(writer, FL_PB(ChannelSketch_max_tag), channel->max);
    fl_put_end(writer, message);
}

void fl_monitor_close(fl_agent_t *agent) {
    fl_monitor_t *monitor = &agent->monitor;
    const fl_model_info_t *info = &agent->running.info;
    uint8_t buffer[SKETCH_BYTES];
    fl_writer_t writer;
    if (!monitor->open) {
        return;
    }
    monitor->open = false;
    if (agent->state.settings.samples_total != 0) {
        monitor->reserved += (uint32_t)(monitor->granted - monitor->chosen);
    }
    const uint64_t counted_ms =
        monitor->end_ms > monitor->start_ms ? monitor->end_ms - monitor->start_ms : 0;
    const uint32_t period_ms =
        counted_ms < monitor->period_ms ? (uint32_t)counted_ms : monitor->period_ms;
    const uint64_t sequence = fl_agent_sequence(agent);
    if (sequence == 0) {
        return;
    }
    fl_frame_begin(&writer, buffer, sizeof buffer);
    fl_put_number(&writer, FL_PB(SketchReport_sequence_tag), sequence);
    fl_put_bytes(&writer, FL_PB(SketchReport_model_digest_tag), agent->running.model.digest, 32);
    fl_put_number(&writer, FL_PB(SketchReport_reference_id_tag), info->reference_id);
    fl_put_number(&writer, FL_PB(SketchReport_start_ms_tag), monitor->start_ms);
    fl_put_number(&writer, FL_PB(SketchReport_period_ms_tag), period_ms);
    fl_put_number(&writer, FL_PB(SketchReport_windows_tag), monitor->windows);
    fl_put_number(&writer, FL_PB(SketchReport_failures_tag), monitor->failures);
    uint8_t *packed = fl_put_begin(&writer, FL_PB(SketchReport_class_counts_tag));
    for (uint32_t i = 0; i < minimum(info->class_count, FL_CLASSES_MAX); i++) {
        fl_put_element(&writer, monitor->class_counts[i]);
    }
    fl_put_end(&writer, packed);
    for (uint32_t i = 0; i < minimum(info->channel_count, FL_CHANNELS_MAX); i++) {
        put_channel(&writer, &monitor->channels[i], minimum(info->bin_count[i], FL_BINS_MAX));
    }
    const fl_slice_t frame = fl_frame_end(&writer, FL_PB(DeviceMessage_sketch_report_tag));
    if (fl_agent_enqueue_frame(agent, FL_ENTRY_SKETCH, sequence, frame) == FL_OK &&
        agent->app->period_closed != NULL) {
        agent->app->period_closed(agent->app->context, monitor->start_ms, period_ms);
    }
}

static void count(fl_agent_t *agent, const fl_observation_t *observation) {
    fl_monitor_t *monitor = &agent->monitor;
    const fl_model_info_t *info = &agent->running.info;
    if (!observation->classified) {
        monitor->failures++;
        return;
    }
    monitor->windows++;
    if (observation->predicted_class < minimum(info->class_count, FL_CLASSES_MAX)) {
        monitor->class_counts[observation->predicted_class]++;
    }
    for (uint32_t i = 0; i < minimum(info->channel_count, FL_CHANNELS_MAX); i++) {
        fl_channel_t *channel = &monitor->channels[i];
        const float value = observation->channel_value[i];
        if (observation->channel_bin[i] < minimum(info->bin_count[i], FL_BINS_MAX)) {
            channel->bins[observation->channel_bin[i]]++;
        }
        if (monitor->windows == 1 || value < channel->min) {
            channel->min = value;
        }
        if (monitor->windows == 1 || value > channel->max) {
            channel->max = value;
        }
        /* Welford 1962. */
        const float delta = value - channel->mean;
        channel->mean += delta / (float)monitor->windows;
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
    uint8_t header[HEADER_PREFIX + FL_PB(SampleHeader_size)];
    uint8_t digest[32];
    fl_sha256_t hash;
    if (payload_size > MAX_PAYLOAD) {
        fl_agent_log(agent, FL_LOG_WARNING, "a window is too large to be sent as a recording");
        return;
    }
    const uint64_t sequence = payload_size == 0 ? 0 : fl_agent_sequence(agent);
    if (sequence == 0) {
        return;
    }
    port->sha256_start(port->context, &hash);
    port->sha256_update(port->context, &hash, payload, payload_size);
    port->sha256_finish(port->context, &hash, digest);

    fl_writer_t writer = {.at = header + HEADER_PREFIX, .end = header + sizeof header};
    fl_put_number(&writer, FL_PB(SampleHeader_start_ms_tag), observation->start_ms);
    fl_put_number(&writer, FL_PB(SampleHeader_first_reading_tag), observation->first_reading);
    fl_put_float(&writer, FL_PB(SampleHeader_frequency_hz_tag), agent->running.info.frequency_hz);
    fl_put_number(&writer, FL_PB(SampleHeader_axes_tag), agent->running.info.axes);
    fl_put_number(&writer, FL_PB(SampleHeader_encoding_tag),
                  is_int16 ? FL_PB(SampleEncoding_SAMPLE_ENCODING_I16)
                           : FL_PB(SampleEncoding_SAMPLE_ENCODING_F32));
    fl_put_float(&writer, FL_PB(SampleHeader_scale_tag), 1.0f);
    fl_put_number(&writer, FL_PB(SampleHeader_reason_tag), reason); /* The numbers are the same. */
    fl_put_float(&writer, FL_PB(SampleHeader_probability_tag), probability);
    fl_put_bytes(&writer, FL_PB(SampleHeader_model_digest_tag), agent->running.model.digest, 32);
    fl_put_number(&writer, FL_PB(SampleHeader_predicted_class_tag), observation->predicted_class);
    fl_put_float(&writer, FL_PB(SampleHeader_confidence_tag), observation->confidence);
    fl_put_bytes(&writer, FL_PB(SampleHeader_payload_digest_tag), digest, sizeof digest);
    const size_t header_size = (size_t)(writer.at - header);
    header[0] = (uint8_t)(header_size - HEADER_PREFIX);
    header[1] = 0;
    agent->monitor.chosen++;
    const fl_part_t parts[] = {{.data = header, .size = header_size},
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
        const uint64_t period_start = monitor->start_ms;
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
