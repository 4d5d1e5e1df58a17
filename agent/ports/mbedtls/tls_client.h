/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/**
 * @file
 * @brief A TLS client by mbedTLS 2.28 over any byte stream, without blocking.
 *
 * TLS 1.2 with ECDHE-ECDSA over P-256. The server must present a certificate of the given
 * authorities for the given name or address. Sessions are resumed while the client lives. With
 * record buffers smaller than 16 KB the server is asked for fragments that fit them (RFC 6066).
 */
#ifndef FIELDLOOP_AGENT_PORTS_MBEDTLS_TLS_CLIENT_H
#define FIELDLOOP_AGENT_PORTS_MBEDTLS_TLS_CLIENT_H

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/ssl.h>
#include <mbedtls/x509_crt.h>

#include "agent/ports/mbedtls/identity.h"
#include "fieldloop_agent/port.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The stream below: see fl_port_t.send and receive. */
typedef struct fl_tls_stream {
    void *context;
    fl_status_t (*send)(void *context, const uint8_t *src, size_t size, size_t *sent);
    fl_status_t (*receive)(void *context, uint8_t *dst, size_t capacity, size_t *size);
} fl_tls_stream_t;

/** Whom to expect, and who one is. What it points to outlives the client. */
typedef struct fl_tls_client_config {
    const char *server_name; /**< DNS name that the certificate must carry; NULL for an address. */
    uint8_t server_address[16]; /**< IP address that it must carry if there is no name. */
    size_t server_address_size; /**< 4 or 16. */
    const uint8_t *authorities; /**< DER, or PEM with a zero byte behind it. */
    size_t authorities_size;    /**< That zero byte counted. */
    fl_mbedtls_identity_t *identity;
    mbedtls_ctr_drbg_context *random;
    fl_tls_stream_t stream;
} fl_tls_client_config_t;

/** A client. Treat the members as private, except wants_write and resumed, which may be read. */
typedef struct fl_tls_client {
    const fl_tls_client_config_t *of;
    mbedtls_x509_crt authorities;
    mbedtls_ssl_config config;
    mbedtls_ssl_context ssl;
    mbedtls_ssl_session session; /* For resumption. */
    bool has_session;
    bool session_has_identity;
    uint32_t session_generation; /* Of the identity, when the session was made. */
    bool use_identity;
    int state;
    bool wants_write; /* It waits until the stream takes bytes. */
    uint32_t resumed; /* Handshakes that resumed a session. */
} fl_tls_client_t;

/** Parses the authorities. FL_OK or FL_ERR_CORRUPT; to be freed in both cases. */
fl_status_t fl_tls_client_init(fl_tls_client_t *client, const fl_tls_client_config_t *config);
void fl_tls_client_free(fl_tls_client_t *client);

/** Begins, or continues, the handshake on a stream that is open: see fl_port_t.connect. */
fl_status_t fl_tls_client_connect(fl_tls_client_t *client, bool use_identity);

/** See fl_port_t.receive and send. */
fl_status_t fl_tls_client_receive(fl_tls_client_t *client, uint8_t *dst, size_t capacity,
                                  size_t *size);
fl_status_t fl_tls_client_send(fl_tls_client_t *client, const uint8_t *src, size_t size,
                               size_t *sent);

/** Tells the server, in any state. The stream is the caller's to close, after this. */
void fl_tls_client_close(fl_tls_client_t *client);

#ifdef __cplusplus
}
#endif

#endif
