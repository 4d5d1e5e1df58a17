/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/**
 * @file
 * @brief Logarithm and Fourier transform that give the same bits everywhere. Internal to
 * agent/impulse.
 *
 * float32, only + - * / and constants; needs round to nearest, no contraction, no excess precision
 * and no flushing of subnormals.
 */
#ifndef FIELDLOOP_AGENT_IMPULSE_FLOAT_MATH_H
#define FIELDLOOP_AGENT_IMPULSE_FLOAT_MATH_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Longest transform. */
#define FL_FFT_MAX_LENGTH 256

/**
 * Natural logarithm of a normal positive number; error below 1 unit in the last place of the
 * result, or 6e-8 where the result is near 0.
 * ln(2^e m) = e ln 2 + 2 artanh((m - 1) / (m + 1)), m in [sqrt(1/2), sqrt(2)).
 */
float fl_ln(float x);

/** cos(2 pi i / FL_FFT_MAX_LENGTH) to half a unit in the last place. */
float fl_cosine(uint32_t i);

/**
 * Discrete Fourier transform in place, X_k = sum x_n e^(-2 pi j k n / length); radix 2.
 * `length` is a power of two, 2 to FL_FFT_MAX_LENGTH.
 */
void fl_fft(float *real, float *imaginary, uint32_t length);

#ifdef __cplusplus
}
#endif

#endif
