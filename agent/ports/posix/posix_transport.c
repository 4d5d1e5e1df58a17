/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "posix_transport.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <mbedtls/net_sockets.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { IDLE = 0, TCP_CONNECTING, HANDSHAKING, ESTABLISHED };

static const int CIPHERSUITES[] = {MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
                                   MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
                                   MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, 0};
static const mbedtls_ecp_group_id CURVES[] = {MBEDTLS_ECP_DP_SECP256R1, MBEDTLS_ECP_DP_NONE};

/* Reads an IP address in text. Returns its size in bytes, 0 if it is a name. */
static size_t parse_address(const char *text, uint8_t address[16]) {
    if (inet_pton(AF_INET, text, address) == 1) {
        return 4;
    }
    return inet_pton(AF_INET6, text, address) == 1 ? 16 : 0;
}

/* mbedTLS 2.28 compares DNS names only; an address must be in the certificate as an address. */
static int verify_address(void *context, mbedtls_x509_crt *certificate, int depth,
                          uint32_t *flags) {
    const fl_posix_transport_t *transport = context;
    const int ip_address = MBEDTLS_ASN1_CONTEXT_SPECIFIC | 7;
    uint8_t address[16];
    const size_t size = parse_address(transport->server_name, address);
    if (depth != 0 || size == 0) {
        return 0;
    }
    for (const mbedtls_x509_sequence *name = &certificate->subject_alt_names; name != NULL;
         name = name->next) {
        if (name->buf.tag == ip_address && name->buf.len == size &&
            memcmp(name->buf.p, address, size) == 0) {
            return 0;
        }
    }
    *flags |= MBEDTLS_X509_BADCERT_CN_MISMATCH;
    return 0;
}

static int bio_send(void *context, const unsigned char *src, size_t size) {
    fl_posix_transport_t *transport = context;
    const ssize_t sent = send(transport->socket, src, size, MSG_NOSIGNAL);
    if (sent >= 0) {
        return (int)sent;
    }
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? MBEDTLS_ERR_SSL_WANT_WRITE
                                                                     : MBEDTLS_ERR_NET_SEND_FAILED;
}

static int bio_receive(void *context, unsigned char *dst, size_t size) {
    fl_posix_transport_t *transport = context;
    const ssize_t received = recv(transport->socket, dst, size, 0);
    if (received >= 0) {
        return (int)received;
    }
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? MBEDTLS_ERR_SSL_WANT_READ
                                                                     : MBEDTLS_ERR_NET_RECV_FAILED;
}

fl_status_t fl_posix_transport_open(fl_posix_transport_t *transport, const char *host,
                                    const char *port, const char *server_name,
                                    const uint8_t *authorities_pem, size_t authorities_size,
                                    fl_posix_identity_t *identity,
                                    mbedtls_ctr_drbg_context *random) {
    memset(transport, 0, sizeof *transport);
    transport->host = host;
    transport->port = port;
    transport->server_name = server_name;
    transport->identity = identity;
    transport->random = random;
    transport->socket = -1;
    mbedtls_x509_crt_init(&transport->authorities);
    mbedtls_ssl_session_init(&transport->session);
    /* mbedTLS wants the zero byte behind PEM text counted. */
    return mbedtls_x509_crt_parse(&transport->authorities, authorities_pem,
                                  authorities_size + 1u) == 0
               ? FL_OK
               : FL_ERR_CORRUPT;
}

void fl_posix_transport_free(fl_posix_transport_t *transport) {
    fl_posix_transport_close(transport);
    mbedtls_x509_crt_free(&transport->authorities);
    mbedtls_ssl_session_free(&transport->session);
}

static fl_status_t tcp_begin(fl_posix_transport_t *transport) {
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    if (getaddrinfo(transport->host, transport->port, &hints, &found) != 0) {
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

static fl_status_t tls_begin(fl_posix_transport_t *transport) {
    mbedtls_ssl_config *config = &transport->config;
    fl_posix_identity_t *identity = transport->identity;
    uint8_t address[16];
    const bool is_address = parse_address(transport->server_name, address) != 0;
    mbedtls_ssl_config_init(config);
    mbedtls_ssl_init(&transport->ssl);
    if (mbedtls_ssl_config_defaults(config, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM,
                                    MBEDTLS_SSL_PRESET_DEFAULT) != 0) {
        return FL_ERR_IO;
    }
    mbedtls_ssl_conf_rng(config, mbedtls_ctr_drbg_random, transport->random);
    mbedtls_ssl_conf_authmode(config, MBEDTLS_SSL_VERIFY_REQUIRED);
    mbedtls_ssl_conf_ca_chain(config, &transport->authorities, NULL);
    mbedtls_ssl_conf_min_version(config, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
    mbedtls_ssl_conf_ciphersuites(config, CIPHERSUITES);
    mbedtls_ssl_conf_curves(config, CURVES);
    mbedtls_ssl_conf_session_tickets(config, MBEDTLS_SSL_SESSION_TICKETS_ENABLED);
    mbedtls_ssl_conf_verify(config, verify_address, transport);
    if (transport->use_identity &&
        mbedtls_ssl_conf_own_cert(config, &identity->chain, &identity->key) != 0) {
        return FL_ERR_IO;
    }
    if (mbedtls_ssl_setup(&transport->ssl, config) != 0 ||
        mbedtls_ssl_set_hostname(&transport->ssl, is_address ? NULL : transport->server_name) !=
            0) {
        return FL_ERR_IO;
    }
    if (transport->has_session && transport->session_has_identity == transport->use_identity &&
        transport->session_generation == identity->generation) {
        (void)mbedtls_ssl_set_session(&transport->ssl, &transport->session);
    }
    mbedtls_ssl_set_bio(&transport->ssl, transport, bio_send, bio_receive, NULL);
    return FL_OK;
}

/* Keeps the session for the next connection. */
static void keep_session(fl_posix_transport_t *transport) {
    mbedtls_ssl_session session;
    mbedtls_ssl_session_init(&session);
    if (mbedtls_ssl_get_session(&transport->ssl, &session) != 0) {
        mbedtls_ssl_session_free(&session);
        return;
    }
    /* A resumed handshake keeps the master secret of the session before. */
    if (transport->has_session &&
        memcmp(session.master, transport->session.master, sizeof session.master) == 0) {
        transport->resumed++;
    }
    mbedtls_ssl_session_free(&transport->session);
    transport->session = session;
    transport->has_session = true;
    transport->session_has_identity = transport->use_identity;
    transport->session_generation = transport->identity->generation;
}

static fl_status_t tls_continue(fl_posix_transport_t *transport) {
    const int result = mbedtls_ssl_handshake(&transport->ssl);
    transport->wants_write = result == MBEDTLS_ERR_SSL_WANT_WRITE;
    if (result == MBEDTLS_ERR_SSL_WANT_READ || result == MBEDTLS_ERR_SSL_WANT_WRITE) {
        return FL_ERR_AGAIN;
    }
    if (result != 0) {
        const uint32_t flags = mbedtls_ssl_get_verify_result(&transport->ssl);
        return flags != 0 && flags != UINT32_MAX ? FL_ERR_TRUST : FL_ERR_CLOSED;
    }
    keep_session(transport);
    return FL_OK;
}

fl_status_t fl_posix_transport_connect(fl_posix_transport_t *transport, bool use_identity) {
    fl_status_t status = FL_OK;
    transport->wants_write = false;
    if (transport->state == IDLE) {
        transport->use_identity = use_identity;
        status = tcp_begin(transport);
        transport->state = TCP_CONNECTING;
    }
    if (status == FL_OK && transport->state == TCP_CONNECTING) {
        status = tcp_continue(transport);
        if (status == FL_OK) {
            status = tls_begin(transport);
            transport->state = HANDSHAKING;
        }
    }
    if (status == FL_OK && transport->state == HANDSHAKING) {
        status = tls_continue(transport);
        if (status == FL_OK) {
            transport->state = ESTABLISHED;
        }
    }
    if (status != FL_OK && status != FL_ERR_AGAIN) {
        fl_posix_transport_close(transport);
    }
    return status;
}

fl_status_t fl_posix_transport_receive(fl_posix_transport_t *transport, uint8_t *dst,
                                       size_t capacity, size_t *size) {
    if (transport->state != ESTABLISHED) {
        return FL_ERR_CLOSED;
    }
    const int result = mbedtls_ssl_read(&transport->ssl, dst, capacity);
    if (result > 0) {
        *size = (size_t)result;
        return FL_OK;
    }
    if (result == MBEDTLS_ERR_SSL_WANT_READ || result == MBEDTLS_ERR_SSL_WANT_WRITE) {
        return FL_ERR_AGAIN;
    }
    return FL_ERR_CLOSED;
}

fl_status_t fl_posix_transport_send(fl_posix_transport_t *transport, const uint8_t *src,
                                    size_t size, size_t *sent) {
    if (transport->state != ESTABLISHED) {
        return FL_ERR_CLOSED;
    }
    const int result = mbedtls_ssl_write(&transport->ssl, src, size);
    transport->wants_write = result == MBEDTLS_ERR_SSL_WANT_WRITE;
    if (result > 0) {
        *sent = (size_t)result;
        return FL_OK;
    }
    if (result == MBEDTLS_ERR_SSL_WANT_READ || result == MBEDTLS_ERR_SSL_WANT_WRITE) {
        return FL_ERR_AGAIN;
    }
    return FL_ERR_CLOSED;
}

void fl_posix_transport_close(fl_posix_transport_t *transport) {
    if (transport->state == ESTABLISHED) {
        (void)mbedtls_ssl_close_notify(&transport->ssl);
    }
    if (transport->state == HANDSHAKING || transport->state == ESTABLISHED) {
        mbedtls_ssl_free(&transport->ssl);
        mbedtls_ssl_config_free(&transport->config);
    }
    if (transport->socket >= 0) {
        (void)close(transport->socket);
        transport->socket = -1;
    }
    transport->wants_write = false;
    transport->state = IDLE;
}
