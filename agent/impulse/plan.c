/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "agent/impulse/plan.h"

enum { SUBGRAPH_INPUTS = 1, SUBGRAPH_OUTPUTS = 2, SUBGRAPH_OPERATORS = 3 };
enum { OPERATOR_INPUTS = 1, OPERATOR_OUTPUTS = 2 };

enum { ACTIVATION_ALIGNMENT = 8 };

_Static_assert(FL_NETWORK_MAX_OPERATORS < UINT8_MAX - 1, "steps are kept in 8 bits");

static uint32_t vector_at(const fl_tflite_t *file, uint32_t vector, uint32_t index) {
    return fl_read_u32(file->data + vector + 4 * index);
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
    if (file->corrupt) {
        return FL_ERR_CORRUPT;
    }
    if (count != 1) {
        return FL_ERR_UNSUPPORTED;
    }
    *tensor = vector_at(file, vector, 0);
    return *tensor < file->tensor_count ? FL_OK : FL_ERR_CORRUPT;
}

/* Extends the life of the activations that an operator reads. */
static fl_status_t read_inputs(fl_plan_t *plan, fl_tflite_t *file, uint32_t op, uint32_t step) {
    uint32_t count = 0;
    const uint32_t inputs = fl_tflite_vector(file, op, OPERATOR_INPUTS, 4, &count);
    if (file->corrupt) {
        return FL_ERR_CORRUPT;
    }
    for (uint32_t i = 0; i < count; ++i) {
        const int32_t found = fl_plan_find(plan, vector_at(file, inputs, i), step);
        if (found >= 0) {
            plan->activations[found].last = (uint8_t)step;
        }
    }
    return FL_OK;
}

static fl_status_t write_activation(fl_plan_t *plan, uint32_t tensor, uint32_t step) {
    if (fl_plan_find(plan, tensor, step) >= 0) {
        return FL_ERR_CORRUPT; /* Written twice. */
    }
    plan->activations[step] =
        (fl_activation_t){.tensor = tensor, .first = (uint8_t)step, .last = (uint8_t)step};
    return FL_OK;
}

static fl_status_t activation_size(fl_tflite_t *file, uint32_t tensor, uint32_t *size) {
    fl_tensor_t info;
    FL_RETURN_IF_ERROR(fl_tflite_tensor(file, (int32_t)tensor, &info));
    if (info.data != NULL) {
        return FL_ERR_CORRUPT; /* A constant cannot be written. */
    }
    if (info.type != FL_TFLITE_INT8 || info.scale_count != 1) {
        return FL_ERR_UNSUPPORTED;
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
    if (end > INT32_MAX) {
        return FL_ERR_UNSUPPORTED;
    }
    self->offset = (uint32_t)offset;
    if (end > plan->activations_size) {
        plan->activations_size = (size_t)end;
    }
    return FL_OK;
}

fl_status_t fl_plan_make(fl_plan_t *plan, fl_tflite_t *file) {
    uint32_t input = 0;
    uint32_t output = 0;
    FL_RETURN_IF_ERROR(only_tensor(file, file->subgraph, SUBGRAPH_INPUTS, &input));
    FL_RETURN_IF_ERROR(only_tensor(file, file->subgraph, SUBGRAPH_OUTPUTS, &output));
    plan->operators =
        fl_tflite_vector(file, file->subgraph, SUBGRAPH_OPERATORS, 4, &plan->operator_count);
    if (file->corrupt) {
        return FL_ERR_CORRUPT;
    }
    if (plan->operator_count == 0 || plan->operator_count > FL_NETWORK_MAX_OPERATORS) {
        return FL_ERR_UNSUPPORTED;
    }
    plan->activations_size = 0;
    FL_RETURN_IF_ERROR(write_activation(plan, input, 0));
    for (uint32_t i = 0; i < plan->operator_count; ++i) {
        const uint32_t op = fl_tflite_element(file, plan->operators, i);
        uint32_t written = 0;
        FL_RETURN_IF_ERROR(read_inputs(plan, file, op, i + 1));
        FL_RETURN_IF_ERROR(only_tensor(file, op, OPERATOR_OUTPUTS, &written));
        FL_RETURN_IF_ERROR(write_activation(plan, written, i + 1));
    }
    plan->output = fl_plan_find(plan, output, plan->operator_count + 1);
    if (plan->output < 0) {
        return FL_ERR_CORRUPT;
    }
    plan->activations[plan->output].last = (uint8_t)(plan->operator_count + 1);
    for (uint32_t i = 0; i <= plan->operator_count; ++i) {
        FL_RETURN_IF_ERROR(place(plan, file, i));
    }
    return FL_OK;
}
