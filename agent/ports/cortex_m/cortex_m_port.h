/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/**
 * @file
 * @brief The platform of a bare-metal Cortex-M3 or larger: SysTick, one flash device, mbedTLS over
 * a modem.
 *
 * No heap but that of mbedTLS, in a buffer of the caller's; no operating system. What a board owes
 * is fl_cortex_m_board_t; agent/docs/CORTEX_M.md says more.
 */
#ifndef FIELDLOOP_AGENT_PORTS_CORTEX_M_CORTEX_M_PORT_H
#define FIELDLOOP_AGENT_PORTS_CORTEX_M_CORTEX_M_PORT_H

#include <mbedtls/ctr_drbg.h>

#include "agent/ports/cortex_m/cortex_m_flash.h"
#include "agent/ports/cortex_m/cortex_m_identity.h"
#include "agent/ports/mbedtls/tls_client.h"
#include "fieldloop_agent/port.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Longest time for the line and the handshake; a slow line needs more. */
#ifndef FL_CORTEX_M_CONNECT_LIMIT_MS
#define FL_CORTEX_M_CONNECT_LIMIT_MS 20000
#endif

/** What the board gives. */
typedef struct fl_cortex_m_board {
    /** Passed back as the first argument of every function below. May be NULL. */
    void *context;

    /** Of the processor: SysTick is made from it. */
    uint32_t cpu_hz;

    /** The flash device in which the areas lie. */
    fl_flash_t flash;
    fl_cortex_m_extent_t state;
    fl_cortex_m_extent_t identity; /**< 4 sectors of at least 2080 bytes. */
    fl_cortex_m_extent_t outbox;
    fl_cortex_m_extent_t slot[2];
    fl_cortex_m_extent_t configuration[2]; /**< All zero: none. */

    /**
     * The bootloader's part, as fl_port_t.firmware; its functions get the board's context. All
     * zero: the firmware is not updated by the agent.
     */
    fl_firmware_t firmware;

    /** Fills @p dst with bytes of a hardware source of randomness; they seed a generator. */
    fl_status_t (*entropy)(void *context, void *dst, size_t size);

    /**
     * Begins, or continues, to open the line to the server: call until it is not FL_ERR_AGAIN.
     *
     * @return FL_OK once bytes can flow; FL_ERR_AGAIN while it takes time; FL_ERR_CLOSED when it
     *         failed.
     */
    fl_status_t (*line_open)(void *context);
    /** As fl_port_t.receive, send and close, without TLS. */
    fl_status_t (*line_receive)(void *context, uint8_t *dst, size_t capacity, size_t *size);
    fl_status_t (*line_send)(void *context, const uint8_t *src, size_t size, size_t *sent);
    void (*line_close)(void *context);

    /** Restarts the device; fl_cortex_m_reset() does. */
    void (*reset)(void *context);

    /** See fl_port_t.log. May be NULL. */
    void (*log)(void *context, fl_log_level_t level, const char *text);
} fl_cortex_m_board_t;

/** What else the port needs; what it points to outlives the port. */
typedef struct fl_cortex_m_config {
    const fl_cortex_m_board_t *board;
    const char *server_name;    /**< DNS name that the server's certificate must carry. */
    const uint8_t *authorities; /**< Of the server, DER. */
    size_t authorities_size;
    void *heap; /**< For mbedTLS, aligned to 8; see agent/docs/CORTEX_M.md for its size. */
    size_t heap_size;
} fl_cortex_m_config_t;

/** A port. It holds pointers to itself: do not move it. There is one, as there is one heap. */
typedef struct fl_cortex_m {
    const fl_cortex_m_board_t *board;
    mbedtls_ctr_drbg_context random;
    fl_cortex_m_area_t state;
    fl_cortex_m_area_t identity_area;
    fl_cortex_m_area_t outbox;
    fl_cortex_m_area_t slot[2];
    fl_cortex_m_area_t configuration[2];
    fl_flash_t identity_flash;
    fl_cortex_m_identity_t identity;
    fl_tls_client_config_t tls_config;
    fl_tls_client_t tls;
    bool connecting;
    uint64_t connecting_since_ms;
    bool line_is_open;
    fl_port_t port;
    const char *failure; /**< What fl_cortex_m_open() could not do. */
} fl_cortex_m_t;

/**
 * @brief Starts the clock and fills in self->port.
 *
 * @return FL_OK; otherwise self->failure says what went wrong.
 */
fl_status_t fl_cortex_m_open(fl_cortex_m_t *self, const fl_cortex_m_config_t *config);

/** Requests a system reset of the processor (SYSRESETREQ). */
_Noreturn void fl_cortex_m_reset(void);

#ifdef __cplusplus
}
#endif

#endif
