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
 */
#ifndef FIELDLOOP_AGENT_PORTS_POSIX_POSIX_TRANSPORT_H
#define FIELDLOOP_AGENT_PORTS_POSIX_POSIX_TRANSPORT_H

#include "agent/ports/mbedtls/tls_client.h"
#include "fieldloop_agent/port.h"
#include "posix_identity.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fl_posix_transport {
    const char *host; /* The caller's, like the next one. */
    const char *port;
    fl_tls_client_config_t tls_config;
    fl_tls_client_t tls;
    int state;
    int socket;       /* -1 for none. */
    bool wants_write; /* The connection waits until the socket takes bytes. */
} fl_posix_transport_t;

/** Parses the authorities (PEM). FL_OK or FL_ERR_CORRUPT. */
fl_status_t fl_posix_transport_open(fl_posix_transport_t *transport, const char *host,
                                    const char *port, const char *server_name,
                                    const uint8_t *authorities_pem, size_t authorities_size,
                                    fl_posix_identity_t *identity,
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
