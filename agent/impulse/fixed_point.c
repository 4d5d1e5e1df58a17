/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "agent/impulse/fixed_point.h"

#include <string.h>

/* Takes the number apart by its bits: frexp and round without libm. */
bool fl_factor_of(double real, fl_factor_t *factor) {
    uint64_t bits;
    memcpy(&bits, &real, sizeof bits);
    const uint64_t mantissa = (bits & (((uint64_t)1 << 52) - 1)) | (uint64_t)1 << 52;
    /* real = mantissa / 2^53 * 2^shift with mantissa / 2^53 in [1/2, 1). */
    int32_t shift = (int32_t)((bits >> 52) & 0x7ff) - 1022;
    uint64_t multiplier = (mantissa + ((uint64_t)1 << 21)) >> 22;
    if (multiplier == (uint64_t)1 << 31) {
        multiplier >>= 1;
        ++shift;
    }
    if (shift > FL_FACTOR_MAX_SHIFT) {
        return false;
    }
    if (shift < -31) {
        shift = 0;
        multiplier = 0;
    }
    *factor = (fl_factor_t){.multiplier = (int32_t)multiplier, .shift = shift};
    return true;
}

/*
 * e^a for a in [-1/4, 0), Q0.31: with x = a + 1/8,
 * e^(-1/8) * (1 + x + x^2/2 + x^3/6 + x^4/24), grouped as (((x^4/4 + x^3)/3) + x^2)/2.
 */
static int32_t exp_of_last_quarter(int32_t a) {
    const int32_t exp_minus_eighth = 1895147668; /* e^(-1/8) * 2^31 */
    const int32_t third = 715827883;             /* 2^31 / 3 */
    const int32_t x = a + ((int32_t)1 << 28);
    const int32_t x2 = fl_high_mul(x, x);
    const int32_t x3 = fl_high_mul(x2, x);
    const int32_t x4 = fl_high_mul(x2, x2);
    const int32_t cubic = fl_high_mul(fl_rounding_shift_right(x4, 2) + x3, third);
    const int32_t tail = fl_rounding_shift_right(cubic + x2, 1);
    return exp_minus_eighth + fl_high_mul(exp_minus_eighth, x + tail);
}

int32_t fl_exp_of_negative(int32_t a, int32_t integer_bits) {
    /* e^(-2^k) * 2^31 for k = -2 to 4: one factor for each set bit of the whole quarters. */
    static const int32_t powers[7] = {1672461947, 1302514674, 790015084, 290630308,
                                      39332535,   720401,     242};
    if (a == 0) {
        return INT32_MAX;
    }
    const int32_t fraction_bits = 31 - integer_bits;
    const int32_t quarter = (int32_t)1 << (fraction_bits - 2);
    const int32_t last_quarter = (a & (quarter - 1)) - quarter;
    const int32_t whole_quarters = last_quarter - a;
    int32_t result = exp_of_last_quarter(fl_saturating_shift_left(last_quarter, integer_bits));
    for (int32_t k = -2; k < integer_bits; ++k) {
        if ((whole_quarters & ((int32_t)1 << (fraction_bits + k))) != 0) {
            result = fl_high_mul(result, powers[k + 2]);
        }
    }
    return result;
}

/*
 * Newton's iteration for the reciprocal of d = (1 + a)/2 in [1/2, 1]: x' = x + x(1 - dx), from the
 * linear estimate 48/17 - 32/17 d; x is Q2.29.
 */
int32_t fl_one_over_one_plus(int32_t a) {
    const int32_t constant_48_over_17 = 1515870810;
    const int32_t constant_minus_32_over_17 = -1010580540;
    const int32_t one = (int32_t)1 << 29;
    const int32_t d = (int32_t)(((int64_t)a + INT32_MAX + 1) / 2);
    int32_t x = constant_48_over_17 + fl_high_mul(d, constant_minus_32_over_17);
    for (int i = 0; i < 3; ++i) {
        const int32_t error = one - fl_high_mul(d, x);
        x += fl_saturating_shift_left(fl_high_mul(x, error), 2);
    }
    /* x is 2 / (1 + a): read as Q1.30 it is half of it, and one more bit makes it Q0.31. */
    return fl_saturating_shift_left(x, 1);
}
