/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "posix_bootloader.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "posix_file.h"

/* What firmware.swap says. */
static const char PENDING[] = "pending\n"; /* The next reset swaps. */
static const char ON_TRIAL[] = "trial\n";  /* Swapped; the next reset swaps back. */
static const char NOTHING[] = "none\n";    /* As if the file were not there. */

static fl_status_t name_file(const fl_posix_bootloader_t *bootloader, const char *name,
                             char path[PATH_MAX]) {
    const int length = snprintf(path, PATH_MAX, "%s/%s", bootloader->directory, name);
    return length > 0 && length < PATH_MAX ? FL_OK : FL_ERR_IO;
}

static fl_status_t copy_file(const char *from, const char *to) {
    uint8_t *data = NULL;
    size_t size = 0;
    FL_RETURN_IF_ERROR(fl_posix_read_file(from, &data, &size));
    const fl_status_t status = fl_posix_write_file(to, data, size);
    free(data);
    return status;
}

/* Replaces the secondary slot by an image and erased bytes behind it. Before it is opened. */
static fl_status_t fill_secondary(const char *from, const char *path, uint32_t slot_size) {
    uint8_t *data = NULL;
    size_t size = 0;
    FL_RETURN_IF_ERROR(fl_posix_read_file(from, &data, &size));
    fl_status_t status = FL_ERR_IO;
    uint8_t *slot = size <= slot_size ? malloc(slot_size) : NULL;
    if (slot != NULL) {
        memset(slot, 0xff, slot_size);
        memcpy(slot, data, size);
        status = fl_posix_write_file(path, slot, slot_size);
    }
    free(slot);
    free(data);
    return status;
}

/* The image in the secondary slot, in memory of malloc(). */
static fl_status_t read_secondary(fl_posix_bootloader_t *bootloader, uint8_t **image,
                                  size_t *size) {
    const fl_flash_t flash = fl_posix_flash_area(&bootloader->secondary);
    uint8_t *slot = malloc(flash.size);
    size_t end = flash.size;
    if (slot == NULL || flash.sync(flash.context) != FL_OK ||
        flash.read(flash.context, 0, slot, flash.size) != FL_OK) {
        free(slot);
        return FL_ERR_IO;
    }
    while (end > 0 && slot[end - 1] == flash.erased_value) {
        end--;
    }
    if (end == 0) {
        free(slot);
        return FL_ERR_NOT_FOUND;
    }
    *image = slot;
    *size = end;
    return FL_OK;
}

/* Puts `image` in the primary slot and `other` in the secondary one. */
static fl_status_t exchange(const fl_posix_bootloader_t *bootloader, const char *image,
                            const char *other, uint32_t slot_size) {
    char from[PATH_MAX];
    char to[PATH_MAX];
    FL_RETURN_IF_ERROR(name_file(bootloader, image, from));
    FL_RETURN_IF_ERROR(copy_file(from, bootloader->primary));
    FL_RETURN_IF_ERROR(name_file(bootloader, other, from));
    FL_RETURN_IF_ERROR(name_file(bootloader, "firmware.flash", to));
    return fill_secondary(from, to, slot_size);
}

/* Which of the texts above firmware.swap has. */
static fl_status_t read_swap(const fl_posix_bootloader_t *bootloader, const char **swap) {
    static const char *const TEXTS[] = {PENDING, ON_TRIAL, NOTHING};
    char path[PATH_MAX];
    uint8_t *text = NULL;
    size_t size = 0;
    *swap = NOTHING;
    FL_RETURN_IF_ERROR(name_file(bootloader, "firmware.swap", path));
    fl_status_t status = fl_posix_read_file(path, &text, &size);
    if (status != FL_OK) {
        return status == FL_ERR_NOT_FOUND ? FL_OK : status;
    }
    status = FL_ERR_CORRUPT;
    for (size_t i = 0; i < sizeof TEXTS / sizeof TEXTS[0]; i++) {
        if (strcmp((const char *)text, TEXTS[i]) == 0) {
            *swap = TEXTS[i];
            status = FL_OK;
        }
    }
    free(text);
    return status;
}

static fl_status_t write_swap(const fl_posix_bootloader_t *bootloader, const char *swap) {
    char path[PATH_MAX];
    FL_RETURN_IF_ERROR(name_file(bootloader, "firmware.swap", path));
    return fl_posix_write_file(path, swap, strlen(swap));
}

static fl_status_t reset(const fl_posix_bootloader_t *bootloader, uint32_t slot_size) {
    const char *swap = NOTHING;
    FL_RETURN_IF_ERROR(read_swap(bootloader, &swap));
    if (swap == PENDING) {
        FL_RETURN_IF_ERROR(exchange(bootloader, "firmware.next", "firmware.before", slot_size));
        return write_swap(bootloader, ON_TRIAL);
    }
    if (swap == ON_TRIAL) {
        FL_RETURN_IF_ERROR(exchange(bootloader, "firmware.before", "firmware.next", slot_size));
        return write_swap(bootloader, NOTHING);
    }
    return FL_OK;
}

fl_status_t fl_posix_bootloader_start(fl_posix_bootloader_t *bootloader, const char *directory,
                                      const char *primary, uint32_t size, uint32_t sector_size) {
    char path[PATH_MAX];
    *bootloader = (fl_posix_bootloader_t){
        .directory = directory, .primary = primary, .secondary = {.file = -1}};
    FL_RETURN_IF_ERROR(reset(bootloader, size));
    if (access(primary, R_OK | W_OK) != 0) {
        return errno == ENOENT ? FL_ERR_NOT_FOUND : FL_ERR_IO;
    }
    FL_RETURN_IF_ERROR(name_file(bootloader, "firmware.flash", path));
    return fl_posix_flash_open(&bootloader->secondary, path, size, sector_size);
}

fl_status_t fl_posix_bootloader_image(const fl_posix_bootloader_t *bootloader, uint8_t **image,
                                      size_t *size) {
    return fl_posix_read_file(bootloader->primary, image, size);
}

fl_status_t fl_posix_bootloader_request_swap(fl_posix_bootloader_t *bootloader) {
    char path[PATH_MAX];
    uint8_t *image = NULL;
    size_t size = 0;
    FL_RETURN_IF_ERROR(name_file(bootloader, "firmware.next", path));
    FL_RETURN_IF_ERROR(read_secondary(bootloader, &image, &size));
    fl_status_t status = fl_posix_write_file(path, image, size);
    free(image);
    FL_RETURN_IF_ERROR(status);
    FL_RETURN_IF_ERROR(name_file(bootloader, "firmware.before", path));
    FL_RETURN_IF_ERROR(copy_file(bootloader->primary, path));
    return write_swap(bootloader, PENDING);
}

fl_status_t fl_posix_bootloader_confirm(const fl_posix_bootloader_t *bootloader) {
    const char *swap = NOTHING;
    FL_RETURN_IF_ERROR(read_swap(bootloader, &swap));
    return swap == ON_TRIAL ? write_swap(bootloader, NOTHING) : FL_OK;
}

void fl_posix_bootloader_close(fl_posix_bootloader_t *bootloader) {
    if (bootloader->directory != NULL) {
        fl_posix_flash_close(&bootloader->secondary);
    }
}
