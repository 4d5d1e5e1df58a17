/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "agent/ports/cortex_m/cortex_m_port.h"

#include <mbedtls/memory_buffer_alloc.h>
#include <string.h>

#include "agent/ports/cortex_m/cortex_m_clock.h"
#include "agent/ports/mbedtls/crypto.h"

#define RESET_CONTROL (*(volatile uint32_t *)0xe000ed0cu)
static const uint32_t RESET_REQUEST = 0x05fa0004u;

static uint64_t now_ms(void *context) {
    (void)context;
    return fl_cortex_m_now_ms();
}

static fl_status_t random_bytes(void *context, void *dst, size_t size) {
    fl_cortex_m_t *self = context;
    uint8_t *to = dst;
    while (size > 0) {
        const size_t part =
            size < MBEDTLS_CTR_DRBG_MAX_REQUEST ? size : MBEDTLS_CTR_DRBG_MAX_REQUEST;
        if (mbedtls_ctr_drbg_random(&self->random, to, part) != 0) {
            return FL_ERR_IO;
        }
        to += part;
        size -= part;
    }
    return FL_OK;
}

static int seed(void *context, unsigned char *dst, size_t size) {
    const fl_cortex_m_board_t *board = context;
    return board->entropy(board->context, dst, size) == FL_OK ? 0 : -1;
}

static void do_close(void *context) {
    fl_cortex_m_t *self = context;
    fl_tls_client_close(&self->tls);
    self->board->line_close(self->board->context);
    self->line_is_open = false;
    self->connecting = false;
}

static fl_status_t connect_step(fl_cortex_m_t *self, bool use_identity) {
    if (!self->line_is_open) {
        FL_RETURN_IF_ERROR(self->board->line_open(self->board->context));
        self->line_is_open = true;
    }
    return fl_tls_client_connect(&self->tls, use_identity);
}

static fl_status_t do_connect(void *context, bool use_identity) {
    fl_cortex_m_t *self = context;
    if (!self->connecting) {
        self->connecting = true;
        self->connecting_since_ms = fl_cortex_m_now_ms();
    }
    fl_status_t status = connect_step(self, use_identity);
    if (status == FL_ERR_AGAIN &&
        fl_cortex_m_now_ms() - self->connecting_since_ms > FL_CORTEX_M_CONNECT_LIMIT_MS) {
        status = FL_ERR_CLOSED;
    }
    if (status == FL_OK) {
        self->connecting = false;
    } else if (status != FL_ERR_AGAIN) {
        do_close(self);
    }
    return status;
}

static fl_status_t do_receive(void *context, uint8_t *dst, size_t capacity, size_t *size) {
    fl_cortex_m_t *self = context;
    return fl_tls_client_receive(&self->tls, dst, capacity, size);
}

static fl_status_t do_send(void *context, const uint8_t *src, size_t size, size_t *sent) {
    fl_cortex_m_t *self = context;
    return fl_tls_client_send(&self->tls, src, size, sent);
}

static fl_status_t get_identity(void *context, fl_identity_t *out) {
    const fl_cortex_m_t *self = context;
    return fl_mbedtls_identity_get(&self->identity.loaded, out);
}

static fl_status_t identity_request(void *context, uint8_t *csr, size_t capacity, size_t *size) {
    fl_cortex_m_t *self = context;
    return fl_cortex_m_identity_request(&self->identity, csr, capacity, size);
}

static fl_status_t identity_store(void *context, const uint8_t *certificate,
                                  size_t certificate_size, const uint8_t *issuer,
                                  size_t issuer_size) {
    fl_cortex_m_t *self = context;
    return fl_cortex_m_identity_store(&self->identity, certificate, certificate_size, issuer,
                                      issuer_size);
}

static void do_reboot(void *context) {
    const fl_cortex_m_t *self = context;
    self->board->reset(self->board->context);
}

static void do_log(void *context, fl_log_level_t level, const char *text) {
    const fl_cortex_m_t *self = context;
    if (self->board->log != NULL) {
        self->board->log(self->board->context, level, text);
    }
}

static fl_status_t firmware_running(void *context, uint8_t digest[32]) {
    const fl_cortex_m_t *self = context;
    return self->board->firmware.running(self->board->context, digest);
}

static fl_status_t firmware_request_swap(void *context) {
    const fl_cortex_m_t *self = context;
    return self->board->firmware.request_swap(self->board->context);
}

static fl_status_t firmware_confirm(void *context) {
    const fl_cortex_m_t *self = context;
    return self->board->firmware.confirm(self->board->context);
}

static fl_status_t open_areas(fl_cortex_m_t *self) {
    const fl_cortex_m_board_t *board = self->board;
    fl_port_t *port = &self->port;
    const struct {
        fl_cortex_m_area_t *area;
        const fl_cortex_m_extent_t *extent;
        fl_flash_t *flash;
    } areas[] = {
        {&self->state, &board->state, &port->state},
        {&self->identity_area, &board->identity, &self->identity_flash},
        {&self->outbox, &board->outbox, &port->outbox},
        {&self->slot[0], &board->slot[0], &port->slot[0]},
        {&self->slot[1], &board->slot[1], &port->slot[1]},
        {&self->configuration[0], &board->configuration[0], &port->configuration[0]},
        {&self->configuration[1], &board->configuration[1], &port->configuration[1]},
    };
    for (size_t i = 0; i < sizeof areas / sizeof *areas; i++) {
        if (areas[i].extent->size > 0) {
            FL_RETURN_IF_ERROR(fl_cortex_m_area_open(areas[i].area, &board->flash, areas[i].extent,
                                                     areas[i].flash));
        }
    }
    return FL_OK;
}

fl_status_t fl_cortex_m_open(fl_cortex_m_t *self, const fl_cortex_m_config_t *config) {
    const fl_cortex_m_board_t *board = config->board;
    fl_port_t *port = &self->port;
    memset(self, 0, sizeof *self);
    self->board = board;
    fl_cortex_m_clock_start(board->cpu_hz);
    mbedtls_memory_buffer_alloc_init(config->heap, config->heap_size);

    self->failure = "the areas do not fit the flash device";
    FL_RETURN_IF_ERROR(open_areas(self));
    self->failure = "the board gives no random bytes";
    mbedtls_ctr_drbg_init(&self->random);
    if (mbedtls_ctr_drbg_seed(&self->random, seed, (void *)board, NULL, 0) != 0) {
        return FL_ERR_IO;
    }
    self->failure = "the identity cannot be read";
    FL_RETURN_IF_ERROR(
        fl_cortex_m_identity_open(&self->identity, &self->identity_flash, &self->random));
    self->failure = "the authorities of the server cannot be read: want DER certificates";
    self->tls_config = (fl_tls_client_config_t){
        .server_name = config->server_name,
        .authorities = config->authorities,
        .authorities_size = config->authorities_size,
        .identity = &self->identity.loaded,
        .random = &self->random,
        .stream = {
            .context = board->context, .send = board->line_send, .receive = board->line_receive}};
    FL_RETURN_IF_ERROR(fl_tls_client_init(&self->tls, &self->tls_config));
    self->failure = NULL;

    port->context = self;
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
    port->identity = get_identity;
    port->identity_request = identity_request;
    port->identity_store = identity_store;
    if (board->firmware.running != NULL) {
        port->firmware = (fl_firmware_t){.slot = board->firmware.slot,
                                         .running = firmware_running,
                                         .request_swap = firmware_request_swap,
                                         .confirm = firmware_confirm};
    }
    port->reboot = do_reboot;
    port->log = do_log;
    return FL_OK;
}

void fl_cortex_m_reset(void) {
    __asm__ volatile("dsb" ::: "memory");
    RESET_CONTROL = RESET_REQUEST;
    for (;;) {
        __asm__ volatile("dsb");
    }
}
