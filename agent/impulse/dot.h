/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/**
 * @file
 * @brief Inner products of int8 values, with the vector instructions of the target where it has
 * some. Internal to agent/impulse.
 *
 * All variants compute the same integers: no sum leaves 32 bits, so its order does not matter.
 */
#ifndef FIELDLOOP_AGENT_IMPULSE_DOT_H
#define FIELDLOOP_AGENT_IMPULSE_DOT_H

#include <stdint.h>
#include <string.h>

/** Filters that fl_dot_filters takes at a time. */
#define FL_DOT_FILTERS 2
/** Channels that fl_dot_channels takes at a time. */
#if defined(__SSE2__)
#define FL_DOT_CHANNELS 8
#else
#define FL_DOT_CHANNELS 4
#endif

#if defined(__ARM_FEATURE_DSP)

#include <arm_acle.h>

/* Four int8 as two pairs of int16, values 0 and 2, then 1 and 3, plus `offset` in each half. */
static inline int16x2_t fl_even(int8x4_t four, int16x2_t offset) {
    return __sxtab16(offset, four);
}
static inline int16x2_t fl_odd(int8x4_t four, int16x2_t offset) {
    return __sxtab16(offset, (int8x4_t)((uint32_t)four >> 8 | (uint32_t)four << 24));
}
static inline int8x4_t fl_four(const int8_t *values) {
    int8x4_t four;
    memcpy(&four, values, sizeof four);
    return four;
}

/** sums[k] += sum over i of (values[i] + offset) * weights[k * size + i], for FL_DOT_FILTERS k. */
static inline void fl_dot_filters(const int8_t *values, const int8_t *weights, uint32_t size,
                                  int32_t offset, int32_t *sums) {
    const int8_t *more_weights = weights + size;
    const int16x2_t offsets = (int16x2_t)((uint32_t)offset << 16 | ((uint32_t)offset & 0xffffu));
    int32_t sum = sums[0];
    int32_t other = sums[1];
    uint32_t i = 0;
    for (; i + 4 <= size; i += 4) {
        const int8x4_t four = fl_four(values + i);
        const int8x4_t w = fl_four(weights + i);
        const int8x4_t v = fl_four(more_weights + i);
        const int16x2_t even = fl_even(four, offsets);
        const int16x2_t odd = fl_odd(four, offsets);
        sum = __smlad(even, fl_even(w, 0), sum);
        sum = __smlad(odd, fl_odd(w, 0), sum);
        other = __smlad(even, fl_even(v, 0), other);
        other = __smlad(odd, fl_odd(v, 0), other);
    }
    for (; i < size; ++i) {
        sum += (values[i] + offset) * weights[i];
        other += (values[i] + offset) * more_weights[i];
    }
    sums[0] = sum;
    sums[1] = other;
}

/** Returns sum + the sum over i of (values[i] + offset) * weights[i]. */
static inline int32_t fl_dot(const int8_t *values, const int8_t *weights, uint32_t size,
                             int32_t offset, int32_t sum) {
    const int16x2_t offsets = (int16x2_t)((uint32_t)offset << 16 | ((uint32_t)offset & 0xffffu));
    uint32_t i = 0;
    for (; i + 4 <= size; i += 4) {
        const int8x4_t four = fl_four(values + i);
        const int8x4_t w = fl_four(weights + i);
        sum = __smlad(fl_even(four, offsets), fl_even(w, 0), sum);
        sum = __smlad(fl_odd(four, offsets), fl_odd(w, 0), sum);
    }
    for (; i < size; ++i) {
        sum += (values[i] + offset) * weights[i];
    }
    return sum;
}

/**
 * sums[c] += sum over taps t of (values[t * values_step + c] + offset) * weights[t * weights_step +
 * c], for FL_DOT_CHANNELS c.
 */
static inline void fl_dot_channels(const int8_t *values, uint32_t values_step,
                                   const int8_t *weights, uint32_t weights_step, uint32_t taps,
                                   int32_t offset, int32_t *sums) {
    const int16x2_t offsets = (int16x2_t)((uint32_t)offset << 16 | ((uint32_t)offset & 0xffffu));
    int32_t sum_0 = sums[0];
    int32_t sum_1 = sums[1];
    int32_t sum_2 = sums[2];
    int32_t sum_3 = sums[3];
    for (; taps > 0; --taps) {
        const int8x4_t four = fl_four(values);
        const int8x4_t w = fl_four(weights);
        const int16x2_t even = fl_even(four, offsets);
        const int16x2_t odd = fl_odd(four, offsets);
        const int16x2_t w_even = fl_even(w, 0);
        const int16x2_t w_odd = fl_odd(w, 0);
        sum_0 = __smlabb(even, w_even, sum_0);
        sum_1 = __smlabb(odd, w_odd, sum_1);
        sum_2 = __smlatt(even, w_even, sum_2);
        sum_3 = __smlatt(odd, w_odd, sum_3);
        values += values_step;
        weights += weights_step;
    }
    sums[0] = sum_0;
    sums[1] = sum_1;
    sums[2] = sum_2;
    sums[3] = sum_3;
}

#elif defined(__SSE2__)

#include <emmintrin.h>

/* Eight int8 as int16. */
static inline __m128i fl_eight(const int8_t *values) {
    const __m128i bytes = _mm_loadl_epi64((const __m128i *)(const void *)values);
    return _mm_srai_epi16(_mm_unpacklo_epi8(bytes, bytes), 8);
}
static inline int32_t fl_sum_of(__m128i four) {
    four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0xb1));
    return _mm_cvtsi128_si32(four);
}

static inline void fl_dot_filters(const int8_t *values, const int8_t *weights, uint32_t size,
                                  int32_t offset, int32_t *sums) {
    const int8_t *more_weights = weights + size;
    const __m128i offsets = _mm_set1_epi16((int16_t)offset);
    __m128i sum = _mm_setzero_si128();
    __m128i other = _mm_setzero_si128();
    uint32_t i = 0;
    for (; i + 8 <= size; i += 8) {
        const __m128i eight = _mm_add_epi16(fl_eight(values + i), offsets);
        sum = _mm_add_epi32(sum, _mm_madd_epi16(eight, fl_eight(weights + i)));
        other = _mm_add_epi32(other, _mm_madd_epi16(eight, fl_eight(more_weights + i)));
    }
    sums[0] += fl_sum_of(sum);
    sums[1] += fl_sum_of(other);
    for (; i < size; ++i) {
        sums[0] += (values[i] + offset) * weights[i];
        sums[1] += (values[i] + offset) * more_weights[i];
    }
}

static inline int32_t fl_dot(const int8_t *values, const int8_t *weights, uint32_t size,
                             int32_t offset, int32_t sum) {
    const __m128i offsets = _mm_set1_epi16((int16_t)offset);
    __m128i four = _mm_setzero_si128();
    uint32_t i = 0;
    for (; i + 8 <= size; i += 8) {
        const __m128i eight = _mm_add_epi16(fl_eight(values + i), offsets);
        four = _mm_add_epi32(four, _mm_madd_epi16(eight, fl_eight(weights + i)));
    }
    sum += fl_sum_of(four);
    for (; i < size; ++i) {
        sum += (values[i] + offset) * weights[i];
    }
    return sum;
}

static inline void fl_dot_channels(const int8_t *values, uint32_t values_step,
                                   const int8_t *weights, uint32_t weights_step, uint32_t taps,
                                   int32_t offset, int32_t *sums) {
    const __m128i offsets = _mm_set1_epi16((int16_t)offset);
    __m128i low = _mm_loadu_si128((const __m128i *)(const void *)sums);
    __m128i high = _mm_loadu_si128((const __m128i *)(const void *)(sums + 4));
    for (; taps > 0; --taps) {
        const __m128i eight = _mm_add_epi16(fl_eight(values), offsets);
        const __m128i w = fl_eight(weights);
        const __m128i lower = _mm_mullo_epi16(eight, w);
        const __m128i upper = _mm_mulhi_epi16(eight, w);
        low = _mm_add_epi32(low, _mm_unpacklo_epi16(lower, upper));
        high = _mm_add_epi32(high, _mm_unpackhi_epi16(lower, upper));
        values += values_step;
        weights += weights_step;
    }
    _mm_storeu_si128((__m128i *)(void *)sums, low);
    _mm_storeu_si128((__m128i *)(void *)(sums + 4), high);
}

#else

static inline int32_t fl_dot(const int8_t *values, const int8_t *weights, uint32_t size,
                             int32_t offset, int32_t sum) {
    for (uint32_t i = 0; i < size; ++i) {
        sum += (values[i] + offset) * weights[i];
    }
    return sum;
}

static inline void fl_dot_filters(const int8_t *values, const int8_t *weights, uint32_t size,
                                  int32_t offset, int32_t *sums) {
    for (uint32_t k = 0; k < FL_DOT_FILTERS; ++k) {
        sums[k] = fl_dot(values, weights + (size_t)k * size, size, offset, sums[k]);
    }
}

static inline void fl_dot_channels(const int8_t *values, uint32_t values_step,
                                   const int8_t *weights, uint32_t weights_step, uint32_t taps,
                                   int32_t offset, int32_t *sums) {
    for (; taps > 0; --taps) {
        for (uint32_t c = 0; c < FL_DOT_CHANNELS; ++c) {
            sums[c] += (values[c] + offset) * weights[c];
        }
        values += values_step;
        weights += weights_step;
    }
}

#endif

#endif
