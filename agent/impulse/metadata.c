/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "agent/impulse/metadata.h"

#include <pb_decode.h>
#include <stdbool.h>

fl_status_t fl_metadata_field(fl_span_t message, uint32_t tag, fl_span_t *field) {
    fl_span_t found = {NULL, 0};
    pb_istream_t stream = pb_istream_from_buffer(message.data, message.size);
    while (stream.bytes_left > 0) {
        pb_wire_type_t wire_type;
        uint32_t number = 0;
        bool end = false;
        if (!pb_decode_tag(&stream, &wire_type, &number, &end)) {
            return FL_ERR_CORRUPT;
        }
        if (number != tag) {
            if (!pb_skip_field(&stream, wire_type)) {
                return FL_ERR_CORRUPT;
            }
            continue;
        }
        uint32_t length = 0;
        if (wire_type != PB_WT_STRING || found.data != NULL ||
            !pb_decode_varint32(&stream, &length) || length > stream.bytes_left) {
            return FL_ERR_CORRUPT;
        }
        found.data = message.data + (message.size - stream.bytes_left);
        found.size = length;
        if (!pb_read(&stream, NULL, length)) {
            return FL_ERR_CORRUPT;
        }
    }
    *field = found;
    return FL_OK;
}
