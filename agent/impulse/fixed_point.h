/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/**
 * @file
 * @brief Fixed-point arithmetic of the 8-bit quantisation specification. Internal to agent/impulse.
 *
 * Qm.n below means m integer bits beside the sign and n fractional ones.
 */
#ifndef FIELDLOOP_AGENT_IMPULSE_FIXED_POINT_H
#define FIELDLOOP_AGENT_IMPULSE_FIXED_POINT_H

#include <stdbool.h>
#include <stdint.h>

/** A positive real factor: multiplier * 2^(shift - 31), multiplier in [2^29, 2^31) or 0. */
typedef struct fl_factor {
    int32_t multiplier;
    int32_t shift; /**< -31 to 30. */
} fl_factor_t;

/** Largest shift of a factor that is used. */
#define FL_FACTOR_MAX_SHIFT 30

static inline int32_t fl_limit(int32_t value, int32_t low, int32_t high) {
    return value < low ? low : value > high ? high : value;
}

/** High half of 2ab, rounded to nearest, halves up; the one overflow saturates. */
static inline int32_t fl_high_mul(int32_t a, int32_t b) {
    if (a == INT32_MIN && b == INT32_MIN) {
        return INT32_MAX;
    }
    return (int32_t)(((int64_t)a * b + ((int64_t)1 << 30)) >> 31);
}

/** x / 2^exponent, halves away from zero; exponent 0 to 31. */
static inline int32_t fl_rounding_shift_right(int32_t x, int32_t exponent) {
    const uint32_t mask = ((uint32_t)1 << exponent) - 1;
    const uint32_t remainder = (uint32_t)x & mask;
    const uint32_t threshold = (mask >> 1) + (x < 0 ? 1u : 0u);
    return (x >> exponent) + (remainder > threshold ? 1 : 0);
}

/** x * 2^exponent, saturated; exponent 0 to 30. */
static inline int32_t fl_saturating_shift_left(int32_t x, int32_t exponent) {
    const int64_t shifted = (int64_t)x * ((int64_t)1 << exponent);
    return shifted > INT32_MAX ? INT32_MAX : shifted < INT32_MIN ? INT32_MIN : (int32_t)shifted;
}

/** x * factor with the two roundings of TensorFlow Lite Micro's default. */
static inline int32_t fl_scale_by(int32_t x, fl_factor_t factor) {
    if (factor.shift > 0) {
        return fl_high_mul(fl_saturating_shift_left(x, factor.shift), factor.multiplier);
    }
    return fl_rounding_shift_right(fl_high_mul(x, factor.multiplier), -factor.shift);
}

/** Factor of a positive finite real number; false if it is too large. Too small becomes 0. */
bool fl_factor_of(double real, fl_factor_t *factor);

/** e^a for a <= 0 in Q<integer_bits>.x (4 or 5); the result is Q0.31. */
int32_t fl_exp_of_negative(int32_t a, int32_t integer_bits);

/** 1 / (1 + a) for a in [0, 1]; argument and result Q0.31. */
int32_t fl_one_over_one_plus(int32_t a);

#endif
