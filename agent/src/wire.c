/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "wire.h"

#include <pb_decode.h>
#include <pb_encode.h>

#include "bytes.h"

static fl_status_t varint(fl_slice_t *message, uint64_t *value) {
    *value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (message->size == 0) {
            return FL_ERR_CORRUPT;
        }
        const uint8_t byte = *message->data++;
        message->size--;
        *value |= (uint64_t)(byte & 0x7fu) << shift;
        if ((byte & 0x80u) == 0) {
            return FL_OK;
        }
    }
    return FL_ERR_CORRUPT;
}

static fl_status_t take(fl_slice_t *message, uint64_t size, fl_slice_t *bytes) {
    if (size > message->size) {
        return FL_ERR_CORRUPT;
    }
    *bytes = (fl_slice_t){.data = message->data, .size = (size_t)size};
    message->data += size;
    message->size -= (size_t)size;
    return FL_OK;
}

fl_status_t fl_wire_next(fl_slice_t *message, fl_field_t *field) {
    uint64_t key;
    if (message->size == 0) {
        return FL_ERR_NOT_FOUND;
    }
    FL_RETURN_IF_ERROR(varint(message, &key));
    if (key > UINT32_MAX || key >> 3 == 0) {
        return FL_ERR_CORRUPT;
    }
    field->number = (uint32_t)(key >> 3);
    field->wire_type = (uint32_t)(key & 7u);
    field->value = 0;
    field->bytes = (fl_slice_t){0};
    switch (field->wire_type) {
        case 0: return varint(message, &field->value);
        case 1: return take(message, 8, &field->bytes);
        case 2: {
            uint64_t size;
            FL_RETURN_IF_ERROR(varint(message, &size));
            return take(message, size, &field->bytes);
        }
        case 5: return take(message, 4, &field->bytes);
        default: return FL_ERR_CORRUPT;
    }
}

static fl_status_t signature(fl_slice_t message, fl_document_t *document) {
    fl_slice_t key_id;
    fl_slice_t value;
    FL_RETURN_IF_ERROR(fl_wire_pair(message, &key_id, &value));
    if (key_id.size != 8 || value.size != 64 ||
        document->signature_count == sizeof document->signatures / sizeof document->signatures[0]) {
        return FL_ERR_CORRUPT;
    }
    document->signatures[document->signature_count].key_id = key_id.data;
    document->signatures[document->signature_count].value = value.data;
    document->signature_count++;
    return FL_OK;
}

fl_status_t fl_wire_document(fl_slice_t message, fl_document_t *document) {
    fl_field_t field;
    *document = (fl_document_t){0};
    for (;;) {
        const fl_status_t status = fl_wire_next(&message, &field);
        if (status == FL_ERR_NOT_FOUND) {
            break;
        }
        FL_RETURN_IF_ERROR(status);
        if (field.wire_type == 2 && field.number == FL_PB(SignedDocument_payload_tag)) {
            document->payload = field.bytes;
        } else if (field.wire_type == 2 && field.number == FL_PB(SignedDocument_signatures_tag)) {
            FL_RETURN_IF_ERROR(signature(field.bytes, document));
        }
    }
    const FL_PB(SignedDocument) *limits = NULL;
    return document->payload.size > 0 && document->payload.size <= sizeof limits->payload.bytes
               ? FL_OK
               : FL_ERR_CORRUPT;
}

fl_status_t fl_wire_pair(fl_slice_t message, fl_slice_t *first, fl_slice_t *second) {
    fl_field_t field;
    *first = (fl_slice_t){0};
    *second = (fl_slice_t){0};
    for (;;) {
        const fl_status_t status = fl_wire_next(&message, &field);
        if (status == FL_ERR_NOT_FOUND) {
            return FL_OK;
        }
        FL_RETURN_IF_ERROR(status);
        if (field.wire_type == 2 && field.number == 1) {
            *first = field.bytes;
        } else if (field.wire_type == 2 && field.number == 2) {
            *second = field.bytes;
        }
    }
}

fl_status_t fl_wire_chunk(fl_slice_t message, fl_chunk_t *chunk) {
    fl_field_t field;
    *chunk = (fl_chunk_t){0};
    for (;;) {
        const fl_status_t status = fl_wire_next(&message, &field);
        if (status == FL_ERR_NOT_FOUND) {
            break;
        }
        FL_RETURN_IF_ERROR(status);
        if (field.wire_type == 0 && field.number == FL_PB(ArtifactChunk_offset_tag)) {
            if (field.value > UINT32_MAX) {
                return FL_ERR_CORRUPT;
            }
            chunk->offset = (uint32_t)field.value;
        } else if (field.wire_type == 5 && field.number == FL_PB(ArtifactChunk_artifact_tag)) {
            chunk->artifact = fl_get_u32(field.bytes.data);
        } else if (field.wire_type == 2 && field.number == FL_PB(ArtifactChunk_data_tag)) {
            chunk->data = field.bytes;
        }
    }
    return chunk->data.size >= 1 && chunk->data.size <= 1024 ? FL_OK : FL_ERR_CORRUPT;
}

fl_status_t fl_wire_decode(fl_slice_t message, const pb_msgdesc_t *fields, void *dst) {
    pb_istream_t stream = pb_istream_from_buffer(message.data, message.size);
    return pb_decode(&stream, fields, dst) ? FL_OK : FL_ERR_CORRUPT;
}

fl_status_t fl_wire_encode(uint32_t tag, const pb_msgdesc_t *fields, const void *src, uint8_t *dst,
                           size_t capacity, size_t *size) {
    pb_ostream_t stream = pb_ostream_from_buffer(dst, capacity);
    if (!pb_encode_tag(&stream, PB_WT_STRING, tag) || !pb_encode_submessage(&stream, fields, src)) {
        return FL_ERR_NO_SPACE;
    }
    *size = stream.bytes_written;
    return FL_OK;
}
