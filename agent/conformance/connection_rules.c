/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/* Connection, and the hooks of a bootloader. */
#include <string.h>

#include "rules.h"

enum { CONNECT_LIMIT_MS = 30000 };

static bool is_closed(fl_rules_t *rules) {
    const fl_port_t *port = rules->port;
    uint8_t byte = 0;
    size_t size = 0;
    return fl_rules_status(rules, port->receive(port->context, &byte, 1, &size), FL_ERR_CLOSED) &&
           fl_rules_status(rules, port->send(port->context, &byte, 1, &size), FL_ERR_CLOSED);
}

static bool is_outcome(fl_status_t status) {
    return status == FL_OK || status == FL_ERR_CLOSED || status == FL_ERR_TRUST;
}

/* Connects, however that ends. */
static fl_status_t connect_to_the_end(const fl_port_t *port) {
    const uint64_t begin = port->now_ms(port->context);
    fl_status_t status = FL_ERR_AGAIN;
    while (status == FL_ERR_AGAIN && port->now_ms(port->context) - begin < CONNECT_LIMIT_MS) {
        status = port->connect(port->context, false);
    }
    return status;
}

/* Nothing was asked for: there is nothing, or bytes, but never no bytes. */
static bool receives(fl_rules_t *rules) {
    const fl_port_t *port = rules->port;
    uint8_t byte = 0;
    size_t size = 0;
    const fl_status_t status = port->receive(port->context, &byte, 1, &size);
    return status == FL_OK
               ? size == 1 || fl_rules_note(rules, "bytes received:", size)
               : status == FL_ERR_CLOSED || fl_rules_status(rules, status, FL_ERR_AGAIN);
}

void fl_rules_connection(fl_rules_t *rules) {
    const fl_port_t *port = rules->port;
    port->close(port->context);
    port->close(port->context);
    fl_rules_check(rules, is_closed(rules), "close does no harm when nothing is open");

    fl_status_t status = port->connect(port->context, false);
    const bool begun = status == FL_ERR_AGAIN || is_outcome(status) ||
                       fl_rules_status(rules, status, FL_ERR_AGAIN);
    port->close(port->context);
    fl_rules_check(rules, begun && is_closed(rules), "close ends a connection that is being made");

    status = connect_to_the_end(port);
    fl_rules_check(rules, is_outcome(status) || fl_rules_status(rules, status, FL_ERR_CLOSED),
                   "connect comes to an end");
    if (status == FL_OK) {
        fl_rules_check(rules, receives(rules), "receive gives bytes or says that there are none");
        port->close(port->context);
        fl_rules_check(rules, is_closed(rules), "close ends a connection");
    } else {
        fl_rules_check(rules, is_closed(rules), "nothing is open after connect failed");
        fl_rules_untried(rules, "receive gives bytes or says that there are none");
        port->close(port->context);
    }
    const fl_status_t again = connect_to_the_end(port);
    fl_rules_check(rules, fl_rules_status(rules, again, status),
                   "a further connection goes like the one before");
    port->close(port->context);
}

void fl_rules_firmware(fl_rules_t *rules) {
    const fl_port_t *port = rules->port;
    const fl_firmware_t *firmware = &port->firmware;
    uint8_t first[32] = {0};
    uint8_t second[32] = {0};
    if (firmware->running == NULL) {
        return; /* The firmware is not updated by the agent. */
    }
    fl_rules_check(rules, firmware->request_swap != NULL && firmware->confirm != NULL,
                   "running, request_swap and confirm are there together");
    fl_rules_check(rules,
                   fl_rules_status(rules, firmware->running(port->context, first), FL_OK) &&
                       fl_rules_status(rules, firmware->running(port->context, second), FL_OK) &&
                       memcmp(first, second, sizeof first) == 0 &&
                       !fl_rules_all_are(first, sizeof first, first[0]),
                   "the running firmware has a digest, always the same");
    if (firmware->confirm != NULL) {
        const fl_status_t once = firmware->confirm(port->context);
        const fl_status_t twice = firmware->confirm(port->context);
        fl_rules_check(rules,
                       fl_rules_status(rules, once, FL_OK) && fl_rules_status(rules, twice, FL_OK),
                       "the running firmware may be confirmed again");
    }
}
