/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "agent/impulse/plan.h"

#include "agent/impulse/kernels.h"

enum { CODE_DEPRECATED = 0, CODE_BUILTIN = 3 };
enum { SUBGRAPH_INPUTS = 1, SUBGRAPH_OUTPUTS = 2, SUBGRAPH_OPERATORS = 3 };
enum { OPERATOR_CODE = 0, OPERATOR_INPUTS = 1, OPERATOR_OUTPUTS = 2 };

enum { ACTIVATION_ALIGNMENT = 8 };

_Static_assert(FL_NETWORK_MAX_OPERATORS < UINT8_MAX - 1, "steps are kept in 8 bits");

static uint32_t vector_at(const fl_tflite_t *file, uint32_t vector, uint32_t index) {
    return fl_read_u32(file->data + vector + (size_t)4 * index);
}

int32_t fl_plan_find(const fl_plan_t *plan, uint32_t tensor, uint32_t step) {
    for (uint32_t i = 0; i < step; ++i) {
        if (plan->activations[i].tensor == tensor) {
            return (int32_t)i;
        }
    }
    return -1;
}

/* Reads the one tensor of a vector of indices. */
static fl_status_t only_tensor(fl_tflite_t *file, uint32_t table, uint32_t field,
                               uint32_t *tensor) {
    uint32_t count = 0;
    const uint32_t vector = fl_tflite_vector(file, table, field, 4, &count);
    FL_RETURN_IF_BROKEN(file);
    if (count != 1) {
        return FL_REFUSE(file, FL_ERR_UNSUPPORTED, "there is not exactly one input or one output");
    }
    *tensor = vector_at(file, vector, 0);
    if (*tensor >= file->tensor_count) {
        return FL_REFUSE(file, FL_ERR_CORRUPT, "the index of a tensor is out of range");
    }
    return FL_OK;
}

/* Extends the life of the activations that an operator reads. */
static fl_status_t read_inputs(fl_plan_t *plan, fl_tflite_t *file, uint32_t op, uint32_t step) {
    uint32_t count = 0;
    const uint32_t inputs = fl_tflite_vector(file, op, OPERATOR_INPUTS, 4, &count);
    FL_RETURN_IF_BROKEN(file);
    for (uint32_t i = 0; i < count; ++i) {
        const int32_t found = fl_plan_find(plan, vector_at(file, inputs, i), step);
        if (found >= 0) {
            plan->activations[found].last = (uint8_t)step;
        }
    }
    return FL_OK;
}

static fl_status_t write_activation(fl_plan_t *plan, fl_tflite_t *file, uint32_t tensor,
                                    uint32_t step) {
    if (fl_plan_find(plan, tensor, step) >= 0) {
        return FL_REFUSE(file, FL_ERR_CORRUPT, "a tensor is written twice");
    }
    plan->activations[step] =
        (fl_activation_t){.tensor = tensor, .first = (uint8_t)step, .last = (uint8_t)step};
    return FL_OK;
}

static fl_status_t activation_size(fl_tflite_t *file, uint32_t tensor, uint32_t *size) {
    fl_tensor_t info;
    FL_RETURN_IF_ERROR(fl_tflite_tensor(file, (int32_t)tensor, &info));
    if (info.data != NULL) {
        return FL_REFUSE(file, FL_ERR_CORRUPT, "a constant is written");
    }
    if (info.type != FL_TFLITE_INT8 || info.scale_count != 1 || info.rank == 0) {
        return FL_REFUSE(file, FL_ERR_UNSUPPORTED,
                         "a computed tensor is not int8 with one scale and 1 to 4 dimensions");
    }
    *size = (info.elements + ACTIVATION_ALIGNMENT - 1) & ~(uint32_t)(ACTIVATION_ALIGNMENT - 1);
    return FL_OK;
}

/* First fit: moves up past every earlier activation that lives at the same time and is in the way.
 */
static fl_status_t place(fl_plan_t *plan, fl_tflite_t *file, uint32_t index) {
    fl_activation_t *self = &plan->activations[index];
    FL_RETURN_IF_ERROR(activation_size(file, self->tensor, &self->size));
    uint64_t offset = 0;
    for (uint32_t i = 0; i < index;) {
        const fl_activation_t *other = &plan->activations[i];
        const bool together = other->last >= self->first && other->first <= self->last;
        const uint64_t other_end = (uint64_t)other->offset + other->size;
        if (together && offset < other_end && other->offset < offset + self->size) {
            offset = other_end;
            i = 0;
        } else {
            ++i;
        }
    }
    const uint64_t end = offset + self->size;
    if (end > INT32_MAX / 2) {
        return FL_REFUSE(file, FL_ERR_UNSUPPORTED, "the activations take 1 GiB or more");
    }
    self->offset = (uint32_t)offset;
    if (end > plan->activations_size) {
        plan->activations_size = (size_t)end;
    }
    return FL_OK;
}

/* The code stands in a byte in old files and in an int in new ones; the larger counts. */
fl_status_t fl_plan_code(fl_tflite_t *file, uint32_t operator_table, uint8_t *code) {
    const uint32_t index = (uint32_t)fl_tflite_i32(file, operator_table, OPERATOR_CODE, 0);
    FL_RETURN_IF_BROKEN(file);
    if (index >= file->operator_code_count) {
        return FL_REFUSE(file, FL_ERR_CORRUPT, "the index of an operator code is out of range");
    }
    const uint32_t table = fl_tflite_element(file, file->operator_codes, index);
    /* NOLINTNEXTLINE(bugprone-signed-char-misuse,cert-str34-c): a signed byte in the format. */
    const int32_t byte = (int8_t)fl_tflite_u8(file, table, CODE_DEPRECATED, 0);
    const int32_t number = fl_tflite_i32(file, table, CODE_BUILTIN, 0);
    const int32_t larger = byte > number ? byte : number;
    FL_RETURN_IF_BROKEN(file);
    if (larger < 0 || larger >= UINT8_MAX) {
        return FL_REFUSE(file, FL_ERR_UNSUPPORTED, "an operator is not one that is run");
    }
    *code = (uint8_t)larger;
    return FL_OK;
}

/* Says whether the operator at `index` is `code` from the one tensor `from` to the one tensor `to`.
 */
static bool converts(fl_tflite_t *file, const fl_plan_t *plan, uint32_t index, uint8_t code,
                     uint32_t *from, uint32_t *to) {
    const uint32_t op = fl_tflite_element(file, plan->operators, index);
    uint8_t found = 0;
    return fl_plan_code(file, op, &found) == FL_OK && found == code &&
           only_tensor(file, op, OPERATOR_INPUTS, from) == FL_OK &&
           only_tensor(file, op, OPERATOR_OUTPUTS, to) == FL_OK;
}

/* Leaves out a QUANTIZE of a float32 input and a DEQUANTIZE to a float32 output. */
static fl_status_t skip_float_ends(fl_plan_t *plan, fl_tflite_t *file, uint32_t *input,
                                   uint32_t *output) {
    fl_tensor_t info;
    uint32_t from = 0;
    uint32_t to = 0;
    FL_RETURN_IF_ERROR(fl_tflite_tensor(file, (int32_t)*input, &info));
    if (info.type == FL_TFLITE_FLOAT32) {
        if (!converts(file, plan, 0, FL_OP_QUANTIZE, &from, &to) || from != *input) {
            return FL_REFUSE(file, FL_ERR_UNSUPPORTED,
                             "a float32 input is not followed by a QUANTIZE at once");
        }
        *input = to;
        plan->first_operator = 1;
        --plan->operator_count;
    }
    FL_RETURN_IF_ERROR(fl_tflite_tensor(file, (int32_t)*output, &info));
    if (info.type == FL_TFLITE_FLOAT32) {
        const uint32_t last = plan->first_operator + plan->operator_count - 1;
        if (plan->operator_count == 0 ||
            !converts(file, plan, last, FL_OP_DEQUANTIZE, &from, &to) || to != *output) {
            return FL_REFUSE(file, FL_ERR_UNSUPPORTED,
                             "a float32 output is not that of a DEQUANTIZE at the end");
        }
        *output = from;
        --plan->operator_count;
    }
    return FL_OK;
}

fl_status_t fl_plan_make(fl_plan_t *plan, fl_tflite_t *file) {
    uint32_t input = 0;
    uint32_t output = 0;
    FL_RETURN_IF_ERROR(only_tensor(file, file->subgraph, SUBGRAPH_INPUTS, &input));
    FL_RETURN_IF_ERROR(only_tensor(file, file->subgraph, SUBGRAPH_OUTPUTS, &output));
    plan->first_operator = 0;
    plan->operators =
        fl_tflite_vector(file, file->subgraph, SUBGRAPH_OPERATORS, 4, &plan->operator_count);
    FL_RETURN_IF_BROKEN(file);
    if (plan->operator_count == 0) {
        return FL_REFUSE(file, FL_ERR_UNSUPPORTED, "the model has no operators");
    }
    FL_RETURN_IF_ERROR(skip_float_ends(plan, file, &input, &output));
    if (plan->operator_count > FL_NETWORK_MAX_OPERATORS) {
        return FL_REFUSE(file, FL_ERR_UNSUPPORTED, "the model has more than 64 operators");
    }
    plan->activations_size = 0;
    FL_RETURN_IF_ERROR(write_activation(plan, file, input, 0));
    for (uint32_t i = 0; i < plan->operator_count; ++i) {
        const uint32_t op = fl_tflite_element(file, plan->operators, plan->first_operator + i);
        uint32_t written = 0;
        FL_RETURN_IF_ERROR(read_inputs(plan, file, op, i + 1));
        FL_RETURN_IF_ERROR(only_tensor(file, op, OPERATOR_OUTPUTS, &written));
        FL_RETURN_IF_ERROR(write_activation(plan, file, written, i + 1));
    }
    plan->output = fl_plan_find(plan, output, plan->operator_count + 1);
    if (plan->output < 0) {
        return FL_REFUSE(file, FL_ERR_CORRUPT, "no operator writes the output");
    }
    plan->activations[plan->output].last = (uint8_t)(plan->operator_count + 1);
    for (uint32_t i = 0; i <= plan->operator_count; ++i) {
        FL_RETURN_IF_ERROR(place(plan, file, i));
    }
    return FL_OK;
}
