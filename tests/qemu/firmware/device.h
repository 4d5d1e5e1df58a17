/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/**
 * @file
 * @brief The application: a table of readings in place of a sensor, and the model that runs on it.
 */
#ifndef FIELDLOOP_TESTS_QEMU_FIRMWARE_DEVICE_H
#define FIELDLOOP_TESTS_QEMU_FIRMWARE_DEVICE_H

#include "fieldloop_agent/fieldloop_agent.h"

/** Prints a line "LEVEL: TEXT" on the console. */
void device_log(void* context, fl_log_level_t level, const char* text);

/** Loads the readings: recording.f32, float32 values of three axes. */
void device_load_recording(void);

/** Hooks for the agent, whose port has the slots. */
fl_app_t device_app(const fl_port_t* port);

/** Says which release runs. */
void device_announce(const fl_agent_t* agent);

/** Runs the model on the window that is due, if one is. */
void device_sample(fl_agent_t* agent, uint64_t now_ms);

#endif
