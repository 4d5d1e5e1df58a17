/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/* Published vectors: SHA-256 of FIPS 180-2, appendix B, and of the empty message; ECDSA over P-256
 * of RFC 6979, appendix A.2.5. And a certificate of a key that nobody has. */
#ifndef FIELDLOOP_AGENT_CONFORMANCE_VECTORS_H
#define FIELDLOOP_AGENT_CONFORMANCE_VECTORS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { FL_VECTOR_SIGNATURES = 2, FL_VECTOR_DIGESTS = 3, FL_VECTOR_FOREIGN_CERTIFICATE = 275 };

typedef struct fl_digest_vector {
    const char *message;
    uint8_t digest[32];
} fl_digest_vector_t;

/* Of the SHA-256 of the message. */
typedef struct fl_signature_vector {
    const char *message;
    uint8_t signature[64];
} fl_signature_vector_t;

extern const fl_digest_vector_t fl_vector_digests[FL_VECTOR_DIGESTS];
extern const uint8_t fl_vector_million_a[32];
extern const uint8_t fl_vector_public_key[65];
extern const fl_signature_vector_t fl_vector_signatures[FL_VECTOR_SIGNATURES];
extern const uint8_t fl_vector_order[32]; /* Of the group of P-256. */
extern const uint8_t fl_vector_foreign_certificate[FL_VECTOR_FOREIGN_CERTIFICATE]; /* DER. */

#ifdef __cplusplus
}
#endif

#endif
