/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "agent/ports/mbedtls/crypto.h"

#include <mbedtls/ecdsa.h>
#include <mbedtls/sha256.h>

_Static_assert(sizeof(mbedtls_sha256_context) <= sizeof(fl_sha256_t),
               "FIELDLOOP_AGENT_SHA256_BYTES is smaller than mbedTLS needs");

void fl_mbedtls_sha256_start(void *context, fl_sha256_t *hash) {
    mbedtls_sha256_context *state = (mbedtls_sha256_context *)(void *)hash;
    (void)context;
    mbedtls_sha256_init(state);
    (void)mbedtls_sha256_starts_ret(state, 0);
}

void fl_mbedtls_sha256_update(void *context, fl_sha256_t *hash, const void *data, size_t size) {
    (void)context;
    (void)mbedtls_sha256_update_ret((mbedtls_sha256_context *)(void *)hash, data, size);
}

void fl_mbedtls_sha256_finish(void *context, fl_sha256_t *hash, uint8_t digest[32]) {
    (void)context;
    (void)mbedtls_sha256_finish_ret((mbedtls_sha256_context *)(void *)hash, digest);
}

fl_status_t fl_mbedtls_verify(void *context, const uint8_t public_key[65], const uint8_t digest[32],
                              const uint8_t signature[64]) {
    mbedtls_ecp_group group;
    mbedtls_ecp_point point;
    mbedtls_mpi r;
    mbedtls_mpi s;
    (void)context;
    mbedtls_ecp_group_init(&group);
    mbedtls_ecp_point_init(&point);
    mbedtls_mpi_init(&r);
    mbedtls_mpi_init(&s);
    const bool valid = mbedtls_ecp_group_load(&group, MBEDTLS_ECP_DP_SECP256R1) == 0 &&
                       mbedtls_ecp_point_read_binary(&group, &point, public_key, 65) == 0 &&
                       mbedtls_ecp_check_pubkey(&group, &point) == 0 &&
                       mbedtls_mpi_read_binary(&r, signature, 32) == 0 &&
                       mbedtls_mpi_read_binary(&s, signature + 32, 32) == 0 &&
                       mbedtls_ecdsa_verify(&group, digest, 32, &point, &r, &s) == 0;
    mbedtls_ecp_group_free(&group);
    mbedtls_ecp_point_free(&point);
    mbedtls_mpi_free(&r);
    mbedtls_mpi_free(&s);
    return valid ? FL_OK : FL_ERR_TRUST;
}
