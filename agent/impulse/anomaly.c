/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "agent/impulse/anomaly.h"

#include <math.h>
#include <pb_decode.h>

#include "agent/impulse/float_math.h"
#include "agent/impulse/metadata.h"
#include "agent/impulse/tflite.h"

static float value_at(const uint8_t *values, size_t index) {
    return fl_read_f32(values + sizeof(float) * index);
}

/* Reads the indices of the features: a packed array of varints. */
static fl_status_t read_features(fl_anomaly_t *anomaly, fl_span_t message, uint32_t feature_count) {
    fl_span_t packed;
    FL_RETURN_IF_ERROR(fl_metadata_field(message, FL_METADATA_ANOMALY_FEATURES_TAG, &packed));
    pb_istream_t stream = pb_istream_from_buffer(packed.data, packed.size);
    while (stream.bytes_left > 0) {
        uint32_t index = 0;
        if (!pb_decode_varint32(&stream, &index)) {
            return FL_ERR_CORRUPT;
        }
        if (index >= feature_count || anomaly->feature_count == FL_ANOMALY_MAX_FEATURES) {
            return FL_ERR_UNSUPPORTED;
        }
        anomaly->features[anomaly->feature_count++] = index;
    }
    return anomaly->feature_count > 0 ? FL_OK : FL_ERR_UNSUPPORTED;
}

/* Finds an array of finite values, one for each cluster, and takes the number of clusters from it.
 */
static fl_status_t find_offsets(fl_anomaly_t *anomaly, fl_span_t method, uint32_t tag) {
    fl_span_t array;
    FL_RETURN_IF_ERROR(fl_metadata_field(method, tag, &array));
    const size_t count = array.size / sizeof(float);
    if (array.size % sizeof(float) != 0) {
        return FL_ERR_CORRUPT;
    }
    if (count < 1 || count > FL_ANOMALY_MAX_CLUSTERS) {
        return FL_ERR_UNSUPPORTED;
    }
    for (size_t i = 0; i < count; ++i) {
        if (!fl_is_finite(value_at(array.data, i))) {
            return FL_ERR_UNSUPPORTED;
        }
    }
    anomaly->cluster_count = (uint32_t)count;
    anomaly->offsets = array.data;
    return FL_OK;
}

/* Finds an array of finite values, clusters x features. */
static fl_status_t find_table(const fl_anomaly_t *anomaly, fl_span_t method, uint32_t tag,
                              const uint8_t **values) {
    fl_span_t array;
    FL_RETURN_IF_ERROR(fl_metadata_field(method, tag, &array));
    const size_t count = (size_t)anomaly->cluster_count * anomaly->feature_count;
    if (array.size != sizeof(float) * count) {
        return FL_ERR_CORRUPT;
    }
    for (size_t i = 0; i < count; ++i) {
        if (!fl_is_finite(value_at(array.data, i))) {
            return FL_ERR_UNSUPPORTED;
        }
    }
    *values = array.data;
    return FL_OK;
}

static fl_status_t open_k_means(fl_anomaly_t *anomaly, fl_span_t method) {
    FL_RETURN_IF_ERROR(find_offsets(anomaly, method, FL_METADATA_K_MEANS_RADII_TAG));
    for (size_t i = 0; i < anomaly->cluster_count; ++i) {
        if (value_at(anomaly->offsets, i) < 0.0f) {
            return FL_ERR_UNSUPPORTED;
        }
    }
    return find_table(anomaly, method, FL_METADATA_K_MEANS_CENTRES_TAG, &anomaly->centres);
}

static fl_status_t open_mixture(fl_anomaly_t *anomaly, fl_span_t method) {
    FL_RETURN_IF_ERROR(find_offsets(anomaly, method, FL_METADATA_MIXTURE_LOG_WEIGHTS_TAG));
    FL_RETURN_IF_ERROR(
        find_table(anomaly, method, FL_METADATA_MIXTURE_MEANS_TAG, &anomaly->centres));
    FL_RETURN_IF_ERROR(find_table(anomaly, method, FL_METADATA_MIXTURE_INVERSE_DEVIATIONS_TAG,
                                  &anomaly->inverse_deviations));
    const size_t count = (size_t)anomaly->cluster_count * anomaly->feature_count;
    for (size_t i = 0; i < count; ++i) {
        if (!(value_at(anomaly->inverse_deviations, i) > 0.0f)) {
            return FL_ERR_UNSUPPORTED;
        }
    }
    return FL_OK;
}

fl_status_t fl_anomaly_open(fl_anomaly_t *anomaly, const fl_dsp_t *dsp, const uint8_t *metadata,
                            size_t size) {
    *anomaly = (fl_anomaly_t){.threshold = dsp->config.anomaly.threshold};
    if (!dsp->config.has_anomaly) {
        return FL_ERR_NOT_FOUND;
    }
    fl_span_t message;
    fl_span_t k_means;
    fl_span_t mixture;
    FL_RETURN_IF_ERROR(
        fl_metadata_field((fl_span_t){metadata, size}, FL_METADATA_ANOMALY_TAG, &message));
    FL_RETURN_IF_ERROR(fl_metadata_field(message, FL_METADATA_ANOMALY_K_MEANS_TAG, &k_means));
    FL_RETURN_IF_ERROR(fl_metadata_field(message, FL_METADATA_ANOMALY_MIXTURE_TAG, &mixture));
    if ((k_means.data == NULL) == (mixture.data == NULL)) {
        return FL_ERR_CORRUPT;
    }
    if (!fl_is_finite(anomaly->threshold)) {
        return FL_ERR_UNSUPPORTED;
    }
    FL_RETURN_IF_ERROR(read_features(anomaly, message, dsp->feature_count));
    return k_means.data != NULL ? open_k_means(anomaly, k_means) : open_mixture(anomaly, mixture);
}

/* Sum over the features of ((z - centre) * inverse deviation)^2 for one cluster. */
static float squared_distance(const fl_anomaly_t *anomaly, uint32_t cluster,
                              const float *features) {
    const size_t first = (size_t)cluster * anomaly->feature_count;
    float sum = 0.0f;
    for (uint32_t i = 0; i < anomaly->feature_count; ++i) {
        float difference = features[anomaly->features[i]] - value_at(anomaly->centres, first + i);
        if (anomaly->inverse_deviations != NULL) {
            difference *= value_at(anomaly->inverse_deviations, first + i);
        }
        sum += difference * difference;
    }
    return sum;
}

static float k_means_score(const fl_anomaly_t *anomaly, const float *features) {
    float least = FL_ANOMALY_MAX_SCORE;
    for (uint32_t i = 0; i < anomaly->cluster_count; ++i) {
        const float distance =
            sqrtf(squared_distance(anomaly, i, features)) - value_at(anomaly->offsets, i);
        least = distance < least ? distance : least;
    }
    return least;
}

/* -ln sum e^l = -(m + ln sum e^(l - m)) with the largest l as m: nothing overflows. */
static float mixture_score(const fl_anomaly_t *anomaly, const float *features) {
    float logs[FL_ANOMALY_MAX_CLUSTERS];
    float largest = -FL_ANOMALY_MAX_SCORE;
    for (uint32_t i = 0; i < anomaly->cluster_count; ++i) {
        logs[i] = value_at(anomaly->offsets, i) - 0.5f * squared_distance(anomaly, i, features);
        largest = logs[i] > largest ? logs[i] : largest;
    }
    float sum = 0.0f;
    for (uint32_t i = 0; i < anomaly->cluster_count; ++i) {
        sum += fl_exp(logs[i] - largest);
    }
    return sum > 0.0f ? -(largest + fl_ln(sum)) : FL_ANOMALY_MAX_SCORE;
}

float fl_anomaly_score(const fl_anomaly_t *anomaly, const float *features) {
    const float score = anomaly->inverse_deviations == NULL ? k_means_score(anomaly, features)
                                                            : mixture_score(anomaly, features);
    return score < -FL_ANOMALY_MAX_SCORE  ? -FL_ANOMALY_MAX_SCORE
           : score > FL_ANOMALY_MAX_SCORE ? FL_ANOMALY_MAX_SCORE
                                          : score;
}
