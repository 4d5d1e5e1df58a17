/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/**
 * @file
 * @brief SHA-256 and signatures of fl_port_t by mbedTLS 2.28.
 */
#ifndef FIELDLOOP_AGENT_PORTS_MBEDTLS_CRYPTO_H
#define FIELDLOOP_AGENT_PORTS_MBEDTLS_CRYPTO_H

#include "fieldloop_agent/port.h"

#ifdef __cplusplus
extern "C" {
#endif

/** See the functions of fl_port_t of the same names; the context is not used. */
void fl_mbedtls_sha256_start(void *context, fl_sha256_t *hash);
void fl_mbedtls_sha256_update(void *context, fl_sha256_t *hash, const void *data, size_t size);
void fl_mbedtls_sha256_finish(void *context, fl_sha256_t *hash, uint8_t digest[32]);
fl_status_t fl_mbedtls_verify(void *context, const uint8_t public_key[65], const uint8_t digest[32],
                              const uint8_t signature[64]);

#ifdef __cplusplus
}
#endif

#endif
