/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "posix_identity.h"

#include <mbedtls/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "posix_file.h"

enum { KEY_PEM_MAX = 512, CERTIFICATE_PEM_MAX = 2048 };

static const char PEM_BEGIN[] = "-----BEGIN CERTIFICATE-----\n";
static const char PEM_END[] = "-----END CERTIFICATE-----\n";

/* Replaces the loaded identity by that of the file. */
static fl_status_t load(fl_posix_identity_t *identity) {
    uint8_t *pem = NULL;
    size_t size = 0;
    FL_RETURN_IF_ERROR(fl_posix_read_file(identity->path, &pem, &size));
    mbedtls_pk_context key;
    mbedtls_x509_crt chain;
    mbedtls_pk_init(&key);
    mbedtls_x509_crt_init(&chain);
    /* mbedTLS wants the zero byte behind PEM text counted. */
    const bool usable = mbedtls_pk_parse_key(&key, pem, size + 1u, NULL, 0) == 0 &&
                        mbedtls_x509_crt_parse(&chain, pem, size + 1u) == 0 &&
                        mbedtls_pk_check_pair(&chain.pk, &key) == 0;
    memset(pem, 0, size);
    free(pem);
    if (!usable) {
        mbedtls_pk_free(&key);
        mbedtls_x509_crt_free(&chain);
        return FL_ERR_CORRUPT;
    }
    fl_mbedtls_identity_set(&identity->loaded, &key, &chain);
    return FL_OK;
}

fl_status_t fl_posix_identity_open(fl_posix_identity_t *identity, const char *directory,
                                   mbedtls_ctr_drbg_context *random) {
    memset(identity, 0, sizeof *identity);
    identity->random = random;
    fl_mbedtls_identity_init(&identity->loaded);
    const int length =
        snprintf(identity->path, sizeof identity->path, "%s/identity.pem", directory);
    const int pending_length = snprintf(identity->pending_path, sizeof identity->pending_path,
                                        "%s/identity.key.new", directory);
    if (length < 0 || (size_t)length >= sizeof identity->path || pending_length < 0 ||
        (size_t)pending_length >= sizeof identity->pending_path) {
        return FL_ERR_IO;
    }
    const fl_status_t status = load(identity);
    return status == FL_ERR_NOT_FOUND ? FL_OK : status;
}

void fl_posix_identity_close(fl_posix_identity_t *identity) {
    fl_mbedtls_identity_free(&identity->loaded);
}

/* Reads the pending key, or makes one. */
static fl_status_t pending_key(fl_posix_identity_t *identity, mbedtls_pk_context *key) {
    uint8_t *pem = NULL;
    size_t size = 0;
    fl_status_t status = fl_posix_read_file(identity->pending_path, &pem, &size);
    if (status == FL_OK) {
        const int parsed = mbedtls_pk_parse_key(key, pem, size + 1u, NULL, 0);
        memset(pem, 0, size);
        free(pem);
        if (parsed == 0) {
            return FL_OK;
        }
        mbedtls_pk_free(key);
        mbedtls_pk_init(key);
    } else if (status != FL_ERR_NOT_FOUND) {
        return status;
    }
    uint8_t text[KEY_PEM_MAX];
    if (fl_mbedtls_make_key(key, identity->random) != FL_OK ||
        mbedtls_pk_write_key_pem(key, text, sizeof text) != 0) {
        return FL_ERR_IO;
    }
    status = fl_posix_write_file(identity->pending_path, text, strlen((const char *)text));
    memset(text, 0, sizeof text);
    return status;
}

fl_status_t fl_posix_identity_request(fl_posix_identity_t *identity, uint8_t *csr, size_t capacity,
                                      size_t *size) {
    mbedtls_pk_context key;
    mbedtls_pk_init(&key);
    fl_status_t status = pending_key(identity, &key);
    if (status == FL_OK) {
        status = fl_mbedtls_request(&key, identity->random, csr, capacity, size);
    }
    mbedtls_pk_free(&key);
    return status;
}

static bool append_certificate(char *pem, size_t capacity, const uint8_t *der, size_t der_size) {
    const size_t used = strlen(pem);
    size_t written = 0;
    return mbedtls_pem_write_buffer(PEM_BEGIN, PEM_END, der, der_size, (unsigned char *)pem + used,
                                    capacity - used, &written) == 0;
}

fl_status_t fl_posix_identity_store(fl_posix_identity_t *identity, const uint8_t *certificate,
                                    size_t certificate_size, const uint8_t *issuer,
                                    size_t issuer_size) {
    mbedtls_pk_context key;
    mbedtls_x509_crt parsed;
    char pem[KEY_PEM_MAX + 2 * CERTIFICATE_PEM_MAX] = {0};
    fl_status_t status = FL_ERR_CORRUPT;
    mbedtls_pk_init(&key);
    mbedtls_x509_crt_init(&parsed);
    if (mbedtls_x509_crt_parse_der(&parsed, certificate, certificate_size) != 0 ||
        (issuer_size > 0 && mbedtls_x509_crt_parse_der(&parsed, issuer, issuer_size) != 0)) {
        goto cleanup;
    }
    status = access(identity->pending_path, R_OK) == 0 ? pending_key(identity, &key) : FL_ERR_TRUST;
    if (status != FL_OK) {
        goto cleanup;
    }
    if (mbedtls_pk_check_pair(&parsed.pk, &key) != 0) {
        status = FL_ERR_TRUST;
        goto cleanup;
    }
    if (mbedtls_pk_write_key_pem(&key, (unsigned char *)pem, sizeof pem) != 0 ||
        !append_certificate(pem, sizeof pem, certificate, certificate_size) ||
        (issuer_size > 0 && !append_certificate(pem, sizeof pem, issuer, issuer_size))) {
        status = FL_ERR_CORRUPT;
        goto cleanup;
    }
    status = fl_posix_write_file(identity->path, pem, strlen(pem));
    if (status == FL_OK) {
        /* Should the power fail before this, the next renewal repeats the key, which is harmless.
         */
        (void)unlink(identity->pending_path);
        status = load(identity);
    }
cleanup:
    memset(pem, 0, sizeof pem);
    mbedtls_pk_free(&key);
    mbedtls_x509_crt_free(&parsed);
    return status;
}
