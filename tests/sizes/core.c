/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/* A firmware that uses all of the agent and nothing else: what is linked is what the agent costs.
 * It is never run. */
#include "fieldloop_agent/fieldloop_agent.h"

fl_agent_t size_agent;
fl_port_t size_port;
fl_app_t size_app;
fl_agent_config_t size_config;
fl_observation_t size_observation;

int size_main(void);

int size_main(void) {
  if (fl_agent_init(&size_agent, &size_port, &size_app, &size_config) != FL_OK) {
    return 1;
  }
  while (fl_agent_poll(&size_agent) != 0) {
    fl_agent_observe(&size_agent, &size_observation);
  }
  fl_agent_flush(&size_agent);
  return 0;
}
