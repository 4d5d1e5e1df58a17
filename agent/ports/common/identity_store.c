/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "common/identity_store.h"

#include <string.h>

#include "fieldloop_agent/record.h"

enum {
    IDENTITY_SECTOR = 0,
    PENDING_SECTOR = 2,
    PREFIX = FL_IDENTITY_KEY_SIZE + 2, /* The key, and the size of the certificate. */
};

/* Record: key, u16 size of the certificate, certificate, issuer. */
static fl_status_t load(fl_identity_store_t *store) {
    size_t size = 0;
    store->key = NULL;
    const fl_status_t status =
        fl_record_load(store->flash, IDENTITY_SECTOR, store->buffer, sizeof store->buffer, &size);
    if (status == FL_ERR_NOT_FOUND) {
        return FL_OK;
    }
    FL_RETURN_IF_ERROR(status);
    if (size < PREFIX) {
        return FL_ERR_CORRUPT;
    }
    const uint8_t *length = store->buffer + FL_IDENTITY_KEY_SIZE;
    store->certificate_size = (size_t)(length[0] | length[1] << 8);
    if (store->certificate_size > size - PREFIX) {
        return FL_ERR_CORRUPT;
    }
    store->certificate = store->buffer + PREFIX;
    store->issuer = store->certificate + store->certificate_size;
    store->issuer_size = size - PREFIX - store->certificate_size;
    store->key = store->buffer;
    return FL_OK;
}

fl_status_t fl_identity_store_open(fl_identity_store_t *store, const fl_flash_t *flash) {
    memset(store, 0, sizeof *store);
    store->flash = flash;
    return load(store);
}

fl_status_t fl_identity_store_pending(const fl_identity_store_t *store,
                                      uint8_t key[FL_IDENTITY_KEY_SIZE]) {
    size_t size = 0;
    FL_RETURN_IF_ERROR(
        fl_record_load(store->flash, PENDING_SECTOR, key, FL_IDENTITY_KEY_SIZE, &size));
    if (size != FL_IDENTITY_KEY_SIZE ||
        (store->key != NULL && memcmp(key, store->key, FL_IDENTITY_KEY_SIZE) == 0)) {
        return FL_ERR_NOT_FOUND;
    }
    return FL_OK;
}

fl_status_t fl_identity_store_set_pending(const fl_identity_store_t *store,
                                          const uint8_t key[FL_IDENTITY_KEY_SIZE]) {
    return fl_record_save(store->flash, PENDING_SECTOR, key, FL_IDENTITY_KEY_SIZE);
}

fl_status_t fl_identity_store_commit(fl_identity_store_t *store, const uint8_t *certificate,
                                     size_t certificate_size, const uint8_t *issuer,
                                     size_t issuer_size) {
    uint8_t key[FL_IDENTITY_KEY_SIZE];
    FL_RETURN_IF_ERROR(fl_identity_store_pending(store, key));
    if (certificate_size > UINT16_MAX || issuer_size > sizeof store->buffer ||
        PREFIX + certificate_size + issuer_size > sizeof store->buffer) {
        return FL_ERR_NO_SPACE;
    }
    memcpy(store->buffer, key, sizeof key);
    store->buffer[FL_IDENTITY_KEY_SIZE] = (uint8_t)certificate_size;
    store->buffer[FL_IDENTITY_KEY_SIZE + 1u] = (uint8_t)(certificate_size >> 8);
    memcpy(store->buffer + PREFIX, certificate, certificate_size);
    memcpy(store->buffer + PREFIX + certificate_size, issuer, issuer_size);
    const size_t size = PREFIX + certificate_size + issuer_size;
    const fl_status_t saved = fl_record_save(store->flash, IDENTITY_SECTOR, store->buffer, size);
    if (saved == FL_OK) {
        /* Once more, in place of the identity before: a bit that flips must not cost it. */
        (void)fl_record_save(store->flash, IDENTITY_SECTOR, store->buffer, size);
    }
    const fl_status_t loaded = load(store); /* The buffer holds what flash says, either way. */
    return saved != FL_OK ? saved : loaded;
}
