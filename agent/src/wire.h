/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/* Protobuf in place: documents and payloads are read where they lie in the frame, so that none of
 * them needs a second buffer. Small messages go through nanopb's structs. */
#ifndef FIELDLOOP_AGENT_SRC_WIRE_H
#define FIELDLOOP_AGENT_SRC_WIRE_H

#include <fieldloop/agent/v1/agent.nanopb.h>
#include <pb.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fieldloop_agent/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* nanopb's name of a message, an enumerator or a constant of the protocol. */
#define FL_PB(name) fieldloop_agent_v1_##name

typedef struct fl_slice {
    const uint8_t *data;
    size_t size;
} fl_slice_t;

/* One field of a message. */
typedef struct fl_field {
    uint32_t number;
    uint32_t wire_type; /* 0 varint, 1 fixed64, 2 length delimited, 5 fixed32 */
    uint64_t value;     /* Of a varint. */
    fl_slice_t bytes;   /* Of a length-delimited field. */
} fl_field_t;

/* Takes the next field off the message. FL_ERR_NOT_FOUND at the end, FL_ERR_CORRUPT. */
fl_status_t fl_wire_next(fl_slice_t *message, fl_field_t *field);

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
fl_status_t fl_wire_document(fl_slice_t message, fl_document_t *document);

/* Two length-delimited fields, numbers 1 and 2, such as those of UpdateOffer and CertificateReply.
 */
fl_status_t fl_wire_pair(fl_slice_t message, fl_slice_t *first, fl_slice_t *second);

/* An ArtifactChunk. */
typedef struct fl_chunk {
    uint32_t offset;
    uint32_t artifact;
    fl_slice_t data;
} fl_chunk_t;

fl_status_t fl_wire_chunk(fl_slice_t message, fl_chunk_t *chunk);

/* Decodes with nanopb. FL_OK or FL_ERR_CORRUPT. */
fl_status_t fl_wire_decode(fl_slice_t message, const pb_msgdesc_t *fields, void *dst);

/* Encodes a DeviceMessage that holds one message: the bytes of nanopb's own DeviceMessage, without
 * needing room for its largest member. FL_OK or FL_ERR_NO_SPACE. */
fl_status_t fl_wire_encode(uint32_t tag, const pb_msgdesc_t *fields, const void *src, uint8_t *dst,
                           size_t capacity, size_t *size);

#ifdef __cplusplus
}
#endif

#endif
