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

/** Loads the readings: recording.f32, float32 values of three axes. */
void device_load_recording(void);

/** Hooks for the agent, whose port has the slots. A configuration is a text: "site=NAME". */
fl_app_t device_app(const fl_port_t* port);

/** Says what runs. */
void device_announce(const fl_agent_t* agent, const char* firmware_version);

/** Runs the model on the window that is due, if one is. */
void device_sample(fl_agent_t* agent, uint64_t now_ms);

#endif
