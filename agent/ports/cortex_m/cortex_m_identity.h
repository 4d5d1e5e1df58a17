/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/**
 * @file
 * @brief The device's key and certificate in an area of flash, and as mbedTLS uses them.
 */
#ifndef FIELDLOOP_AGENT_PORTS_CORTEX_M_CORTEX_M_IDENTITY_H
#define FIELDLOOP_AGENT_PORTS_CORTEX_M_CORTEX_M_IDENTITY_H

#include "agent/ports/common/identity_store.h"
#include "agent/ports/mbedtls/identity.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fl_cortex_m_identity {
    mbedtls_ctr_drbg_context *random; /* The caller's. */
    fl_identity_store_t store;
    fl_mbedtls_identity_t loaded; /* Its certificates lie in the store. */
} fl_cortex_m_identity_t;

/**
 * Loads the identity if there is one.
 *
 * @return FL_OK; FL_ERR_CORRUPT; FL_ERR_NO_SPACE if mbedTLS has not enough memory; FL_ERR_IO.
 */
fl_status_t fl_cortex_m_identity_open(fl_cortex_m_identity_t *identity, const fl_flash_t *flash,
                                      mbedtls_ctr_drbg_context *random);

/** See fl_port_t.identity_request and identity_store. */
fl_status_t fl_cortex_m_identity_request(fl_cortex_m_identity_t *identity, uint8_t *csr,
                                         size_t capacity, size_t *size);
fl_status_t fl_cortex_m_identity_store(fl_cortex_m_identity_t *identity, const uint8_t *certificate,
                                       size_t certificate_size, const uint8_t *issuer,
                                       size_t issuer_size);

#ifdef __cplusplus
}
#endif

#endif
