/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "agent/ports/cortex_m/cortex_m_identity.h"

#include <mbedtls/ecp.h>
#include <mbedtls/platform_util.h>

/* The private half. FL_ERR_CORRUPT if it is none. */
static fl_status_t read_private(const uint8_t bytes[FL_IDENTITY_KEY_SIZE],
                                mbedtls_pk_context *key) {
    if (mbedtls_pk_setup(key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY)) != 0) {
        return FL_ERR_NO_SPACE;
    }
    mbedtls_ecp_keypair *pair = mbedtls_pk_ec(*key);
    return mbedtls_ecp_group_load(&pair->grp, MBEDTLS_ECP_DP_SECP256R1) == 0 &&
                   mbedtls_mpi_read_binary(&pair->d, bytes, FL_IDENTITY_KEY_SIZE) == 0 &&
                   mbedtls_ecp_check_privkey(&pair->grp, &pair->d) == 0
               ? FL_OK
               : FL_ERR_CORRUPT;
}

/* Makes what is stored the identity in use. That key and certificate belong together was found
 * before they were stored; the public half is taken from the certificate, which saves a
 * multiplication. */
static fl_status_t use_stored(fl_cortex_m_identity_t *identity) {
    const fl_identity_store_t *store = &identity->store;
    mbedtls_pk_context key;
    mbedtls_x509_crt chain;
    if (store->key == NULL) {
        return FL_OK;
    }
    mbedtls_pk_init(&key);
    mbedtls_x509_crt_init(&chain);
    fl_status_t status = read_private(store->key, &key);
    if (status == FL_OK &&
        (mbedtls_x509_crt_parse_der_nocopy(&chain, store->certificate, store->certificate_size) !=
             0 ||
         (store->issuer_size > 0 &&
          mbedtls_x509_crt_parse_der_nocopy(&chain, store->issuer, store->issuer_size) != 0) ||
         !mbedtls_pk_can_do(&chain.pk, MBEDTLS_PK_ECKEY) ||
         mbedtls_ecp_copy(&mbedtls_pk_ec(key)->Q, &mbedtls_pk_ec(chain.pk)->Q) != 0)) {
        status = FL_ERR_CORRUPT;
    }
    if (status == FL_OK) {
        fl_mbedtls_identity_set(&identity->loaded, &key, &chain);
    } else {
        mbedtls_pk_free(&key);
        mbedtls_x509_crt_free(&chain);
    }
    return status;
}

fl_status_t fl_cortex_m_identity_open(fl_cortex_m_identity_t *identity, const fl_flash_t *flash,
                                      mbedtls_ctr_drbg_context *random) {
    identity->random = random;
    fl_mbedtls_identity_init(&identity->loaded);
    FL_RETURN_IF_ERROR(fl_identity_store_open(&identity->store, flash));
    return use_stored(identity);
}

/* Makes a key, and keeps it. */
static fl_status_t make_pending(fl_cortex_m_identity_t *identity, mbedtls_pk_context *key) {
    uint8_t bytes[FL_IDENTITY_KEY_SIZE];
    FL_RETURN_IF_ERROR(fl_mbedtls_make_key(key, identity->random));
    const fl_status_t status =
        mbedtls_mpi_write_binary(&mbedtls_pk_ec(*key)->d, bytes, sizeof bytes) == 0
            ? fl_identity_store_set_pending(&identity->store, bytes)
            : FL_ERR_IO;
    mbedtls_platform_zeroize(bytes, sizeof bytes);
    return status;
}

static fl_status_t read_pending(fl_cortex_m_identity_t *identity, mbedtls_pk_context *key) {
    uint8_t bytes[FL_IDENTITY_KEY_SIZE];
    fl_status_t status = fl_identity_store_pending(&identity->store, bytes);
    if (status == FL_OK) {
        status = read_private(bytes, key);
    }
    mbedtls_platform_zeroize(bytes, sizeof bytes);
    if (status == FL_OK) {
        mbedtls_ecp_keypair *pair = mbedtls_pk_ec(*key);
        if (mbedtls_ecp_mul(&pair->grp, &pair->Q, &pair->d, &pair->grp.G, mbedtls_ctr_drbg_random,
                            identity->random) != 0) {
            status = FL_ERR_NO_SPACE;
        }
    }
    return status;
}

fl_status_t fl_cortex_m_identity_request(fl_cortex_m_identity_t *identity, uint8_t *csr,
                                         size_t capacity, size_t *size) {
    mbedtls_pk_context key;
    mbedtls_pk_init(&key);
    fl_status_t status = read_pending(identity, &key);
    if (status == FL_ERR_NOT_FOUND) {
        status = make_pending(identity, &key);
    }
    if (status == FL_OK) {
        status = fl_mbedtls_request(&key, identity->random, csr, capacity, size);
    }
    mbedtls_pk_free(&key);
    return status;
}

/* FL_ERR_TRUST unless the certificate is for the pending key. */
static fl_status_t check_certificate(fl_cortex_m_identity_t *identity, const uint8_t *certificate,
                                     size_t certificate_size, const uint8_t *issuer,
                                     size_t issuer_size) {
    mbedtls_pk_context key;
    mbedtls_x509_crt chain;
    mbedtls_pk_init(&key);
    mbedtls_x509_crt_init(&chain);
    fl_status_t status = FL_ERR_CORRUPT;
    if (mbedtls_x509_crt_parse_der_nocopy(&chain, certificate, certificate_size) == 0 &&
        (issuer_size == 0 || mbedtls_x509_crt_parse_der_nocopy(&chain, issuer, issuer_size) == 0)) {
        status = read_pending(identity, &key);
        if (status == FL_ERR_NOT_FOUND ||
            (status == FL_OK && mbedtls_pk_check_pair(&chain.pk, &key) != 0)) {
            status = FL_ERR_TRUST;
        }
    }
    mbedtls_pk_free(&key);
    mbedtls_x509_crt_free(&chain);
    return status;
}

fl_status_t fl_cortex_m_identity_store(fl_cortex_m_identity_t *identity, const uint8_t *certificate,
                                       size_t certificate_size, const uint8_t *issuer,
                                       size_t issuer_size) {
    FL_RETURN_IF_ERROR(
        check_certificate(identity, certificate, certificate_size, issuer, issuer_size));
    /* The certificates in use lie in the store, which changes now. */
    fl_mbedtls_identity_free(&identity->loaded);
    const fl_status_t stored = fl_identity_store_commit(&identity->store, certificate,
                                                        certificate_size, issuer, issuer_size);
    const fl_status_t used = use_stored(identity);
    return stored != FL_OK ? stored : used;
}
