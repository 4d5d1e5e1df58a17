/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/**
 * @file
 * @brief Reads WAV files in place: PCM with 16 bits.
 */
#ifndef FIELDLOOP_AGENT_PORTS_POSIX_WAV_H
#define FIELDLOOP_AGENT_PORTS_POSIX_WAV_H

#include <stddef.h>
#include <stdint.h>

#include "fieldloop_agent/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What a file holds. */
typedef struct fl_wav {
    uint32_t channels;     /**< At least 1. */
    uint32_t frequency_hz; /**< At least 1. */
    size_t readings;       /**< Of all channels. */
    const uint8_t *data;   /**< int16, little endian, channels within a reading. */
} fl_wav_t;

/** FL_OK; FL_ERR_CORRUPT if it is no WAV file; FL_ERR_UNSUPPORTED if it is not PCM of 16 bits. */
fl_status_t fl_wav_read(fl_wav_t *wav, const uint8_t *file, size_t size);

/** Value of a channel in a reading. */
int16_t fl_wav_value(const fl_wav_t *wav, size_t reading, uint32_t channel);

#ifdef __cplusplus
}
#endif

#endif
