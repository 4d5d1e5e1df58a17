/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "agent/impulse/float_math.h"

#include <float.h>
#include <string.h>

#if defined(FLT_EVAL_METHOD) && FLT_EVAL_METHOD != 0
#error "Excess precision would give other bits than other targets: use SSE or soft float."
#endif

/* sin(2 pi i / 256), rounded to nearest, for the first quarter. */
static const float quarter_sine[FL_FFT_MAX_LENGTH / 4 + 1] = {
    0.0f,         0.024541229f, 0.0490676761f, 0.0735645667f, 0.0980171412f, 0.122410677f,
    0.146730468f, 0.170961887f, 0.195090324f,  0.219101235f,  0.242980182f,  0.266712755f,
    0.290284663f, 0.313681751f, 0.336889863f,  0.359895051f,  0.382683426f,  0.405241311f,
    0.427555084f, 0.449611336f, 0.471396744f,  0.492898196f,  0.514102757f,  0.534997642f,
    0.555570245f, 0.575808167f, 0.59569931f,   0.615231574f,  0.634393275f,  0.653172851f,
    0.671558976f, 0.689540565f, 0.707106769f,  0.724247098f,  0.740951121f,  0.757208824f,
    0.773010433f, 0.78834641f,  0.803207517f,  0.817584813f,  0.831469595f,  0.84485358f,
    0.857728601f, 0.870086968f, 0.881921291f,  0.893224299f,  0.903989315f,  0.914209783f,
    0.923879504f, 0.932992816f, 0.941544056f,  0.949528158f,  0.956940353f,  0.963776052f,
    0.970031261f, 0.975702107f, 0.980785251f,  0.985277653f,  0.989176512f,  0.992479563f,
    0.99518472f,  0.997290432f, 0.99879545f,   0.999698818f,  1.0f,
};

float fl_ln(float x) {
    /* The high part of ln 2 has few enough bits that e * high is exact for every exponent. */
    const float ln2_high = 0.693145752f;
    const float ln2_low = 1.42860682e-06f;
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    int32_t exponent = (int32_t)(bits >> 23) - 127;
    bits = (bits & 0x007fffffu) | 0x3f800000u;
    float mantissa;
    memcpy(&mantissa, &bits, sizeof mantissa);
    if (mantissa >= 1.41421356f) {
        mantissa *= 0.5f;
        ++exponent;
    }
    /* 2 artanh(s) = 2 s + s^3 (2/3 + 2/5 s^2 + 2/7 s^4 + 2/9 s^6), |s| < 0.1716, and
     * 2 s = f - f s: the rounding of s then weighs little. */
    const float f = mantissa - 1.0f;
    const float s = f / (2.0f + f);
    const float s2 = s * s;
    const float series =
        s2 * (0.666666667f + s2 * (0.4f + s2 * (0.285714286f + s2 * 0.222222222f)));
    const float power = (float)exponent;
    return power * ln2_high + (f - (s * (f - series) - power * ln2_low));
}

float fl_cosine(uint32_t i) {
    const uint32_t quarter = FL_FFT_MAX_LENGTH / 4;
    i %= FL_FFT_MAX_LENGTH;
    if (i > 2 * quarter) {
        i = FL_FFT_MAX_LENGTH - i; /* cos(2 pi - a) = cos(a) */
    }
    return i <= quarter ? quarter_sine[quarter - i] : -quarter_sine[i - quarter];
}

static void swap(float *values, uint32_t a, uint32_t b) {
    const float value = values[a];
    values[a] = values[b];
    values[b] = value;
}

static void reverse_bits(float *real, float *imaginary, uint32_t length) {
    uint32_t reversed = 0;
    for (uint32_t i = 1; i < length; ++i) {
        uint32_t bit = length >> 1;
        for (; (reversed & bit) != 0; bit >>= 1) {
            reversed ^= bit;
        }
        reversed |= bit;
        if (i < reversed) {
            swap(real, i, reversed);
            swap(imaginary, i, reversed);
        }
    }
}

void fl_fft(float *real, float *imaginary, uint32_t length) {
    reverse_bits(real, imaginary, length);
    for (uint32_t half = 1; half < length; half *= 2) {
        const uint32_t step = FL_FFT_MAX_LENGTH / (2 * half);
        for (uint32_t k = 0; k < half; ++k) {
            const float cosine = fl_cosine(k * step);
            /* -sin(a) = cos(a + pi/2) */
            const float sine = fl_cosine(k * step + FL_FFT_MAX_LENGTH / 4);
            for (uint32_t i = k; i < length; i += 2 * half) {
                const uint32_t j = i + half;
                const float x = real[j] * cosine - imaginary[j] * sine;
                const float y = real[j] * sine + imaginary[j] * cosine;
                real[j] = real[i] - x;
                imaginary[j] = imaginary[i] - y;
                real[i] += x;
                imaginary[i] += y;
            }
        }
    }
}
