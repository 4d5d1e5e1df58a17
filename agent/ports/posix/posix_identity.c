/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "posix_identity.h"

#include <mbedtls/asn1.h>
#include <mbedtls/ecp.h>
#include <mbedtls/oid.h>
#include <mbedtls/pem.h>
#include <mbedtls/x509_csr.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "posix_file.h"

enum { KEY_PEM_MAX = 512, CERTIFICATE_PEM_MAX = 2048 };

static const char PEM_BEGIN[] = "-----BEGIN CERTIFICATE-----\n";
static const char PEM_END[] = "-----END CERTIFICATE-----\n";

/* The provisioning service names the device; the subject of the request says nothing. */
static const char CSR_SUBJECT[] = "CN=fieldloop-device";

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
    mbedtls_pk_free(&identity->key);
    mbedtls_x509_crt_free(&identity->chain);
    identity->key = key;
    identity->chain = chain;
    identity->loaded = true;
    identity->generation++;
    return FL_OK;
}

fl_status_t fl_posix_identity_open(fl_posix_identity_t *identity, const char *directory,
                                   mbedtls_ctr_drbg_context *random) {
    memset(identity, 0, sizeof *identity);
    identity->random = random;
    mbedtls_pk_init(&identity->key);
    mbedtls_x509_crt_init(&identity->chain);
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
    mbedtls_pk_free(&identity->key);
    mbedtls_x509_crt_free(&identity->chain);
    identity->loaded = false;
}

/* Days since 1970-01-01 of a date of the Gregorian calendar: years are counted from March, so that
 * the leap day is the last of its year. */
static int64_t days_from_date(int year, int month, int day) {
    const int64_t shifted_year = month <= 2 ? year - 1 : year;
    const int64_t shifted_month = month <= 2 ? month + 9 : month - 3;
    return shifted_year * 365 + shifted_year / 4 - shifted_year / 100 + shifted_year / 400 +
           (shifted_month * 153 + 2) / 5 + day - 1 - 719468;
}

static uint64_t unix_ms(const mbedtls_x509_time *time) {
    const int64_t days = days_from_date(time->year, time->mon, time->day);
    const int64_t seconds = ((days * 24 + time->hour) * 60 + time->min) * 60 + time->sec;
    return seconds < 0 ? 0 : (uint64_t)seconds * 1000u;
}

fl_status_t fl_posix_identity_get(const fl_posix_identity_t *identity, fl_identity_t *out) {
    if (!identity->loaded) {
        return FL_ERR_NOT_FOUND;
    }
    const mbedtls_asn1_named_data *name =
        mbedtls_asn1_find_named_data((mbedtls_asn1_named_data *)&identity->chain.subject,
                                     MBEDTLS_OID_AT_CN, MBEDTLS_OID_SIZE(MBEDTLS_OID_AT_CN));
    if (name == NULL || name->val.len == 0 || name->val.len >= sizeof out->device_id) {
        return FL_ERR_CORRUPT;
    }
    memset(out, 0, sizeof *out);
    memcpy(out->device_id, name->val.p, name->val.len);
    out->not_before_ms = unix_ms(&identity->chain.valid_from);
    out->not_after_ms = unix_ms(&identity->chain.valid_to);
    return FL_OK;
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
    if (mbedtls_pk_setup(key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY)) != 0 ||
        mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(*key), mbedtls_ctr_drbg_random,
                            identity->random) != 0 ||
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
    mbedtls_x509write_csr request;
    mbedtls_pk_init(&key);
    mbedtls_x509write_csr_init(&request);
    fl_status_t status = pending_key(identity, &key);
    if (status == FL_OK) {
        mbedtls_x509write_csr_set_key(&request, &key);
        mbedtls_x509write_csr_set_md_alg(&request, MBEDTLS_MD_SHA256);
        int length = mbedtls_x509write_csr_set_subject_name(&request, CSR_SUBJECT);
        if (length == 0) {
            /* Written at the end of the buffer. */
            length = mbedtls_x509write_csr_der(&request, csr, capacity, mbedtls_ctr_drbg_random,
                                               identity->random);
        }
        if (length > 0) {
            *size = (size_t)length;
            memmove(csr, csr + capacity - *size, *size);
        } else {
            status = FL_ERR_NO_SPACE;
        }
    }
    mbedtls_x509write_csr_free(&request);
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
