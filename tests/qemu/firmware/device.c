/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "tests/qemu/firmware/device.h"

#include <string.h>

#include "agent/impulse/impulse.h"
#include "tests/qemu/cortex_m4/semihosting.h"
#include "tests/qemu/firmware/board.h"

enum {
  AXES = 3,
  READINGS_MAX = 2048,
  WINDOW_VALUES_MAX = 1024,
  MODEL_MAX = 64 * 1024,
  ARENA_SIZE = 32 * 1024,
  LINE_SIZE = 128,
  SITE_SIZE = 16,
};

static float readings[READINGS_MAX * AXES];
static uint32_t reading_count;
static _Alignas(16) uint8_t model[MODEL_MAX];
static _Alignas(16) uint8_t arena[ARENA_SIZE];
static float window[WINDOW_VALUES_MAX];

static struct {
  fl_impulse_t impulse;
  bool runs;
  uint64_t first_reading; /* Of the window that is due. */
  uint64_t begin_ms;      /* When the sensor was started. */
  uint64_t floor_ms;      /* Unix time, and when on the clock of the board it was that. */
  uint64_t floor_at_ms;
  char site[SITE_SIZE];
} device;

/* --- Console --- */

static size_t append(char* line, size_t at, const char* text) {
  while (*text != '\0' && at + 1 < LINE_SIZE) {
    line[at++] = *text++;
  }
  line[at] = '\0';
  return at;
}

static size_t append_number(char* line, size_t at, uint64_t number) {
  char digits[21];
  size_t first = sizeof digits - 1;
  digits[first] = '\0';
  do {
    digits[--first] = (char)('0' + number % 10);
    number /= 10;
  } while (number > 0);
  return append(line, at, digits + first);
}

void device_announce(const fl_agent_t* agent, const char* firmware_version) {
  char line[LINE_SIZE];
  size_t at = append(line, 0, "start ");
  at = append_number(line, at, agent->state.boot_count);
  if (agent->running.on) {
    at = append(line, at, ": release ");
    at = append_number(line, at, agent->model.release_sequence);
    at = append(line, at, agent->running.on_trial ? " on trial" : " confirmed");
  } else {
    at = append(line, at, ": no model");
  }
  at = append(line, at, ", site ");
  at = append(line, at, device.site);
  at = append(line, at, ", firmware ");
  (void)append(line, at, firmware_version);
  board_log(NULL, FL_LOG_INFO, line);
}

/* --- Model --- */

static fl_status_t open_model(const fl_flash_t* flash, uint32_t size) {
  size_t arena_size = 0;
  if (size > sizeof model) {
    return FL_ERR_NO_SPACE;
  }
  FL_RETURN_IF_ERROR(flash->read(flash->context, 0, model, size));
  FL_RETURN_IF_ERROR(fl_impulse_arena_size(model, size, &arena_size));
  FL_RETURN_IF_ERROR(fl_impulse_open(&device.impulse, model, size, arena, sizeof arena));
  if (device.impulse.dsp.config.window.axes_count != AXES ||
      fl_impulse_window_values(&device.impulse) > WINDOW_VALUES_MAX) {
    return FL_ERR_UNSUPPORTED; /* It was made for another sensor. */
  }
  return fl_impulse_self_test(&device.impulse);
}

static fl_status_t start_model(void* context, uint32_t slot, uint32_t size,
                               const uint8_t digest[32], fl_model_info_t* info) {
  const fl_port_t* port = context;
  const fieldloop_agent_v1_Impulse* config = &device.impulse.dsp.config;
  (void)digest;
  device.runs = false;
  FL_RETURN_IF_ERROR(open_model(&port->slot[slot], size));
  *info = (fl_model_info_t){.reference_id = config->reference.id,
                            .class_count = config->classes_count,
                            .channel_count = config->reference.channels_count,
                            .uncertain_below = config->uncertain_below,
                            .has_anomaly = device.impulse.has_anomaly,
                            .frequency_hz = config->window.frequency_hz,
                            .axes = AXES};
  for (uint32_t i = 0; i < info->channel_count; ++i) {
    info->bin_count[i] = (uint32_t)config->reference.channels[i].edges_count + 1u;
  }
  device.runs = true;
  device.first_reading = 0;
  device.begin_ms = port->now_ms(port->context);
  return FL_OK;
}

static fl_status_t start_configuration(void* context, uint32_t slot, uint32_t size,
                                       const uint8_t digest[32]) {
  static const char KEY[] = "site=";
  const size_t key_size = sizeof KEY - 1;
  const fl_port_t* port = context;
  char text[sizeof KEY + SITE_SIZE];
  (void)digest;
  (void)strcpy(device.site, "nowhere");
  if (slot == FL_SLOT_NONE) {
    return FL_OK;
  }
  const fl_flash_t* flash = &port->configuration[slot];
  if (size <= key_size || size - key_size >= SITE_SIZE) {
    return FL_ERR_UNSUPPORTED;
  }
  FL_RETURN_IF_ERROR(flash->read(flash->context, 0, text, size));
  if (memcmp(text, KEY, key_size) != 0) {
    return FL_ERR_UNSUPPORTED;
  }
  memcpy(device.site, text + key_size, size - key_size);
  device.site[size - key_size] = '\0';
  return FL_OK;
}

fl_app_t device_app(const fl_port_t* port) {
  (void)strcpy(device.site, "nowhere");
  return (fl_app_t){.context = (void*)port,
                    .model_start = start_model,
                    .configuration_start = start_configuration};
}

/* --- Sensor --- */

void device_load_recording(void) {
  const uint32_t size = semihosting_read_file("recording.f32", readings, sizeof readings);
  reading_count = size / (AXES * sizeof(float));
}

/* The agent learns the time of its servers; a board without a clock has no other. */
static uint64_t unix_ms(const fl_agent_t* agent, uint64_t now_ms) {
  if (agent->kept.time_floor_ms != device.floor_ms) {
    device.floor_ms = agent->kept.time_floor_ms;
    device.floor_at_ms = now_ms;
  }
  return device.floor_ms + (now_ms - device.floor_at_ms);
}

static void classify(fl_agent_t* agent, uint64_t start_ms) {
  const fieldloop_agent_v1_Window* shape = &device.impulse.dsp.config.window;
  fl_inference_t result = {0};
  for (uint32_t i = 0; i < shape->length; ++i) {
    const uint32_t from = (uint32_t)((device.first_reading + i) % reading_count);
    memcpy(window + i * AXES, readings + from * AXES, AXES * sizeof(float));
  }
  const bool classified = fl_impulse_run(&device.impulse, window, &result) == FL_OK;
  const fl_observation_t observation = {
      .start_ms = start_ms,
      .stride_ms = (uint32_t)((float)shape->stride * 1000.0f / shape->frequency_hz),
      .first_reading = device.first_reading,
      .classified = classified,
      .predicted_class = result.predicted_class,
      .confidence = result.confidence,
      .anomalous = result.anomalous,
      .anomaly = result.anomaly,
      .channel_bin = result.channel_bin,
      .channel_value = result.channel_value,
      .values = window,
      .value_count = shape->length * AXES,
  };
  fl_agent_observe(agent, &observation);
}

void device_sample(fl_agent_t* agent, uint64_t now_ms) {
  const fieldloop_agent_v1_Window* shape = &device.impulse.dsp.config.window;
  const uint64_t unix_now = unix_ms(agent, now_ms);
  if (!device.runs || !agent->running.on || reading_count == 0) {
    return;
  }
  const double ms_of_reading = 1000.0 / (double)shape->frequency_hz;
  const uint64_t begin = device.begin_ms + (uint64_t)((double)device.first_reading * ms_of_reading);
  const uint64_t end = begin + (uint64_t)((double)shape->length * ms_of_reading);
  if (now_ms < end) {
    return;
  }
  classify(agent, unix_now - (now_ms - begin));
  device.first_reading += shape->stride;
}
