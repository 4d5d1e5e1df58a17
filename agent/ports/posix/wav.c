/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/* Layout: Multimedia Programming Interface and Data Specifications 1.0, IBM and Microsoft, 1991;
 * WAVE_FORMAT_EXTENSIBLE: Multiple Channel Audio Data and WAVE Files, Microsoft, 2001. */
#include "wav.h"

#include <stdbool.h>
#include <string.h>

enum {
    RIFF_HEADER = 12,
    CHUNK_HEADER = 8,
    FORMAT_BYTES = 16,
    EXTENSIBLE_BYTES = 40,
    SUBFORMAT = 24,
    PCM = 1,
    EXTENSIBLE = 0xfffe,
    BITS = 16,
    VALUE_BYTES = 2,
};

static uint32_t u16(const uint8_t *bytes) {
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8;
}

static uint32_t u32(const uint8_t *bytes) {
    return u16(bytes) | u16(bytes + 2) << 16;
}

static fl_status_t read_format(fl_wav_t *wav, const uint8_t *chunk, size_t size) {
    if (size < FORMAT_BYTES) {
        return FL_ERR_CORRUPT;
    }
    uint32_t encoding = u16(chunk);
    if (encoding == EXTENSIBLE && size >= EXTENSIBLE_BYTES) {
        encoding = u16(chunk + SUBFORMAT);
    }
    if (encoding != PCM || u16(chunk + 14) != BITS) {
        return FL_ERR_UNSUPPORTED;
    }
    wav->channels = u16(chunk + 2);
    wav->frequency_hz = u32(chunk + 4);
    const bool consistent = wav->channels >= 1 && wav->frequency_hz >= 1 &&
                            u16(chunk + 12) == wav->channels * VALUE_BYTES;
    return consistent ? FL_OK : FL_ERR_CORRUPT;
}

fl_status_t fl_wav_read(fl_wav_t *wav, const uint8_t *file, size_t size) {
    *wav = (fl_wav_t){0};
    if (size < RIFF_HEADER || memcmp(file, "RIFF", 4) != 0 || memcmp(file + 8, "WAVE", 4) != 0) {
        return FL_ERR_CORRUPT;
    }
    size_t at = RIFF_HEADER;
    while (at <= size && size - at >= CHUNK_HEADER) {
        const uint8_t *chunk = file + at + CHUNK_HEADER;
        const size_t chunk_size = u32(file + at + 4);
        if (chunk_size > size - at - CHUNK_HEADER) {
            return FL_ERR_CORRUPT;
        }
        if (memcmp(file + at, "fmt ", 4) == 0) {
            FL_RETURN_IF_ERROR(read_format(wav, chunk, chunk_size));
        } else if (memcmp(file + at, "data", 4) == 0) {
            if (wav->channels == 0) {
                return FL_ERR_CORRUPT;
            }
            wav->data = chunk;
            wav->readings = chunk_size / ((size_t)wav->channels * VALUE_BYTES);
            return FL_OK;
        }
        at += CHUNK_HEADER + chunk_size + chunk_size % 2; /* Padded to an even length. */
    }
    return FL_ERR_CORRUPT;
}

int16_t fl_wav_value(const fl_wav_t *wav, size_t reading, uint32_t channel) {
    const uint32_t bits = u16(wav->data + VALUE_BYTES * (reading * wav->channels + channel));
    return (int16_t)(bits < 0x8000u ? (int32_t)bits : (int32_t)bits - 0x10000);
}
