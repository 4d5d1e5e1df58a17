/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/**
 * @file
 * @brief The one header of an application: the agent, what it asks of the application (app.h) and
 * of the platform (port.h), and its configuration (config.h).
 */
#ifndef FIELDLOOP_AGENT_FIELDLOOP_AGENT_H
#define FIELDLOOP_AGENT_FIELDLOOP_AGENT_H

#include "fieldloop_agent/agent.h"

#endif
