/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "fieldloop_agent/outbox.h"

#include <string.h>

#include "apart.h"
#include "bytes.h"
#include "crc32.h"
#include "flash.h"

enum {
    SECTOR_HEADER = 32, /* magic, number, 0, crc of all before. */
    ENTRY_HEADER = 32,  /* magic, kind, size, sequence, crc of the content, crc of all before. */
};
static const uint32_t SECTOR_MAGIC = 0x31534c46u; /* "FLS1" */
static const uint32_t ENTRY_MAGIC = 0x31454c46u;  /* "FLE1" */
static const uint32_t NONE = UINT32_MAX;

/* A place in the log while it is walked. */
typedef struct walk {
    uint32_t sector;
    uint32_t offset; /* In the area: of the entry's header. */
    uint32_t next;   /* In the area: behind the entry. */
    bool done;
    uint32_t crc; /* Of the content. */
    fl_entry_t entry;
} walk_t;

/* An entry's header is followed by the mark that it is done. The mark has a program unit of its
 * own, because a unit is programmed once. */
static uint32_t entry_base(const fl_outbox_t *outbox) {
    return ENTRY_HEADER + outbox->mark_size;
}

static uint32_t entry_footprint(const fl_outbox_t *outbox, uint32_t size) {
    return entry_base(outbox) + fl_round_up(size, outbox->flash->program_size);
}

static fl_status_t mark(const fl_outbox_t *outbox, uint32_t offset) {
    uint8_t unit[FL_PROGRAM_SIZE_MAX];
    memset(unit, (uint8_t)~outbox->flash->erased_value, sizeof unit);
    return outbox->flash->program(outbox->flash->context, offset, unit, outbox->mark_size);
}

static bool is_marked(const fl_outbox_t *outbox, const uint8_t *unit) {
    for (uint32_t i = 0; i < outbox->mark_size; i++) {
        if (unit[i] != outbox->flash->erased_value) {
            return true;
        }
    }
    return false;
}

/* Reads a sector's number; 0 when it is free. */
static fl_status_t read_sector(const fl_outbox_t *outbox, uint32_t index, uint32_t *number) {
    uint8_t header[SECTOR_HEADER];
    const fl_flash_t *flash = outbox->flash;
    FL_RETURN_IF_ERROR(
        flash->read(flash->context, index * flash->sector_size, header, sizeof header));
    const bool used =
        fl_get_u32(header) == SECTOR_MAGIC && fl_get_u32(header + 12) == fl_crc32(0, header, 12);
    *number = used ? fl_get_u32(header + 4) : 0;
    return FL_OK;
}

/* Reads the entry at walk->next. FL_ERR_NOT_FOUND when no entry begins there. */
static fl_status_t walk_entry(const fl_outbox_t *outbox, walk_t *walk) {
    const fl_flash_t *flash = outbox->flash;
    const uint32_t end = (walk->sector + 1u) * flash->sector_size;
    uint8_t header[ENTRY_HEADER + FL_PROGRAM_SIZE_MAX];
    walk->offset = walk->next;
    if (end - walk->offset < entry_base(outbox)) {
        return FL_ERR_NOT_FOUND;
    }
    FL_RETURN_IF_ERROR(flash->read(flash->context, walk->offset, header, entry_base(outbox)));
    if (fl_get_u32(header) != ENTRY_MAGIC || fl_get_u32(header + 24) != fl_crc32(0, header, 24)) {
        return FL_ERR_NOT_FOUND;
    }
    walk->entry.kind = (fl_entry_kind_t)fl_get_u32(header + 4);
    walk->entry.size = fl_get_u32(header + 8);
    walk->entry.sequence = fl_get_u64(header + 12);
    walk->entry.offset = walk->offset + entry_base(outbox);
    if (walk->entry.size > flash->sector_size ||
        entry_footprint(outbox, walk->entry.size) > end - walk->offset) {
        return FL_ERR_NOT_FOUND;
    }
    walk->next = walk->offset + entry_footprint(outbox, walk->entry.size);
    walk->done = is_marked(outbox, header + ENTRY_HEADER);
    walk->crc = fl_get_u32(header + 20);
    return FL_OK;
}

/* FL_OK if the content is what was appended, FL_ERR_CORRUPT if not, FL_ERR_IO. */
static fl_status_t check_content(const fl_outbox_t *outbox, const walk_t *walk) {
    uint32_t crc = 0;
    FL_RETURN_IF_ERROR(fl_flash_crc32(outbox->flash, walk->entry.offset, walk->entry.size, &crc));
    return crc == walk->crc ? FL_OK : FL_ERR_CORRUPT;
}

/* Ends a header with the checksum of its first bytes and programs it. */
static fl_status_t program_header(const fl_outbox_t *outbox, uint32_t offset,
                                  uint8_t header[ENTRY_HEADER], uint32_t size) {
    const fl_flash_t *flash = outbox->flash;
    const uint32_t end = size + 4u;
    fl_put_u32(header + size, fl_crc32(0, header, size));
    memset(header + end, flash->erased_value, ENTRY_HEADER - end);
    return flash->program(flash->context, offset, header, ENTRY_HEADER);
}

/* Programs an entry's header, which is the moment from which it counts. The content is durable
 * before: a cut that left bits of it unsettled leaves no header, or a sequence could be sent with
 * two contents. */
static fl_status_t write_entry_header(const fl_outbox_t *outbox, uint32_t offset,
                                      const fl_entry_t *entry, uint32_t crc) {
    uint8_t header[ENTRY_HEADER];
    fl_put_u32(header, ENTRY_MAGIC);
    fl_put_u32(header + 4, (uint32_t)entry->kind);
    fl_put_u32(header + 8, entry->size);
    fl_put_u64(header + 12, entry->sequence);
    fl_put_u32(header + 20, crc);
    FL_RETURN_IF_ERROR(fl_flash_sync(outbox->flash));
    return program_header(outbox, offset, header, 24);
}

static void walk_sector(const fl_outbox_t *outbox, uint32_t sector, walk_t *walk) {
    walk->sector = sector;
    walk->next = sector * outbox->flash->sector_size + SECTOR_HEADER;
}

/* Moves on to the next entry that waits, from sector to sector. Begin with walk_sector(.., 0, ..).
 */
static fl_status_t walk_live(const fl_outbox_t *outbox, walk_t *walk) {
    const uint32_t sector_size = outbox->flash->sector_size;
    for (;;) {
        uint32_t number = 1;
        if (walk->next == walk->sector * sector_size + SECTOR_HEADER) {
            FL_RETURN_IF_ERROR(read_sector(outbox, walk->sector, &number));
        }
        while (number != 0) {
            const fl_status_t status = walk_entry(outbox, walk);
            if (status == FL_ERR_NOT_FOUND) {
                break;
            }
            FL_RETURN_IF_ERROR(status);
            if (!walk->done) {
                return FL_OK;
            }
        }
        if (walk->sector + 1u >= outbox->sector_count) {
            return FL_ERR_NOT_FOUND;
        }
        walk_sector(outbox, walk->sector + 1u, walk);
    }
}

/* Finds what waits of the kinds up to a limit and is the first to send; or of those from the limit
 * on, and is the first to drop. Of a kind that is the oldest. Counts all that waits on the way. */
static fl_status_t choose(fl_outbox_t *outbox, fl_entry_kind_t limit, bool to_drop,
                          walk_t *chosen) {
    fl_status_t status;
    uint32_t live = 0;
    bool found = false;
    walk_t walk;
    walk_sector(outbox, 0, &walk);
    while ((status = walk_live(outbox, &walk)) == FL_OK) {
        const fl_entry_t *entry = &walk.entry;
        const fl_entry_t *best = &chosen->entry;
        live++;
        if (to_drop ? entry->kind < limit : entry->kind > limit) {
            continue;
        }
        if (!found || (entry->kind == best->kind ? entry->sequence < best->sequence
                                                 : (entry->kind > best->kind) == to_drop)) {
            *chosen = walk;
            found = true;
        }
    }
    if (status != FL_ERR_NOT_FOUND) {
        return status;
    }
    outbox->live = live;
    return found ? FL_OK : FL_ERR_NOT_FOUND;
}

static fl_status_t count_live(fl_outbox_t *outbox) {
    walk_t first;
    const fl_status_t status = choose(outbox, FL_ENTRY_CHOSEN, false, &first);
    return status == FL_ERR_NOT_FOUND ? FL_OK : status;
}

/* An entry that will not be sent: it makes room for others, or its content was lost. */
static fl_status_t drop(fl_outbox_t *outbox, const walk_t *walk) {
    FL_RETURN_IF_ERROR(mark(outbox, walk->offset + ENTRY_HEADER));
    outbox->dropped++;
    return count_live(outbox);
}

/* Erases a free sector, unless that was done since the mount. An erase that a power cut ended may
 * look complete and not be, so what is only found erased is erased again. */
static fl_status_t clean(fl_outbox_t *outbox, uint32_t sector) {
    if (outbox->clean == sector) {
        outbox->clean = NONE;
        return FL_OK;
    }
    return outbox->flash->erase(outbox->flash->context, sector * outbox->flash->sector_size);
}

/* Makes a free sector the head. */
static fl_status_t begin_head(fl_outbox_t *outbox, uint32_t sector) {
    const fl_flash_t *flash = outbox->flash;
    FL_RETURN_IF_ERROR(clean(outbox, sector));
    /* 0 would say that the sector is free. */
    const uint32_t number = outbox->head_number == UINT32_MAX ? 1u : outbox->head_number + 1u;
    uint8_t header[SECTOR_HEADER];
    fl_put_u32(header, SECTOR_MAGIC);
    fl_put_u32(header + 4, number);
    fl_put_u32(header + 8, 0);
    outbox->unsynced = true;
    FL_RETURN_IF_ERROR(program_header(outbox, sector * flash->sector_size, header, 12));
    uint32_t written;
    FL_RETURN_IF_ERROR(read_sector(outbox, sector, &written));
    if (written != number) {
        return FL_ERR_IO;
    }
    outbox->head = sector;
    outbox->head_number = number;
    outbox->head_offset = SECTOR_HEADER;
    return FL_OK;
}

/* Finds the number of free sectors and one of them. */
static fl_status_t find_free(const fl_outbox_t *outbox, uint32_t *count, uint32_t *free_sector) {
    const uint32_t base = outbox->head == NONE ? 0 : outbox->head;
    *count = 0;
    *free_sector = NONE;
    /* From behind the head on, so that all sectors wear alike. */
    for (uint32_t i = 1; i <= outbox->sector_count; i++) {
        const uint32_t index = (base + i) % outbox->sector_count;
        uint32_t number;
        FL_RETURN_IF_ERROR(read_sector(outbox, index, &number));
        if (number == 0 && (*count)++ == 0) {
            *free_sector = index;
        }
    }
    return FL_OK;
}

/* Bytes of what waits in a sector. */
static fl_status_t live_bytes(const fl_outbox_t *outbox, uint32_t sector, uint32_t *bytes) {
    walk_t walk;
    *bytes = 0;
    walk_sector(outbox, sector, &walk);
    for (;;) {
        const fl_status_t status = walk_entry(outbox, &walk);
        if (status == FL_ERR_NOT_FOUND) {
            return FL_OK;
        }
        FL_RETURN_IF_ERROR(status);
        if (!walk.done) {
            *bytes += walk.next - walk.offset;
        }
    }
}

/* The used sector with the least that waits, the oldest of equals, other than one that was found
 * free: a header whose program was cut may say one thing and then the other. */
static fl_status_t find_victim(const fl_outbox_t *outbox, uint32_t free_sector, uint32_t *victim,
                               uint32_t *bytes) {
    uint32_t oldest = 0;
    *victim = NONE;
    *bytes = 0;
    for (uint32_t i = 0; i < outbox->sector_count; i++) {
        uint32_t number;
        uint32_t live;
        FL_RETURN_IF_ERROR(read_sector(outbox, i, &number));
        if (number == 0 || i == free_sector) {
            continue;
        }
        FL_RETURN_IF_ERROR(live_bytes(outbox, i, &live));
        if (*victim == NONE || live < *bytes || (live == *bytes && number < oldest)) {
            *victim = i;
            *bytes = live;
            oldest = number;
        }
    }
    return *victim == NONE ? FL_ERR_NOT_FOUND : FL_OK;
}

/* Whether an entry of this sequence, also one that is done, is in a sector. */
static fl_status_t find_in_sector(const fl_outbox_t *outbox, uint32_t sector, uint64_t sequence) {
    walk_t walk;
    walk_sector(outbox, sector, &walk);
    for (;;) {
        FL_RETURN_IF_ERROR(walk_entry(outbox, &walk));
        if (walk.entry.sequence == sequence) {
            return FL_OK;
        }
    }
}

/* Whether each entry that waits in a sector is in another one too, be it done there. */
static fl_status_t is_redundant(const fl_outbox_t *outbox, uint32_t sector, bool *redundant) {
    walk_t walk;
    *redundant = true;
    walk_sector(outbox, sector, &walk);
    while (*redundant) {
        const fl_status_t status = walk_entry(outbox, &walk);
        if (status == FL_ERR_NOT_FOUND) {
            return FL_OK;
        }
        FL_RETURN_IF_ERROR(status);
        *redundant = walk.done;
        for (uint32_t i = 0; i < outbox->sector_count && !*redundant; i++) {
            uint32_t number;
            FL_RETURN_IF_ERROR(read_sector(outbox, i, &number));
            if (i != sector && number != 0) {
                const fl_status_t found = find_in_sector(outbox, i, walk.entry.sequence);
                *redundant = found == FL_OK;
                FL_RETURN_IF_ERROR(found == FL_ERR_NOT_FOUND ? FL_OK : found);
            }
        }
    }
    return FL_OK;
}

/* No sector is free: the power was cut while one was copied. The copy goes, or the original if its
 * erase had begun. If it was something else, the sector with the least that waits is given up. */
static fl_status_t reclaim(fl_outbox_t *outbox) {
    uint32_t chosen = NONE;
    uint32_t live = 0;
    for (uint32_t i = 0; i < outbox->sector_count && chosen == NONE; i++) {
        const uint32_t index = (outbox->head + i) % outbox->sector_count;
        bool redundant;
        FL_RETURN_IF_ERROR(is_redundant(outbox, index, &redundant));
        chosen = redundant ? index : NONE;
    }
    if (chosen == NONE) {
        FL_RETURN_IF_ERROR(find_victim(outbox, NONE, &chosen, &live));
    }
    FL_RETURN_IF_ERROR(
        outbox->flash->erase(outbox->flash->context, chosen * outbox->flash->sector_size));
    outbox->clean = chosen;
    return FL_OK;
}

fl_status_t fl_outbox_mount(fl_outbox_t *outbox, const fl_flash_t *flash) {
    uint32_t free_count = 0;
    memset(outbox, 0, sizeof *outbox);
    if (!fl_flash_is_usable(flash, 3, 512)) {
        return FL_ERR_ARG;
    }
    outbox->flash = flash;
    outbox->sector_count = flash->size / flash->sector_size;
    outbox->mark_size = flash->program_size < 4u ? 4u : flash->program_size;
    outbox->head = NONE;
    outbox->clean = NONE;
    for (uint32_t i = 0; i < outbox->sector_count; i++) {
        uint32_t number;
        FL_RETURN_IF_ERROR(read_sector(outbox, i, &number));
        free_count += number == 0 ? 1u : 0;
        if (number > outbox->head_number) {
            outbox->head = i;
            outbox->head_number = number;
        }
    }
    /* What a cut append left may read differently tomorrow, or look erased and not be: nothing is
     * appended behind it. So may the header of a sector: its number is not used again. */
    outbox->head_offset = flash->sector_size;
    outbox->head_number++;
    if (free_count == 0) {
        FL_RETURN_IF_ERROR(reclaim(outbox));
    }
    return count_live(outbox);
}

static fl_status_t drop_least(fl_outbox_t *outbox, fl_entry_kind_t kind) {
    walk_t least;
    const fl_status_t status = choose(outbox, kind, true, &least);
    if (status != FL_OK) {
        return status == FL_ERR_NOT_FOUND ? FL_ERR_NO_SPACE : status;
    }
    return drop(outbox, &least);
}

static fl_status_t copy_piece(void *to, const uint8_t *data, uint32_t size) {
    return fl_flash_write(to, data, size);
}

FL_APART static fl_status_t copy_live(fl_outbox_t *outbox, uint32_t victim) {
    const fl_flash_t *flash = outbox->flash;
    walk_t walk;
    walk_sector(outbox, victim, &walk);
    for (;;) {
        const fl_status_t status = walk_entry(outbox, &walk);
        if (status == FL_ERR_NOT_FOUND) {
            return FL_OK;
        }
        FL_RETURN_IF_ERROR(status);
        const uint32_t footprint = walk.next - walk.offset;
        /* More than was counted: a mark whose program was cut, so it is done. */
        if (walk.done || footprint > flash->sector_size - outbox->head_offset) {
            continue;
        }
        const uint32_t to = outbox->head * flash->sector_size + outbox->head_offset;
        fl_flash_writer_t writer;
        fl_flash_writer_init(&writer, flash, to + entry_base(outbox));
        FL_RETURN_IF_ERROR(
            fl_flash_each(flash, walk.entry.offset, walk.entry.size, copy_piece, &writer));
        FL_RETURN_IF_ERROR(fl_flash_write_end(&writer));
        FL_RETURN_IF_ERROR(write_entry_header(outbox, to, &walk.entry, walk.crc));
        outbox->head_offset += footprint;
    }
}

/* Makes the free sector the head, copies what waits in the victim there and erases the victim. */
static fl_status_t move_live(fl_outbox_t *outbox, uint32_t victim, uint32_t free_sector) {
    const fl_flash_t *flash = outbox->flash;
    FL_RETURN_IF_ERROR(begin_head(outbox, free_sector));
    fl_status_t status = copy_live(outbox, victim);
    if (status == FL_OK) {
        /* The copies must be durable before the originals go. */
        status = fl_flash_sync(flash);
    }
    if (status == FL_OK) {
        status = flash->erase(flash->context, victim * flash->sector_size);
    }
    if (status != FL_OK) {
        outbox->head_offset = flash->sector_size; /* What is behind the copies is not known. */
        return status;
    }
    outbox->clean = victim;
    return FL_OK;
}

static bool head_has_room(const fl_outbox_t *outbox, uint32_t footprint) {
    return outbox->head != NONE && outbox->flash->sector_size - outbox->head_offset >= footprint;
}

/* Sees to it that the head has room for an entry of this kind. */
static fl_status_t make_room(fl_outbox_t *outbox, fl_entry_kind_t kind, uint32_t footprint) {
    const uint32_t capacity = outbox->flash->sector_size - SECTOR_HEADER;
    uint32_t free_count;
    uint32_t free_sector;
    if (head_has_room(outbox, footprint)) {
        return FL_OK;
    }
    FL_RETURN_IF_ERROR(find_free(outbox, &free_count, &free_sector));
    if (free_count == 0) { /* A copy or an erase failed before. */
        FL_RETURN_IF_ERROR(reclaim(outbox));
        free_count = 1;
        free_sector = outbox->clean;
    }
    if (free_count >= 2) {
        return begin_head(outbox, free_sector);
    }
    /* Nothing is dropped while a copy gains a quarter of a sector; if it must be, then until half a
     * sector is gained, or a full outbox would copy a sector for every entry. */
    uint32_t most = capacity - capacity / 4u;
    uint32_t victim;
    uint32_t live;
    for (;;) {
        FL_RETURN_IF_ERROR(find_victim(outbox, free_sector, &victim, &live));
        if (live <= most && capacity - live >= footprint) {
            break;
        }
        const fl_status_t status = drop_least(outbox, kind);
        if (status == FL_ERR_NO_SPACE && live <= capacity && capacity - live >= footprint) {
            break;
        }
        FL_RETURN_IF_ERROR(status);
        most = capacity / 2u;
    }
    FL_RETURN_IF_ERROR(move_live(outbox, victim, free_sector));
    return head_has_room(outbox, footprint) ? FL_OK : FL_ERR_NO_SPACE;
}

/* Writes an entry behind the last one, content first: a header that is there says that the content
 * was finished. Then reads it, because flash may not have taken it. */
static fl_status_t write_entry(fl_outbox_t *outbox, const fl_entry_t *entry, uint32_t crc,
                               const fl_part_t *parts, size_t part_count) {
    const fl_flash_t *flash = outbox->flash;
    walk_t walk = {.sector = outbox->head,
                   .next = outbox->head * flash->sector_size + outbox->head_offset};
    const uint32_t offset = walk.next;
    fl_flash_writer_t writer;
    fl_flash_writer_init(&writer, flash, offset + entry_base(outbox));
    outbox->unsynced = true;
    for (size_t i = 0; i < part_count; i++) {
        FL_RETURN_IF_ERROR(fl_flash_write(&writer, parts[i].data, parts[i].size));
    }
    FL_RETURN_IF_ERROR(fl_flash_write_end(&writer));
    FL_RETURN_IF_ERROR(write_entry_header(outbox, offset, entry, crc));
    FL_RETURN_IF_ERROR(walk_entry(outbox, &walk));
    return check_content(outbox, &walk);
}

fl_status_t fl_outbox_append(fl_outbox_t *outbox, fl_entry_kind_t kind, uint64_t sequence,
                             const fl_part_t *parts, size_t part_count) {
    const uint32_t capacity = outbox->flash->sector_size - SECTOR_HEADER;
    uint32_t crc = 0;
    size_t size = 0;
    for (size_t i = 0; i < part_count; i++) {
        size += parts[i].size;
        crc = fl_crc32(crc, parts[i].data, parts[i].size);
    }
    const fl_entry_t entry = {.kind = kind, .sequence = sequence, .size = (uint32_t)size};
    const uint32_t footprint = size > capacity ? 0 : entry_footprint(outbox, entry.size);
    fl_status_t status = FL_ERR_NO_SPACE;
    if (footprint != 0 && footprint <= capacity) {
        /* Where a write failed nothing more is appended; another sector gets a second chance. */
        status = FL_ERR_IO;
        for (unsigned attempt = 0; attempt < 2 && status == FL_ERR_IO; attempt++) {
            status = make_room(outbox, kind, footprint);
            if (status == FL_OK) {
                const fl_status_t written = write_entry(outbox, &entry, crc, parts, part_count);
                status = written == FL_OK ? FL_OK : FL_ERR_IO;
                outbox->head_offset =
                    status == FL_OK ? outbox->head_offset + footprint : outbox->flash->sector_size;
            }
        }
    }
    if (status != FL_OK) {
        outbox->dropped++;
        return status;
    }
    outbox->live++;
    return FL_OK;
}

fl_status_t fl_outbox_sync(fl_outbox_t *outbox) {
    if (!outbox->unsynced) {
        return FL_OK;
    }
    FL_RETURN_IF_ERROR(fl_flash_sync(outbox->flash));
    outbox->unsynced = false;
    return FL_OK;
}

fl_status_t fl_outbox_next(fl_outbox_t *outbox, fl_entry_kind_t least, fl_entry_t *entry) {
    while (outbox->live > 0) {
        walk_t first;
        FL_RETURN_IF_ERROR(choose(outbox, least, false, &first));
        const fl_status_t status = check_content(outbox, &first);
        if (status == FL_OK) {
            *entry = first.entry;
        }
        if (status != FL_ERR_CORRUPT) {
            return status;
        }
        FL_RETURN_IF_ERROR(drop(outbox, &first));
    }
    return FL_ERR_NOT_FOUND;
}

fl_status_t fl_outbox_read(const fl_outbox_t *outbox, const fl_entry_t *entry, uint32_t offset,
                           void *dst, size_t size) {
    if (offset > entry->size || size > entry->size - offset) {
        return FL_ERR_ARG;
    }
    return outbox->flash->read(outbox->flash->context, entry->offset + offset, dst, size);
}

/* Moves on to the next entry of this sequence that waits. Begin with walk_sector(.., 0, ..). */
static fl_status_t find(const fl_outbox_t *outbox, uint64_t sequence, walk_t *walk) {
    do {
        FL_RETURN_IF_ERROR(walk_live(outbox, walk));
    } while (walk->entry.sequence != sequence);
    return FL_OK;
}

fl_status_t fl_outbox_find(const fl_outbox_t *outbox, uint64_t sequence) {
    walk_t walk;
    walk_sector(outbox, 0, &walk);
    for (;;) {
        FL_RETURN_IF_ERROR(find(outbox, sequence, &walk));
        /* A cut may have left a copy that is torn beside one that is not. */
        const fl_status_t status = check_content(outbox, &walk);
        if (status != FL_ERR_CORRUPT) {
            return status;
        }
    }
}

fl_status_t fl_outbox_done(fl_outbox_t *outbox, uint64_t sequence) {
    walk_t walk;
    walk_sector(outbox, 0, &walk);
    FL_RETURN_IF_ERROR(find(outbox, sequence, &walk));
    FL_RETURN_IF_ERROR(mark(outbox, walk.offset + ENTRY_HEADER));
    return count_live(outbox);
}
