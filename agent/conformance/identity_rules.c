/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <string.h>

#include "rules.h"
#include "vectors.h"

enum { CSR_MAX = 512, POINT = 65 };

static const char DEVICE_ID[] = "conformance-device";

/* A run of DER bytes. */
typedef struct der {
    const uint8_t *data;
    size_t size;
} der_t;

/* Takes one element off: its content, and the whole of it with tag and length. */
static bool take(der_t *from, uint8_t tag, der_t *content, der_t *whole) {
    size_t header = 2;
    if (from->size < 2 || from->data[0] != tag) {
        return false;
    }
    size_t size = from->data[1];
    if (size > 0x80) {
        const size_t bytes = size & 0x7fu;
        if (bytes > 2 || from->size < 2u + bytes) {
            return false;
        }
        size = 0;
        for (size_t i = 0; i < bytes; i++) {
            size = size << 8 | from->data[2u + i];
        }
        header += bytes;
    }
    if (from->size < header || size > from->size - header) {
        return false;
    }
    *content = (der_t){from->data + header, size};
    *whole = (der_t){from->data, header + size};
    from->data += header + size;
    from->size -= header + size;
    return true;
}

/* An INTEGER as 32 bytes, big endian. */
static bool take_scalar(der_t *from, uint8_t out[32]) {
    der_t number;
    der_t whole;
    if (!take(from, 0x02, &number, &whole)) {
        return false;
    }
    while (number.size > 0 && number.data[0] == 0) {
        number.data++;
        number.size--;
    }
    if (number.size > 32) {
        return false;
    }
    memset(out, 0, 32);
    memcpy(out + 32 - number.size, number.data, number.size);
    return true;
}

/* The public key of a request: what follows id-ecPublicKey, prime256v1. */
static bool find_point(const uint8_t *csr, size_t size, uint8_t point[POINT]) {
    static const uint8_t KEY[] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
                                  0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
                                  0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00};
    for (size_t i = 0; i + sizeof KEY + POINT <= size; i++) {
        if (memcmp(csr + i, KEY, sizeof KEY) == 0) {
            memcpy(point, csr + i + sizeof KEY, POINT);
            return point[0] == 4;
        }
    }
    return false;
}

/* Whether the request is signed by the key that it names. */
static bool proves_possession(fl_rules_t *rules, const uint8_t *csr, size_t size,
                              const uint8_t point[POINT]) {
    const fl_port_t *port = rules->port;
    der_t rest = {csr, size};
    der_t content;
    der_t whole;
    der_t info;
    uint8_t digest[32];
    uint8_t signature[64];
    fl_sha256_t hash;
    if (!take(&rest, 0x30, &content, &whole) || rest.size != 0) {
        return fl_rules_note(rules, "it is no DER sequence of bytes:", size);
    }
    rest = content;
    if (!take(&rest, 0x30, &content, &info) || !take(&rest, 0x30, &content, &whole) ||
        !take(&rest, 0x03, &content, &whole) || content.size < 1 || content.data[0] != 0) {
        return fl_rules_note(rules, "it has no signature, bytes:", size);
    }
    rest = (der_t){content.data + 1, content.size - 1u};
    if (!take(&rest, 0x30, &content, &whole) || !take_scalar(&content, signature) ||
        !take_scalar(&content, signature + 32)) {
        return fl_rules_note(rules, "its signature is not r and s, bytes:", size);
    }
    port->sha256_start(port->context, &hash);
    port->sha256_update(port->context, &hash, info.data, info.size);
    port->sha256_finish(port->context, &hash, digest);
    return fl_rules_status(rules, port->verify(port->context, point, digest, signature), FL_OK);
}

static bool request(fl_rules_t *rules, uint8_t csr[CSR_MAX], size_t *size, uint8_t point[POINT]) {
    const fl_port_t *port = rules->port;
    *size = 0;
    if (!fl_rules_status(rules, port->identity_request(port->context, csr, CSR_MAX, size), FL_OK)) {
        return false;
    }
    if (*size == 0 || *size > CSR_MAX || !find_point(csr, *size, point)) {
        return fl_rules_note(rules, "it has no key on P-256, bytes:", *size);
    }
    return true;
}

static bool requests_key(fl_rules_t *rules, const uint8_t point[POINT]) {
    uint8_t csr[CSR_MAX];
    uint8_t again[POINT];
    size_t size;
    return request(rules, csr, &size, again) && memcmp(again, point, POINT) == 0;
}

static bool refuses_small_buffer(fl_rules_t *rules) {
    const fl_port_t *port = rules->port;
    uint8_t csr[CSR_MAX];
    size_t size = 0;
    memset(csr, 0xa5, sizeof csr);
    if (port->identity_request(port->context, csr, 32, &size) == FL_OK) {
        return fl_rules_note(rules, "a request fits in bytes:", 32);
    }
    return fl_rules_all_are(csr + 32, sizeof csr - 32u, 0xa5) ||
           fl_rules_note(rules, "wrote behind bytes:", 32);
}

static fl_status_t store(fl_rules_t *rules, const uint8_t *certificate, size_t size) {
    const fl_port_t *port = rules->port;
    return port->identity_store(port->context, certificate, size, certificate, size);
}

/* The identity as before, whatever that was. */
static bool identity_is(fl_rules_t *rules, fl_status_t status, const fl_identity_t *before) {
    fl_identity_t now = {0};
    return fl_rules_status(rules, rules->port->identity(rules->port->context, &now), status) &&
           (status != FL_OK || (strcmp(now.device_id, before->device_id) == 0 &&
                                now.not_after_ms == before->not_after_ms));
}

static void try_foreign(fl_rules_t *rules, const uint8_t point[POINT]) {
    static const uint8_t GARBAGE[] = "this is no certificate";
    fl_identity_t before = {0};
    const fl_status_t status = rules->port->identity(rules->port->context, &before);
    fl_rules_check(
        rules,
        fl_rules_status(rules,
                        store(rules, fl_vector_foreign_certificate, FL_VECTOR_FOREIGN_CERTIFICATE),
                        FL_ERR_TRUST),
        "a certificate for another key is refused");
    fl_rules_check(rules,
                   fl_rules_status(rules, store(rules, GARBAGE, sizeof GARBAGE), FL_ERR_CORRUPT),
                   "what is no certificate is refused");
    fl_rules_check(rules, identity_is(rules, status, &before) && requests_key(rules, point),
                   "a refused certificate changes neither the identity nor the pending key");
}

static bool is_device(fl_rules_t *rules) {
    fl_identity_t identity = {0};
    if (!fl_rules_status(rules, rules->port->identity(rules->port->context, &identity), FL_OK)) {
        return false;
    }
    return strcmp(identity.device_id, DEVICE_ID) == 0 &&
           identity.not_before_ms < identity.not_after_ms;
}

static void try_certificate(fl_rules_t *rules, const uint8_t *csr, size_t size,
                            const uint8_t point[POINT]) {
    static const char SURVIVES[] = "the new identity survives a reset";
    const fl_conformance_t *conformance = rules->conformance;
    fl_conformance_certificate_t given = {.certificate_size = 0};
    if (!conformance->issue(conformance->context, csr, size, DEVICE_ID, &given)) {
        fl_rules_check(rules, false, "the request is one that an authority answers");
        return;
    }
    fl_rules_check(rules,
                   fl_rules_status(rules,
                                   rules->port->identity_store(
                                       rules->port->context, given.certificate,
                                       given.certificate_size, given.issuer, given.issuer_size),
                                   FL_OK) &&
                       is_device(rules),
                   "a certificate for the pending key becomes the identity");
    if (conformance->reopen == NULL) {
        fl_rules_untried(rules, SURVIVES);
    } else if (fl_rules_reopen(rules)) {
        fl_rules_check(rules, is_device(rules), SURVIVES);
    } else {
        return;
    }
    uint8_t next_csr[CSR_MAX];
    uint8_t next[POINT];
    fl_rules_check(rules, request(rules, next_csr, &size, next) && memcmp(next, point, POINT) != 0,
                   "a request after that is for a new key");
    fl_rules_check(rules,
                   fl_rules_status(rules, store(rules, given.certificate, given.certificate_size),
                                   FL_ERR_TRUST) &&
                       is_device(rules),
                   "the certificate of the key before is then refused");
}

void fl_rules_identity(fl_rules_t *rules) {
    static const char SURVIVES[] = "the pending key survives a reset";
    uint8_t csr[CSR_MAX];
    uint8_t point[POINT];
    size_t size = 0;
    fl_identity_t identity = {0};
    const fl_status_t status = rules->port->identity(rules->port->context, &identity);
    fl_rules_check(rules,
                   (status == FL_ERR_NOT_FOUND || fl_rules_status(rules, status, FL_OK)) &&
                       memchr(identity.device_id, '\0', sizeof identity.device_id) != NULL,
                   "there is an identity, or none is found");
    const bool requested = request(rules, csr, &size, point);
    fl_rules_check(rules, requested, "a request has a key on P-256 and fits in 512 bytes");
    if (!requested) {
        return;
    }
    fl_rules_check(rules, proves_possession(rules, csr, size, point),
                   "a request is signed by its key");
    fl_rules_check(rules, requests_key(rules, point), "a repeated request has the same key");
    fl_rules_check(rules, refuses_small_buffer(rules), "a request keeps to its buffer");
    if (rules->conformance->reopen == NULL) {
        fl_rules_untried(rules, SURVIVES);
    } else if (fl_rules_reopen(rules)) {
        fl_rules_check(rules, requests_key(rules, point), SURVIVES);
    } else {
        return;
    }
    try_foreign(rules, point);
    if (rules->conformance->issue == NULL) {
        fl_rules_untried(rules, "a certificate for the pending key becomes the identity");
    } else {
        try_certificate(rules, csr, size, point);
    }
}
