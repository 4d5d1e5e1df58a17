/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "posix_port.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mbedtls/sha256.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/ports/mbedtls/crypto.h"

enum {
    STATE_SECTOR = 4096,
    STATE_BYTES = 4 * STATE_SECTOR,
    OUTBOX_SECTOR = 128 * 1024, /* Holds the largest recording that the protocol allows. */
    OUTBOX_BYTES = 16 * OUTBOX_SECTOR,
    SLOT_SECTOR = 4096,
    CONFIGURATION_BYTES = 16 * SLOT_SECTOR,
};

static uint64_t clock_ms(clockid_t clock) {
    struct timespec now;
    (void)clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

uint64_t fl_posix_now_ms(void) {
    return clock_ms(CLOCK_MONOTONIC);
}

uint64_t fl_posix_wall_ms(void) {
    return clock_ms(CLOCK_REALTIME);
}

static uint64_t now_ms(void *context) {
    (void)context;
    return fl_posix_now_ms();
}

static fl_status_t random_bytes(void *context, void *dst, size_t size) {
    fl_posix_t *posix = context;
    return mbedtls_ctr_drbg_random(&posix->random, dst, size) == 0 ? FL_OK : FL_ERR_IO;
}

static fl_status_t do_connect(void *context, bool use_identity) {
    fl_posix_t *posix = context;
    return fl_posix_transport_connect(&posix->transport, use_identity);
}

static fl_status_t do_receive(void *context, uint8_t *dst, size_t capacity, size_t *size) {
    fl_posix_t *posix = context;
    return fl_posix_transport_receive(&posix->transport, dst, capacity, size);
}

static fl_status_t do_send(void *context, const uint8_t *src, size_t size, size_t *sent) {
    fl_posix_t *posix = context;
    return fl_posix_transport_send(&posix->transport, src, size, sent);
}

static void do_close(void *context) {
    fl_posix_t *posix = context;
    fl_posix_transport_close(&posix->transport);
}

static fl_status_t identity(void *context, fl_identity_t *out) {
    const fl_posix_t *posix = context;
    return fl_mbedtls_identity_get(&posix->identity.loaded, out);
}

static fl_status_t identity_request(void *context, uint8_t *csr, size_t capacity, size_t *size) {
    fl_posix_t *posix = context;
    return fl_posix_identity_request(&posix->identity, csr, capacity, size);
}

static fl_status_t identity_store(void *context, const uint8_t *certificate,
                                  size_t certificate_size, const uint8_t *issuer,
                                  size_t issuer_size) {
    fl_posix_t *posix = context;
    return fl_posix_identity_store(&posix->identity, certificate, certificate_size, issuer,
                                   issuer_size);
}

static fl_status_t running_firmware(void *context, uint8_t digest[32]) {
    const fl_posix_t *posix = context;
    uint8_t *image = NULL;
    size_t size = 0;
    FL_RETURN_IF_ERROR(fl_posix_bootloader_image(&posix->bootloader, &image, &size));
    const int result = mbedtls_sha256_ret(image, size, digest, 0);
    free(image);
    return result == 0 ? FL_OK : FL_ERR_IO;
}

static fl_status_t request_swap(void *context) {
    fl_posix_t *posix = context;
    return fl_posix_bootloader_request_swap(&posix->bootloader);
}

static fl_status_t confirm_firmware(void *context) {
    const fl_posix_t *posix = context;
    return fl_posix_bootloader_confirm(&posix->bootloader);
}

static void do_reboot(void *context) {
    fl_posix_t *posix = context;
    posix->reboot_requested = true;
}

static void do_log(void *context, fl_log_level_t level, const char *text) {
    const fl_posix_t *posix = context;
    if (posix->config->log != NULL) {
        posix->config->log(posix->config->log_context, level, text);
    }
}

static fl_status_t open_directory(fl_posix_t *posix, const char *directory) {
    char path[PATH_MAX];
    posix->failure = "the state directory cannot be made";
    if (mkdir(directory, 0700) != 0 && errno != EEXIST) {
        return FL_ERR_IO;
    }
    posix->failure = "the state directory cannot be written";
    const int length = snprintf(path, sizeof path, "%s/lock", directory);
    if (length < 0 || (size_t)length >= sizeof path) {
        return FL_ERR_IO;
    }
    posix->lock_file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (posix->lock_file < 0) {
        return FL_ERR_IO;
    }
    posix->failure = "another process uses the state directory";
    return flock(posix->lock_file, LOCK_EX | LOCK_NB) == 0 ? FL_OK : FL_ERR_AGAIN;
}

static fl_status_t open_area(fl_posix_flash_t *flash, fl_flash_t *area, const char *directory,
                             const char *name, uint32_t size, uint32_t sector_size) {
    char path[PATH_MAX];
    const int length = snprintf(path, sizeof path, "%s/%s", directory, name);
    if (length < 0 || (size_t)length >= sizeof path) {
        return FL_ERR_IO;
    }
    FL_RETURN_IF_ERROR(fl_posix_flash_open(flash, path, size, sector_size));
    *area = fl_posix_flash_area(flash);
    return FL_OK;
}

fl_status_t fl_posix_open(fl_posix_t *posix, const fl_posix_config_t *config) {
    const char *directory = config->state_directory;
    fl_port_t *port = &posix->port;
    memset(posix, 0, sizeof *posix);
    posix->config = config;
    posix->lock_file = -1;
    posix->state.file = posix->outbox.file = posix->slot[0].file = posix->slot[1].file = -1;
    posix->configuration[0].file = posix->configuration[1].file = -1;
    posix->transport.socket = -1;
    mbedtls_entropy_init(&posix->entropy);
    mbedtls_ctr_drbg_init(&posix->random);
    fl_mbedtls_identity_init(&posix->identity.loaded);

    FL_RETURN_IF_ERROR(open_directory(posix, directory));
    posix->failure = "the system gives no random bytes";
    if (mbedtls_ctr_drbg_seed(&posix->random, mbedtls_entropy_func, &posix->entropy, NULL, 0) !=
        0) {
        return FL_ERR_IO;
    }
    posix->failure = "a file of the state directory cannot be opened";
    FL_RETURN_IF_ERROR(open_area(&posix->state, &port->state, directory, "state.flash", STATE_BYTES,
                                 STATE_SECTOR));
    FL_RETURN_IF_ERROR(open_area(&posix->outbox, &port->outbox, directory, "outbox.flash",
                                 OUTBOX_BYTES, OUTBOX_SECTOR));
    FL_RETURN_IF_ERROR(open_area(&posix->slot[0], &port->slot[0], directory, "slot-a.flash",
                                 FL_POSIX_SLOT_BYTES, SLOT_SECTOR));
    FL_RETURN_IF_ERROR(open_area(&posix->slot[1], &port->slot[1], directory, "slot-b.flash",
                                 FL_POSIX_SLOT_BYTES, SLOT_SECTOR));
    FL_RETURN_IF_ERROR(open_area(&posix->configuration[0], &port->configuration[0], directory,
                                 "configuration-a.flash", CONFIGURATION_BYTES, SLOT_SECTOR));
    FL_RETURN_IF_ERROR(open_area(&posix->configuration[1], &port->configuration[1], directory,
                                 "configuration-b.flash", CONFIGURATION_BYTES, SLOT_SECTOR));
    if (config->firmware != NULL) {
        posix->failure = "--firmware: want a file that can be read and replaced, as it was left";
        FL_RETURN_IF_ERROR(fl_posix_bootloader_start(
            &posix->bootloader, directory, config->firmware, FL_POSIX_SLOT_BYTES, SLOT_SECTOR));
        port->firmware = (fl_firmware_t){.slot = fl_posix_flash_area(&posix->bootloader.secondary),
                                         .running = running_firmware,
                                         .request_swap = request_swap,
                                         .confirm = confirm_firmware};
    }
    posix->failure = "identity.pem cannot be read";
    FL_RETURN_IF_ERROR(fl_posix_identity_open(&posix->identity, directory, &posix->random));
    posix->failure = "the authorities of the server cannot be read: want PEM certificates";
    FL_RETURN_IF_ERROR(fl_posix_transport_open(
        &posix->transport, config->servers, config->server_count, config->server_name,
        config->authorities_pem, config->authorities_size, &posix->identity, &posix->random));
    posix->failure = NULL;

    port->context = posix;
    port->now_ms = now_ms;
    port->random = random_bytes;
    port->connect = do_connect;
    port->receive = do_receive;
    port->send = do_send;
    port->close = do_close;
    port->sha256_start = fl_mbedtls_sha256_start;
    port->sha256_update = fl_mbedtls_sha256_update;
    port->sha256_finish = fl_mbedtls_sha256_finish;
    port->verify = fl_mbedtls_verify;
    port->identity = identity;
    port->identity_request = identity_request;
    port->identity_store = identity_store;
    port->reboot = do_reboot;
    port->log = do_log;
    return FL_OK;
}

void fl_posix_close(fl_posix_t *posix) {
    fl_posix_transport_free(&posix->transport);
    fl_posix_identity_close(&posix->identity);
    fl_posix_flash_close(&posix->state);
    fl_posix_flash_close(&posix->outbox);
    fl_posix_flash_close(&posix->slot[0]);
    fl_posix_flash_close(&posix->slot[1]);
    fl_posix_flash_close(&posix->configuration[0]);
    fl_posix_flash_close(&posix->configuration[1]);
    fl_posix_bootloader_close(&posix->bootloader);
    mbedtls_ctr_drbg_free(&posix->random);
    mbedtls_entropy_free(&posix->entropy);
    if (posix->lock_file >= 0) {
        (void)close(posix->lock_file);
        posix->lock_file = -1;
    }
}
