/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/**
 * @file
 * @brief What a platform gives the agent.
 *
 * A port fills in one fl_port_t, which must outlive the agent. The agent has no global state and
 * calls nothing else outside string.h, nanopb and this table. Every function returns at once unless
 * its comment says that it may block; none is called from more than one thread. A pointer that may
 * be NULL says so.
 *
 * agent/docs/PORTING.md lists the functions that a port owes.
 */
#ifndef FIELDLOOP_AGENT_PORT_H
#define FIELDLOOP_AGENT_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fieldloop_agent/config.h"
#include "fieldloop_agent/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Largest program_size of a flash area. */
#define FL_PROGRAM_SIZE_MAX 32u

/**
 * @brief One area of flash, of sectors that are erased one by one.
 *
 * The agent programs whole units at unit-aligned offsets, each unit once between two erases. One
 * exception: a unit whose program, or whose sector's erase, was cut by a reset may be programmed
 * with all bits opposite to erased, which marks an entry as done. A range that is not wholly in the
 * area is refused with FL_ERR_IO.
 */
typedef struct fl_flash {
    /** Passed back as the first argument of every function. May be NULL. */
    void *context;
    /** Bytes of the area; a multiple of sector_size. */
    uint32_t size;
    /** Bytes that one erase sets; a multiple of program_size. */
    uint32_t sector_size;
    /** Bytes that one program must be a multiple of, and be aligned to; 1, 2, 4, 8, 16 or 32. */
    uint32_t program_size;
    /** What an erased byte reads as: 0xFF or 0x00. */
    uint8_t erased_value;

    /** Fills @p dst with @p size bytes from @p offset. FL_ERR_IO on failure. */
    fl_status_t (*read)(void *context, uint32_t offset, void *dst, size_t size);

    /**
     * Writes whole units that were erased before. After FL_OK and then sync() the bytes survive a
     * reset. After an error, or a reset before sync() returned, any prefix may have been written
     * and the bytes of the range may be anything; bytes outside the range are as they were.
     */
    fl_status_t (*program)(void *context, uint32_t offset, const void *src, size_t size);

    /**
     * Erases the sector that starts at @p offset; may block for the time of one erase. Interrupted,
     * the content of this sector is anything; other sectors are as they were.
     */
    fl_status_t (*erase)(void *context, uint32_t offset);

    /** Makes everything programmed and erased before durable. NULL when program() is durable
     * itself. */
    fl_status_t (*sync)(void *context);
} fl_flash_t;

/* Appends bytes from a unit-aligned offset on; what does not fill a unit waits in stage. The
 * agent's own. */
typedef struct fl_flash_writer {
    const fl_flash_t *flash;
    uint32_t offset; /* Of the next unit. */
    uint32_t staged;
    uint8_t stage[FL_PROGRAM_SIZE_MAX];
} fl_flash_writer_t;

/** State of one SHA-256 computation; its content is the port's. */
typedef struct fl_sha256 {
    uint64_t state[FIELDLOOP_AGENT_SHA256_BYTES / 8];
} fl_sha256_t;

/** The device's identity, from its certificate. */
typedef struct fl_identity {
    /** Common name of the certificate. */
    char device_id[64];
    /** Validity of the certificate, Unix milliseconds. */
    uint64_t not_before_ms;
    uint64_t not_after_ms;
} fl_identity_t;

/** How much a log line matters. */
typedef enum fl_log_level { FL_LOG_DEBUG = 0, FL_LOG_INFO = 1, FL_LOG_WARNING = 2 } fl_log_level_t;

/** No slot. */
#define FL_SLOT_NONE 255u

/**
 * @brief Firmware updates by a bootloader that swaps two slots and undoes a swap that is not
 * confirmed, such as MCUboot (swap or direct-xip with revert; not overwrite-only, which cannot go
 * back). The functions get fl_port_t.context.
 *
 * The agent records first and swaps afterwards, and never relies on a swap having happened: at each
 * start it asks which firmware runs. agent/docs/DESIGN.md has the table of cuts.
 */
typedef struct fl_firmware {
    /**
     * Gives the SHA-256 of the firmware that runs, over the same bytes as the artifact of the
     * release: with MCUboot the header, the image and the TLVs of the primary slot. May block while
     * it is hashed. NULL: the device's firmware is not updated by the agent.
     */
    fl_status_t (*running)(void *context, uint8_t digest[32]);

    /**
     * Asks the bootloader to swap at the next reset, on trial: boot_set_pending(0), after the
     * trailer of the secondary slot was erased. Also called to go back when the firmware on trial
     * was confirmed to the bootloader already. May be called again before the reset. FL_OK once it
     * survives a reset.
     */
    fl_status_t (*request_swap)(void *context);

    /**
     * Tells the bootloader that the firmware that runs stays: boot_set_confirmed(). Without it the
     * next reset undoes the swap. May be called when it stays already. FL_OK once it survives a
     * reset.
     */
    fl_status_t (*confirm)(void *context);

    /**
     * Where the next firmware is downloaded to: MCUboot's secondary slot without its trailer. Not
     * touched from the moment of request_swap() until the trial has ended.
     */
    fl_flash_t slot;
} fl_firmware_t;

/** Everything a platform provides. */
typedef struct fl_port {
    /** Passed back as the first argument of every function below. May be NULL. */
    void *context;

    /** Milliseconds since some fixed moment. Never goes back, never wraps. */
    uint64_t (*now_ms)(void *context);

    /** Fills @p dst with unpredictable bytes. */
    fl_status_t (*random)(void *context, void *dst, size_t size);

    /**
     * Begins, or continues, to open the connection: call until it is not FL_ERR_AGAIN. With
     * @p use_identity the device's certificate and key are presented, else none; the server is
     * always verified.
     *
     * @return FL_OK once data can flow; FL_ERR_AGAIN while it takes time; FL_ERR_CLOSED or
     *         FL_ERR_TRUST when it failed, and then nothing needs to be closed.
     */
    fl_status_t (*connect)(void *context, bool use_identity);

    /**
     * Takes up to @p capacity received bytes.
     *
     * @return FL_OK with *size >= 1; FL_ERR_AGAIN if there are none now; FL_ERR_CLOSED at the end
     *         of the stream or after a failure.
     */
    fl_status_t (*receive)(void *context, uint8_t *dst, size_t capacity, size_t *size);

    /**
     * Gives up to @p size bytes to the connection, *sent of them taken.
     *
     * @return FL_OK with *sent >= 1; FL_ERR_AGAIN if none can be taken now, and the next call has
     * the same bytes first; FL_ERR_CLOSED after a failure.
     */
    fl_status_t (*send)(void *context, const uint8_t *src, size_t size, size_t *sent);

    /** Ends the connection, in any state. */
    void (*close)(void *context);

    /** SHA-256: start, any number of updates, finish. An fl_sha256_t may be given up at any point.
     */
    void (*sha256_start)(void *context, fl_sha256_t *hash);
    void (*sha256_update)(void *context, fl_sha256_t *hash, const void *data, size_t size);
    void (*sha256_finish)(void *context, fl_sha256_t *hash, uint8_t digest[32]);

    /**
     * Verifies an ECDSA signature over P-256 of a SHA-256 digest. May block for its duration.
     *
     * @param public_key  0x04 || x || y.
     * @param signature   r || s, big endian.
     * @return FL_OK; FL_ERR_TRUST if it does not verify or the key is no point of the curve.
     */
    fl_status_t (*verify)(void *context, const uint8_t public_key[65], const uint8_t digest[32],
                          const uint8_t signature[64]);

    /** Reads the identity. FL_ERR_NOT_FOUND when the device is not enrolled. */
    fl_status_t (*identity)(void *context, fl_identity_t *identity);

    /**
     * Gives a PKCS#10 request (DER) for the pending key, which is made when there is none. The key
     * stays pending, across a reset too, until identity_store(): a repeated request has the same
     * key.
     */
    fl_status_t (*identity_request)(void *context, uint8_t *csr, size_t capacity, size_t *size);

    /**
     * Makes the certificate and the pending key the identity. A reset during the call leaves either
     * the identity before, with the key still pending, or the new one.
     *
     * @return FL_OK once it survives a reset; FL_ERR_TRUST if the certificate is not for the
     * pending key; FL_ERR_CORRUPT if it cannot be read; FL_ERR_IO.
     */
    fl_status_t (*identity_store)(void *context, const uint8_t *certificate,
                                  size_t certificate_size, const uint8_t *issuer,
                                  size_t issuer_size);

    /** Restarts the device. If it returns, the agent does nothing more. */
    void (*reboot)(void *context);

    /** One line of text without newline. May be NULL. */
    void (*log)(void *context, fl_log_level_t level, const char *text);

    /** Firmware updates; all zero: none. */
    fl_firmware_t firmware;
    /** Records of the agent: at least 4 sectors of at least 1280 bytes. */
    fl_flash_t state;
    /** Uplinks that wait: at least 3 sectors; an entry larger than a sector is not kept. */
    fl_flash_t outbox;
    /** The two model slots. */
    fl_flash_t slot[2];
    /** The two slots of the application's configuration; both of size 0: the device has none. */
    fl_flash_t configuration[2];
} fl_port_t;

#ifdef __cplusplus
}
#endif

#endif
