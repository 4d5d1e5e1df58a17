/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "template_port.h"

#include <string.h>

/* --- Flash: replace the three copies below by the driver's calls --- */

enum { PROGRAM_SIZE = 8, ERASED = 0xff };

static bool in_area(const fl_template_area_t *area, uint32_t offset, size_t size) {
    return offset <= area->size && size <= area->size - offset;
}

/* Memory-mapped flash is read with memcpy too; with error correction, report what it cannot mend.
 */
static fl_status_t flash_read(void *context, uint32_t offset, void *dst, size_t size) {
    const fl_template_area_t *area = context;
    if (!in_area(area, offset, size)) {
        return FL_ERR_IO;
    }
    memcpy(dst, area->begin + offset, size);
    return FL_OK;
}

/* The driver's program call, and a look at its error flags. src may have any alignment. */
static fl_status_t flash_program(void *context, uint32_t offset, const void *src, size_t size) {
    const fl_template_area_t *area = context;
    if (!in_area(area, offset, size) || offset % PROGRAM_SIZE != 0 || size % PROGRAM_SIZE != 0) {
        return FL_ERR_IO;
    }
    memcpy(area->begin + offset, src, size);
    return FL_OK;
}

/* The driver's erase call of one sector. */
static fl_status_t flash_erase(void *context, uint32_t offset) {
    const fl_template_area_t *area = context;
    if (!in_area(area, offset, FL_TEMPLATE_SECTOR) || offset % FL_TEMPLATE_SECTOR != 0) {
        return FL_ERR_IO;
    }
    memset(area->begin + offset, ERASED, FL_TEMPLATE_SECTOR);
    return FL_OK;
}

/* --- Time and chance --- */

/* A 64-bit count of milliseconds. Extend a 32-bit tick: remember its last value, and add 2^32 when
 * it has become smaller: after 49 days. */
static uint64_t now_ms(void *context) {
    (void)context;
    return 0;
}

/* The hardware's random number generator, or a DRBG that it seeded. Never rand(). */
static fl_status_t random_bytes(void *context, void *dst, size_t size) {
    (void)context;
    (void)dst;
    (void)size;
    return FL_ERR_UNSUPPORTED;
}

/* --- Connection: TLS over what the device has, without blocking --- */

/* First call: begin. Further calls: go on with the handshake; FL_ERR_AGAIN while it waits. Verify
 * the server's chain and name; show the certificate only with use_identity. */
static fl_status_t do_connect(void *context, bool use_identity) {
    (void)context;
    (void)use_identity;
    return FL_ERR_CLOSED;
}

static fl_status_t do_receive(void *context, uint8_t *dst, size_t capacity, size_t *size) {
    (void)context;
    (void)dst;
    (void)capacity;
    (void)size;
    return FL_ERR_CLOSED;
}

static fl_status_t do_send(void *context, const uint8_t *src, size_t size, size_t *sent) {
    (void)context;
    (void)src;
    (void)size;
    (void)sent;
    return FL_ERR_CLOSED;
}

static void do_close(void *context) {
    (void)context;
}

/* --- Cryptography: the library's, or the hardware's --- */

/* The library's state lies in hash->state; check its size with _Static_assert, and set
 * FIELDLOOP_AGENT_SHA256_BYTES if it is larger. */
static void sha256_start(void *context, fl_sha256_t *hash) {
    (void)context;
    (void)hash;
}

static void sha256_update(void *context, fl_sha256_t *hash, const void *data, size_t size) {
    (void)context;
    (void)hash;
    (void)data;
    (void)size;
}

/* Nothing has this digest, so nothing is installed. */
static void sha256_finish(void *context, fl_sha256_t *hash, uint8_t digest[32]) {
    (void)context;
    (void)hash;
    memset(digest, 0, 32);
}

/* ECDSA over P-256. The key comes from a signed document, but check that it is on the curve. */
static fl_status_t verify(void *context, const uint8_t public_key[65], const uint8_t digest[32],
                          const uint8_t signature[64]) {
    (void)context;
    (void)public_key;
    (void)digest;
    (void)signature;
    return FL_ERR_TRUST;
}

/* --- Identity: certificate, its key and the pending key, in flash or in a secure element --- */

/* Common name and validity of the stored certificate. */
static fl_status_t identity(void *context, fl_identity_t *out) {
    (void)context;
    (void)out;
    return FL_ERR_NOT_FOUND;
}

/* Make the pending key if there is none, store it, then sign a request with it. */
static fl_status_t identity_request(void *context, uint8_t *csr, size_t capacity, size_t *size) {
    (void)context;
    (void)csr;
    (void)capacity;
    (void)size;
    return FL_ERR_UNSUPPORTED;
}

/* Compare the certificate's key with the pending one; then store both with one write, as
 * ports/common/identity_store.h does in a flash area. */
static fl_status_t identity_store(void *context, const uint8_t *certificate,
                                  size_t certificate_size, const uint8_t *issuer,
                                  size_t issuer_size) {
    (void)context;
    (void)certificate;
    (void)certificate_size;
    (void)issuer;
    (void)issuer_size;
    return FL_ERR_UNSUPPORTED;
}

/* --- The rest --- */

/* NVIC_SystemReset(). Where it returns, the main loop restarts the device. */
static void do_reboot(void *context) {
    (void)context;
}

static fl_flash_t flash_area(fl_template_area_t *area) {
    return (fl_flash_t){.context = area,
                        .size = area->size,
                        .sector_size = FL_TEMPLATE_SECTOR,
                        .program_size = PROGRAM_SIZE,
                        .erased_value = ERASED,
                        .read = flash_read,
                        .program = flash_program,
                        .erase = flash_erase,
                        .sync = NULL}; /* The driver returns when the bytes are there. */
}

void fl_template_open(fl_template_t *device) {
    static const uint32_t SIZES[FL_TEMPLATE_AREAS] = {
        FL_TEMPLATE_STATE_BYTES, FL_TEMPLATE_OUTBOX_BYTES,        FL_TEMPLATE_SLOT_BYTES,
        FL_TEMPLATE_SLOT_BYTES,  FL_TEMPLATE_CONFIGURATION_BYTES, FL_TEMPLATE_CONFIGURATION_BYTES};
    memset(device->flash, ERASED, sizeof device->flash);
    uint8_t *begin = device->flash;
    for (int i = 0; i < FL_TEMPLATE_AREAS; i++) {
        device->areas[i] = (fl_template_area_t){.begin = begin, .size = SIZES[i]};
        begin += SIZES[i];
    }
    device->port = (fl_port_t){
        .context = device,
        .state = flash_area(&device->areas[0]),
        .outbox = flash_area(&device->areas[1]),
        .slot = {flash_area(&device->areas[2]), flash_area(&device->areas[3])},
        /* Leave it out when the application takes no configuration. */
        .configuration = {flash_area(&device->areas[4]), flash_area(&device->areas[5])},
        /* .firmware: with MCUboot, its secondary slot and three calls; see port.h. */
        .now_ms = now_ms,
        .random = random_bytes,
        .connect = do_connect,
        .receive = do_receive,
        .send = do_send,
        .close = do_close,
        .sha256_start = sha256_start,
        .sha256_update = sha256_update,
        .sha256_finish = sha256_finish,
        .verify = verify,
        .identity = identity,
        .identity_request = identity_request,
        .identity_store = identity_store,
        .reboot = do_reboot,
    };
}
