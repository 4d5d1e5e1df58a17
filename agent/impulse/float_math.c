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

/* The angles of the transform are COARSE_STEP i + j parts of FL_FFT_MAX_LENGTH, |j| <= 4. */
enum { COARSE_STEP = 8, QUARTER = FL_FFT_MAX_LENGTH / 4 };

/* sin(2 pi i / 256), rounded to nearest, for the first quarter. */
static const float quarter_sine[QUARTER / COARSE_STEP + 1] = {
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

float fl_exp(float x) {
    const float ln2_high = 0.693145752f;
    const float ln2_low = 1.42860682e-06f;
    if (x < -87.0f) {
        return 0.0f;
    }
    const float turns = x * 1.44269504f;
    const int32_t exponent = (int32_t)(turns + (turns < 0.0f ? -0.5f : 0.5f));
    const float power = (float)exponent;
    const float r = (x - power * ln2_high) - power * ln2_low;
    /* The terms above r are small beside 1: their roundings weigh little. */
    const float tail =
        r * r *
        (0.5f + r * (0.166666667f +
                     r * (0.0416666667f +
                          r * (0.00833333333f + r * (0.00138888889f + r * 1.98412698e-4f)))));
    const uint32_t bits = (uint32_t)(exponent + 127) << 23;
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return (1.0f + (r + tail)) * scale;
}

/* Taylor polynomials of sin(pi x) and cos(pi x), x from 0 to 1/4. */
static float sine_of_octant(float x) {
    const float t = 3.14159265f * x;
    const float t2 = t * t;
    return t -
           t * t2 *
               (0.166666667f - t2 * (0.00833333333f - t2 * (1.98412698e-4f - t2 * 2.75573192e-6f)));
}

static float cosine_of_octant(float x) {
    const float t = 3.14159265f * x;
    const float t2 = t * t;
    return 1.0f -
           t2 * (0.5f - t2 * (0.0416666667f -
                              t2 * (0.00138888889f - t2 * (2.48015873e-5f - t2 * 2.75573192e-7f))));
}

/* 1/2 - x and 1 - x are exact where they are taken. */
float fl_sin_pi(float x) {
    return x <= 0.25f ? sine_of_octant(x) : cosine_of_octant(0.5f - x);
}

float fl_cos_pi(float x) {
    const float y = x > 0.5f ? 1.0f - x : x;
    const float cosine = y <= 0.25f ? cosine_of_octant(y) : sine_of_octant(0.5f - y);
    return x > 0.5f ? -cosine : cosine;
}

/* cos(a + d) = cos a + (cos a (cos d - 1) - sin a sin d), a from the table: what is added is so
 * small that only its own rounding into the sum counts. */
float fl_cosine(uint32_t i) {
    static const float fine_sine[] = {0.0f, 0.00306795677f, 0.00613588467f, 0.00920375437f,
                                      0.0122715384f};
    static const float fine_cosine_less_1[] = {0.0f, -4.70619034e-06f, -1.88247177e-05f,
                                               -4.23554484e-05f, -7.52981578e-05f};
    i %= FL_FFT_MAX_LENGTH;
    if (i > 2 * QUARTER) {
        i = FL_FFT_MAX_LENGTH - i; /* cos(2 pi - a) = cos(a) */
    }
    const float sign = i > QUARTER ? -1.0f : 1.0f;
    if (i > QUARTER) {
        i = 2 * QUARTER - i; /* cos(pi - a) = -cos(a) */
    }
    const uint32_t coarse = (i + COARSE_STEP / 2) / COARSE_STEP;
    const float cosine = quarter_sine[QUARTER / COARSE_STEP - coarse];
    const float sine = quarter_sine[coarse];
    if (i >= coarse * COARSE_STEP) {
        const uint32_t fine = i - coarse * COARSE_STEP;
        return sign * (cosine + (cosine * fine_cosine_less_1[fine] - sine * fine_sine[fine]));
    }
    const uint32_t fine = coarse * COARSE_STEP - i;
    return sign * (cosine + (cosine * fine_cosine_less_1[fine] + sine * fine_sine[fine]));
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
            const float sine = fl_cosine(k * step + QUARTER);
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

void fl_power_spectrum(float *even, float *odd, uint32_t length) {
    const uint32_t half = length / 2;
    const uint32_t step = FL_FFT_MAX_LENGTH / length;
    const float scale = 1.0f / (float)length; /* A power of two: exact. */
    fl_fft(even, odd, half);
    const float constant = even[0] + odd[0];
    const float alternating = even[0] - odd[0];
    even[0] = constant * constant * scale;
    even[half] = alternating * alternating * scale;
    /* With E and O the transforms of the even and the odd readings, Z = E + j O was computed:
     * E_k = (Z_k + conj Z_h-k) / 2, O_k = (Z_k - conj Z_h-k) / 2j, and X_k = E_k + w^k O_k,
     * X_h-k = conj(E_k - w^k O_k) with w = e^(-2 pi j / length). */
    for (uint32_t k = 1; k <= half / 2; ++k) {
        const uint32_t mirrored = half - k;
        const float even_real = 0.5f * (even[k] + even[mirrored]);
        const float even_imaginary = 0.5f * (odd[k] - odd[mirrored]);
        const float odd_real = 0.5f * (odd[k] + odd[mirrored]);
        const float odd_imaginary = 0.5f * (even[mirrored] - even[k]);
        const float cosine = fl_cosine(k * step);
        const float sine = fl_cosine(k * step + QUARTER);
        const float x = odd_real * cosine - odd_imaginary * sine;
        const float y = odd_real * sine + odd_imaginary * cosine;
        const float sum_real = even_real + x;
        const float sum_imaginary = even_imaginary + y;
        const float difference_real = even_real - x;
        const float difference_imaginary = even_imaginary - y;
        even[mirrored] =
            (difference_real * difference_real + difference_imaginary * difference_imaginary) *
            scale;
        even[k] = (sum_real * sum_real + sum_imaginary * sum_imaginary) * scale;
    }
}
