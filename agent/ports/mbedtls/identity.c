/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "agent/ports/mbedtls/identity.h"

#include <mbedtls/asn1.h>
#include <mbedtls/ecp.h>
#include <mbedtls/oid.h>
#include <mbedtls/x509_csr.h>
#include <string.h>

/* The provisioning service names the device; the subject of the request says nothing. */
static const char CSR_SUBJECT[] = "CN=fieldloop-device";

void fl_mbedtls_identity_init(fl_mbedtls_identity_t *identity) {
    memset(identity, 0, sizeof *identity);
    mbedtls_pk_init(&identity->key);
    mbedtls_x509_crt_init(&identity->chain);
}

void fl_mbedtls_identity_free(fl_mbedtls_identity_t *identity) {
    mbedtls_pk_free(&identity->key);
    mbedtls_x509_crt_free(&identity->chain);
    identity->loaded = false;
}

void fl_mbedtls_identity_set(fl_mbedtls_identity_t *identity, const mbedtls_pk_context *key,
                             const mbedtls_x509_crt *chain) {
    fl_mbedtls_identity_free(identity);
    identity->key = *key;
    identity->chain = *chain;
    identity->loaded = true;
    identity->generation++;
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

fl_status_t fl_mbedtls_identity_get(const fl_mbedtls_identity_t *identity, fl_identity_t *out) {
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

fl_status_t fl_mbedtls_make_key(mbedtls_pk_context *key, mbedtls_ctr_drbg_context *random) {
    return mbedtls_pk_setup(key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY)) == 0 &&
                   mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(*key),
                                       mbedtls_ctr_drbg_random, random) == 0
               ? FL_OK
               : FL_ERR_IO;
}

fl_status_t fl_mbedtls_request(mbedtls_pk_context *key, mbedtls_ctr_drbg_context *random,
                               uint8_t *csr, size_t capacity, size_t *size) {
    mbedtls_x509write_csr request;
    mbedtls_x509write_csr_init(&request);
    mbedtls_x509write_csr_set_key(&request, key);
    mbedtls_x509write_csr_set_md_alg(&request, MBEDTLS_MD_SHA256);
    int length = mbedtls_x509write_csr_set_subject_name(&request, CSR_SUBJECT);
    if (length == 0) {
        /* Written at the end of the buffer. */
        length =
            mbedtls_x509write_csr_der(&request, csr, capacity, mbedtls_ctr_drbg_random, random);
    }
    mbedtls_x509write_csr_free(&request);
    if (length <= 0) {
        return FL_ERR_NO_SPACE;
    }
    *size = (size_t)length;
    memmove(csr, csr + capacity - *size, *size);
    return FL_OK;
}
