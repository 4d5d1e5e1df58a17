/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/**
 * @file
 * @brief The device's key and certificate in a flash area of 4 sectors, for ports without files.
 *
 * Sectors 0 and 1 hold the identity, 2 and 3 the key of a request that was not answered yet; both
 * are records (record.h). The identity names its key and its certificate in one record, so a power
 * cut leaves the identity before or the new one. A pending key that is the identity's own is used
 * up: it never needs to be erased.
 */
#ifndef FIELDLOOP_AGENT_PORTS_COMMON_IDENTITY_STORE_H
#define FIELDLOOP_AGENT_PORTS_COMMON_IDENTITY_STORE_H

#include "fieldloop_agent/port.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Bytes of a private key. */
#define FL_IDENTITY_KEY_SIZE 32u

/** Most bytes of the key, the certificate and its issuer together. */
#ifndef FL_IDENTITY_BYTES_MAX
#define FL_IDENTITY_BYTES_MAX 2048u
#endif

/** What is stored. The pointers are into the buffer. */
typedef struct fl_identity_store {
    const fl_flash_t *flash; /**< Must outlive the store. */
    const uint8_t *key;      /**< FL_IDENTITY_KEY_SIZE bytes; NULL when there is no identity. */
    const uint8_t *certificate;
    size_t certificate_size;
    const uint8_t *issuer;
    size_t issuer_size;
    uint8_t buffer[FL_IDENTITY_BYTES_MAX];
} fl_identity_store_t;

/**
 * @brief Loads the identity.
 *
 * @return FL_OK, also when there is none; FL_ERR_CORRUPT if the record is none of an identity;
 *         FL_ERR_NO_SPACE if it is larger than the buffer; FL_ERR_IO.
 */
fl_status_t fl_identity_store_open(fl_identity_store_t *store, const fl_flash_t *flash);

/** Reads the pending key. FL_ERR_NOT_FOUND when there is none. */
fl_status_t fl_identity_store_pending(const fl_identity_store_t *store,
                                      uint8_t key[FL_IDENTITY_KEY_SIZE]);

/** Remembers a pending key. FL_OK once it survives a reset. */
fl_status_t fl_identity_store_set_pending(const fl_identity_store_t *store,
                                          const uint8_t key[FL_IDENTITY_KEY_SIZE]);

/**
 * @brief Makes the pending key and its certificate the identity.
 *
 * The caller has checked that the certificate is for the pending key.
 *
 * @return FL_OK once it survives a reset; FL_ERR_NOT_FOUND without a pending key; FL_ERR_NO_SPACE;
 *         FL_ERR_IO. After an error the identity before stands, in flash and in the store.
 */
fl_status_t fl_identity_store_commit(fl_identity_store_t *store, const uint8_t *certificate,
                                     size_t certificate_size, const uint8_t *issuer,
                                     size_t issuer_size);

#ifdef __cplusplus
}
#endif

#endif
