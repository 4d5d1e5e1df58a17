/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/**
 * @file
 * @brief Checked reading of a .tflite flatbuffer in place. Internal to agent/impulse.
 *
 * The file is not trusted: every access checks that what it reads lies inside the file, and reads
 * it byte by byte, so that alignment does not matter. A broken offset sets `corrupt` and yields 0;
 * the caller looks at the flag before it uses what it read.
 */
#ifndef FIELDLOOP_AGENT_IMPULSE_TFLITE_H
#define FIELDLOOP_AGENT_IMPULSE_TFLITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "fieldloop_agent/config.h"
#include "fieldloop_agent/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The numbers of the tables are positions in the file; 0 is "absent". */
typedef struct fl_tflite {
    const uint8_t *data;
    uint32_t size;
    bool corrupt;            /**< Set by the first broken offset; never cleared. */
    const char *reason;      /**< Of the first refusal; NULL if there was none, or without texts. */
    uint32_t root;           /**< Model table. */
    uint32_t subgraph;       /**< First SubGraph table. */
    uint32_t operator_codes; /**< First entry. */
    uint32_t operator_code_count;
    uint32_t buffers; /**< First entry. */
    uint32_t buffer_count;
    uint32_t tensors; /**< First entry, of the first subgraph. */
    uint32_t tensor_count;
} fl_tflite_t;

#if FIELDLOOP_AGENT_STATUS_TEXT
/** Keeps the reason of the first refusal and returns the status. */
fl_status_t fl_tflite_refuse(fl_tflite_t *file, fl_status_t status, const char *reason);
#define FL_REFUSE(file, status, reason) fl_tflite_refuse((file), (status), (reason))
#else
#define FL_REFUSE(file, status, reason) ((void)(file), (status))
#endif
/** Returns FL_ERR_CORRUPT from the current function if a broken offset was met. */
#define FL_RETURN_IF_BROKEN(file)  \
    do {                           \
        if ((file)->corrupt) {     \
            return FL_ERR_CORRUPT; \
        }                          \
    } while (0)

/** Most dimensions of a tensor. */
#define FL_TFLITE_MAX_RANK 4

/** Element types, as in the file format. */
enum { FL_TFLITE_FLOAT32 = 0, FL_TFLITE_INT32 = 2, FL_TFLITE_INT8 = 9 };

/** One tensor. */
typedef struct fl_tensor {
    uint32_t rank;                     /**< 0: a scalar, one element. */
    uint32_t dims[FL_TFLITE_MAX_RANK]; /**< Each at least 1. */
    uint32_t elements;                 /**< Product of the dimensions, at most INT32_MAX. */
    uint8_t type;
    const uint8_t *data; /**< Constant content; NULL if it is computed. */
    uint32_t data_size;
    const uint8_t *scales; /**< scale_count little-endian float32, any alignment. */
    uint32_t scale_count;  /**< 0: not quantised. */
    float scale;           /**< The first scale; 0 if there is none. */
    int32_t zero_point;    /**< The first zero point; 0 if there is none. */
    uint32_t quantized_dimension;
} fl_tensor_t;

/** Reads an unaligned little-endian number. */
uint32_t fl_read_u32(const uint8_t *bytes);
/** Reads an unaligned little-endian float32. */
static inline float fl_read_f32(const uint8_t *bytes) {
    float value;
    memcpy(&value, bytes, sizeof value);
    return value;
}
/** Says whether a float is neither NaN nor infinite. */
static inline bool fl_is_finite(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (bits & 0x7f800000u) != 0x7f800000u;
}

/** Finds the tables of a model. FL_ERR_CORRUPT; FL_ERR_UNSUPPORTED for another version or 2 GiB. */
fl_status_t fl_tflite_open(fl_tflite_t *file, const uint8_t *data, size_t size);

/** Scalar fields of a table, with the default the schema gives. */
uint8_t fl_tflite_u8(fl_tflite_t *file, uint32_t table, uint32_t field, uint8_t absent);
int32_t fl_tflite_i32(fl_tflite_t *file, uint32_t table, uint32_t field, int32_t absent);
float fl_tflite_f32(fl_tflite_t *file, uint32_t table, uint32_t field, float absent);
/** Says whether a field is present at all. */
bool fl_tflite_has(fl_tflite_t *file, uint32_t table, uint32_t field);
/** Table that a field points to. */
uint32_t fl_tflite_table(fl_tflite_t *file, uint32_t table, uint32_t field);
/** First element of a vector whose elements take `width` bytes; `count` is 0 if it is absent. */
uint32_t fl_tflite_vector(fl_tflite_t *file, uint32_t table, uint32_t field, uint32_t width,
                          uint32_t *count);
/** Table at an index of a vector of tables; `index` must be below its count. */
uint32_t fl_tflite_element(fl_tflite_t *file, uint32_t vector, uint32_t index);

/**
 * Content of a buffer, data NULL and size 0 if it is empty.
 * FL_ERR_CORRUPT; FL_ERR_UNSUPPORTED if it lies outside the flatbuffer.
 */
fl_status_t fl_tflite_buffer(fl_tflite_t *file, uint32_t index, const uint8_t **data,
                             uint32_t *size);

/**
 * Reads and checks a tensor of the first subgraph: its scales are finite and above 0, constant int8
 * and int32 content is as long as the shape says.
 * FL_ERR_CORRUPT; FL_ERR_UNSUPPORTED for sparse, variable or higher-rank tensors.
 */
fl_status_t fl_tflite_tensor(fl_tflite_t *file, int32_t index, fl_tensor_t *tensor);

#ifdef __cplusplus
}
#endif

#endif
