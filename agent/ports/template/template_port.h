/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/**
 * @file
 * @brief A port to copy: every function is there, and says that it is not done yet.
 *
 * Copy the two files, rename them, and replace one group of functions after the other;
 * agent/docs/PORTING.md has the order. Flash works from the start, in RAM, so that the agent's own
 * bookkeeping can be tried before the driver is written.
 */
#ifndef FIELDLOOP_AGENT_PORTS_TEMPLATE_TEMPLATE_PORT_H
#define FIELDLOOP_AGENT_PORTS_TEMPLATE_TEMPLATE_PORT_H

#include "fieldloop_agent/port.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Your flash: one sector is what one erase sets. */
enum {
    FL_TEMPLATE_SECTOR = 4096,
    FL_TEMPLATE_STATE_BYTES = 4 * FL_TEMPLATE_SECTOR,
    FL_TEMPLATE_OUTBOX_BYTES = 3 * FL_TEMPLATE_SECTOR,
    FL_TEMPLATE_SLOT_BYTES = 4 * FL_TEMPLATE_SECTOR,
    FL_TEMPLATE_CONFIGURATION_BYTES = FL_TEMPLATE_SECTOR,
    FL_TEMPLATE_AREAS = 6,
    FL_TEMPLATE_FLASH_BYTES = FL_TEMPLATE_STATE_BYTES + FL_TEMPLATE_OUTBOX_BYTES +
                              2 * FL_TEMPLATE_SLOT_BYTES + 2 * FL_TEMPLATE_CONFIGURATION_BYTES,
};

/** Where an area lies in the flash, and how large it is. */
typedef struct fl_template_area {
    uint8_t *begin;
    uint32_t size;
} fl_template_area_t;

/** A port. It holds pointers to itself: do not move it. */
typedef struct fl_template {
    fl_port_t port;
    fl_template_area_t areas[FL_TEMPLATE_AREAS];
    uint8_t flash[FL_TEMPLATE_FLASH_BYTES]; /**< Until there is a driver. */
} fl_template_t;

/** Fills in the port, once after each reset. */
void fl_template_open(fl_template_t *device);

#ifdef __cplusplus
}
#endif

#endif
