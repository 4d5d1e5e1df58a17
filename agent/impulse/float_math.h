/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/**
 * @file
 * @brief Elementary functions and the Fourier transform, with the same bits everywhere. Internal to
 * agent/impulse.
 *
 * float32, only + - * / and constants; needs round to nearest, no contraction, no excess precision
 * and no flushing of subnormals. The bounds of the errors are tested over all arguments or a dense
 * grid of them.
 */
#ifndef FIELDLOOP_AGENT_IMPULSE_FLOAT_MATH_H
#define FIELDLOOP_AGENT_IMPULSE_FLOAT_MATH_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Longest real transform. */
#define FL_FFT_MAX_LENGTH 2048

/**
 * Natural logarithm of a normal positive number; error below 1 unit in the last place of the
 * result, or 6e-8 where the result is near 0.
 * ln(2^e m) = e ln 2 + 2 artanh((m - 1) / (m + 1)), m in [sqrt(1/2), sqrt(2)).
 */
float fl_ln(float x);

/**
 * e^x for x up to 88; error below 1.1 units in the last place. Below -87 it is 0.
 * e^x = 2^k e^r, |r| <= ln(2) / 2, the second factor by its Taylor polynomial of degree 7.
 */
float fl_exp(float x);

/** sin(pi x) for x from 0 to 1/2; error below 2 units in the last place. */
float fl_sin_pi(float x);

/** cos(pi x) for x from 0 to 1; error below 2 units in the last place. */
float fl_cos_pi(float x);

/** cos(2 pi i / FL_FFT_MAX_LENGTH) for any i; error below 6.5e-8. */
float fl_cosine(uint32_t i);

/**
 * Discrete Fourier transform in place, X_k = sum x_n e^(-2 pi j k n / length); radix 2.
 * `length` is a power of two, 1 to FL_FFT_MAX_LENGTH / 2.
 */
void fl_fft(float *real, float *imaginary, uint32_t length);

/**
 * Powers |X_k|^2 / length, k = 0 to length / 2, of a real frame, by a transform of half the length
 * (Press et al., Numerical Recipes, 12.3). Takes reading i of the frame at even[i / 2] if i is even
 * and at odd[i / 2] if it is odd; leaves the powers in `even`, which needs room for
 * length / 2 + 1 values. `length` is a power of two, 8 to FL_FFT_MAX_LENGTH.
 */
void fl_power_spectrum(float *even, float *odd, uint32_t length);

#ifdef __cplusplus
}
#endif

#endif
