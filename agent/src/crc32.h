/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef FIELDLOOP_AGENT_SRC_CRC32_H
#define FIELDLOOP_AGENT_SRC_CRC32_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* CRC-32/ISO-HDLC of size bytes, continuing from crc (0 to begin). */
uint32_t fl_crc32(uint32_t crc, const void *data, size_t size);

#ifdef __cplusplus
}
#endif

#endif
