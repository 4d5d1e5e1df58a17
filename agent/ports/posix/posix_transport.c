/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "posix_transport.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { IDLE = 0, TCP_CONNECTING, TCP_CONNECTED };

/* Reads an IP address in text. Returns its size in bytes, 0 if it is a name. */
static size_t parse_address(const char *text, uint8_t address[16]) {
    if (inet_pton(AF_INET, text, address) == 1) {
        return 4;
    }
    return inet_pton(AF_INET6, text, address) == 1 ? 16 : 0;
}

static bool is_for_later(void) {
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

static fl_status_t socket_send(void *context, const uint8_t *src, size_t size, size_t *sent) {
    const fl_posix_transport_t *transport = context;
    const ssize_t result = send(transport->socket, src, size, MSG_NOSIGNAL);
    if (result < 0) {
        return is_for_later() ? FL_ERR_AGAIN : FL_ERR_CLOSED;
    }
    *sent = (size_t)result;
    return FL_OK;
}

static fl_status_t socket_receive(void *context, uint8_t *dst, size_t capacity, size_t *size) {
    const fl_posix_transport_t *transport = context;
    const ssize_t result = recv(transport->socket, dst, capacity, 0);
    if (result <= 0) {
        return result < 0 && is_for_later() ? FL_ERR_AGAIN : FL_ERR_CLOSED;
    }
    *size = (size_t)result;
    return FL_OK;
}

/* Whom the certificate must name. */
static void expect_server(fl_posix_transport_t *transport) {
    fl_tls_client_config_t *config = &transport->tls_config;
    const char *name = transport->server_name != NULL ? transport->server_name
                                                      : transport->servers[transport->server].host;
    config->server_address_size = parse_address(name, config->server_address);
    config->server_name = config->server_address_size > 0 ? NULL : name;
}

fl_status_t fl_posix_transport_open(fl_posix_transport_t *transport,
                                    const fl_posix_server_t *servers, size_t server_count,
                                    const char *server_name, const uint8_t *authorities_pem,
                                    size_t authorities_size, fl_posix_identity_t *identity,
                                    mbedtls_ctr_drbg_context *random) {
    fl_tls_client_config_t *config = &transport->tls_config;
    uint8_t draw = 0;
    memset(transport, 0, sizeof *transport);
    transport->servers = servers;
    transport->server_count = server_count;
    transport->server_name = server_name;
    transport->socket = -1;
    if (mbedtls_ctr_drbg_random(random, &draw, sizeof draw) != 0) {
        return FL_ERR_IO;
    }
    transport->server = draw % server_count;
    expect_server(transport);
    config->authorities = authorities_pem;
    config->authorities_size = authorities_size + 1u; /* The zero byte behind the text. */
    config->identity = &identity->loaded;
    config->random = random;
    config->stream =
        (fl_tls_stream_t){.context = transport, .send = socket_send, .receive = socket_receive};
    return fl_tls_client_init(&transport->tls, config);
}

void fl_posix_transport_free(fl_posix_transport_t *transport) {
    fl_posix_transport_close(transport);
    fl_tls_client_free(&transport->tls);
}

static fl_status_t tcp_begin(fl_posix_transport_t *transport) {
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    const fl_posix_server_t *server = &transport->servers[transport->server];
    if (getaddrinfo(server->host, server->port, &hints, &found) != 0) {
        return FL_ERR_CLOSED;
    }
    fl_status_t status = FL_ERR_CLOSED;
    for (const struct addrinfo *a = found; a != NULL && status != FL_OK; a = a->ai_next) {
        const int one = 1;
        transport->socket =
            socket(a->ai_family, a->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, a->ai_protocol);
        if (transport->socket < 0) {
            continue;
        }
        (void)setsockopt(transport->socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (connect(transport->socket, a->ai_addr, a->ai_addrlen) == 0 || errno == EINPROGRESS) {
            status = FL_OK;
        } else {
            (void)close(transport->socket);
            transport->socket = -1;
        }
    }
    freeaddrinfo(found);
    return status;
}

/* FL_OK once the TCP connection stands. */
static fl_status_t tcp_continue(fl_posix_transport_t *transport) {
    struct pollfd ready = {.fd = transport->socket, .events = POLLOUT};
    int error = 0;
    socklen_t size = sizeof error;
    if (poll(&ready, 1, 0) <= 0) {
        transport->wants_write = true;
        return FL_ERR_AGAIN;
    }
    if (getsockopt(transport->socket, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0) {
        return FL_ERR_CLOSED;
    }
    return FL_OK;
}

/* Returns whether the connection has ended, other than by this side. */
static bool note_loss(fl_posix_transport_t *transport, fl_status_t status) {
    const bool has_ended = status != FL_OK && status != FL_ERR_AGAIN;
    transport->is_lost = transport->is_lost || has_ended;
    return has_ended;
}

fl_status_t fl_posix_transport_connect(fl_posix_transport_t *transport, bool use_identity) {
    fl_status_t status = FL_OK;
    transport->wants_write = false;
    if (transport->state == IDLE) {
        if (transport->is_lost) {
            transport->is_lost = false;
            transport->server = (transport->server + 1u) % transport->server_count;
            expect_server(transport);
        }
        status = tcp_begin(transport);
        transport->state = TCP_CONNECTING;
    }
    if (status == FL_OK && transport->state == TCP_CONNECTING) {
        status = tcp_continue(transport);
        if (status == FL_OK) {
            transport->state = TCP_CONNECTED;
        }
    }
    if (status == FL_OK) {
        status = fl_tls_client_connect(&transport->tls, use_identity);
        transport->wants_write = transport->tls.wants_write;
    }
    if (note_loss(transport, status)) {
        fl_posix_transport_close(transport);
    }
    return status;
}

fl_status_t fl_posix_transport_receive(fl_posix_transport_t *transport, uint8_t *dst,
                                       size_t capacity, size_t *size) {
    const fl_status_t status = fl_tls_client_receive(&transport->tls, dst, capacity, size);
    (void)note_loss(transport, status);
    return status;
}

fl_status_t fl_posix_transport_send(fl_posix_transport_t *transport, const uint8_t *src,
                                    size_t size, size_t *sent) {
    const fl_status_t status = fl_tls_client_send(&transport->tls, src, size, sent);
    transport->wants_write = transport->tls.wants_write;
    (void)note_loss(transport, status);
    return status;
}

void fl_posix_transport_close(fl_posix_transport_t *transport) {
    fl_tls_client_close(&transport->tls);
    if (transport->socket >= 0) {
        (void)close(transport->socket);
        transport->socket = -1;
    }
    transport->wants_write = false;
    transport->state = IDLE;
}
