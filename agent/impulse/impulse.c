/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "agent/impulse/impulse.h"

#include <stdbool.h>
#include <string.h>

#include "agent/impulse/metadata.h"
#include "agent/impulse/plan.h"
#include "agent/impulse/tflite.h"

static const char metadata_name[] = "fieldloop.impulse";

enum { ALIGNMENT = 8, MIN_CLASSES = 2 };

_Static_assert(sizeof(((fieldloop_agent_v1_Impulse *)0)->classes) /
                       sizeof(((fieldloop_agent_v1_Impulse *)0)->classes[0]) ==
                   FL_MAX_CLASSES,
               "impulse.options and FL_MAX_CLASSES disagree");
_Static_assert(sizeof(((fieldloop_agent_v1_Reference *)0)->channels) /
                       sizeof(((fieldloop_agent_v1_Reference *)0)->channels[0]) ==
                   FL_MAX_CHANNELS,
               "impulse.options and FL_MAX_CHANNELS disagree");

/*
 * The arena: the features, then what the network keeps, then its activations. The scratch of the
 * signal processing shares the last part, for it is done before the network begins.
 */
typedef struct layout {
    size_t network; /* Offset of the network's arena. */
    size_t scratch; /* Offset of the activations and of the scratch. */
    size_t size;
} layout_t;

static fl_status_t make_layout(const fl_dsp_t *dsp, const uint8_t *model, size_t size,
                               layout_t *layout) {
    size_t fixed_size = 0;
    size_t activations_size = 0;
    FL_RETURN_IF_ERROR(fl_network_sizes(model, size, &fixed_size, &activations_size));
    const size_t features_size = sizeof(float) * (size_t)dsp->feature_count;
    const size_t shared =
        activations_size > dsp->scratch_size ? activations_size : dsp->scratch_size;
    layout->network = (features_size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    layout->scratch = layout->network + fixed_size;
    layout->size = layout->scratch + shared;
    return FL_OK;
}

static fl_status_t check_channel(const fl_dsp_t *dsp,
                                 const fieldloop_agent_v1_ReferenceChannel *channel) {
    switch (channel->kind) {
        case fieldloop_agent_v1_ChannelKind_CHANNEL_KIND_CONFIDENCE:
        case fieldloop_agent_v1_ChannelKind_CHANNEL_KIND_NOVELTY: break;
        case fieldloop_agent_v1_ChannelKind_CHANNEL_KIND_FEATURE:
            if (channel->feature_index >= dsp->feature_count) {
                return FL_ERR_CORRUPT;
            }
            break;
        case fieldloop_agent_v1_ChannelKind_CHANNEL_KIND_ANOMALY:
            if (!dsp->config.has_anomaly) {
                return FL_ERR_CORRUPT;
            }
            break;
        default: return FL_ERR_UNSUPPORTED;
    }
    if (channel->edges_count < 1) {
        return FL_ERR_CORRUPT;
    }
    for (uint32_t i = 0; i < channel->edges_count; ++i) {
        if (!fl_is_finite(channel->edges[i]) ||
            (i > 0 && !(channel->edges[i] > channel->edges[i - 1]))) {
            return FL_ERR_CORRUPT;
        }
    }
    return FL_OK;
}

static fl_status_t check_config(const fl_dsp_t *dsp) {
    const fieldloop_agent_v1_Impulse *config = &dsp->config;
    if (config->classes_count < MIN_CLASSES || !(config->uncertain_below >= 0.0f) ||
        !(config->uncertain_below <= 1.0f)) {
        return FL_ERR_UNSUPPORTED;
    }
    for (uint32_t i = 0; i < config->reference.channels_count; ++i) {
        FL_RETURN_IF_ERROR(check_channel(dsp, &config->reference.channels[i]));
    }
    return FL_OK;
}

static fl_status_t find_self_test(fl_span_t metadata, const fl_dsp_t *dsp, fl_window_t *window,
                                  fl_span_t *output) {
    fl_span_t message;
    fl_span_t floats;
    fl_span_t integers;
    *window = (fl_window_t){NULL, false};
    *output = (fl_span_t){NULL, 0};
    FL_RETURN_IF_ERROR(fl_metadata_field(metadata, FL_METADATA_SELF_TEST_TAG, &message));
    if (message.data == NULL) {
        return FL_OK;
    }
    FL_RETURN_IF_ERROR(fl_metadata_field(message, FL_METADATA_SELF_TEST_WINDOW_TAG, &floats));
    FL_RETURN_IF_ERROR(
        fl_metadata_field(message, FL_METADATA_SELF_TEST_WINDOW_INT16_TAG, &integers));
    FL_RETURN_IF_ERROR(fl_metadata_field(message, FL_METADATA_SELF_TEST_OUTPUT_TAG, output));
    const size_t values = (size_t)dsp->config.window.length * dsp->window_axes;
    const bool fits =
        (floats.size == 0 ? integers.size == sizeof(int16_t) * values
                          : floats.size == sizeof(float) * values && integers.size == 0) &&
        output->size == dsp->config.classes_count;
    *window = (fl_window_t){.values = floats.size == 0 ? integers.data : floats.data,
                            .is_int16 = floats.size == 0};
    return fits ? FL_OK : FL_ERR_CORRUPT;
}

/* Opens the metadata and finds out what the arena will hold. */
static fl_status_t open_metadata(fl_dsp_t *dsp, const uint8_t *model, size_t size,
                                 fl_span_t *metadata, layout_t *layout) {
    FL_RETURN_IF_ERROR(
        fl_tflite_metadata(model, size, metadata_name, &metadata->data, &metadata->size));
    FL_RETURN_IF_ERROR(fl_dsp_open(dsp, metadata->data, metadata->size));
    FL_RETURN_IF_ERROR(check_config(dsp));
    return make_layout(dsp, model, size, layout);
}

fl_status_t fl_impulse_arena_size(const uint8_t *model, size_t size, size_t *arena_size) {
    fl_dsp_t dsp;
    fl_span_t metadata;
    layout_t layout;
    FL_RETURN_IF_ERROR(open_metadata(&dsp, model, size, &metadata, &layout));
    *arena_size = layout.size;
    return FL_OK;
}

fl_status_t fl_impulse_open(fl_impulse_t *impulse, const uint8_t *model, size_t size, void *arena,
                            size_t arena_size) {
    fl_span_t metadata;
    layout_t layout;
    FL_RETURN_IF_ERROR(open_metadata(&impulse->dsp, model, size, &metadata, &layout));
    if (arena_size < layout.size) {
        return FL_ERR_NO_SPACE;
    }
    uint8_t *bytes = arena;
    FL_RETURN_IF_ERROR(fl_network_open(&impulse->network, model, size, bytes + layout.network,
                                       layout.size - layout.network));
    if (impulse->dsp.feature_count != impulse->network.input_size ||
        impulse->dsp.config.classes_count != impulse->network.output_size) {
        return FL_ERR_CORRUPT;
    }
    const fl_status_t anomaly =
        fl_anomaly_open(&impulse->anomaly, &impulse->dsp, metadata.data, metadata.size);
    if (anomaly != FL_OK && anomaly != FL_ERR_NOT_FOUND) {
        return anomaly;
    }
    fl_window_t window;
    fl_span_t output;
    FL_RETURN_IF_ERROR(find_self_test(metadata, &impulse->dsp, &window, &output));
    impulse->has_anomaly = anomaly == FL_OK;
    impulse->model = model;
    impulse->model_size = size;
    impulse->features = arena;
    impulse->scratch = bytes + layout.scratch;
    impulse->self_test_window = window;
    impulse->self_test_output = output.data;
    impulse->self_test_output_size = output.size;
    return FL_OK;
}

size_t fl_impulse_window_values(const fl_impulse_t *impulse) {
    return (size_t)impulse->dsp.config.window.length * impulse->dsp.window_axes;
}

int8_t fl_quantise(float value, float scale, int32_t zero_point) {
    const float quotient = value / scale;
    if (!(quotient > -1024.0f)) {
        return INT8_MIN;
    }
    if (quotient > 1024.0f) {
        return INT8_MAX;
    }
    int32_t rounded = (int32_t)quotient;
    const float rest = quotient - (float)rounded; /* Exact. */
    if (rest >= 0.5f) {
        ++rounded;
    } else if (rest <= -0.5f) {
        --rounded;
    }
    const int32_t moved = rounded + zero_point;
    return (int8_t)(moved < INT8_MIN ? INT8_MIN : moved > INT8_MAX ? INT8_MAX : moved);
}

static float novelty_of(const fl_impulse_t *impulse) {
    const uint32_t count = impulse->dsp.feature_count;
    float sum = 0.0f;
    for (uint32_t i = 0; i < count; ++i) {
        sum += impulse->features[i] * impulse->features[i];
    }
    return sum / (float)count;
}

static void read_output(const fl_network_t *network, fl_inference_t *result) {
    for (uint32_t i = 0; i < network->output_size; ++i) {
        result->output[i] = network->output[i];
        result->probability[i] =
            (float)(network->output[i] - network->output_zero_point) * network->output_scale;
        if (result->output[i] > result->output[result->predicted_class]) {
            result->predicted_class = i;
        }
    }
    result->confidence = result->probability[result->predicted_class];
}

static float channel_value(const fl_impulse_t *impulse, const fl_inference_t *result,
                           const fieldloop_agent_v1_ReferenceChannel *channel) {
    switch (channel->kind) {
        case fieldloop_agent_v1_ChannelKind_CHANNEL_KIND_NOVELTY: return result->novelty;
        case fieldloop_agent_v1_ChannelKind_CHANNEL_KIND_FEATURE:
            return impulse->features[channel->feature_index];
        case fieldloop_agent_v1_ChannelKind_CHANNEL_KIND_ANOMALY: return result->anomaly;
        default: return result->confidence;
    }
}

static void read_channels(const fl_impulse_t *impulse, fl_inference_t *result) {
    const fieldloop_agent_v1_Reference *reference = &impulse->dsp.config.reference;
    for (uint32_t i = 0; i < reference->channels_count; ++i) {
        const fieldloop_agent_v1_ReferenceChannel *channel = &reference->channels[i];
        const float value = channel_value(impulse, result, channel);
        uint8_t bin = 0;
        while (bin < channel->edges_count && value >= channel->edges[bin]) {
            ++bin;
        }
        result->channel_value[i] = value;
        result->channel_bin[i] = bin;
    }
}

static fl_status_t run(fl_impulse_t *impulse, fl_window_t window, fl_inference_t *result) {
    fl_network_t *network = &impulse->network;
    FL_RETURN_IF_ERROR(
        fl_dsp_features_of(&impulse->dsp, window, impulse->features, impulse->scratch));
    fl_dsp_standardise(&impulse->dsp, impulse->features);
    for (uint32_t i = 0; i < network->input_size; ++i) {
        network->input[i] =
            fl_quantise(impulse->features[i], network->input_scale, network->input_zero_point);
    }
    fl_network_run(network);
    memset(result, 0, sizeof *result);
    read_output(network, result);
    result->novelty = novelty_of(impulse);
    if (impulse->has_anomaly) {
        result->has_anomaly = true;
        result->anomaly = fl_anomaly_score(&impulse->anomaly, impulse->features);
        result->anomalous = result->anomaly > impulse->anomaly.threshold;
    }
    read_channels(impulse, result);
    return FL_OK;
}

fl_status_t fl_impulse_run(fl_impulse_t *impulse, const float *window, fl_inference_t *result) {
    return run(impulse, (fl_window_t){(const uint8_t *)window, false}, result);
}

fl_status_t fl_impulse_run_int16(fl_impulse_t *impulse, const int16_t *window,
                                 fl_inference_t *result) {
    return run(impulse, (fl_window_t){(const uint8_t *)window, true}, result);
}

fl_status_t fl_impulse_self_test(fl_impulse_t *impulse) {
    if (impulse->self_test_window.values == NULL) {
        return FL_ERR_NOT_FOUND;
    }
    fl_inference_t result;
    if (run(impulse, impulse->self_test_window, &result) != FL_OK) {
        return FL_ERR_SELF_TEST;
    }
    const bool same =
        memcmp(result.output, impulse->self_test_output, impulse->self_test_output_size) == 0;
    return same ? FL_OK : FL_ERR_SELF_TEST;
}
