/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "fieldloop_agent/outbox.h"

#include <string.h>

#include "bytes.h"
#include "crc32.h"
#include "flash.h"

enum {
    SECTOR_HEADER = 32, /* magic, number, number of the sector it replaces, crc of all before. */
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
    bool whole;      /* Content matches its checksum, when the walk checks that. */
    bool done;
    fl_entry_t entry;
} walk_t;

/* What the header of a sector says. */
typedef struct sector {
    bool used;
    uint32_t number;
    uint32_t replaces; /* 0 for none. */
} sector_t;

/* An entry's header is followed by the mark that it is done. The mark has a program unit of its
 * own, because a unit is programmed once. */
static uint32_t entry_base(const fl_outbox_t *outbox) {
    return ENTRY_HEADER + outbox->mark_size;
}

static uint32_t entry_footprint(const fl_outbox_t *outbox, uint32_t size) {
    return entry_base(outbox) + fl_round_up(size, outbox->flash->program_size);
}

static uint32_t sector_count(const fl_outbox_t *outbox) {
    return outbox->flash->size / outbox->flash->sector_size;
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

static fl_status_t read_sector(const fl_outbox_t *outbox, uint32_t index, sector_t *sector) {
    uint8_t header[SECTOR_HEADER];
    const fl_flash_t *flash = outbox->flash;
    FL_RETURN_IF_ERROR(
        flash->read(flash->context, index * flash->sector_size, header, sizeof header));
    sector->used =
        fl_get_u32(header) == SECTOR_MAGIC && fl_get_u32(header + 12) == fl_crc32(0, header, 12);
    sector->number = fl_get_u32(header + 4);
    sector->replaces = fl_get_u32(header + 8);
    return FL_OK;
}

/* Reads the entry at walk->next. FL_ERR_NOT_FOUND when no entry begins there. */
static fl_status_t walk_entry(const fl_outbox_t *outbox, walk_t *walk, bool check_content) {
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
    walk->whole = true;
    if (check_content && !walk->done) {
        uint32_t crc = 0;
        FL_RETURN_IF_ERROR(fl_flash_crc32(flash, walk->entry.offset, walk->entry.size, &crc));
        walk->whole = crc == fl_get_u32(header + 20);
    }
    return FL_OK;
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
        bool used = true;
        if (walk->next == walk->sector * sector_size + SECTOR_HEADER) {
            sector_t sector;
            FL_RETURN_IF_ERROR(read_sector(outbox, walk->sector, &sector));
            used = sector.used;
        }
        while (used) {
            const fl_status_t status = walk_entry(outbox, walk, false);
            if (status == FL_ERR_NOT_FOUND) {
                break;
            }
            FL_RETURN_IF_ERROR(status);
            if (!walk->done) {
                return FL_OK;
            }
        }
        if (walk->sector + 1u >= sector_count(outbox)) {
            return FL_ERR_NOT_FOUND;
        }
        walk_sector(outbox, walk->sector + 1u, walk);
    }
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

/* Makes a clean sector the head: the moment from which its entries count. */
static fl_status_t name_head(fl_outbox_t *outbox, uint32_t sector, uint32_t replaces) {
    const fl_flash_t *flash = outbox->flash;
    uint8_t header[SECTOR_HEADER];
    memset(header, flash->erased_value, sizeof header);
    fl_put_u32(header, SECTOR_MAGIC);
    fl_put_u32(header + 4, outbox->head_number + 1u);
    fl_put_u32(header + 8, replaces);
    fl_put_u32(header + 12, fl_crc32(0, header, 12));
    outbox->unsynced = true;
    FL_RETURN_IF_ERROR(
        flash->program(flash->context, sector * flash->sector_size, header, sizeof header));
    outbox->head = sector;
    outbox->head_number++;
    return FL_OK;
}

/* Finds the number of free sectors and one of them. */
static fl_status_t find_free(const fl_outbox_t *outbox, uint32_t *count, uint32_t *free_sector) {
    const uint32_t base = outbox->head == NONE ? 0 : outbox->head;
    *count = 0;
    *free_sector = NONE;
    /* From behind the head on, so that all sectors wear alike. */
    for (uint32_t i = 1; i <= sector_count(outbox); i++) {
        const uint32_t index = (base + i) % sector_count(outbox);
        sector_t sector;
        FL_RETURN_IF_ERROR(read_sector(outbox, index, &sector));
        if (!sector.used && (*count)++ == 0) {
            *free_sector = index;
        }
    }
    return FL_OK;
}

/* A sector that another one replaces was being erased when the power went. */
static fl_status_t erase_replaced(fl_outbox_t *outbox) {
    for (uint32_t i = 0; i < sector_count(outbox); i++) {
        sector_t copy;
        FL_RETURN_IF_ERROR(read_sector(outbox, i, &copy));
        for (uint32_t k = 0; copy.used && copy.replaces != 0 && k < sector_count(outbox); k++) {
            sector_t original;
            FL_RETURN_IF_ERROR(read_sector(outbox, k, &original));
            if (original.used && original.number == copy.replaces) {
                FL_RETURN_IF_ERROR(
                    outbox->flash->erase(outbox->flash->context, k * outbox->flash->sector_size));
            }
        }
    }
    return FL_OK;
}

static fl_status_t mount_sector(fl_outbox_t *outbox, uint32_t sector, bool is_head) {
    const fl_flash_t *flash = outbox->flash;
    walk_t walk;
    walk_sector(outbox, sector, &walk);
    for (;;) {
        const fl_status_t status = walk_entry(outbox, &walk, true);
        if (status == FL_ERR_NOT_FOUND) {
            break;
        }
        FL_RETURN_IF_ERROR(status);
        if (!walk.whole) {
            FL_RETURN_IF_ERROR(mark(outbox, walk.offset + ENTRY_HEADER));
        } else if (!walk.done) {
            outbox->live++;
        }
    }
    if (is_head) {
        /* What a torn append left cannot be programmed again: the sector is full then. */
        const uint32_t used = walk.next - sector * flash->sector_size;
        const fl_status_t rest = fl_flash_check_erased(flash, walk.next, flash->sector_size - used);
        if (rest != FL_OK && rest != FL_ERR_NOT_FOUND) {
            return rest;
        }
        outbox->head_offset = rest == FL_OK ? used : flash->sector_size;
    }
    return FL_OK;
}

fl_status_t fl_outbox_mount(fl_outbox_t *outbox, const fl_flash_t *flash) {
    memset(outbox, 0, sizeof *outbox);
    FL_RETURN_IF_ERROR(fl_flash_check(flash, 3, 512));
    outbox->flash = flash;
    outbox->mark_size = flash->program_size < 4u ? 4u : flash->program_size;
    outbox->head = NONE;

    outbox->clean = NONE;
    FL_RETURN_IF_ERROR(erase_replaced(outbox));
    for (uint32_t i = 0; i < sector_count(outbox); i++) {
        sector_t sector;
        FL_RETURN_IF_ERROR(read_sector(outbox, i, &sector));
        if (sector.used && (outbox->head == NONE || sector.number > outbox->head_number)) {
            outbox->head = i;
            outbox->head_number = sector.number;
        }
    }
    for (uint32_t i = 0; i < sector_count(outbox); i++) {
        sector_t sector;
        FL_RETURN_IF_ERROR(read_sector(outbox, i, &sector));
        if (sector.used) {
            FL_RETURN_IF_ERROR(mount_sector(outbox, i, i == outbox->head));
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
        const fl_status_t status = walk_entry(outbox, &walk, false);
        if (status == FL_ERR_NOT_FOUND) {
            return FL_OK;
        }
        FL_RETURN_IF_ERROR(status);
        if (!walk.done) {
            *bytes += walk.next - walk.offset;
        }
    }
}

/* The used sector with the least that waits, the oldest of equals. */
static fl_status_t find_victim(const fl_outbox_t *outbox, uint32_t *victim, uint32_t *bytes) {
    uint32_t oldest = 0;
    *victim = NONE;
    *bytes = 0;
    for (uint32_t i = 0; i < sector_count(outbox); i++) {
        sector_t sector;
        uint32_t live;
        FL_RETURN_IF_ERROR(read_sector(outbox, i, &sector));
        if (!sector.used) {
            continue;
        }
        FL_RETURN_IF_ERROR(live_bytes(outbox, i, &live));
        if (*victim == NONE || live < *bytes || (live == *bytes && sector.number < oldest)) {
            *victim = i;
            *bytes = live;
            oldest = sector.number;
        }
    }
    return *victim == NONE ? FL_ERR_NOT_FOUND : FL_OK;
}

static fl_status_t drop_least(fl_outbox_t *outbox, fl_entry_kind_t kind) {
    walk_t walk;
    walk_t least = {0};
    bool found = false;
    walk_sector(outbox, 0, &walk);
    for (;;) {
        const fl_status_t status = walk_live(outbox, &walk);
        if (status == FL_ERR_NOT_FOUND) {
            break;
        }
        FL_RETURN_IF_ERROR(status);
        if (walk.entry.kind >= kind &&
            (!found || walk.entry.kind > least.entry.kind ||
             (walk.entry.kind == least.entry.kind && walk.entry.sequence < least.entry.sequence))) {
            least = walk;
            found = true;
        }
    }
    if (!found) {
        return FL_ERR_NO_SPACE;
    }
    FL_RETURN_IF_ERROR(mark(outbox, least.offset + ENTRY_HEADER));
    outbox->live--;
    outbox->dropped++;
    return FL_OK;
}

static fl_status_t copy_bytes(const fl_flash_t *flash, uint32_t from, fl_flash_writer_t *to,
                              uint32_t size) {
    uint8_t buffer[128];
    while (size > 0) {
        const uint32_t part = size < sizeof buffer ? size : (uint32_t)sizeof buffer;
        FL_RETURN_IF_ERROR(flash->read(flash->context, from, buffer, part));
        FL_RETURN_IF_ERROR(fl_flash_write(to, buffer, part));
        from += part;
        size -= part;
    }
    return fl_flash_write_end(to);
}

/* Copies what waits in the victim to the free sector, makes that the head and erases the victim. */
static fl_status_t move_live(fl_outbox_t *outbox, uint32_t victim, uint32_t free_sector) {
    const fl_flash_t *flash = outbox->flash;
    uint32_t used = SECTOR_HEADER;
    sector_t original;
    walk_t walk;
    FL_RETURN_IF_ERROR(read_sector(outbox, victim, &original));
    FL_RETURN_IF_ERROR(clean(outbox, free_sector));
    walk_sector(outbox, victim, &walk);
    for (;;) {
        const fl_status_t status = walk_entry(outbox, &walk, false);
        if (status == FL_ERR_NOT_FOUND) {
            break;
        }
        FL_RETURN_IF_ERROR(status);
        if (walk.done) {
            continue;
        }
        const uint32_t to = free_sector * flash->sector_size + used;
        fl_flash_writer_t writer;
        fl_flash_writer_init(&writer, flash, to);
        FL_RETURN_IF_ERROR(copy_bytes(flash, walk.offset, &writer, ENTRY_HEADER));
        fl_flash_writer_init(&writer, flash, to + entry_base(outbox));
        FL_RETURN_IF_ERROR(copy_bytes(flash, walk.entry.offset, &writer,
                                      fl_round_up(walk.entry.size, flash->program_size)));
        used += walk.next - walk.offset;
    }
    /* The copies must be durable before they count, and must count before the originals go. */
    FL_RETURN_IF_ERROR(fl_flash_sync(flash));
    FL_RETURN_IF_ERROR(name_head(outbox, free_sector, original.number));
    outbox->head_offset = used;
    FL_RETURN_IF_ERROR(fl_flash_sync(flash));
    FL_RETURN_IF_ERROR(flash->erase(flash->context, victim * flash->sector_size));
    outbox->clean = victim;
    return FL_OK;
}

/* Sees to it that the head has room for an entry of this kind. */
static fl_status_t make_room(fl_outbox_t *outbox, fl_entry_kind_t kind, uint32_t footprint) {
    const uint32_t sector_size = outbox->flash->sector_size;
    uint32_t free_count;
    uint32_t free_sector;
    if (outbox->head != NONE && sector_size - outbox->head_offset >= footprint) {
        return FL_OK;
    }
    FL_RETURN_IF_ERROR(find_free(outbox, &free_count, &free_sector));
    if (free_count == 0) {
        return FL_ERR_IO; /* An erase failed before; the next mount repeats it. */
    }
    if (free_count >= 2) {
        FL_RETURN_IF_ERROR(clean(outbox, free_sector));
        FL_RETURN_IF_ERROR(name_head(outbox, free_sector, 0));
        outbox->head_offset = SECTOR_HEADER;
        return FL_OK;
    }
    uint32_t victim;
    uint32_t live;
    for (;;) {
        FL_RETURN_IF_ERROR(find_victim(outbox, &victim, &live));
        const uint32_t capacity = sector_size - SECTOR_HEADER;
        if (live <= capacity / 2u && capacity - live >= footprint) {
            break;
        }
        /* Half a sector at a time, or a full outbox would copy a sector for every entry. */
        const fl_status_t status = drop_least(outbox, kind);
        if (status == FL_ERR_NO_SPACE && capacity - live >= footprint) {
            break;
        }
        FL_RETURN_IF_ERROR(status);
    }
    return move_live(outbox, victim, free_sector);
}

fl_status_t fl_outbox_append(fl_outbox_t *outbox, fl_entry_kind_t kind, uint64_t sequence,
                             const fl_part_t *parts, size_t part_count) {
    const fl_flash_t *flash = outbox->flash;
    uint32_t crc = 0;
    size_t size = 0;
    for (size_t i = 0; i < part_count; i++) {
        size += parts[i].size;
        crc = fl_crc32(crc, parts[i].data, parts[i].size);
    }
    const uint32_t capacity = flash->sector_size - SECTOR_HEADER;
    fl_status_t status = size > capacity || entry_footprint(outbox, (uint32_t)size) > capacity
                             ? FL_ERR_NO_SPACE
                             : make_room(outbox, kind, entry_footprint(outbox, (uint32_t)size));
    if (status != FL_OK) {
        outbox->dropped++;
        return status;
    }

    uint8_t header[ENTRY_HEADER];
    memset(header, flash->erased_value, sizeof header);
    fl_put_u32(header, ENTRY_MAGIC);
    fl_put_u32(header + 4, (uint32_t)kind);
    fl_put_u32(header + 8, (uint32_t)size);
    fl_put_u64(header + 12, sequence);
    fl_put_u32(header + 20, crc);
    fl_put_u32(header + 24, fl_crc32(0, header, 24));

    const uint32_t offset = outbox->head * flash->sector_size + outbox->head_offset;
    fl_flash_writer_t writer;
    fl_flash_writer_init(&writer, flash, offset + entry_base(outbox));
    outbox->unsynced = true;
    /* Content first: a header that is there says that the content was finished. */
    for (size_t i = 0; i < part_count && status == FL_OK; i++) {
        status = fl_flash_write(&writer, parts[i].data, parts[i].size);
    }
    if (status == FL_OK) {
        status = fl_flash_write_end(&writer);
    }
    if (status == FL_OK) {
        status = flash->program(flash->context, offset, header, sizeof header);
    }
    if (status != FL_OK) {
        outbox->head_offset = flash->sector_size;
        outbox->dropped++;
        return status;
    }
    outbox->head_offset += entry_footprint(outbox, (uint32_t)size);
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

fl_status_t fl_outbox_next(const fl_outbox_t *outbox, fl_entry_kind_t least, fl_entry_t *entry) {
    bool found = false;
    walk_t walk;
    if (outbox->live == 0) {
        return FL_ERR_NOT_FOUND;
    }
    walk_sector(outbox, 0, &walk);
    for (;;) {
        const fl_status_t status = walk_live(outbox, &walk);
        if (status == FL_ERR_NOT_FOUND) {
            return found ? FL_OK : FL_ERR_NOT_FOUND;
        }
        FL_RETURN_IF_ERROR(status);
        if (walk.entry.kind <= least &&
            (!found || walk.entry.kind < entry->kind ||
             (walk.entry.kind == entry->kind && walk.entry.sequence < entry->sequence))) {
            *entry = walk.entry;
            found = true;
        }
    }
}

fl_status_t fl_outbox_read(const fl_outbox_t *outbox, const fl_entry_t *entry, uint32_t offset,
                           void *dst, size_t size) {
    if (offset > entry->size || size > entry->size - offset) {
        return FL_ERR_ARG;
    }
    return outbox->flash->read(outbox->flash->context, entry->offset + offset, dst, size);
}

static fl_status_t find(const fl_outbox_t *outbox, uint64_t sequence, walk_t *walk) {
    if (outbox->live == 0) {
        return FL_ERR_NOT_FOUND;
    }
    walk_sector(outbox, 0, walk);
    for (;;) {
        FL_RETURN_IF_ERROR(walk_live(outbox, walk));
        if (walk->entry.sequence == sequence) {
            return FL_OK;
        }
    }
}

fl_status_t fl_outbox_find(const fl_outbox_t *outbox, uint64_t sequence) {
    walk_t walk;
    return find(outbox, sequence, &walk);
}

fl_status_t fl_outbox_done(fl_outbox_t *outbox, uint64_t sequence) {
    walk_t walk;
    FL_RETURN_IF_ERROR(find(outbox, sequence, &walk));
    FL_RETURN_IF_ERROR(mark(outbox, walk.offset + ENTRY_HEADER));
    outbox->live--;
    return FL_OK;
}
