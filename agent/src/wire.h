/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/* Protobuf in place: what arrives is read where it lies in the frame, and what leaves is written
 * where it leaves from, so that no message needs a second buffer or a struct of its own. Field
 * numbers and limits are those of the generated header. */
#ifndef FIELDLOOP_AGENT_SRC_WIRE_H
#define FIELDLOOP_AGENT_SRC_WIRE_H

#include <fieldloop/agent/v1/agent.nanopb.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fieldloop_agent/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The generated name of a message, an enumerator or a constant of the protocol. */
#define FL_PB(name) fieldloop_agent_v1_##name

typedef struct fl_slice {
    const uint8_t *data;
    size_t size;
} fl_slice_t;

/* One field of a message. */
typedef struct fl_field {
    uint32_t number;    /* 0 if the message has no such field. */
    uint32_t wire_type; /* 0 varint, 1 fixed64, 2 length delimited, 5 fixed32 */
    uint64_t value;     /* Of a varint or a fixed32. */
    fl_slice_t bytes;   /* Of a varint, those that it is encoded in. */
} fl_field_t;

/* --- Reading --- */

/* Takes a varint off the front. FL_OK or FL_ERR_CORRUPT. */
fl_status_t fl_wire_varint(fl_slice_t *message, uint64_t *value);

/* Takes the next field off the message. FL_ERR_NOT_FOUND at the end, FL_ERR_CORRUPT. */
fl_status_t fl_wire_next(fl_slice_t *message, fl_field_t *field);

/* Reads a message whose fields are numbered 1 to count: field N goes to fields[N - 1], the last one
 * of a number counts, others are skipped. FL_OK or FL_ERR_CORRUPT. */
fl_status_t fl_wire_read(const fl_slice_t *message, fl_field_t *fields, unsigned count);

/* A number of 32 bits, in the way of protobuf: higher bits do not count. */
static inline uint32_t fl_wire_number(const fl_field_t *field) {
    return field->value & UINT32_MAX;
}

/* A float that a fixed32 carries. */
float fl_wire_float(const fl_field_t *field);

/* Whether the bytes are just this text, or may be copied to one of at most `max` bytes. */
bool fl_wire_is_text(const fl_slice_t *bytes, const char *text);
bool fl_wire_copy_text(const fl_slice_t *bytes, char *text, size_t max);

/* A SignedDocument. */
typedef struct fl_document {
    fl_slice_t payload;
    uint32_t signature_count;
    struct {
        const uint8_t *key_id; /* 8 bytes. */
        const uint8_t *value;  /* 64 bytes. */
    } signatures[4];
} fl_document_t;

/* FL_OK; FL_ERR_CORRUPT if it does not parse or is over its limits. */
fl_status_t fl_wire_document(const fl_slice_t *message, fl_document_t *document);

/* --- Writing --- */

/* Bytes of a frame's length and of the largest header of the message in a DeviceMessage. */
enum { FL_FRAME_LENGTH = 2, FL_MESSAGE_HEAD = FL_FRAME_LENGTH + 3, FL_MESSAGE_MAX = 16383 };

/* Writes fields one behind the other. What does not fit sets `failed`, and nothing more is written.
 * As in proto3, a number that is 0 and bytes that are empty are left out. The functions return the
 * writer: to go on with what the last one returned is what takes the least flash. */
typedef struct fl_writer {
    uint8_t *start;
    uint8_t *at;
    const uint8_t *end;
    bool failed;
} fl_writer_t;

fl_writer_t *fl_put_number(fl_writer_t *writer, uint32_t number, uint32_t value);
fl_writer_t *fl_put_long(fl_writer_t *writer, uint32_t number, uint64_t value);
fl_writer_t *fl_put_fixed32(fl_writer_t *writer, uint32_t number, uint32_t value);
fl_writer_t *fl_put_float(fl_writer_t *writer, uint32_t number, float value);
fl_writer_t *fl_put_bytes(fl_writer_t *writer, uint32_t number, const void *data, size_t size);
fl_writer_t *fl_put_text(fl_writer_t *writer, uint32_t number, const char *text);

/* Room for the bytes of a field, to be filled by the caller; NULL if it does not fit. */
uint8_t *fl_put_room(fl_writer_t *writer, uint32_t number, size_t size);

/* An element of a packed field, between begin and end. */
void fl_put_element(fl_writer_t *writer, uint64_t value);

/* A message or a packed field within the message, of at most 127 bytes: what is put in between.
 * Give the result of begin to end. */
uint8_t *fl_put_begin(fl_writer_t *writer, uint32_t number);
void fl_put_end(fl_writer_t *writer, uint8_t *begun);

/* A frame with a DeviceMessage: begin, put the fields of its message, end with its field number.
 * The frame begins at writer->start then, within the first bytes of the buffer. Returns its size; 0
 * if it did not fit. */
fl_writer_t *fl_frame_begin(fl_writer_t *writer, uint8_t *buffer, size_t capacity);
size_t fl_frame_end(fl_writer_t *writer, uint32_t number);

#ifdef __cplusplus
}
#endif

#endif
