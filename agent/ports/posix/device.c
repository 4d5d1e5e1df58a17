/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "device.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "posix_file.h"

enum {
    WINDOWS_PER_RUN = 256,
    BATCH_MS = 40,          /* Windows are classified together, or the process would never sleep. */
    SENSOR_SAVE_MS = 10000, /* Signal time that a crash may repeat. */
    ARENA_ALIGNMENT = 16,
};

static void log_text(const fl_device_t *device, fl_log_level_t level, const char *text) {
    device->posix->port.log(device->posix->port.context, level, text);
}

/* --- Recordings --- */

static uint64_t fingerprint(char *const *paths, size_t count) {
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */
    for (size_t i = 0; i < count; i++) {
        for (const char *c = paths[i];; c++) {
            hash = (hash ^ (uint8_t)*c) * 0x100000001b3u;
            if (*c == '\0') {
                break;
            }
        }
    }
    return hash;
}

static void free_paths(char **paths, size_t count) {
    for (size_t i = 0; i < count; i++) {
        free(paths[i]);
    }
    free(paths);
}

static char **copy_paths(const char *const *paths, size_t count) {
    char **copy = calloc(count + 1u, sizeof *copy);
    for (size_t i = 0; copy != NULL && i < count; i++) {
        copy[i] = strdup(paths[i]);
        if (copy[i] == NULL) {
            free_paths(copy, i);
            return NULL;
        }
    }
    return copy;
}

/* Name of the first path: of the directory, or of the file. */
static void name_source(fl_device_t *device) {
    char path[PATH_MAX] = "";
    if (device->replay_count > 0) {
        (void)snprintf(path, sizeof path, "%s", device->replay_paths[0]);
    }
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/') {
        path[--length] = '\0';
    }
    const char *slash = strrchr(path, '/');
    fl_truth_log_set_source(&device->truth, slash == NULL || slash[1] == '\0' ? path : slash + 1);
}

static bool read_replay(fl_device_t *device, const char *const *paths, size_t count,
                        fl_replay_t *replay) {
    const fieldloop_agent_v1_Window *window = &device->impulse.dsp.config.window;
    const char *axes[FL_TRUTH_CLASSES];
    for (pb_size_t i = 0; i < window->axes_count; i++) {
        axes[i] = window->axes[i];
    }
    if (fl_replay_load(replay, paths, count, axes, window->axes_count, (double)window->frequency_hz,
                       device->options->truth_column) == FL_OK) {
        return true;
    }
    char text[FL_REPLAY_ERROR_BYTES + 16];
    (void)snprintf(text, sizeof text, "--replay: %s", replay->error);
    log_text(device, FL_LOG_WARNING, text);
    return false;
}

/* Begins to play what was read. */
static void play(fl_device_t *device, const fl_replay_t *replay) {
    const fieldloop_agent_v1_Window *window = &device->impulse.dsp.config.window;
    fl_replay_free(&device->replay);
    device->replay = *replay;
    name_source(device);
    if (fl_sensor_start(&device->sensor, &device->replay,
                        fingerprint(device->replay_paths, device->replay_count), window->axes_count,
                        window->length, window->stride, (double)window->frequency_hz,
                        device->options->speed, device->options->seed,
                        fl_posix_now_ms()) != FL_OK) {
        log_text(device, FL_LOG_WARNING, "--replay: no recording is as long as a window");
    }
}

void fl_device_set_replay(fl_device_t *device, const char *const *paths, size_t path_count) {
    fl_replay_t replay = {0};
    if (device->has_model && !read_replay(device, paths, path_count, &replay)) {
        return;
    }
    char **copy = copy_paths(paths, path_count);
    if (copy == NULL) {
        fl_replay_free(&replay);
        return;
    }
    free_paths(device->replay_paths, device->replay_count);
    device->replay_paths = copy;
    device->replay_count = path_count;
    if (device->has_model) {
        play(device, &replay);
        log_text(device, FL_LOG_INFO, "the recordings were replaced");
    }
}

/* --- Model --- */

static void stop_model(fl_device_t *device) {
    device->has_model = false;
    device->sensor.replay = NULL;
    free(device->model);
    free(device->arena);
    free(device->integers);
    device->model = NULL;
    device->arena = NULL;
    device->integers = NULL;
}

static fl_status_t open_model(fl_device_t *device, uint32_t slot, uint32_t size) {
    const fl_flash_t *flash = &device->posix->port.slot[slot];
    size_t arena_size = 0;
    device->model = aligned_alloc(ARENA_ALIGNMENT, ((size_t)size + 15u) / 16u * 16u);
    if (device->model == NULL) {
        return FL_ERR_IO;
    }
    FL_RETURN_IF_ERROR(flash->read(flash->context, 0, device->model, size));
    FL_RETURN_IF_ERROR(fl_impulse_arena_size(device->model, size, &arena_size));
    device->arena = aligned_alloc(ARENA_ALIGNMENT, (arena_size + 15u) / 16u * 16u + 16u);
    if (device->arena == NULL) {
        return FL_ERR_IO;
    }
    FL_RETURN_IF_ERROR(
        fl_impulse_open(&device->impulse, device->model, size, device->arena, arena_size));
    device->integers =
        malloc(fl_impulse_window_values(&device->impulse) * sizeof *device->integers);
    if (device->integers == NULL) {
        return FL_ERR_IO;
    }
    /* A model without a self-test cannot be told from one that computes nonsense here. */
    return fl_impulse_self_test(&device->impulse);
}

static void describe_model(const fl_device_t *device, fl_model_info_t *info) {
    const fieldloop_agent_v1_Impulse *config = &device->impulse.dsp.config;
    memset(info, 0, sizeof *info);
    info->reference_id = config->reference.id;
    info->class_count = config->classes_count;
    info->channel_count = config->reference.channels_count;
    for (pb_size_t i = 0; i < config->reference.channels_count; i++) {
        info->bin_count[i] = (uint32_t)config->reference.channels[i].edges_count + 1u;
    }
    info->uncertain_below = config->uncertain_below;
    info->has_anomaly = device->impulse.has_anomaly;
    info->frequency_hz = config->window.frequency_hz;
    info->axes = config->window.axes_count;
}

static fl_status_t model_start(void *context, uint32_t slot, uint32_t size,
                               const uint8_t digest[32], fl_model_info_t *info) {
    fl_device_t *device = context;
    const char *classes[FL_MAX_CLASSES];
    fl_replay_t replay = {0};
    stop_model(device);
    const fl_status_t status = open_model(device, slot, size);
    if (status != FL_OK) {
        stop_model(device);
        return status;
    }
    describe_model(device, info);
    device->has_model = true;
    for (uint32_t i = 0; i < info->class_count; i++) {
        classes[i] = device->impulse.dsp.config.classes[i];
    }
    fl_truth_log_set_model(&device->truth, digest, classes, info->class_count);
    if (device->replay_count > 0 && read_replay(device, (const char *const *)device->replay_paths,
                                                device->replay_count, &replay)) {
        play(device, &replay);
    }
    return FL_OK;
}

/* --- Configuration --- */

static fl_status_t configuration_start(void *context, uint32_t slot, uint32_t size,
                                       const uint8_t digest[32]) {
    const fl_device_t *device = context;
    const char *path = device->options->configuration_file;
    (void)digest;
    if (slot == FL_SLOT_NONE) {
        return unlink(path) == 0 || errno == ENOENT ? FL_OK : FL_ERR_IO;
    }
    const fl_flash_t *flash = &device->posix->port.configuration[slot];
    uint8_t *data = malloc(size);
    fl_status_t status = FL_ERR_IO;
    if (data != NULL && flash->read(flash->context, 0, data, size) == FL_OK) {
        status = fl_posix_write_file(path, data, size);
    }
    free(data);
    return status;
}

static void period_closed(void *context, uint64_t start_ms, uint32_t period_ms) {
    fl_device_t *device = context;
    fl_truth_log_period(&device->truth, start_ms, period_ms);
}

static void sample_chosen(void *context, uint64_t start_ms, fl_reason_t reason) {
    fl_device_t *device = context;
    (void)reason;
    fl_truth_log_sample(&device->truth, start_ms, device->window_label, device->window_purity);
}

/* --- The device as a whole --- */

bool fl_device_open(fl_device_t *device, const fl_options_t *options, fl_posix_t *posix,
                    fl_agent_t *agent) {
    memset(device, 0, sizeof *device);
    device->options = options;
    device->posix = posix;
    device->agent = agent;
    device->app = (fl_app_t){
        .context = device,
        .model_start = model_start,
        .configuration_start = options->configuration_file == NULL ? NULL : configuration_start,
        .period_closed = period_closed,
        .sample_chosen = sample_chosen};
    (void)snprintf(device->sensor_path, sizeof device->sensor_path, "%s/sensor.clock",
                   options->state);
    if (fl_sensor_load(device->sensor_path, &device->sensor.at) != FL_OK) {
        log_text(device, FL_LOG_WARNING, "sensor.clock cannot be read: the sensor begins anew");
    }
    const uint64_t wall_ms = fl_posix_wall_ms();
    if (options->speed == 1.0 || device->sensor.at.clock_ms == 0) {
        device->sensor.at.clock_ms =
            wall_ms > device->sensor.at.clock_ms ? wall_ms : device->sensor.at.clock_ms;
    }
    if (fl_truth_log_open(&device->truth, options->truth_log) != FL_OK) {
        log_text(device, FL_LOG_WARNING, "--truth-log: the file cannot be opened for appending");
        return false;
    }
    device->replay_paths = copy_paths(options->replay, options->replay_count);
    device->replay_count = device->replay_paths == NULL ? 0 : options->replay_count;
    return true;
}

static void save_sensor(fl_device_t *device) {
    device->sensor_saved_ms = fl_posix_now_ms();
    if (fl_sensor_save(device->sensor_path, &device->sensor.at) != FL_OK) {
        log_text(device, FL_LOG_WARNING, "sensor.clock cannot be written");
    }
}

void fl_device_close(fl_device_t *device) {
    save_sensor(device);
    fl_truth_log_close(&device->truth);
    stop_model(device);
    fl_replay_free(&device->replay);
    free_paths(device->replay_paths, device->replay_count);
    device->replay_paths = NULL;
    device->replay_count = 0;
}

/* The window as integers if it is one, as sound is; NULL if not. */
static const int16_t *as_integers(const fl_device_t *device, const float *values, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (!(values[i] >= (float)INT16_MIN) || !(values[i] <= (float)INT16_MAX)) {
            return NULL;
        }
        device->integers[i] = (int16_t)values[i];
        if ((float)device->integers[i] != values[i]) {
            return NULL;
        }
    }
    return device->integers;
}

static void classify(fl_device_t *device, const fl_sensor_window_t *window) {
    const size_t value_count = device->sensor.length * device->sensor.axes;
    fl_inference_t result = {0};
    const bool classified = fl_impulse_run(&device->impulse, window->values, &result) == FL_OK;
    device->window_label = fl_replay_label(&device->replay, window->segment, window->offset,
                                           device->sensor.length, &device->window_purity);
    const fl_observation_t observation = {
        .start_ms = window->start_ms,
        .stride_ms = window->stride_ms,
        .first_reading = window->first_reading,
        .classified = classified,
        .predicted_class = result.predicted_class,
        .confidence = result.confidence,
        .anomalous = result.anomalous,
        .anomaly = result.anomaly,
        .channel_bin = result.channel_bin,
        .channel_value = result.channel_value,
        .values = window->values,
        .values_int16 = as_integers(device, window->values, value_count),
        .value_count = value_count,
    };
    /* Closes the period before, if this window begins a new one; so the agent counts it first. */
    fl_agent_observe(device->agent, &observation);
    if (classified) {
        const bool pure = device->window_label != NULL && device->window_purity >= 1.0;
        fl_truth_log_count(&device->truth, window->start_ms, window->stride_ms,
                           pure ? device->window_label : NULL, result.predicted_class,
                           (double)result.confidence);
    }
}

uint64_t fl_device_run(fl_device_t *device) {
    fl_sensor_window_t window;
    const uint64_t now = fl_posix_now_ms();
    if (!device->has_model) {
        return UINT64_MAX;
    }
    unsigned count = 0;
    while (count < WINDOWS_PER_RUN && fl_sensor_take(&device->sensor, now, &window)) {
        classify(device, &window);
        count++;
    }
    if (count > 0 && device->options->speed != 1.0 &&
        now - device->sensor_saved_ms >= SENSOR_SAVE_MS) {
        save_sensor(device);
    }
    if (count == WINDOWS_PER_RUN) {
        return now;
    }
    const uint64_t due = fl_sensor_due_ms(&device->sensor);
    return due == UINT64_MAX || due > now + BATCH_MS ? due : now + BATCH_MS;
}
