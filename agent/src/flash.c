/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "flash.h"

#include <string.h>

#include "bytes.h"
#include "crc32.h"

enum { READ_ATTEMPTS = 3 };

fl_status_t fl_flash_read(const fl_flash_t *flash, uint32_t offset, void *dst, uint32_t size) {
    fl_status_t status = FL_ERR_IO;
    for (unsigned attempt = 0; attempt < READ_ATTEMPTS && status != FL_OK; attempt++) {
        status = flash->read(flash->context, offset, dst, size);
    }
    return status;
}

void fl_flash_writer_init(fl_flash_writer_t *writer, const fl_flash_t *flash, uint32_t offset) {
    writer->flash = flash;
    writer->offset = offset;
    writer->staged = 0;
}

static fl_status_t program(fl_flash_writer_t *writer, const void *src, uint32_t size) {
    const fl_flash_t *flash = writer->flash;
    FL_RETURN_IF_ERROR(flash->program(flash->context, writer->offset, src, size));
    writer->offset += size;
    return FL_OK;
}

fl_status_t fl_flash_write(fl_flash_writer_t *writer, const void *src, size_t size) {
    const uint32_t unit = writer->flash->program_size;
    const uint8_t *from = src;
    while (size > 0) {
        if (writer->staged == 0 && size >= unit) {
            const uint32_t whole = (uint32_t)size & ~(unit - 1u);
            FL_RETURN_IF_ERROR(program(writer, from, whole));
            from += whole;
            size -= whole;
            continue;
        }
        const uint32_t room = unit - writer->staged;
        const uint32_t part = size < room ? (uint32_t)size : room;
        memcpy(writer->stage + writer->staged, from, part);
        writer->staged += part;
        from += part;
        size -= part;
        if (writer->staged == unit) {
            FL_RETURN_IF_ERROR(program(writer, writer->stage, unit));
            writer->staged = 0;
        }
    }
    return FL_OK;
}

fl_status_t fl_flash_write_end(fl_flash_writer_t *writer) {
    const uint32_t unit = writer->flash->program_size;
    if (writer->staged == 0) {
        return FL_OK;
    }
    memset(writer->stage + writer->staged, writer->flash->erased_value, unit - writer->staged);
    writer->staged = 0;
    return program(writer, writer->stage, unit);
}

fl_status_t fl_flash_sync(const fl_flash_t *flash) {
    return flash->sync == NULL ? FL_OK : flash->sync(flash->context);
}

fl_status_t fl_flash_each(const fl_flash_t *flash, uint32_t offset, uint32_t size,
                          fl_flash_take_t *take, void *context) {
    uint8_t buffer[128];
    while (size > 0) {
        const uint32_t part = size < sizeof buffer ? size : (uint32_t)sizeof buffer;
        FL_RETURN_IF_ERROR(fl_flash_read(flash, offset, buffer, part));
        FL_RETURN_IF_ERROR(take(context, buffer, part));
        offset += part;
        size -= part;
    }
    return FL_OK;
}

static fl_status_t compare(void *erased_value, const uint8_t *data, uint32_t size) {
    const uint8_t *expected = erased_value;
    for (uint32_t i = 0; i < size; i++) {
        if (data[i] != *expected) {
            return FL_ERR_NOT_FOUND;
        }
    }
    return FL_OK;
}

fl_status_t fl_flash_check_erased(const fl_flash_t *flash, uint32_t offset, uint32_t size) {
    uint8_t erased_value = flash->erased_value;
    return fl_flash_each(flash, offset, size, compare, &erased_value);
}

static fl_status_t add_to_crc(void *crc, const uint8_t *data, uint32_t size) {
    uint32_t *sum = crc;
    *sum = fl_crc32(*sum, data, size);
    return FL_OK;
}

fl_status_t fl_flash_crc32(const fl_flash_t *flash, uint32_t offset, uint32_t size, uint32_t *crc) {
    return fl_flash_each(flash, offset, size, add_to_crc, crc);
}

bool fl_flash_is_usable(const fl_flash_t *flash, uint32_t sectors_min, uint32_t sector_size_min) {
    const uint32_t unit = flash->program_size;
    return flash->read != NULL && flash->program != NULL && flash->erase != NULL && unit != 0 &&
           unit <= FL_PROGRAM_SIZE_MAX && (unit & (unit - 1u)) == 0 &&
           flash->sector_size >= sector_size_min && flash->sector_size != 0 &&
           flash->sector_size % FL_PROGRAM_SIZE_MAX == 0 && flash->size % flash->sector_size == 0 &&
           flash->size / flash->sector_size >= sectors_min &&
           (flash->erased_value == 0xff || flash->erased_value == 0x00);
}
