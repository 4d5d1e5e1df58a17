/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/**
 * @file
 * @brief Asks a port whether it keeps the contract of fieldloop_agent/port.h.
 *
 * Runs on the target: no heap, no output but through a hook, about 3 KB of stack. It erases the
 * flash areas, makes a key pending and, given an issuer, replaces the identity: run it on a device
 * that is not in use. agent/docs/PORTING.md says how.
 */
#ifndef FIELDLOOP_AGENT_CONFORMANCE_CONFORMANCE_H
#define FIELDLOOP_AGENT_CONFORMANCE_CONFORMANCE_H

#include "fieldloop_agent/port.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Parts of a port, to be tried alone while it is being written. */
enum {
    FL_CONFORMANCE_FLASH = 1,
    FL_CONFORMANCE_CLOCK = 2,
    FL_CONFORMANCE_RANDOM = 4,
    FL_CONFORMANCE_SHA256 = 8,
    FL_CONFORMANCE_VERIFY = 16,
    FL_CONFORMANCE_IDENTITY = 32,
    FL_CONFORMANCE_CONNECTION = 64,
    FL_CONFORMANCE_FIRMWARE = 128, /**< Asks for no swap. */
    FL_CONFORMANCE_ALL = 255,
};

/** What an issuer gives: DER. */
typedef struct fl_conformance_certificate {
    uint8_t certificate[768];
    size_t certificate_size;
    uint8_t issuer[768];
    size_t issuer_size;
} fl_conformance_certificate_t;

/** What to try, and with what. */
typedef struct fl_conformance {
    const fl_port_t *port;
    uint32_t parts; /**< Of the enumeration above. */
    void *context;  /**< First argument of the functions below. */

    /** Prints a line, without its newline. */
    void (*print)(void *context, const char *line);

    /**
     * Ends the port and begins it anew, as a reset does. Returns the port, NULL if it could not
     * begin. NULL for no such function: what must survive a reset is then not tried.
     */
    const fl_port_t *(*reopen)(void *context);

    /** Issues a certificate of that device for a request. NULL: storing one is not tried. */
    bool (*issue)(void *context, const uint8_t *csr, size_t csr_size, const char *device_id,
                  fl_conformance_certificate_t *out);
} fl_conformance_t;

/** Counts of rules. The port conforms when none is broken. */
typedef struct fl_conformance_result {
    uint32_t kept;
    uint32_t broken;
    uint32_t untried;
} fl_conformance_result_t;

/** Tries every rule; prints a line for each, and the counts. */
fl_conformance_result_t fl_conformance_run(const fl_conformance_t *conformance);

#ifdef __cplusplus
}
#endif

#endif
