/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/* fieldloop-agent: the reference device for Linux. See agent/docs/DESIGN.md and --help. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "device.h"
#include "json_text.h"
#include "options.h"
#include "posix_file.h"
#include "posix_port.h"

enum { CONTROL_LINE_BYTES = 16384, CONTROL_PATHS = 256, POLLS_PER_TURN = 64, EXIT_USAGE = 2 };

static volatile sig_atomic_t stop_requested;

static void on_signal(int number) {
    (void)number;
    stop_requested = 1;
}

typedef struct program {
    fl_options_t options;
    fl_posix_config_t posix_config;
    fl_posix_t posix;
    fl_device_t device;
    fl_agent_config_t agent_config;
    fl_agent_t agent;
    uint8_t *ca;
    uint8_t *root;
    uint8_t *token;
    bool quit;
    bool control_open;
    size_t control_size;
    char control[CONTROL_LINE_BYTES];
} program_t;

/* The id under which the servers' logs have the session, if there is one. */
static void write_trace_id(const program_t *program, const char *before, const char *after) {
    static const uint8_t NONE[16] = {0};
    const uint8_t *id = program->agent.trace_id;
    if (memcmp(id, NONE, sizeof NONE) == 0) {
        return;
    }
    (void)fputs(before, stderr);
    for (size_t i = 0; i < sizeof NONE; i++) {
        (void)fprintf(stderr, "%02x", id[i]);
    }
    (void)fputs(after, stderr);
}

static void write_log(void *context, fl_log_level_t level, const char *text) {
    static const char *const NAMES[] = {"debug", "info", "warning"};
    const program_t *program = context;
    const fl_options_t *options = &program->options;
    if (level == FL_LOG_DEBUG && !options->verbose) {
        return;
    }
    if (options->log_json) {
        (void)fprintf(stderr, "{\"time_ms\":%llu,\"level\":\"%s\",\"message\":",
                      (unsigned long long)fl_posix_wall_ms(), NAMES[level]);
        fl_json_string(stderr, text);
        write_trace_id(program, ",\"trace_id\":\"", "\"");
        (void)fputs("}\n", stderr);
    } else {
        (void)fprintf(stderr, "%s: %s", NAMES[level], text);
        write_trace_id(program, " trace_id=", "");
        (void)fputs("\n", stderr);
    }
}

/* --- Standard input --- */

static void control_line(program_t *program, char *line) {
    const char *paths[CONTROL_PATHS];
    size_t count = 0;
    char *rest = NULL;
    const char *verb = strtok_r(line, " \t\r", &rest);
    if (verb == NULL) {
        return;
    }
    if (strcmp(verb, "quit") == 0) {
        program->quit = true;
        return;
    }
    const char *word;
    while ((word = strtok_r(NULL, " \t\r", &rest)) != NULL && count < CONTROL_PATHS) {
        paths[count++] = word;
    }
    if (strcmp(verb, "replay") == 0 && count > 0) {
        fl_device_set_replay(&program->device, paths, count);
    } else {
        write_log(program, FL_LOG_WARNING,
                  "--control: got another line than 'replay PATH...' or 'quit'");
    }
}

/* Reads byte by byte: what a restart has not read must stay in the pipe for the next process. */
static void read_control(program_t *program) {
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    while (!program->quit && poll(&input, 1, 0) > 0) {
        char c;
        if (read(STDIN_FILENO, &c, 1) != 1) {
            program->control_open = false;
            return;
        }
        if (c == '\n') {
            program->control[program->control_size] = '\0';
            program->control_size = 0;
            control_line(program, program->control);
        } else if (program->control_size + 1u < sizeof program->control) {
            program->control[program->control_size++] = c;
        }
    }
}

/* --- The loop --- */

static void wait_until(program_t *program, uint64_t when, const sigset_t *open_signals) {
    const fl_posix_transport_t *transport = &program->posix.transport;
    struct pollfd ready[2];
    nfds_t count = 0;
    if (transport->socket >= 0) {
        ready[count++] = (struct pollfd){
            .fd = transport->socket, .events = transport->wants_write ? POLLIN | POLLOUT : POLLIN};
    }
    if (program->control_open) {
        ready[count++] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
    }
    const uint64_t now = fl_posix_now_ms();
    const uint64_t wait_ms = when > now ? when - now : 0;
    const struct timespec timeout = {.tv_sec = (time_t)(wait_ms / 1000u),
                                     .tv_nsec = (long)(wait_ms % 1000u) * 1000000L};
    /* Signals are taken here only, so that none is missed between a check and the wait. */
    (void)ppoll(ready, count, wait_ms > INT32_MAX ? NULL : &timeout, open_signals);
}

static void run(program_t *program, const sigset_t *open_signals) {
    while (!stop_requested && !program->quit) {
        const uint64_t sensor_next = fl_device_run(&program->device);
        uint64_t agent_next = 0;
        for (unsigned i = 0; i < POLLS_PER_TURN; i++) {
            agent_next = fl_agent_poll(&program->agent);
            if (program->posix.reboot_requested) {
                return;
            }
            if (agent_next > fl_posix_now_ms()) {
                break;
            }
        }
        wait_until(program, agent_next < sensor_next ? agent_next : sensor_next, open_signals);
        if (program->control_open) {
            read_control(program);
        }
    }
}

/* --- Start and end --- */

static bool read_input(program_t *program, const char *flag, const char *path, uint8_t **data,
                       size_t *size) {
    if (fl_posix_read_file(path, data, size) == FL_OK) {
        return true;
    }
    char text[512];
    (void)snprintf(text, sizeof text, "%s: got '%s', want a file that can be read", flag, path);
    write_log(program, FL_LOG_WARNING, text);
    return false;
}

static bool read_token(program_t *program) {
    fl_identity_t identity;
    size_t size = 0;
    program->agent_config.token = program->options.token;
    const fl_port_t *port = &program->posix.port;
    if (program->options.token_file == NULL || port->identity(port->context, &identity) == FL_OK) {
        return true;
    }
    if (!read_input(program, "--token-file", program->options.token_file, &program->token, &size)) {
        return false;
    }
    char *token = (char *)program->token;
    token[strcspn(token, "\r\n")] = '\0';
    program->agent_config.token = token;
    if (token[0] == '\0' || strlen(token) > 63) {
        write_log(program, FL_LOG_WARNING,
                  "--token-file: got another first line than a token, want 1 to 63 bytes");
        return false;
    }
    return true;
}

static bool open_program(program_t *program) {
    const fl_options_t *options = &program->options;
    size_t ca_size = 0;
    size_t root_size = 0;
    char text[512];
    if (!read_input(program, "--ca", options->ca, &program->ca, &ca_size) ||
        !read_input(program, "--root", options->root, &program->root, &root_size)) {
        return false;
    }
    program->posix_config = (fl_posix_config_t){.state_directory = options->state,
                                                .firmware = options->firmware,
                                                .servers = options->servers,
                                                .server_count = options->server_count,
                                                .server_name = options->server_name,
                                                .authorities_pem = program->ca,
                                                .authorities_size = ca_size,
                                                .log = write_log,
                                                .log_context = program};
    if (fl_posix_open(&program->posix, &program->posix_config) != FL_OK) {
        (void)snprintf(text, sizeof text, "--state %s: %s", options->state, program->posix.failure);
        write_log(program, FL_LOG_WARNING, text);
        return false;
    }
    program->agent_config = (fl_agent_config_t){.project = options->project,
                                                .hardware_id = options->hardware_id,
                                                .root = program->root,
                                                .root_size = root_size,
                                                .first_contact_ms = options->first_contact_ms};
    if (!read_token(program) ||
        !fl_device_open(&program->device, options, &program->posix, &program->agent)) {
        return false;
    }
    const fl_status_t status = fl_agent_init(&program->agent, &program->posix.port,
                                             &program->device.app, &program->agent_config);
    if (status != FL_OK) {
        (void)snprintf(text, sizeof text,
                       "the agent does not start: %s (--root %s must be a signed root document, "
                       "--state %s must be of this agent)",
                       fl_status_text(status), options->root, options->state);
        write_log(program, FL_LOG_WARNING, text);
        return false;
    }
    return true;
}

static void close_program(program_t *program) {
    fl_device_close(&program->device);
    fl_posix_close(&program->posix);
    free(program->ca);
    free(program->root);
    free(program->token);
}

/* Whether argv[i] is --replay, and how many arguments it takes up. */
static int replay_arguments(const char *argument) {
    if (strcmp(argument, "--replay") == 0) {
        return 2;
    }
    return strncmp(argument, "--replay=", 9) == 0 ? 1 : 0;
}

/* The command line of the next process: the same, but with the recordings that play now. */
static char **next_arguments(const program_t *program, int argc, char **argv) {
    const size_t paths = program->device.replay_count;
    char **next = calloc((size_t)argc + 2u * paths + 1u, sizeof *next);
    size_t count = 0;
    for (int i = 0; next != NULL && i < argc; i++) {
        const int skip = replay_arguments(argv[i]);
        if (skip == 0) {
            next[count++] = argv[i];
        } else {
            i += skip - 1;
        }
    }
    for (size_t i = 0; next != NULL && i < paths; i++) {
        static char flag[] = "--replay";
        next[count++] = flag;
        next[count] = strdup(program->device.replay_paths[i]);
        if (next[count++] == NULL) {
            free(next);
            return NULL;
        }
    }
    return next;
}

int main(int argc, char **argv) {
    static program_t program;
    char error[512];
    sigset_t blocked;
    sigset_t before;
    if (!fl_options_parse(&program.options, argc, argv, error, sizeof error)) {
        (void)fprintf(stderr, "fieldloop-agent: %s\n", error);
        return EXIT_USAGE;
    }
    if (program.options.help) {
        (void)fputs(fl_options_help, stdout);
        return EXIT_SUCCESS;
    }
    const struct sigaction action = {.sa_handler = on_signal};
    (void)sigemptyset(&blocked);
    (void)sigaddset(&blocked, SIGTERM);
    (void)sigaddset(&blocked, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &blocked, &before);
    /* A process that executed itself inherits the mask; the wait must let both in all the same. */
    (void)sigdelset(&before, SIGTERM);
    (void)sigdelset(&before, SIGINT);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
    /* Whoever read the log has gone: that does not concern the device. */
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigaction(SIGPIPE, &ignore, NULL);

    program.control_open = program.options.control;
    if (!open_program(&program)) {
        return EXIT_FAILURE;
    }
    run(&program, &before);
    const bool reboot = program.posix.reboot_requested;
    if (!reboot) {
        fl_agent_flush(&program.agent);
    }
    char **next = reboot ? next_arguments(&program, argc, argv) : NULL;
    close_program(&program);
    if (reboot) {
        if (next != NULL) {
            (void)execv("/proc/self/exe", next);
        }
        (void)fprintf(stderr, "fieldloop-agent: restart failed: %s\n",
                      strerror(next == NULL ? ENOMEM : errno));
        free(next);
        return EXIT_FAILURE;
    }
    fl_options_free(&program.options);
    return EXIT_SUCCESS;
}
