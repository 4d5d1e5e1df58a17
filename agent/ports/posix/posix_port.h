/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/**
 * @file
 * @brief The platform of a POSIX system: files as flash, mbedTLS, a re-executed process as a
 * reboot.
 *
 * The state directory holds state.flash, outbox.flash, slot-a.flash, slot-b.flash,
 * configuration-a.flash, configuration-b.flash, identity.pem, identity.key.new while a certificate
 * is asked for, and lock; with a firmware, what posix_bootloader.h lists. One process uses it at a
 * time.
 */
#ifndef FIELDLOOP_AGENT_PORTS_POSIX_POSIX_PORT_H
#define FIELDLOOP_AGENT_PORTS_POSIX_POSIX_PORT_H

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>

#include "fieldloop_agent/port.h"
#include "posix_bootloader.h"
#include "posix_flash.h"
#include "posix_identity.h"
#include "posix_transport.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { FL_POSIX_SLOT_BYTES = 1024 * 1024 };

typedef struct fl_posix_config {
    const char *state_directory;      /**< Made if missing, mode 0700. */
    const char *firmware;             /**< File with the image of the primary slot; NULL: none. */
    const fl_posix_server_t *servers; /**< At least one. */
    size_t server_count;
    const char *server_name;        /**< NULL: the host of each. */
    const uint8_t *authorities_pem; /**< With a zero byte behind it. */
    size_t authorities_size;
    void (*log)(void *context, fl_log_level_t level, const char *text);
    void *log_context;
} fl_posix_config_t;

/** A port. It holds pointers to itself: do not move it. The configuration must outlive it. */
typedef struct fl_posix {
    const fl_posix_config_t *config;
    int lock_file;
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context random;
    fl_posix_flash_t state;
    fl_posix_flash_t outbox;
    fl_posix_flash_t slot[2];
    fl_posix_flash_t configuration[2];
    fl_posix_bootloader_t bootloader;
    fl_posix_identity_t identity;
    fl_posix_transport_t transport;
    bool reboot_requested; /**< The agent asked for a restart. */
    fl_port_t port;
    const char *failure; /**< What fl_posix_open could not do. */
} fl_posix_t;

/**
 * @brief Opens the state directory and fills in posix->port.
 *
 * @return FL_OK; otherwise posix->failure says what went wrong: FL_ERR_AGAIN if another process
 * uses the directory, FL_ERR_CORRUPT, FL_ERR_IO.
 */
fl_status_t fl_posix_open(fl_posix_t *posix, const fl_posix_config_t *config);
void fl_posix_close(fl_posix_t *posix);

/** Milliseconds of the monotonic clock, and of the wall clock since 1970. */
uint64_t fl_posix_now_ms(void);
uint64_t fl_posix_wall_ms(void);

#ifdef __cplusplus
}
#endif

#endif
