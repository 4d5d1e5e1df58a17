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

static inline void fl_put_u32(uint8_t *dst, uint32_t value) {
    for (unsigned i = 0; i < 4; i++) {
        dst[i] = (uint8_t)(value >> (8u * i));
    }
}

static inline void fl_put_u64(uint8_t *dst, uint64_t value) {
    fl_put_u32(dst, (uint32_t)value);
    fl_put_u32(dst + 4, (uint32_t)(value >> 32));
}

static inline uint32_t fl_get_u32(const uint8_t *src) {
    return (uint32_t)src[0] | (uint32_t)src[1] << 8 | (uint32_t)src[2] << 16 |
           (uint32_t)src[3] << 24;
}

static inline uint64_t fl_get_u64(const uint8_t *src) {
    return (uint64_t)fl_get_u32(src) | (uint64_t)fl_get_u32(src + 4) << 32;
}

static inline uint32_t fl_round_up(uint32_t value, uint32_t unit) {
    return (value + unit - 1u) / unit * unit;
}

#endif
