/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "agent/impulse/tflite.h"

#include <string.h>

#include "agent/impulse/network.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "The model file is little endian and is read in place: port the reads first."
#endif

/* Field numbers of the schema, by table. */
enum { MODEL_VERSION = 0, MODEL_OPERATOR_CODES = 1, MODEL_SUBGRAPHS = 2, MODEL_BUFFERS = 4 };
enum { MODEL_METADATA = 6, METADATA_NAME = 0, METADATA_BUFFER = 1 };
enum { SUBGRAPH_TENSORS = 0 };
enum { BUFFER_DATA = 0, BUFFER_OFFSET = 1, BUFFER_SIZE = 2 };
enum { TENSOR_SHAPE = 0, TENSOR_TYPE = 1, TENSOR_BUFFER = 2, TENSOR_QUANTIZATION = 4 };
enum { TENSOR_IS_VARIABLE = 5, TENSOR_SPARSITY = 6 };
enum { QUANTIZATION_SCALE = 2, QUANTIZATION_ZERO_POINT = 3 };
enum { QUANTIZATION_DETAILS_TYPE = 4, QUANTIZATION_DIMENSION = 6 };

/* A flatbuffer begins with the offset of its root table and the identifier. */
enum { FIRST_TABLE = 8 };

uint32_t fl_read_u32(const uint8_t *bytes) {
    uint32_t value;
    memcpy(&value, bytes, sizeof value);
    return value;
}

static uint32_t read_u16(const uint8_t *bytes) {
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8;
}

static bool inside(const fl_tflite_t *file, uint64_t position, uint64_t length) {
    return position + length <= file->size;
}

#if FIELDLOOP_AGENT_STATUS_TEXT
fl_status_t fl_tflite_refuse(fl_tflite_t *file, fl_status_t status, const char *reason) {
    if (file->reason == NULL) {
        file->reason = reason;
    }
    return status;
}
#endif

static uint32_t broken(fl_tflite_t *file) {
    file->corrupt = true;
    (void)FL_REFUSE(file, FL_ERR_CORRUPT, "an offset points outside the file");
    return 0;
}

/* Follows the unsigned offset at `position`, which has been checked to be inside. */
static uint32_t follow(fl_tflite_t *file, uint32_t position) {
    const uint64_t target = (uint64_t)position + fl_read_u32(file->data + position);
    if (target < FIRST_TABLE || !inside(file, target, 4)) {
        return broken(file);
    }
    return (uint32_t)target;
}

/* Position of a field of `width` bytes, 0 if it is absent. Checks the table on the way. */
static uint32_t field_position(fl_tflite_t *file, uint32_t table, uint32_t field, uint32_t width) {
    if (table == 0) {
        return 0;
    }
    if (!inside(file, table, 4)) {
        return broken(file);
    }
    const int64_t vtable = (int64_t)table - (int32_t)fl_read_u32(file->data + table);
    if (vtable < 0 || !inside(file, (uint64_t)vtable, 4)) {
        return broken(file);
    }
    const uint8_t *slots = file->data + vtable;
    const uint32_t vtable_size = read_u16(slots);
    const uint32_t table_size = read_u16(slots + 2);
    if (vtable_size < 4 || table_size < 4 || !inside(file, (uint64_t)vtable, vtable_size) ||
        !inside(file, table, table_size)) {
        return broken(file);
    }
    const uint32_t slot = 4 + 2 * field;
    if (slot + 2 > vtable_size) {
        return 0;
    }
    const uint32_t offset = read_u16(slots + slot);
    if (offset == 0) {
        return 0;
    }
    if (offset < 4 || offset + width > table_size) {
        return broken(file);
    }
    return table + offset;
}

uint8_t fl_tflite_u8(fl_tflite_t *file, uint32_t table, uint32_t field, uint8_t absent) {
    const uint32_t position = field_position(file, table, field, 1);
    return position == 0 ? absent : file->data[position];
}

int32_t fl_tflite_i32(fl_tflite_t *file, uint32_t table, uint32_t field, int32_t absent) {
    const uint32_t position = field_position(file, table, field, 4);
    return position == 0 ? absent : (int32_t)fl_read_u32(file->data + position);
}

float fl_tflite_f32(fl_tflite_t *file, uint32_t table, uint32_t field, float absent) {
    const uint32_t position = field_position(file, table, field, 4);
    return position == 0 ? absent : fl_read_f32(file->data + position);
}

bool fl_tflite_has(fl_tflite_t *file, uint32_t table, uint32_t field) {
    return field_position(file, table, field, 1) != 0;
}

uint32_t fl_tflite_table(fl_tflite_t *file, uint32_t table, uint32_t field) {
    const uint32_t position = field_position(file, table, field, 4);
    return position == 0 ? 0 : follow(file, position);
}

uint32_t fl_tflite_vector(fl_tflite_t *file, uint32_t table, uint32_t field, uint32_t width,
                          uint32_t *count) {
    *count = 0;
    const uint32_t position = field_position(file, table, field, 4);
    const uint32_t vector = position == 0 ? 0 : follow(file, position);
    if (vector == 0) {
        return 0;
    }
    const uint32_t elements = fl_read_u32(file->data + vector);
    if (!inside(file, (uint64_t)vector + 4, (uint64_t)elements * width)) {
        return broken(file);
    }
    *count = elements;
    return vector + 4;
}

uint32_t fl_tflite_element(fl_tflite_t *file, uint32_t vector, uint32_t index) {
    return follow(file, vector + 4 * index);
}

fl_status_t fl_tflite_open(fl_tflite_t *file, const uint8_t *data, size_t size) {
    *file = (fl_tflite_t){.data = data};
    if (size < FIRST_TABLE || memcmp(data + 4, "TFL3", 4) != 0) {
        return FL_REFUSE(file, FL_ERR_CORRUPT, "the file does not begin as a TFL3 flatbuffer");
    }
    /* Offsets are 31 bits in practice; this also keeps every sum below within 32 bits. */
    if (size > INT32_MAX) {
        return FL_REFUSE(file, FL_ERR_UNSUPPORTED, "the file is larger than 2 GiB");
    }
    file->size = (uint32_t)size;
    file->root = follow(file, 0);
    FL_RETURN_IF_BROKEN(file);
    const int32_t version = fl_tflite_i32(file, file->root, MODEL_VERSION, 0);
    uint32_t subgraph_count = 0;
    const uint32_t subgraphs =
        fl_tflite_vector(file, file->root, MODEL_SUBGRAPHS, 4, &subgraph_count);
    file->operator_codes =
        fl_tflite_vector(file, file->root, MODEL_OPERATOR_CODES, 4, &file->operator_code_count);
    file->buffers = fl_tflite_vector(file, file->root, MODEL_BUFFERS, 4, &file->buffer_count);
    FL_RETURN_IF_BROKEN(file);
    if (subgraph_count == 0) {
        return FL_REFUSE(file, FL_ERR_CORRUPT, "the model has no subgraph");
    }
    if (version != 3) {
        return FL_REFUSE(file, FL_ERR_UNSUPPORTED, "the version of the schema is not 3");
    }
    file->subgraph = fl_tflite_element(file, subgraphs, 0);
    file->tensors =
        fl_tflite_vector(file, file->subgraph, SUBGRAPH_TENSORS, 4, &file->tensor_count);
    return file->corrupt ? FL_ERR_CORRUPT : FL_OK;
}

fl_status_t fl_tflite_buffer(fl_tflite_t *file, uint32_t index, const uint8_t **data,
                             uint32_t *size) {
    *data = NULL;
    *size = 0;
    if (index >= file->buffer_count) {
        return FL_REFUSE(file, FL_ERR_CORRUPT, "the index of a buffer is out of range");
    }
    const uint32_t buffer = fl_tflite_element(file, file->buffers, index);
    uint32_t count = 0;
    const uint32_t content = fl_tflite_vector(file, buffer, BUFFER_DATA, 1, &count);
    const bool outside =
        fl_tflite_has(file, buffer, BUFFER_OFFSET) || fl_tflite_has(file, buffer, BUFFER_SIZE);
    FL_RETURN_IF_BROKEN(file);
    if (outside) {
        return FL_REFUSE(file, FL_ERR_UNSUPPORTED, "a buffer lies outside the flatbuffer");
    }
    if (count > 0) {
        *data = file->data + content;
        *size = count;
    }
    return FL_OK;
}

static fl_status_t read_shape(fl_tflite_t *file, uint32_t table, fl_tensor_t *tensor) {
    const uint32_t shape = fl_tflite_vector(file, table, TENSOR_SHAPE, 4, &tensor->rank);
    FL_RETURN_IF_BROKEN(file);
    if (tensor->rank > FL_TFLITE_MAX_RANK) {
        return FL_REFUSE(file, FL_ERR_UNSUPPORTED, "a tensor has more than 4 dimensions");
    }
    uint64_t elements = 1;
    for (uint32_t i = 0; i < tensor->rank; ++i) {
        const uint32_t dim = fl_read_u32(file->data + shape + (size_t)4 * i);
        if (dim == 0 || dim > INT32_MAX) {
            return FL_REFUSE(file, FL_ERR_UNSUPPORTED, "a dimension is not above 0");
        }
        tensor->dims[i] = dim;
        elements *= dim;
        if (elements > INT32_MAX) {
            return FL_REFUSE(file, FL_ERR_UNSUPPORTED, "a tensor has 2^31 elements or more");
        }
    }
    tensor->elements = (uint32_t)elements;
    return FL_OK;
}

static fl_status_t read_quantisation(fl_tflite_t *file, uint32_t table, fl_tensor_t *tensor) {
    const uint32_t quantisation = fl_tflite_table(file, table, TENSOR_QUANTIZATION);
    uint32_t zero_point_count = 0;
    const uint32_t scales =
        fl_tflite_vector(file, quantisation, QUANTIZATION_SCALE, 4, &tensor->scale_count);
    const uint32_t zero_points =
        fl_tflite_vector(file, quantisation, QUANTIZATION_ZERO_POINT, 8, &zero_point_count);
    const uint8_t details = fl_tflite_u8(file, quantisation, QUANTIZATION_DETAILS_TYPE, 0);
    const int32_t dimension = fl_tflite_i32(file, quantisation, QUANTIZATION_DIMENSION, 0);
    FL_RETURN_IF_BROKEN(file);
    if (zero_point_count != tensor->scale_count || dimension < 0) {
        return FL_REFUSE(file, FL_ERR_CORRUPT, "scales and zero points of a tensor disagree");
    }
    if (details != 0) {
        return FL_REFUSE(file, FL_ERR_UNSUPPORTED, "a tensor has a custom quantisation");
    }
    tensor->quantized_dimension = (uint32_t)dimension;
    for (uint32_t i = 0; i < tensor->scale_count; ++i) {
        const float scale = fl_read_f32(file->data + scales + (size_t)4 * i);
        const uint8_t *bytes = file->data + zero_points + (size_t)8 * i;
        const int32_t zero_point = (int32_t)fl_read_u32(bytes);
        if (!fl_is_finite(scale) || !(scale > 0.0f)) {
            return FL_REFUSE(file, FL_ERR_CORRUPT, "a scale is not a number above 0");
        }
        /* An int64 in the file; only an int8 makes sense, and only for activations one not 0. */
        if (fl_read_u32(bytes + 4) != (zero_point < 0 ? UINT32_MAX : 0u) || zero_point < -128 ||
            zero_point > 127 || (i > 0 && zero_point != 0)) {
            return FL_REFUSE(file, FL_ERR_UNSUPPORTED, "a zero point is not an int8");
        }
        if (i == 0) {
            tensor->scale = scale;
            tensor->zero_point = zero_point;
            tensor->scales = file->data + scales;
        }
    }
    return FL_OK;
}

fl_status_t fl_tflite_tensor(fl_tflite_t *file, int32_t index, fl_tensor_t *tensor) {
    *tensor = (fl_tensor_t){0};
    if (index < 0 || (uint32_t)index >= file->tensor_count) {
        return FL_REFUSE(file, FL_ERR_CORRUPT, "the index of a tensor is out of range");
    }
    const uint32_t table = fl_tflite_element(file, file->tensors, (uint32_t)index);
    tensor->type = fl_tflite_u8(file, table, TENSOR_TYPE, FL_TFLITE_FLOAT32);
    const uint32_t buffer = (uint32_t)fl_tflite_i32(file, table, TENSOR_BUFFER, 0);
    const bool variable = fl_tflite_u8(file, table, TENSOR_IS_VARIABLE, 0) != 0;
    const bool sparse = fl_tflite_has(file, table, TENSOR_SPARSITY);
    FL_RETURN_IF_BROKEN(file);
    if (variable || sparse) {
        return FL_REFUSE(file, FL_ERR_UNSUPPORTED, "a tensor is a variable or sparse");
    }
    FL_RETURN_IF_ERROR(read_shape(file, table, tensor));
    FL_RETURN_IF_ERROR(read_quantisation(file, table, tensor));
    FL_RETURN_IF_ERROR(fl_tflite_buffer(file, buffer, &tensor->data, &tensor->data_size));
    const uint64_t width = tensor->type == FL_TFLITE_INT32 ? 4 : 1;
    if (tensor->data != NULL &&
        (tensor->type == FL_TFLITE_INT8 || tensor->type == FL_TFLITE_INT32) &&
        tensor->data_size != width * tensor->elements) {
        return FL_REFUSE(file, FL_ERR_CORRUPT, "a constant is not as long as its shape says");
    }
    return FL_OK;
}

fl_status_t fl_tflite_metadata(const uint8_t *model, size_t size, const char *name,
                               const uint8_t **data, size_t *data_size) {
    fl_tflite_t file;
    FL_RETURN_IF_ERROR(fl_tflite_open(&file, model, size));
    const size_t name_size = strlen(name);
    uint32_t count = 0;
    const uint32_t entries = fl_tflite_vector(&file, file.root, MODEL_METADATA, 4, &count);
    for (uint32_t i = 0; i < count && !file.corrupt; ++i) {
        const uint32_t entry = fl_tflite_element(&file, entries, i);
        uint32_t length = 0;
        const uint32_t text = fl_tflite_vector(&file, entry, METADATA_NAME, 1, &length);
        if (file.corrupt || text == 0 || length != name_size ||
            memcmp(file.data + text, name, length) != 0) {
            continue;
        }
        const uint32_t index = (uint32_t)fl_tflite_i32(&file, entry, METADATA_BUFFER, 0);
        const uint8_t *content = NULL;
        uint32_t content_size = 0;
        FL_RETURN_IF_ERROR(fl_tflite_buffer(&file, index, &content, &content_size));
        if (content == NULL) {
            return FL_ERR_CORRUPT;
        }
        *data = content;
        *data_size = content_size;
        return FL_OK;
    }
    return file.corrupt ? FL_ERR_CORRUPT : FL_ERR_NOT_FOUND;
}
