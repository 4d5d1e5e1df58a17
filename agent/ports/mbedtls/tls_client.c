/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "agent/ports/mbedtls/tls_client.h"

#include <string.h>

enum { IDLE = 0, HANDSHAKING, ESTABLISHED };

/* Failures of the stream; mbedTLS hands them through. */
enum { STREAM_CLOSED = -1 };

enum {
    FRAGMENT = MBEDTLS_SSL_IN_CONTENT_LEN >= 16384  ? MBEDTLS_SSL_MAX_FRAG_LEN_NONE
               : MBEDTLS_SSL_IN_CONTENT_LEN >= 4096 ? MBEDTLS_SSL_MAX_FRAG_LEN_4096
               : MBEDTLS_SSL_IN_CONTENT_LEN >= 2048 ? MBEDTLS_SSL_MAX_FRAG_LEN_2048
                                                    : MBEDTLS_SSL_MAX_FRAG_LEN_1024,
};

/* Those of them that mbedTLS was built with are offered. */
static const int CIPHERSUITES[] = {MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
                                   MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
                                   MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, 0};
static const mbedtls_ecp_group_id CURVES[] = {MBEDTLS_ECP_DP_SECP256R1, MBEDTLS_ECP_DP_NONE};

/* mbedTLS 2.28 compares DNS names only; an address must be in the certificate as an address. */
static int verify_address(void *context, mbedtls_x509_crt *certificate, int depth,
                          uint32_t *flags) {
    const fl_tls_client_t *client = context;
    const int ip_address = MBEDTLS_ASN1_CONTEXT_SPECIFIC | 7;
    const size_t size = client->of->server_address_size;
    if (depth != 0 || client->of->server_name != NULL) {
        return 0;
    }
    for (const mbedtls_x509_sequence *name = &certificate->subject_alt_names; name != NULL;
         name = name->next) {
        if (name->buf.tag == ip_address && name->buf.len == size &&
            memcmp(name->buf.p, client->of->server_address, size) == 0) {
            return 0;
        }
    }
    *flags |= MBEDTLS_X509_BADCERT_CN_MISMATCH;
    return 0;
}

static int stream_send(void *context, const unsigned char *src, size_t size) {
    const fl_tls_stream_t *stream = context;
    size_t sent = 0;
    const fl_status_t status = stream->send(stream->context, src, size, &sent);
    if (status == FL_OK) {
        return (int)sent;
    }
    return status == FL_ERR_AGAIN ? MBEDTLS_ERR_SSL_WANT_WRITE : STREAM_CLOSED;
}

static int stream_receive(void *context, unsigned char *dst, size_t size) {
    const fl_tls_stream_t *stream = context;
    size_t received = 0;
    const fl_status_t status = stream->receive(stream->context, dst, size, &received);
    if (status == FL_OK) {
        return (int)received;
    }
    return status == FL_ERR_AGAIN ? MBEDTLS_ERR_SSL_WANT_READ : STREAM_CLOSED;
}

fl_status_t fl_tls_client_init(fl_tls_client_t *client, const fl_tls_client_config_t *config) {
    memset(client, 0, sizeof *client);
    client->of = config;
    mbedtls_x509_crt_init(&client->authorities);
    mbedtls_ssl_session_init(&client->session);
    return mbedtls_x509_crt_parse(&client->authorities, config->authorities,
                                  config->authorities_size) == 0
               ? FL_OK
               : FL_ERR_CORRUPT;
}

void fl_tls_client_free(fl_tls_client_t *client) {
    fl_tls_client_close(client);
    mbedtls_x509_crt_free(&client->authorities);
    mbedtls_ssl_session_free(&client->session);
}

static fl_status_t begin(fl_tls_client_t *client) {
    mbedtls_ssl_config *config = &client->config;
    fl_mbedtls_identity_t *identity = client->of->identity;
    mbedtls_ssl_config_init(config);
    mbedtls_ssl_init(&client->ssl);
    if (mbedtls_ssl_config_defaults(config, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM,
                                    MBEDTLS_SSL_PRESET_DEFAULT) != 0) {
        return FL_ERR_IO;
    }
    mbedtls_ssl_conf_rng(config, mbedtls_ctr_drbg_random, client->of->random);
    mbedtls_ssl_conf_authmode(config, MBEDTLS_SSL_VERIFY_REQUIRED);
    mbedtls_ssl_conf_ca_chain(config, &client->authorities, NULL);
    mbedtls_ssl_conf_min_version(config, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
    mbedtls_ssl_conf_ciphersuites(config, CIPHERSUITES);
    mbedtls_ssl_conf_curves(config, CURVES);
    mbedtls_ssl_conf_verify(config, verify_address, client);
#if defined(MBEDTLS_SSL_SESSION_TICKETS)
    mbedtls_ssl_conf_session_tickets(config, MBEDTLS_SSL_SESSION_TICKETS_ENABLED);
#endif
    if (mbedtls_ssl_conf_max_frag_len(config, FRAGMENT) != 0 ||
        (client->use_identity &&
         mbedtls_ssl_conf_own_cert(config, &identity->chain, &identity->key) != 0) ||
        mbedtls_ssl_setup(&client->ssl, config) != 0 ||
        mbedtls_ssl_set_hostname(&client->ssl, client->of->server_name) != 0) {
        return FL_ERR_IO;
    }
    if (client->has_session && client->session_has_identity == client->use_identity &&
        client->session_generation == identity->generation) {
        (void)mbedtls_ssl_set_session(&client->ssl, &client->session);
    }
    mbedtls_ssl_set_bio(&client->ssl, (void *)&client->of->stream, stream_send, stream_receive,
                        NULL);
    return FL_OK;
}

/* Keeps the session for the next connection. */
static void keep_session(fl_tls_client_t *client) {
    mbedtls_ssl_session session;
    mbedtls_ssl_session_init(&session);
    if (mbedtls_ssl_get_session(&client->ssl, &session) != 0) {
        mbedtls_ssl_session_free(&session);
        return;
    }
    /* A resumed handshake keeps the master secret of the session before. */
    if (client->has_session &&
        memcmp(session.master, client->session.master, sizeof session.master) == 0) {
        client->resumed++;
    }
    mbedtls_ssl_session_free(&client->session);
    client->session = session;
    client->has_session = true;
    client->session_has_identity = client->use_identity;
    client->session_generation = client->of->identity->generation;
}

fl_status_t fl_tls_client_connect(fl_tls_client_t *client, bool use_identity) {
    fl_status_t status = FL_OK;
    client->wants_write = false;
    if (client->state == IDLE) {
        client->use_identity = use_identity;
        status = begin(client);
        client->state = HANDSHAKING;
    }
    if (status == FL_OK) {
        const int result = mbedtls_ssl_handshake(&client->ssl);
        client->wants_write = result == MBEDTLS_ERR_SSL_WANT_WRITE;
        if (result == MBEDTLS_ERR_SSL_WANT_READ || result == MBEDTLS_ERR_SSL_WANT_WRITE) {
            return FL_ERR_AGAIN;
        }
        if (result == 0) {
            keep_session(client);
            client->state = ESTABLISHED;
            return FL_OK;
        }
        const uint32_t flags = mbedtls_ssl_get_verify_result(&client->ssl);
        status = flags != 0 && flags != UINT32_MAX ? FL_ERR_TRUST : FL_ERR_CLOSED;
    }
    fl_tls_client_close(client);
    return status;
}

static fl_status_t status_of(int result, size_t *size) {
    if (result > 0) {
        *size = (size_t)result;
        return FL_OK;
    }
    return result == MBEDTLS_ERR_SSL_WANT_READ || result == MBEDTLS_ERR_SSL_WANT_WRITE
               ? FL_ERR_AGAIN
               : FL_ERR_CLOSED;
}

fl_status_t fl_tls_client_receive(fl_tls_client_t *client, uint8_t *dst, size_t capacity,
                                  size_t *size) {
    return client->state == ESTABLISHED
               ? status_of(mbedtls_ssl_read(&client->ssl, dst, capacity), size)
               : FL_ERR_CLOSED;
}

fl_status_t fl_tls_client_send(fl_tls_client_t *client, const uint8_t *src, size_t size,
                               size_t *sent) {
    if (client->state != ESTABLISHED) {
        return FL_ERR_CLOSED;
    }
    const int result = mbedtls_ssl_write(&client->ssl, src, size);
    client->wants_write = result == MBEDTLS_ERR_SSL_WANT_WRITE;
    return status_of(result, sent);
}

void fl_tls_client_close(fl_tls_client_t *client) {
    if (client->state == ESTABLISHED) {
        (void)mbedtls_ssl_close_notify(&client->ssl);
    } else if (client->state == HANDSHAKING) {
        /* The server ends the connection, also when the stream below cannot. */
        (void)mbedtls_ssl_send_alert_message(&client->ssl, MBEDTLS_SSL_ALERT_LEVEL_FATAL,
                                             MBEDTLS_SSL_ALERT_MSG_USER_CANCELED);
    }
    if (client->state != IDLE) {
        mbedtls_ssl_free(&client->ssl);
        mbedtls_ssl_config_free(&client->config);
    }
    client->wants_write = false;
    client->state = IDLE;
}
