/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

const char fl_options_help[] =
    "fieldloop-agent: a device that runs a model, keeps it up to date and reports how it does\n"
    "\n"
    "required\n"
    "  --state DIR           what the device remembers; made if missing\n"
    "  --server HOST:PORT    device listener of the distribution service; several, with commas\n"
    "                        between them, take turns when one fails\n"
    "  --ca FILE             PEM certificates that vouch for the server\n"
    "  --root FILE           first signed root document, from manufacture\n"
    "  --project NAME        project of the device, without a prefix\n"
    "identity\n"
    "  --token TEXT          enrolment token, used while the device is not enrolled\n"
    "  --token-file FILE     the same, from a file\n"
    "  --hardware-id TEXT    what the device is (default posix-<machine>)\n"
    "  --server-name NAME    name or address in the server's certificate (default HOST)\n"
    "components\n"
    "  --configuration-file FILE  has the configuration that is active; gone when there is none\n"
    "  --firmware FILE       image that runs; updates replace it as MCUboot does (default none)\n"
    "sensor\n"
    "  --replay PATH         recording (.csv, .wav), or directory of them; may be repeated\n"
    "  --speed FACTOR        signal time over real time (default 1)\n"
    "  --seed NUMBER         where in the recordings to begin (default 1)\n"
    "  --truth-column NAME   column of the true label (default label)\n"
    "  --truth-log FILE      appends what the labels say about the predictions, as JSON lines\n"
    "  --control             takes 'replay PATH...' and 'quit' on standard input\n"
    "other\n"
    "  --first-contact-ms N  spread of the first connection (default 2000)\n"
    "  --verbose             logs more\n"
    "  --log-format FORMAT   text or json (default text)\n"
    "  --help                this text\n";

enum {
    STATE = 256,
    SERVER,
    CA,
    ROOT,
    PROJECT,
    TOKEN,
    TOKEN_FILE,
    HARDWARE_ID,
    SERVER_NAME,
    CONFIGURATION_FILE,
    FIRMWARE,
    REPLAY,
    SPEED,
    SEED,
    TRUTH_COLUMN,
    TRUTH_LOG,
    CONTROL,
    FIRST_CONTACT,
    VERBOSE,
    LOG_FORMAT,
    HELP,
};

static const struct option FLAGS[] = {
    {"state", required_argument, NULL, STATE},
    {"server", required_argument, NULL, SERVER},
    {"ca", required_argument, NULL, CA},
    {"root", required_argument, NULL, ROOT},
    {"project", required_argument, NULL, PROJECT},
    {"token", required_argument, NULL, TOKEN},
    {"token-file", required_argument, NULL, TOKEN_FILE},
    {"hardware-id", required_argument, NULL, HARDWARE_ID},
    {"server-name", required_argument, NULL, SERVER_NAME},
    {"configuration-file", required_argument, NULL, CONFIGURATION_FILE},
    {"firmware", required_argument, NULL, FIRMWARE},
    {"replay", required_argument, NULL, REPLAY},
    {"speed", required_argument, NULL, SPEED},
    {"seed", required_argument, NULL, SEED},
    {"truth-column", required_argument, NULL, TRUTH_COLUMN},
    {"truth-log", required_argument, NULL, TRUTH_LOG},
    {"control", no_argument, NULL, CONTROL},
    {"first-contact-ms", required_argument, NULL, FIRST_CONTACT},
    {"verbose", no_argument, NULL, VERBOSE},
    {"log-format", required_argument, NULL, LOG_FORMAT},
    {"help", no_argument, NULL, HELP},
    {NULL, 0, NULL, 0},
};

typedef struct complaint {
    char *text;
    size_t capacity;
} complaint_t;

static bool complain(complaint_t *complaint, const char *flag, const char *got, const char *want) {
    (void)snprintf(complaint->text, complaint->capacity, "%s: got '%s', want %s", flag, got, want);
    return false;
}

static bool is_short_text(const char *text, size_t max) {
    return text[0] != '\0' && strlen(text) <= max;
}

/* HOST:PORT; an IPv6 address is in brackets. */
static bool parse_server(fl_posix_server_t *server, const char *text, size_t length) {
    size_t colon = length;
    while (colon > 0 && text[colon - 1u] != ':') {
        colon--;
    }
    if (colon < 2u) {
        return false;
    }
    const char *host = text;
    size_t host_length = colon - 1u;
    if (host[0] == '[' && host[host_length - 1] == ']') {
        host++;
        host_length -= 2;
    }
    char *end;
    const unsigned long port = strtoul(text + colon, &end, 10);
    if (host_length == 0 || host_length >= sizeof server->host || end == text + colon ||
        end != text + length || port == 0 || port > 65535) {
        return false;
    }
    memcpy(server->host, host, host_length);
    server->host[host_length] = '\0';
    (void)snprintf(server->port, sizeof server->port, "%lu", port);
    return true;
}

static bool parse_servers(fl_options_t *options, const char *text) {
    options->server_count = 0;
    for (;;) {
        const size_t length = strcspn(text, ",");
        if (options->server_count == FL_POSIX_MAX_SERVERS ||
            !parse_server(&options->servers[options->server_count++], text, length)) {
            return false;
        }
        if (text[length] == '\0') {
            return true;
        }
        text += length + 1u;
    }
}

static bool parse_double(const char *text, double *value) {
    char *end;
    *value = strtod(text, &end);
    return end != text && *end == '\0' && isfinite(*value);
}

static bool parse_unsigned(const char *text, uint64_t max, uint64_t *value) {
    char *end;
    errno = 0;
    *value = strtoull(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0 && *value <= max;
}

static bool add_replay(fl_options_t *options, const char *path) {
    const char **grown =
        realloc(options->replay, (options->replay_count + 1u) * sizeof *options->replay);
    if (grown == NULL) {
        return false;
    }
    options->replay = grown;
    options->replay[options->replay_count++] = path;
    return true;
}

static bool take(fl_options_t *options, int flag, const char *value, complaint_t *complaint) {
    uint64_t number = 0;
    switch (flag) {
        case STATE: options->state = value; return true;
        case SERVER:
            return parse_servers(options, value) ||
                   complain(complaint, "--server", value,
                            "HOST:PORT with a port of 1 to 65535, up to 8 with commas between");
        case CA: options->ca = value; return true;
        case ROOT: options->root = value; return true;
        case PROJECT:
            options->project = value;
            return is_short_text(value, 39) ||
                   complain(complaint, "--project", value, "a name of 1 to 39 bytes");
        case TOKEN:
            options->token = value;
            return is_short_text(value, 63) ||
                   complain(complaint, "--token", "(secret)", "1 to 63 bytes");
        case TOKEN_FILE: options->token_file = value; return true;
        case HARDWARE_ID:
            (void)snprintf(options->hardware_id, sizeof options->hardware_id, "%s", value);
            return is_short_text(value, 31) ||
                   complain(complaint, "--hardware-id", value, "1 to 31 bytes");
        case SERVER_NAME:
            options->server_name = value;
            return is_short_text(value, 255) ||
                   complain(complaint, "--server-name", value, "a DNS name or an IP address");
        case CONFIGURATION_FILE: options->configuration_file = value; return true;
        case FIRMWARE: options->firmware = value; return true;
        case REPLAY:
            return add_replay(options, value) ||
                   complain(complaint, "--replay", value, "more memory");
        case SPEED:
            return (parse_double(value, &options->speed) && options->speed > 0) ||
                   complain(complaint, "--speed", value, "a number above 0");
        case SEED:
            return parse_unsigned(value, UINT64_MAX, &options->seed) ||
                   complain(complaint, "--seed", value, "a whole number of at least 0");
        case TRUTH_COLUMN: options->truth_column = value; return true;
        case TRUTH_LOG: options->truth_log = value; return true;
        case CONTROL: options->control = true; return true;
        case FIRST_CONTACT:
            if (!parse_unsigned(value, UINT32_MAX, &number)) {
                return complain(complaint, "--first-contact-ms", value,
                                "milliseconds, 0 to 4294967295");
            }
            options->first_contact_ms = (uint32_t)number;
            return true;
        case VERBOSE: options->verbose = true; return true;
        case LOG_FORMAT:
            options->log_json = strcmp(value, "json") == 0;
            return options->log_json || strcmp(value, "text") == 0 ||
                   complain(complaint, "--log-format", value, "text or json");
        case HELP: options->help = true; return true;
        default: return false;
    }
}

static bool check_required(const fl_options_t *options, complaint_t *complaint) {
    const struct {
        const char *flag;
        const char *value;
        const char *want;
    } required[] = {
        {"--state", options->state, "a directory"},
        {"--server", options->server_count == 0 ? NULL : options->servers[0].host, "HOST:PORT"},
        {"--ca", options->ca, "a file of PEM certificates"},
        {"--root", options->root, "a file with a signed root document"},
        {"--project", options->project, "the name of a project"},
    };
    for (size_t i = 0; i < sizeof required / sizeof required[0]; i++) {
        if (required[i].value == NULL) {
            (void)snprintf(complaint->text, complaint->capacity, "%s: missing, want %s",
                           required[i].flag, required[i].want);
            return false;
        }
    }
    if (options->token != NULL && options->token_file != NULL) {
        return complain(complaint, "--token-file", options->token_file,
                        "either this or --token, not both");
    }
    return true;
}

bool fl_options_parse(fl_options_t *options, int argc, char **argv, char *error, size_t capacity) {
    complaint_t complaint = {.text = error, .capacity = capacity};
    struct utsname system;
    memset(options, 0, sizeof *options);
    options->speed = 1.0;
    options->seed = 1;
    options->truth_column = "label";
    options->first_contact_ms = 2000;
    if (uname(&system) == 0) {
        (void)snprintf(options->hardware_id, sizeof options->hardware_id, "posix-%.25s",
                       system.machine);
    }
    optind = 0; /* Begins anew, for a caller that parses twice. */
    opterr = 0;
    int flag;
    while ((flag = getopt_long(argc, argv, ":", FLAGS, NULL)) != -1) {
        const char *given = argv[optind - 1];
        if (flag == ':') {
            return complain(&complaint, given, "", "a value");
        }
        if (flag == '?') {
            return complain(&complaint, given, given, "a flag that --help lists");
        }
        if (!take(options, flag, optarg, &complaint)) {
            return false;
        }
    }
    if (optind < argc) {
        return complain(&complaint, "arguments", argv[optind], "flags only");
    }
    if (options->help) {
        return true;
    }
    if (!check_required(options, &complaint)) {
        return false;
    }
    return true;
}

void fl_options_free(fl_options_t *options) {
    free(options->replay);
    options->replay = NULL;
    options->replay_count = 0;
}
