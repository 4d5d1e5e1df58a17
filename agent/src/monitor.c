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
static uint32_t reserve(fl_agent_t *agent, fl_monitor_t *monitor, uint32_t wanted) {
    fl_state_t *state = &agent->state;
    const uint32_t total = state->settings.samples_total;
    if (state->plan_id != state->settings.plan_id) {
        state->plan_id = state->settings.plan_id;
        state->plan_used = 0;
        monitor->reserved = 0;
    }
    if (total == 0) {
        return wanted;
    }
    uint32_t left = monitor->reserved;
    if (left < wanted && state->plan_used < total) {
        const uint32_t missing = wanted - left;
        const uint32_t step = missing > total / 16u ? missing : total / 16u;
        const uint32_t extra = minimum(step, total - state->plan_used);
        state->plan_used += extra;
        if (fl_agent_save(agent) == FL_OK) {
            left += extra;
        } else {
            state->plan_used -= extra;
        }
    }
    const uint32_t granted = minimum(wanted, left);
    monitor->reserved = left - granted;
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
FL_APART static void open_lowest(fl_lowest_t *lowest, uint32_t quota, float highest) {
    lowest->quota = (uint8_t)minimum(quota, FIELDLOOP_AGENT_CHOSEN_MAX);
    lowest->left = lowest->quota;
    lowest->threshold = lowest->quota > 0 && lowest->count >= lowest->quota
                            ? lowest->values[lowest->quota - 1u]
                            : highest;
    lowest->count = 0;
}

static void open_period(fl_agent_t *agent, fl_monitor_t *monitor, uint64_t start_ms,
                        uint32_t stride_ms) {
    fl_period_t *period = &monitor->period;
    const fl_settings_t *settings = &agent->state.settings;
    const fl_model_info_t *info = &agent->info;
    const uint32_t stride = stride_ms == 0 ? 1u : stride_ms;
    const uint32_t planned_ms =
        settings->sketch_period_ms == 0 ? DEFAULT_PERIOD_MS : settings->sketch_period_ms;
    /* Its counters have 16 bits. */
    const uint32_t windows = minimum((planned_ms - 1u) / stride + 1u, UINT16_MAX);
    memset(period, 0, sizeof *period);
    period->open = true;
    period->start_ms = start_ms;
    period->duration_ms = windows < UINT16_MAX ? planned_ms : minimum(planned_ms, windows * stride);
    period->windows_expected = (uint16_t)windows;

    const uint32_t granted =
        reserve(agent, monitor, minimum(settings->samples_per_period, windows));
    const float share = (float)granted * settings->random_share;
    uint32_t random = (uint32_t)share;
    if ((float)random < share) {
        random++;
    }
    random = minimum(random, granted);
    period->random_quota = (uint16_t)random;
    period->random_left = (uint16_t)random;
    period->granted = (uint16_t)granted;
    const uint32_t novel = info->has_anomaly ? (granted - random) / 2u : 0;
    open_lowest(&monitor->uncertain, granted - random - novel, info->uncertain_below);
    open_lowest(&monitor->novel, novel, FLT_MAX);
}

static void put_packed(fl_writer_t *writer, uint32_t number, const uint16_t *values,
                       uint32_t count) {
    uint8_t *packed = fl_put_begin(writer, number);
    for (uint32_t i = 0; i < count; i++) {
        fl_put_element(writer, values[i]);
    }
    fl_put_end(writer, packed);
}

static void put_channel(fl_writer_t *writer, const fl_channel_t *channel, uint32_t bins) {
    uint8_t *message = fl_put_begin(writer, FL_PB(SketchReport_channels_tag));
    put_packed(writer, FL_PB(ChannelSketch_bins_tag), channel->bins, bins);
    writer = fl_put_float(writer, FL_PB(ChannelSketch_mean_tag), channel->mean);
    writer = fl_put_float(writer, FL_PB(ChannelSketch_m2_tag), channel->m2);
    writer = fl_put_float(writer, FL_PB(ChannelSketch_min_tag), channel->min);
    writer = fl_put_float(writer, FL_PB(ChannelSketch_max_tag), channel->max);
    fl_put_end(writer, message);
}

FL_APART static void close_period(fl_agent_t *agent, fl_monitor_t *monitor) {
    fl_period_t *period = &monitor->period;
    const fl_model_info_t *info = &agent->info;
    uint8_t buffer[SKETCH_BYTES];
    fl_writer_t writer;
    if (!period->open) {
        return;
    }
    period->open = false;
    if (agent->state.settings.samples_total != 0) {
        monitor->reserved += (uint32_t)(period->granted - period->chosen);
    }
    const uint64_t counted_ms = period->end_ms - period->start_ms;
    const uint32_t period_ms =
        counted_ms < period->duration_ms ? (uint32_t)counted_ms : period->duration_ms;
    const uint64_t sequence = fl_agent_sequence(agent);
    if (sequence == 0) {
        return;
    }
    fl_writer_t *to = fl_frame_begin(&writer, buffer, sizeof buffer);
    to = fl_put_long(to, FL_PB(SketchReport_sequence_tag), sequence);
    to = fl_put_bytes(to, FL_PB(SketchReport_model_digest_tag), agent->model.digest, 32);
    to = fl_put_number(to, FL_PB(SketchReport_reference_id_tag), info->reference_id);
    to = fl_put_long(to, FL_PB(SketchReport_start_ms_tag), period->start_ms);
    to = fl_put_number(to, FL_PB(SketchReport_period_ms_tag), period_ms);
    to = fl_put_number(to, FL_PB(SketchReport_windows_tag), period->windows);
    to = fl_put_number(to, FL_PB(SketchReport_failures_tag), period->failures);
    put_packed(to, FL_PB(SketchReport_class_counts_tag), period->class_counts,
               minimum(info->class_count, FL_CLASSES_MAX));
    for (uint32_t i = 0; i < minimum(info->channel_count, FL_CHANNELS_MAX); i++) {
        put_channel(to, &period->channels[i], minimum(info->bin_count[i], FL_BINS_MAX));
    }
    if (fl_agent_enqueue_frame(agent, FL_ENTRY_SKETCH, sequence, to,
                               FL_PB(DeviceMessage_sketch_report_tag)) == FL_OK &&
        agent->app->period_closed != NULL) {
        agent->app->period_closed(agent->app->context, period->start_ms, period_ms);
    }
}

void fl_monitor_close(fl_agent_t *agent) {
    close_period(agent, &agent->monitor);
}

FL_APART static void count(fl_period_t *period, const fl_model_info_t *info,
                           const fl_observation_t *observation) {
    if (!observation->classified) {
        period->failures++;
        return;
    }
    period->windows++;
    if (observation->predicted_class < minimum(info->class_count, FL_CLASSES_MAX)) {
        period->class_counts[observation->predicted_class]++;
    }
    for (uint32_t i = 0; i < minimum(info->channel_count, FL_CHANNELS_MAX); i++) {
        fl_channel_t *channel = &period->channels[i];
        const float value = observation->channel_value[i];
        if (observation->channel_bin[i] < minimum(info->bin_count[i], FL_BINS_MAX)) {
            channel->bins[observation->channel_bin[i]]++;
        }
        const bool first = period->windows == 1;
        if (first || value < channel->min) {
            channel->min = value;
        }
        if (first || value > channel->max) {
            channel->max = value;
        }
        /* Welford 1962. */
        const float delta = value - channel->mean;
        channel->mean += delta / (float)period->windows;
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

/* Draws for the window that was counted last. */
static bool chosen_at_random(fl_agent_t *agent, fl_period_t *period) {
    const uint32_t before = (uint32_t)period->windows + period->failures - 1u;
    if (before >= period->windows_expected ||
        fl_agent_random(agent, period->windows_expected - before - 1u) >= period->random_left) {
        return false;
    }
    period->random_left--;
    return true;
}

/* Puts a recording in the outbox. False if it cannot be sent. */
FL_APART static bool enqueue_sample(fl_agent_t *agent, const fl_period_t *period,
                                    const fl_observation_t *observation, fl_reason_t reason) {
    const bool is_random = reason == FL_REASON_RANDOM;
    const bool is_int16 = observation->values_int16 != NULL;
    const void *payload = is_int16 ? (const void *)observation->values_int16 : observation->values;
    const size_t payload_size =
        observation->value_count * (is_int16 ? sizeof(int16_t) : sizeof(float));
    uint8_t buffer[FL_MESSAGE_HEAD + FL_PB(SampleHeader_size)];
    uint8_t *header = buffer + FL_MESSAGE_HEAD - HEADER_PREFIX;
    uint8_t digest[32];
    fl_writer_t writer;
    if (payload_size > MAX_PAYLOAD) {
        fl_agent_log(agent, FL_LOG_WARNING, "a window is too large to be sent as a recording");
        return false;
    }
    const uint64_t sequence = payload_size == 0 ? 0 : fl_agent_sequence(agent);
    if (sequence == 0) {
        return false;
    }
    fl_part_t parts[2];
    parts[1] = (fl_part_t){.data = payload, .size = payload_size};
    fl_hash(agent->port, &parts[1], 1, digest);

    fl_writer_t *to = fl_frame_begin(&writer, buffer, sizeof buffer);
    to = fl_put_long(to, FL_PB(SampleHeader_start_ms_tag), observation->start_ms);
    to = fl_put_long(to, FL_PB(SampleHeader_first_reading_tag), observation->first_reading);
    to = fl_put_float(to, FL_PB(SampleHeader_frequency_hz_tag), agent->info.frequency_hz);
    to = fl_put_number(to, FL_PB(SampleHeader_axes_tag), agent->info.axes);
    to = fl_put_number(to, FL_PB(SampleHeader_encoding_tag),
                       is_int16 ? FL_PB(SampleEncoding_SAMPLE_ENCODING_I16)
                                : FL_PB(SampleEncoding_SAMPLE_ENCODING_F32));
    to = fl_put_float(to, FL_PB(SampleHeader_scale_tag), 1.0f);
    to = fl_put_number(to, FL_PB(SampleHeader_reason_tag), reason); /* The numbers are the same. */
    to = fl_put_float(
        to, FL_PB(SampleHeader_probability_tag),
        is_random ? (float)period->random_quota / (float)period->windows_expected : 1.0f);
    to = fl_put_bytes(to, FL_PB(SampleHeader_model_digest_tag), agent->model.digest, 32);
    to = fl_put_number(to, FL_PB(SampleHeader_predicted_class_tag), observation->predicted_class);
    to = fl_put_float(to, FL_PB(SampleHeader_confidence_tag), observation->confidence);
    to = fl_put_bytes(to, FL_PB(SampleHeader_payload_digest_tag), digest, sizeof digest);
    const size_t header_size = (size_t)(to->at - header);
    header[0] = (uint8_t)(header_size - HEADER_PREFIX);
    header[1] = 0;
    parts[0] = (fl_part_t){.data = header, .size = header_size};
    if (fl_agent_enqueue(agent, is_random ? FL_ENTRY_RANDOM : FL_ENTRY_CHOSEN, sequence, parts,
                         sizeof parts / sizeof parts[0]) == FL_OK &&
        agent->app->sample_chosen != NULL) {
        agent->app->sample_chosen(agent->app->context, observation->start_ms, reason);
    }
    return true;
}

/* Why the window that was counted last is chosen; 0 if it is not. */
static unsigned choose(fl_agent_t *agent, fl_monitor_t *monitor,
                       const fl_observation_t *observation) {
    /* A window that failed takes part in the draw as well: the probability of the others stays. */
    const bool random = chosen_at_random(agent, &monitor->period);
    if (!observation->classified) {
        return 0;
    }
    if (random) {
        return FL_REASON_RANDOM;
    }
    if (observation->anomalous && take_lowest(&monitor->novel, -observation->anomaly)) {
        return FL_REASON_NOVEL;
    }
    return observation->confidence < agent->info.uncertain_below &&
                   take_lowest(&monitor->uncertain, observation->confidence)
               ? FL_REASON_UNCERTAIN
               : 0;
}

FL_APART static void observe(fl_agent_t *agent, fl_monitor_t *monitor,
                             const fl_observation_t *observation) {
    fl_period_t *period = &monitor->period;
    uint64_t start_ms = observation->start_ms;
    if (period->open) {
        /* Huge for a window from before the period. */
        const uint64_t into_ms = start_ms - period->start_ms;
        if (into_ms >= period->duration_ms) {
            const uint64_t behind_ms = into_ms - period->duration_ms;
            close_period(agent, monitor);
            /* Periods follow each other without a gap while the signal does. */
            start_ms -= behind_ms < period->duration_ms ? behind_ms : 0;
        }
    }
    if (!period->open) {
        open_period(agent, monitor, start_ms, observation->stride_ms);
    }
    period->end_ms = observation->start_ms + observation->stride_ms;
    count(period, &agent->info, observation);
    const unsigned reason = choose(agent, monitor, observation);
    if (reason != 0 && enqueue_sample(agent, period, observation, (fl_reason_t)reason)) {
        period->chosen++;
    }
    if (observation->classified) {
        note_value(&monitor->uncertain, observation->confidence);
        if (observation->anomalous) {
            note_value(&monitor->novel, -observation->anomaly);
        }
    }
}

void fl_monitor_observe(fl_agent_t *agent, const fl_observation_t *observation) {
    observe(agent, &agent->monitor, observation);
}
