/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/* A firmware that opens and runs models. It is never run. */
#include "agent/impulse/impulse.h"

fl_impulse_t size_impulse;
fl_inference_t size_inference;
const uint8_t* size_model;
size_t size_model_size;
const float* size_window;
uint64_t size_arena[1024];

int size_main(void);

int size_main(void) {
  size_t arena = 0;
  if (fl_impulse_arena_size(size_model, size_model_size, &arena) != FL_OK ||
      fl_impulse_open(&size_impulse, size_model, size_model_size, size_arena, arena) != FL_OK ||
      fl_impulse_self_test(&size_impulse) != FL_OK) {
    return 1;
  }
  return fl_impulse_run(&size_impulse, size_window, &size_inference);
}
