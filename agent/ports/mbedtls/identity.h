/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/**
 * @file
 * @brief A device's key and certificate in memory, and requests for them, by mbedTLS 2.28. Where
 * they are kept is the port's.
 */
#ifndef FIELDLOOP_AGENT_PORTS_MBEDTLS_IDENTITY_H
#define FIELDLOOP_AGENT_PORTS_MBEDTLS_IDENTITY_H

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/pk.h>
#include <mbedtls/x509_crt.h>

#include "fieldloop_agent/port.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fl_mbedtls_identity {
    bool loaded;
    uint32_t generation; /* Counts changes of the identity. */
    mbedtls_pk_context key;
    mbedtls_x509_crt chain; /* The certificate, then its issuer. */
} fl_mbedtls_identity_t;

void fl_mbedtls_identity_init(fl_mbedtls_identity_t *identity);
void fl_mbedtls_identity_free(fl_mbedtls_identity_t *identity);

/** Replaces key and chain; takes both over. */
void fl_mbedtls_identity_set(fl_mbedtls_identity_t *identity, const mbedtls_pk_context *key,
                             const mbedtls_x509_crt *chain);

/** See fl_port_t.identity. */
fl_status_t fl_mbedtls_identity_get(const fl_mbedtls_identity_t *identity, fl_identity_t *out);

/** Makes a key on P-256 in @p key, which is initialised. FL_OK or FL_ERR_IO. */
fl_status_t fl_mbedtls_make_key(mbedtls_pk_context *key, mbedtls_ctr_drbg_context *random);

/** Writes a PKCS#10 request (DER) for @p key. FL_OK or FL_ERR_NO_SPACE. */
fl_status_t fl_mbedtls_request(mbedtls_pk_context *key, mbedtls_ctr_drbg_context *random,
                               uint8_t *csr, size_t capacity, size_t *size);

#ifdef __cplusplus
}
#endif

#endif
