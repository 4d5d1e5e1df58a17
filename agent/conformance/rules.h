/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/* What the files of rules share. */
#ifndef FIELDLOOP_AGENT_CONFORMANCE_RULES_H
#define FIELDLOOP_AGENT_CONFORMANCE_RULES_H

#include "agent/conformance/conformance.h"

enum { FL_RULES_LINE = 160 };

/* One run. */
typedef struct fl_rules {
    const fl_conformance_t *conformance;
    const fl_port_t *port; /* NULL once it could not be begun anew: nothing more is tried. */
    fl_conformance_result_t result;
    const char *subject; /* Printed before each rule. */
    char detail[FL_RULES_LINE];
} fl_rules_t;

/* Prints whether a rule is kept; when it is not, with what fl_rules_note() noted. */
void fl_rules_check(fl_rules_t *rules, bool kept, const char *rule);
void fl_rules_untried(fl_rules_t *rules, const char *rule);

/* Notes "what value" for the rule that is being tried. Returns false. */
bool fl_rules_note(fl_rules_t *rules, const char *what, uint64_t value);

/* Whether a status is the one that is wanted; notes it if not. */
bool fl_rules_status(fl_rules_t *rules, fl_status_t got, fl_status_t want);

/* Begins the port anew. False, after saying so, when it cannot be. */
bool fl_rules_reopen(fl_rules_t *rules);

bool fl_rules_all_are(const uint8_t *bytes, size_t size, uint8_t value);

void fl_rules_flash(fl_rules_t *rules);
void fl_rules_clock(fl_rules_t *rules);
void fl_rules_random(fl_rules_t *rules);
void fl_rules_sha256(fl_rules_t *rules);
void fl_rules_verify(fl_rules_t *rules);
void fl_rules_identity(fl_rules_t *rules);
void fl_rules_connection(fl_rules_t *rules);
void fl_rules_firmware(fl_rules_t *rules);

#endif
