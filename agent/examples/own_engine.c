/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "agent/examples/own_engine.h"

/* The engine: a model is a threshold; a window whose mean is above it is of class 1. */
typedef struct engine {
    const fl_flash_t *slots;
    float threshold;
} engine_t;

/* Opens the model that lies in a slot; the agent has checked its digest. */
static fl_status_t model_start(void *context, uint32_t slot, uint32_t size,
                               const uint8_t digest[32], fl_model_info_t *info) {
    engine_t *engine = context;
    const fl_flash_t *flash = &engine->slots[slot];
    (void)digest;
    if (size != sizeof engine->threshold) {
        return FL_ERR_UNSUPPORTED; /* Unfit: the agent goes back to the model before. */
    }
    FL_RETURN_IF_ERROR(flash->read(flash->context, 0, &engine->threshold, size));
    *info = (fl_model_info_t){.reference_id = 1, .class_count = 2, .frequency_hz = 8, .axes = 1};
    info->channel_count = 1; /* Of the sketch: the mean, in 2 bins. */
    info->bin_count[0] = 2;
    info->uncertain_below = 0.6f;
    return engine->threshold > 0.0f ? FL_OK : FL_ERR_SELF_TEST;
}

static void classify(const engine_t *engine, fl_agent_t *agent, const own_engine_window_t *window) {
    float mean = 0.0f;
    for (int i = 0; i < OWN_ENGINE_READINGS; i++) {
        mean += window->readings[i] / OWN_ENGINE_READINGS;
    }
    const uint8_t bin = mean > 10.0f;
    fl_observation_t seen = {.start_ms = window->start_ms, .stride_ms = 1000, .classified = true};
    seen.predicted_class = mean > engine->threshold;
    seen.confidence = mean > 0.9f * engine->threshold && seen.predicted_class == 0 ? 0.5f : 0.9f;
    seen.channel_bin = &bin;
    seen.channel_value = &mean;
    seen.values = window->readings;
    seen.value_count = OWN_ENGINE_READINGS;
    fl_agent_observe(agent, &seen);
}

fl_status_t own_engine_run(fl_agent_t *agent, const own_engine_board_t *board) {
    engine_t engine = {.slots = board->port->slot};
    const fl_app_t app = {.context = &engine, .model_start = model_start};
    own_engine_window_t window;
    own_engine_event_t event = OWN_ENGINE_TIME;
    FL_RETURN_IF_ERROR(fl_agent_init(agent, board->port, &app, board->config));
    while (event != OWN_ENGINE_END) {
        event = board->wait(board->context, fl_agent_poll(agent), &window);
        if (event == OWN_ENGINE_WINDOW && agent->running.on) {
            classify(&engine, agent, &window);
        }
    }
    return FL_OK;
}
