/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/**
 * @file
 * @brief TLS over TCP with mbedTLS, without blocking, except for the look-up of the server's name.
 *
 * TLS 1.2 with ECDHE-ECDSA over P-256. The server must present a certificate of the given
 * authorities for the given name or address. Sessions are resumed while the process lives.
 *
 * Of several servers, replicas of one, the first is drawn at random. It stays with a server until a
 * connection to it cannot be made or is lost, or the server ends it; then comes the next.
 */
#ifndef FIELDLOOP_AGENT_PORTS_POSIX_POSIX_TRANSPORT_H
#define FIELDLOOP_AGENT_PORTS_POSIX_POSIX_TRANSPORT_H

#include "agent/ports/mbedtls/tls_client.h"
#include "fieldloop_agent/port.h"
#include "posix_identity.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { FL_POSIX_MAX_SERVERS = 8 };

typedef struct fl_posix_server {
    char host[256]; /**< Name or address. */
    char port[8];
} fl_posix_server_t;

typedef struct fl_posix_transport {
    const fl_posix_server_t *servers; /* The caller's, like server_name. */
    size_t server_count;
    size_t server; /* The one in use. */
    bool is_lost;  /* The next connection goes to another one. */
    const char *server_name;
    fl_tls_client_config_t tls_config;
    fl_tls_client_t tls;
    int state;
    int socket;       /* -1 for none. */
    bool wants_write; /* The connection waits until the socket takes bytes. */
} fl_posix_transport_t;

/**
 * @brief Parses the authorities (PEM).
 *
 * @param server_name  Name or address in the certificate of every server; NULL: the host of each.
 * @return FL_OK, FL_ERR_CORRUPT, or FL_ERR_IO if there is no randomness.
 */
fl_status_t fl_posix_transport_open(fl_posix_transport_t *transport,
                                    const fl_posix_server_t *servers, size_t server_count,
                                    const char *server_name, const uint8_t *authorities_pem,
                                    size_t authorities_size, fl_posix_identity_t *identity,
                                    mbedtls_ctr_drbg_context *random);
void fl_posix_transport_free(fl_posix_transport_t *transport);

/** See fl_port_t.connect, receive, send and close. */
fl_status_t fl_posix_transport_connect(fl_posix_transport_t *transport, bool use_identity);
fl_status_t fl_posix_transport_receive(fl_posix_transport_t *transport, uint8_t *dst,
                                       size_t capacity, size_t *size);
fl_status_t fl_posix_transport_send(fl_posix_transport_t *transport, const uint8_t *src,
                                    size_t size, size_t *sent);
void fl_posix_transport_close(fl_posix_transport_t *transport);

#ifdef __cplusplus
}
#endif

#endif
