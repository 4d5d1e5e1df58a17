/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "fieldloop_agent/record.h"

#include <stdbool.h>
#include <string.h>

#include "bytes.h"
#include "crc32.h"
#include "flash.h"

static const uint32_t RECORD_MAGIC = 0x31524c46u; /* "FLR1" */

/* A copy is its header, its body and its seal, written body, header, seal. A power cut in the
 * header may leave bits that read differently each time; the seal, whichever of its bits are set,
 * says that the header was finished, so that no copy counts today and not tomorrow. For that the
 * seal of the copy before has to be gone for certain when a header is written. */
typedef struct copy {
    bool valid;
    bool sealed;
    uint32_t offset; /* Of its sector. */
    uint32_t number; /* The higher one is newer. */
    uint32_t size;   /* Of the body. */
} copy_t;

static uint32_t seal_size(const fl_flash_t *flash) {
    return flash->program_size < 4u ? 4u : flash->program_size;
}

/* Where the seal of a body of this size is, in its sector. */
static uint32_t seal_at(const fl_flash_t *flash, uint32_t size) {
    return FL_RECORD_HEADER_SIZE + fl_round_up(size, flash->program_size);
}

static bool fits(const fl_flash_t *flash, size_t size) {
    return size <= flash->sector_size &&
           seal_at(flash, (uint32_t)size) + seal_size(flash) <= flash->sector_size;
}

/* A sector that cannot be read holds no copy. */
static fl_status_t read_copy(const fl_flash_t *flash, uint32_t sector, copy_t *copy) {
    uint8_t header[FL_RECORD_HEADER_SIZE];
    copy->valid = false;
    copy->offset = sector * flash->sector_size;
    FL_RETURN_IF_ERROR(fl_flash_read(flash, copy->offset, header, sizeof header));
    copy->number = fl_get_u32(header + 4);
    copy->size = fl_get_u32(header + 8);
    if (fl_get_u32(header) != RECORD_MAGIC || !fits(flash, copy->size)) {
        return FL_OK;
    }
    uint32_t crc = fl_crc32(0, header + 4, 8);
    FL_RETURN_IF_ERROR(
        fl_flash_crc32(flash, copy->offset + FL_RECORD_HEADER_SIZE, copy->size, &crc));
    const fl_status_t seal =
        fl_flash_check_erased(flash, copy->offset + seal_at(flash, copy->size), seal_size(flash));
    copy->sealed = seal == FL_ERR_NOT_FOUND;
    if (seal != FL_OK && !copy->sealed) {
        return seal;
    }
    copy->valid = crc == fl_get_u32(header + 12);
    return FL_OK;
}

/* Whether a counts more than b; both are valid. A copy without a seal was never relied on. */
static bool outranks(const copy_t *a, const copy_t *b) {
    return a->sealed != b->sealed ? a->sealed : a->number > b->number;
}

static fl_status_t newest(const fl_flash_t *flash, uint32_t first_sector, copy_t *found) {
    copy_t other;
    const fl_status_t first = read_copy(flash, first_sector, found);
    const fl_status_t second = read_copy(flash, first_sector + 1u, &other);
    if (other.valid && (!found->valid || outranks(&other, found))) {
        *found = other;
    }
    /* Without a seal and alone: its seal was cut, unless there never was another. */
    if (found->valid && (found->sealed || found->number > 1u)) {
        return FL_OK;
    }
    if (first == FL_OK && second == FL_OK) {
        return FL_ERR_NOT_FOUND;
    }
    /* What cannot be read may be the record; but not while the other sector is as it was made: then
     * there is none yet, and a cut in the first save can leave what is not read until it is erased.
     */
    return fl_flash_check_erased(flash,
                                 (first_sector + (first != FL_OK ? 1u : 0u)) * flash->sector_size,
                                 flash->sector_size) == FL_OK
               ? FL_ERR_NOT_FOUND
               : FL_ERR_IO;
}

fl_status_t fl_record_load(const fl_flash_t *flash, uint32_t first_sector, void *dst,
                           size_t capacity, size_t *size) {
    copy_t copy;
    FL_RETURN_IF_ERROR(newest(flash, first_sector, &copy));
    if (copy.size > capacity) {
        return FL_ERR_NO_SPACE;
    }
    FL_RETURN_IF_ERROR(fl_flash_read(flash, copy.offset + FL_RECORD_HEADER_SIZE, dst, copy.size));
    *size = copy.size;
    return FL_OK;
}

bool fl_record_is_alone(const fl_flash_t *flash, uint32_t first_sector) {
    copy_t first;
    copy_t second;
    (void)read_copy(flash, first_sector, &first);
    (void)read_copy(flash, first_sector + 1u, &second);
    return first.valid != second.valid;
}

fl_status_t fl_record_save(const fl_flash_t *flash, uint32_t first_sector, const void *src,
                           size_t size) {
    if (!fits(flash, size)) {
        return FL_ERR_NO_SPACE;
    }
    copy_t current;
    const fl_status_t found = newest(flash, first_sector, &current);
    if (found != FL_OK && found != FL_ERR_NOT_FOUND) {
        return found;
    }
    const bool first_is_current =
        found == FL_OK && current.offset == first_sector * flash->sector_size;
    const uint32_t target = first_sector + (first_is_current ? 1u : 0u);
    const uint32_t offset = target * flash->sector_size;

    uint8_t header[FL_RECORD_HEADER_SIZE];
    memset(header, flash->erased_value, sizeof header);
    fl_put_u32(header, RECORD_MAGIC);
    fl_put_u32(header + 4, found == FL_OK ? current.number + 1u : 1u);
    fl_put_u32(header + 8, (uint32_t)size);
    fl_put_u32(header + 12, fl_crc32(fl_crc32(0, header + 4, 8), src, size));

    FL_RETURN_IF_ERROR(flash->erase(flash->context, offset));
    FL_RETURN_IF_ERROR(fl_flash_sync(flash));
    fl_flash_writer_t writer;
    fl_flash_writer_init(&writer, flash, offset + FL_RECORD_HEADER_SIZE);
    FL_RETURN_IF_ERROR(fl_flash_write(&writer, src, size));
    FL_RETURN_IF_ERROR(fl_flash_write_end(&writer));
    FL_RETURN_IF_ERROR(flash->program(flash->context, offset, header, sizeof header));
    FL_RETURN_IF_ERROR(fl_flash_sync(flash));
    uint8_t seal[FL_PROGRAM_SIZE_MAX];
    memset(seal, (uint8_t)~flash->erased_value, sizeof seal);
    FL_RETURN_IF_ERROR(flash->program(flash->context, offset + seal_at(flash, (uint32_t)size), seal,
                                      seal_size(flash)));
    FL_RETURN_IF_ERROR(fl_flash_sync(flash));

    copy_t written;
    FL_RETURN_IF_ERROR(read_copy(flash, target, &written));
    return written.valid && written.sealed && written.number == fl_get_u32(header + 4) ? FL_OK
                                                                                       : FL_ERR_IO;
}
