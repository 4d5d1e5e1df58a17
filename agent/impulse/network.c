/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "agent/impulse/network.h"

#include "agent/impulse/builder.h"
#include "agent/impulse/cost.h"

enum { ALIGNMENT = 8 };

static uint32_t aligned(uint32_t size) {
    return (size + ALIGNMENT - 1) & ~(uint32_t)(ALIGNMENT - 1);
}

/* Makes every operator; `*at` is the index in the file of the one that is refused. */
static fl_status_t build_all(fl_builder_t *builder, int32_t *at) {
    builder->operator_count = 0;
    builder->channel_count = 0;
    builder->scratch_size = 0;
    builder->instructions = 0;
    for (uint32_t i = 0; i < builder->plan.operator_count; ++i) {
        *at = (int32_t)(builder->plan.first_operator + i);
        FL_RETURN_IF_ERROR(fl_build_operator(builder, i));
    }
    *at = -1;
    return FL_OK;
}

/* Checks everything; on FL_OK the plan, the places of the arena's parts and the cost are known. */
static fl_status_t check_model(fl_builder_t *builder, const uint8_t *model, size_t size,
                               int32_t *at) {
    *at = -1;
    builder->arena = NULL;
    builder->channels = 0;
    builder->activations = 0;
    FL_RETURN_IF_ERROR(fl_tflite_open(&builder->file, model, size));
    FL_RETURN_IF_ERROR(fl_plan_make(&builder->plan, &builder->file));
    FL_RETURN_IF_ERROR(build_all(builder, at));
    const uint64_t operators = (uint64_t)builder->operator_count * sizeof(fl_operator_t);
    const uint64_t channels = (uint64_t)builder->channel_count * sizeof(fl_channel_t);
    if (operators + channels + builder->plan.activations_size + builder->scratch_size >
        INT32_MAX - 3 * ALIGNMENT) {
        return FL_REFUSE(&builder->file, FL_ERR_UNSUPPORTED, "the arena takes 2 GiB or more");
    }
    builder->channels = aligned((uint32_t)operators);
    builder->activations = builder->channels + aligned((uint32_t)channels);
    return FL_OK;
}

/* The scratch of the operators follows the activations. */
static size_t activations_size_of(const fl_builder_t *builder) {
    return builder->plan.activations_size + aligned(builder->scratch_size);
}

fl_status_t fl_network_sizes(const uint8_t *model, size_t size, size_t *fixed_size,
                             size_t *activations_size) {
    fl_builder_t builder;
    int32_t at = 0;
    FL_RETURN_IF_ERROR(check_model(&builder, model, size, &at));
    *fixed_size = builder.activations;
    *activations_size = activations_size_of(&builder);
    return FL_OK;
}

fl_status_t fl_network_arena_size(const uint8_t *model, size_t size, size_t *arena_size) {
    size_t fixed_size = 0;
    size_t activations_size = 0;
    FL_RETURN_IF_ERROR(fl_network_sizes(model, size, &fixed_size, &activations_size));
    *arena_size = fixed_size + activations_size;
    return FL_OK;
}

fl_status_t fl_network_check(const uint8_t *model, size_t size, fl_refusal_t *refusal) {
    fl_builder_t builder;
    int32_t at = 0;
    const fl_status_t status = check_model(&builder, model, size, &at);
    *refusal = (fl_refusal_t){.reason = status == FL_OK ? NULL : builder.file.reason,
                              .operator_index = status == FL_OK ? -1 : at};
    return status;
}

fl_status_t fl_network_instructions(const uint8_t *model, size_t size, uint64_t *instructions) {
    fl_builder_t builder;
    int32_t at = 0;
    FL_RETURN_IF_ERROR(check_model(&builder, model, size, &at));
    *instructions = builder.instructions;
    return FL_OK;
}

fl_status_t fl_network_open(fl_network_t *network, const uint8_t *model, size_t size, void *arena,
                            size_t arena_size) {
    if (((uintptr_t)arena & (ALIGNMENT - 1)) != 0) {
        return FL_ERR_ARG;
    }
    fl_builder_t builder;
    int32_t at = 0;
    FL_RETURN_IF_ERROR(check_model(&builder, model, size, &at));
    if (arena_size < builder.activations ||
        arena_size - builder.activations < activations_size_of(&builder)) {
        return FL_ERR_NO_SPACE;
    }
    builder.arena = arena;
    FL_RETURN_IF_ERROR(build_all(&builder, &at));

    fl_tensor_t input;
    fl_tensor_t output;
    const fl_activation_t *last = &builder.plan.activations[builder.plan.output];
    FL_RETURN_IF_ERROR(
        fl_tflite_tensor(&builder.file, (int32_t)builder.plan.activations[0].tensor, &input));
    FL_RETURN_IF_ERROR(fl_tflite_tensor(&builder.file, (int32_t)last->tensor, &output));
    int8_t *activations = (int8_t *)builder.arena + builder.activations;
    *network = (fl_network_t){.model = model,
                              .arena = builder.arena,
                              .scratch = activations + builder.plan.activations_size,
                              .operator_count = builder.operator_count,
                              .input_size = input.elements,
                              .output_size = output.elements,
                              .input_scale = input.scale,
                              .input_zero_point = input.zero_point,
                              .output_scale = output.scale,
                              .output_zero_point = output.zero_point,
                              .input = activations + builder.plan.activations[0].offset,
                              .output = activations + last->offset};
    return FL_OK;
}

void fl_network_run(fl_network_t *network) {
    const fl_memory_t memory = {
        .model = network->model, .arena = network->arena, .scratch = network->scratch};
    const fl_operator_t *operators = (const void *)network->arena;
    for (uint32_t i = 0; i < network->operator_count; ++i) {
        fl_operator_run(&operators[i], &memory);
    }
}
