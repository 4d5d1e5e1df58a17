/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "agent/conformance/conformance.h"

#include <string.h>

#include "rules.h"

static void append(char line[FL_RULES_LINE], const char *text) {
    const size_t used = strlen(line);
    const size_t room = FL_RULES_LINE - 1u - used;
    const size_t size = strlen(text) < room ? strlen(text) : room;
    memcpy(line + used, text, size);
    line[used + size] = '\0';
}

static void append_number(char line[FL_RULES_LINE], uint64_t number) {
    char digits[21];
    size_t at = sizeof digits - 1u;
    digits[at] = '\0';
    do {
        digits[--at] = (char)('0' + number % 10u);
        number /= 10u;
    } while (number != 0);
    append(line, digits + at);
}

static void print_rule(fl_rules_t *rules, const char *verdict, const char *rule) {
    char line[FL_RULES_LINE] = "";
    append(line, verdict);
    append(line, rules->subject);
    append(line, ": ");
    append(line, rule);
    if (rules->detail[0] != '\0') {
        append(line, " (");
        append(line, rules->detail);
        append(line, ")");
    }
    rules->detail[0] = '\0';
    rules->conformance->print(rules->conformance->context, line);
}

void fl_rules_check(fl_rules_t *rules, bool kept, const char *rule) {
    if (kept) {
        rules->result.kept++;
        rules->detail[0] = '\0';
    } else {
        rules->result.broken++;
    }
    print_rule(rules, kept ? "kept    " : "BROKEN  ", rule);
}

void fl_rules_untried(fl_rules_t *rules, const char *rule) {
    rules->result.untried++;
    rules->detail[0] = '\0';
    print_rule(rules, "untried ", rule);
}

bool fl_rules_note(fl_rules_t *rules, const char *what, uint64_t value) {
    rules->detail[0] = '\0';
    append(rules->detail, what);
    append(rules->detail, " ");
    append_number(rules->detail, value);
    return false;
}

bool fl_rules_status(fl_rules_t *rules, fl_status_t got, fl_status_t want) {
    if (got == want) {
        return true;
    }
    rules->detail[0] = '\0';
    append(rules->detail, "got status ");
    append(rules->detail, got < 0 ? "-" : "");
    append_number(rules->detail, (uint64_t)(got < 0 ? -(int64_t)got : (int64_t)got));
    append(rules->detail, ", want ");
    append(rules->detail, want < 0 ? "-" : "");
    append_number(rules->detail, (uint64_t)(want < 0 ? -(int64_t)want : (int64_t)want));
    return false;
}

bool fl_rules_reopen(fl_rules_t *rules) {
    rules->port = rules->conformance->reopen(rules->conformance->context);
    if (rules->port == NULL) {
        fl_rules_check(rules, false, "the port begins anew as after a reset");
    }
    return rules->port != NULL;
}

bool fl_rules_all_are(const uint8_t *bytes, size_t size, uint8_t value) {
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != value) {
            return false;
        }
    }
    return true;
}

fl_conformance_result_t fl_conformance_run(const fl_conformance_t *conformance) {
    static const struct {
        uint32_t part;
        const char *subject;
        void (*run)(fl_rules_t *rules);
    } PARTS[] = {
        {FL_CONFORMANCE_CLOCK, "now_ms", fl_rules_clock},
        {FL_CONFORMANCE_RANDOM, "random", fl_rules_random},
        {FL_CONFORMANCE_SHA256, "sha256", fl_rules_sha256},
        {FL_CONFORMANCE_VERIFY, "verify", fl_rules_verify},
        {FL_CONFORMANCE_FLASH, "flash", fl_rules_flash},
        {FL_CONFORMANCE_CONNECTION, "connection", fl_rules_connection},
        {FL_CONFORMANCE_FIRMWARE, "firmware", fl_rules_firmware},
        {FL_CONFORMANCE_IDENTITY, "identity", fl_rules_identity},
    };
    fl_rules_t rules = {.conformance = conformance, .port = conformance->port};
    char line[FL_RULES_LINE] = "";
    for (size_t i = 0; i < sizeof PARTS / sizeof PARTS[0] && rules.port != NULL; i++) {
        if ((conformance->parts & PARTS[i].part) != 0) {
            rules.subject = PARTS[i].subject;
            PARTS[i].run(&rules);
        }
    }
    append_number(line, rules.result.kept);
    append(line, " rules kept, ");
    append_number(line, rules.result.broken);
    append(line, " broken, ");
    append_number(line, rules.result.untried);
    append(line, " untried");
    conformance->print(conformance->context, line);
    return rules.result;
}
