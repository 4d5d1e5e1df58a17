/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/**
 * @file
 * @brief The device's key and certificate in files of mode 0600.
 *
 * identity.pem holds the key, the certificate and its issuer, and is replaced whole;
 * identity.key.new holds the key of a request that was not answered yet.
 */
#ifndef FIELDLOOP_AGENT_PORTS_POSIX_POSIX_IDENTITY_H
#define FIELDLOOP_AGENT_PORTS_POSIX_POSIX_IDENTITY_H

#include <limits.h>
#include "agent/ports/mbedtls/identity.h"
#include "fieldloop_agent/port.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fl_posix_identity {
    char path[PATH_MAX];
    char pending_path[PATH_MAX];
    mbedtls_ctr_drbg_context *random; /* The caller's. */
    fl_mbedtls_identity_t loaded;
} fl_posix_identity_t;

/** Loads the identity of the directory, if there is one. FL_OK; FL_ERR_CORRUPT; FL_ERR_IO. */
fl_status_t fl_posix_identity_open(fl_posix_identity_t *identity, const char *directory,
                                   mbedtls_ctr_drbg_context *random);
void fl_posix_identity_close(fl_posix_identity_t *identity);

/** See fl_port_t.identity_request and identity_store. */
fl_status_t fl_posix_identity_request(fl_posix_identity_t *identity, uint8_t *csr, size_t capacity,
                                      size_t *size);
fl_status_t fl_posix_identity_store(fl_posix_identity_t *identity, const uint8_t *certificate,
                                    size_t certificate_size, const uint8_t *issuer,
                                    size_t issuer_size);

#ifdef __cplusplus
}
#endif

#endif
