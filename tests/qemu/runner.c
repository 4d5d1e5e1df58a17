/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "tests/qemu/runner.h"

#include <stdbool.h>
#include <string.h>

#include "agent/impulse/impulse.h"
#include "agent/impulse/network.h"

static fl_impulse_t impulse; /* Too large for the stack of a small device. */

static bool put(runner_t* runner, const void* bytes, size_t size) {
  if (size > runner->out_size - runner->written) {
    return false;
  }
  memcpy(runner->out + runner->written, bytes, size);
  runner->written += size;
  return true;
}

static uint32_t now(const runner_t* runner) { return runner->clock == NULL ? 0 : runner->clock(); }

static bool is_network(const uint8_t* model, size_t size) {
  const uint8_t* metadata = NULL;
  size_t metadata_size = 0;
  return fl_tflite_metadata(model, size, "fieldloop.impulse", &metadata, &metadata_size) ==
         FL_ERR_NOT_FOUND;
}

size_t runner_input_size(const uint8_t* model, size_t size, runner_t* runner) {
  if (is_network(model, size)) {
    fl_network_t network;
    return fl_network_open(&network, model, size, runner->arena, runner->arena_size) == FL_OK
               ? network.input_size
               : 0;
  }
  return fl_impulse_open(&impulse, model, size, runner->arena, runner->arena_size) == FL_OK
             ? sizeof(float) * fl_impulse_window_values(&impulse)
             : 0;
}

static int run_network(const uint8_t* model, size_t size, const uint8_t* inputs, size_t inputs_size,
                       runner_t* runner) {
  fl_network_t network;
  size_t arena_size = 0;
  if (fl_network_arena_size(model, size, &arena_size) != FL_OK ||
      !put(runner, &(uint32_t){(uint32_t)arena_size}, sizeof(uint32_t)) ||
      fl_network_open(&network, model, size, runner->arena, runner->arena_size) != FL_OK) {
    return __LINE__;
  }
  for (size_t at = 0; at + network.input_size <= inputs_size; at += network.input_size) {
    memcpy(network.input, inputs + at, network.input_size);
    const uint32_t start = now(runner);
    fl_network_run(&network);
    runner->ticks += now(runner) - start;
    if (!put(runner, network.output, network.output_size)) {
      return __LINE__;
    }
  }
  return 0;
}

static bool put_inference(runner_t* runner, const fl_inference_t* result) {
  const size_t features_size = sizeof(float) * impulse.dsp.feature_count;
  return put(runner, impulse.features, features_size) &&
         put(runner, result->output, impulse.network.output_size) &&
         put(runner, &result->novelty, sizeof result->novelty) &&
         put(runner, &result->anomaly, sizeof result->anomaly) &&
         put(runner, result->channel_bin, sizeof result->channel_bin);
}

static int run_impulse(const uint8_t* model, size_t size, const uint8_t* inputs, size_t inputs_size,
                       runner_t* runner) {
  size_t arena_size = 0;
  if (fl_impulse_arena_size(model, size, &arena_size) != FL_OK ||
      !put(runner, &(uint32_t){(uint32_t)arena_size}, sizeof(uint32_t)) ||
      fl_impulse_open(&impulse, model, size, runner->arena, runner->arena_size) != FL_OK) {
    return __LINE__;
  }
  const size_t input_size = sizeof(float) * fl_impulse_window_values(&impulse);
  for (size_t at = 0; at + input_size <= inputs_size; at += input_size) {
    const float* window = (const void*)(inputs + at);
    if (fl_dsp_features(&impulse.dsp, window, impulse.features, impulse.scratch) != FL_OK ||
        !put(runner, impulse.features, sizeof(float) * impulse.dsp.feature_count)) {
      return __LINE__;
    }
    fl_inference_t result;
    const uint32_t start = now(runner);
    const fl_status_t status = fl_impulse_run(&impulse, window, &result);
    runner->ticks += now(runner) - start;
    if (status != FL_OK || !put_inference(runner, &result)) {
      return __LINE__;
    }
  }
  return 0;
}

int runner_run(const uint8_t* model, size_t size, const uint8_t* inputs, size_t inputs_size,
               runner_t* runner) {
  runner->written = 0;
  runner->ticks = 0;
  return is_network(model, size) ? run_network(model, size, inputs, inputs_size, runner)
                                 : run_impulse(model, size, inputs, inputs_size, runner);
}
