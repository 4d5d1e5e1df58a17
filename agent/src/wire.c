/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "wire.h"

#include <string.h>

#include "apart.h"
#include "bytes.h"

enum { VARINT = 0, FIXED64 = 1, DELIMITED = 2, FIXED32 = 5, ONE_BYTE_MAX = 127 };

/* --- Reading --- */

fl_status_t fl_wire_varint(fl_slice_t *message, uint64_t *value) {
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

fl_status_t fl_wire_next(fl_slice_t *message, fl_field_t *field) {
    if (message->size == 0) {
        return FL_ERR_NOT_FOUND;
    }
    FL_RETURN_IF_ERROR(fl_wire_varint(message, &field->value));
    field->number = (uint32_t)field->value >> 3;
    field->wire_type = (uint32_t)field->value & 7u;
    field->bytes = *message;
    if (field->value >> 32 != 0 || field->number == 0) {
        return FL_ERR_CORRUPT;
    }
    switch (field->wire_type) {
        case VARINT:
        case DELIMITED: FL_RETURN_IF_ERROR(fl_wire_varint(message, &field->value)); break;
        case FIXED64: field->value = 8; break;
        case FIXED32: field->value = 4; break;
        default: return FL_ERR_CORRUPT;
    }
    if (field->wire_type == VARINT) {
        field->bytes.size -= message->size;
        return FL_OK;
    }
    if (field->value > message->size) {
        return FL_ERR_CORRUPT;
    }
    field->bytes = (fl_slice_t){.data = message->data, .size = (size_t)field->value};
    message->data += field->bytes.size;
    message->size -= field->bytes.size;
    field->value = field->wire_type == FIXED32 ? fl_get_u32(field->bytes.data) : 0;
    return FL_OK;
}

fl_status_t fl_wire_read(const fl_slice_t *message, fl_field_t *fields, unsigned count) {
    fl_slice_t rest = *message;
    memset(fields, 0, count * sizeof *fields);
    for (;;) {
        fl_field_t field;
        const fl_status_t status = fl_wire_next(&rest, &field);
        if (status != FL_OK) {
            return status == FL_ERR_NOT_FOUND ? FL_OK : status;
        }
        if (field.number <= count) {
            fields[field.number - 1u] = field;
        }
    }
}

float fl_wire_float(const fl_field_t *field) {
    const uint32_t bits = (uint32_t)field->value;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

bool fl_wire_is_text(const fl_slice_t *bytes, const char *text) {
    return bytes->size == strlen(text) &&
           (bytes->size == 0 || memcmp(bytes->data, text, bytes->size) == 0);
}

bool fl_wire_copy_text(const fl_slice_t *bytes, char *text, size_t max) {
    if (bytes->size > max) {
        return false;
    }
    if (bytes->size > 0) {
        memcpy(text, bytes->data, bytes->size);
    }
    text[bytes->size] = '\0';
    return true;
}

fl_status_t fl_wire_document(const fl_slice_t *message, fl_document_t *document) {
    fl_slice_t rest = *message;
    const FL_PB(SignedDocument) *limits = NULL;
    fl_field_t field;
    fl_status_t status;
    *document = (fl_document_t){0};
    while ((status = fl_wire_next(&rest, &field)) == FL_OK) {
        fl_field_t signature[FL_PB(Signature_value_tag)];
        if (field.number == FL_PB(SignedDocument_payload_tag)) {
            document->payload = field.bytes;
        } else if (field.number == FL_PB(SignedDocument_signatures_tag)) {
            const uint32_t i = document->signature_count++;
            FL_RETURN_IF_ERROR(fl_wire_read(&field.bytes, signature, FL_PB(Signature_value_tag)));
            const fl_slice_t *key_id = &signature[FL_PB(Signature_key_id_tag) - 1].bytes;
            const fl_slice_t *value = &signature[FL_PB(Signature_value_tag) - 1].bytes;
            if (key_id->size != 8 || value->size != 64 ||
                i == sizeof document->signatures / sizeof document->signatures[0]) {
                return FL_ERR_CORRUPT;
            }
            document->signatures[i].key_id = key_id->data;
            document->signatures[i].value = value->data;
        }
    }
    return status == FL_ERR_NOT_FOUND && document->payload.size > 0 &&
                   document->payload.size <= sizeof limits->payload.bytes
               ? FL_OK
               : FL_ERR_CORRUPT;
}

/* --- Writing --- */

void fl_put_element(fl_writer_t *writer, uint64_t value) {
    do {
        if (writer->at == writer->end) {
            writer->failed = true;
            return;
        }
        *writer->at++ = (uint8_t)((value & 0x7fu) | (value > 0x7fu ? 0x80u : 0));
        value >>= 7;
    } while (value > 0);
}

FL_APART static void put_key(fl_writer_t *writer, uint32_t number, uint32_t wire_type) {
    fl_put_element(writer, number << 3 | wire_type);
}

static uint8_t *put_raw(fl_writer_t *writer, size_t size) {
    uint8_t *at = writer->at;
    if (writer->failed || (size_t)(writer->end - at) < size) {
        writer->failed = true;
        return NULL;
    }
    writer->at += size;
    return at;
}

fl_writer_t *fl_put_number(fl_writer_t *writer, uint32_t number, uint32_t value) {
    return fl_put_long(writer, number, value);
}

fl_writer_t *fl_put_long(fl_writer_t *writer, uint32_t number, uint64_t value) {
    if (value != 0) {
        put_key(writer, number, VARINT);
        fl_put_element(writer, value);
    }
    return writer;
}

fl_writer_t *fl_put_fixed32(fl_writer_t *writer, uint32_t number, uint32_t value) {
    if (value != 0) {
        put_key(writer, number, FIXED32);
        uint8_t *at = put_raw(writer, 4);
        if (at != NULL) {
            fl_put_u32(at, value);
        }
    }
    return writer;
}

fl_writer_t *fl_put_float(fl_writer_t *writer, uint32_t number, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return fl_put_fixed32(writer, number, bits);
}

uint8_t *fl_put_room(fl_writer_t *writer, uint32_t number, size_t size) {
    put_key(writer, number, DELIMITED);
    fl_put_element(writer, size);
    return put_raw(writer, size);
}

fl_writer_t *fl_put_bytes(fl_writer_t *writer, uint32_t number, const void *data, size_t size) {
    if (size > 0) {
        uint8_t *room = fl_put_room(writer, number, size);
        if (room != NULL) {
            memcpy(room, data, size);
        }
    }
    return writer;
}

fl_writer_t *fl_put_text(fl_writer_t *writer, uint32_t number, const char *text) {
    return fl_put_bytes(writer, number, text, strlen(text));
}

uint8_t *fl_put_begin(fl_writer_t *writer, uint32_t number) {
    put_key(writer, number, DELIMITED);
    return put_raw(writer, 1);
}

void fl_put_end(fl_writer_t *writer, uint8_t *begun) {
    const size_t size = begun == NULL ? 0 : (size_t)(writer->at - begun) - 1u;
    if (begun == NULL || size > ONE_BYTE_MAX) {
        writer->failed = true;
        return;
    }
    *begun = (uint8_t)size;
}

fl_writer_t *fl_frame_begin(fl_writer_t *writer, uint8_t *buffer, size_t capacity) {
    writer->start = buffer;
    writer->at = buffer + FL_MESSAGE_HEAD;
    writer->end = buffer + capacity;
    writer->failed = false;
    return writer;
}

size_t fl_frame_end(fl_writer_t *writer, uint32_t number) {
    uint8_t *first = writer->start + FL_MESSAGE_HEAD;
    const size_t size = (size_t)(writer->at - first);
    if (writer->failed || size > FL_MESSAGE_MAX) {
        return 0;
    }
    if (size > ONE_BYTE_MAX) {
        *--first = (uint8_t)(size >> 7);
        *--first = (uint8_t)(size | 0x80u);
    } else {
        *--first = (uint8_t)size;
    }
    *--first = (uint8_t)(number << 3 | DELIMITED);
    const size_t frame = (size_t)(writer->at - first);
    *--first = (uint8_t)frame;
    *--first = (uint8_t)(frame >> 8);
    writer->start = first;
    return frame + FL_FRAME_LENGTH;
}
