/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "posix_flash.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PROGRAM_SIZE = 16, ERASE_CHUNK = 4096 };

static bool in_range(const fl_posix_flash_t *flash, uint32_t offset, size_t size) {
    return offset <= flash->size && size <= flash->size - offset;
}

static fl_status_t read_area(void *context, uint32_t offset, void *dst, size_t size) {
    const fl_posix_flash_t *flash = context;
    uint8_t *to = dst;
    if (!in_range(flash, offset, size)) {
        return FL_ERR_IO;
    }
    while (size > 0) {
        const ssize_t part = pread(flash->file, to, size, (off_t)offset);
        if (part <= 0) {
            return FL_ERR_IO;
        }
        to += part;
        offset += (uint32_t)part;
        size -= (size_t)part;
    }
    return FL_OK;
}

static fl_status_t write_area(fl_posix_flash_t *flash, uint32_t offset, const void *src,
                              size_t size) {
    const uint8_t *from = src;
    flash->dirty = true;
    while (size > 0) {
        const ssize_t part = pwrite(flash->file, from, size, (off_t)offset);
        if (part <= 0) {
            return FL_ERR_IO;
        }
        from += part;
        offset += (uint32_t)part;
        size -= (size_t)part;
    }
    return FL_OK;
}

static fl_status_t program_area(void *context, uint32_t offset, const void *src, size_t size) {
    fl_posix_flash_t *flash = context;
    if (!in_range(flash, offset, size) || offset % PROGRAM_SIZE != 0 || size % PROGRAM_SIZE != 0) {
        return FL_ERR_IO;
    }
    return write_area(flash, offset, src, size);
}

static fl_status_t erase_area(void *context, uint32_t offset) {
    fl_posix_flash_t *flash = context;
    uint8_t erased[ERASE_CHUNK];
    if (!in_range(flash, offset, flash->sector_size) || offset % flash->sector_size != 0) {
        return FL_ERR_IO;
    }
    memset(erased, 0xff, sizeof erased);
    for (uint32_t done = 0; done < flash->sector_size; done += (uint32_t)sizeof erased) {
        const uint32_t left = flash->sector_size - done;
        const uint32_t part = left < sizeof erased ? left : (uint32_t)sizeof erased;
        FL_RETURN_IF_ERROR(write_area(flash, offset + done, erased, part));
    }
    return FL_OK;
}

static fl_status_t sync_area(void *context) {
    fl_posix_flash_t *flash = context;
    if (flash->dirty) {
        if (fdatasync(flash->file) != 0) {
            return FL_ERR_IO;
        }
        flash->dirty = false;
    }
    return FL_OK;
}

static fl_status_t erase_all(fl_posix_flash_t *flash) {
    if (ftruncate(flash->file, (off_t)flash->size) != 0) {
        return FL_ERR_IO;
    }
    for (uint32_t offset = 0; offset < flash->size; offset += flash->sector_size) {
        FL_RETURN_IF_ERROR(erase_area(flash, offset));
    }
    return fsync(flash->file) == 0 ? FL_OK : FL_ERR_IO;
}

fl_status_t fl_posix_flash_open(fl_posix_flash_t *flash, const char *path, uint32_t size,
                                uint32_t sector_size) {
    struct stat info;
    *flash = (fl_posix_flash_t){.file = -1, .size = size, .sector_size = sector_size};
    flash->file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (flash->file < 0 || fstat(flash->file, &info) != 0) {
        return FL_ERR_IO;
    }
    return info.st_size == (off_t)size ? FL_OK : erase_all(flash);
}

void fl_posix_flash_close(fl_posix_flash_t *flash) {
    if (flash->file >= 0) {
        (void)sync_area(flash);
        (void)close(flash->file);
        flash->file = -1;
    }
}

fl_flash_t fl_posix_flash_area(fl_posix_flash_t *flash) {
    return (fl_flash_t){.context = flash,
                        .size = flash->size,
                        .sector_size = flash->sector_size,
                        .program_size = PROGRAM_SIZE,
                        .erased_value = 0xff,
                        .read = read_area,
                        .program = program_area,
                        .erase = erase_area,
                        .sync = sync_area};
}
