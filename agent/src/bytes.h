/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/* Little-endian numbers in byte buffers. */
#ifndef FIELDLOOP_AGENT_SRC_BYTES_H
#define FIELDLOOP_AGENT_SRC_BYTES_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "a port to big endian must swap");

static inline void fl_put_u32(uint8_t *dst, uint32_t value) {
    memcpy(dst, &value, sizeof value);
}

static inline void fl_put_u64(uint8_t *dst, uint64_t value) {
    memcpy(dst, &value, sizeof value);
}

static inline uint32_t fl_get_u32(const uint8_t *src) {
    uint32_t value;
    memcpy(&value, src, sizeof value);
    return value;
}

static inline uint64_t fl_get_u64(const uint8_t *src) {
    uint64_t value;
    memcpy(&value, src, sizeof value);
    return value;
}

/* To a multiple of unit, a power of two. */
static inline uint32_t fl_round_up(uint32_t value, uint32_t unit) {
    return (value + unit - 1u) & ~(unit - 1u);
}

#endif
