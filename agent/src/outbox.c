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

/* Whether an entry is done. A mark that a cut left unreadable is one. */
static bool is_marked(const fl_outbox_t *outbox, uint32_t offset) {
    return fl_flash_check_erased(outbox->flash, offset, outbox->mark_size) != FL_OK;
}

/* A sector's number: 0 when it is free, NONE when it cannot be read, which is neither free nor
 * used.
 */
static uint32_t read_sector(const fl_outbox_t *outbox, uint32_t index) {
    uint8_t header[SECTOR_HEADER];
    const fl_flash_t *flash = outbox->flash;
    if (fl_flash_read(flash, index * flash->sector_size, header, sizeof header) != FL_OK) {
        return NONE;
    }
    const bool used =
        fl_get_u32(header) == SECTOR_MAGIC && fl_get_u32(header + 12) == fl_crc32(0, header, 12);
    return used ? fl_get_u32(header + 4) : 0;
}

static bool is_used(const fl_outbox_t *outbox, uint32_t index) {
    const uint32_t number = read_sector(outbox, index);
    return number != 0 && number != NONE;
}

static void walk_sector(const fl_outbox_t *outbox, uint32_t sector, walk_t *walk) {
    walk->sector = sector;
    walk->next = sector * outbox->flash->sector_size + SECTOR_HEADER;
}

/* Reads the entry at walk->next. False when none begins there, or none that can be read. */
static bool walk_entry(const fl_outbox_t *outbox, walk_t *walk) {
    const fl_flash_t *flash = outbox->flash;
    const uint32_t end = (walk->sector + 1u) * flash->sector_size;
    uint8_t header[ENTRY_HEADER];
    walk->offset = walk->next;
    if (end - walk->offset < entry_base(outbox) ||
        fl_flash_read(flash, walk->offset, header, sizeof header) != FL_OK ||
        fl_get_u32(header) != ENTRY_MAGIC || fl_get_u32(header + 24) != fl_crc32(0, header, 24)) {
        return false;
    }
    walk->entry.kind = (fl_entry_kind_t)fl_get_u32(header + 4);
    walk->entry.size = fl_get_u32(header + 8);
    walk->entry.sequence = fl_get_u64(header + 12);
    walk->entry.offset = walk->offset + entry_base(outbox);
    if (walk->entry.size > flash->sector_size ||
        entry_footprint(outbox, walk->entry.size) > end - walk->offset) {
        return false;
    }
    walk->next = walk->offset + entry_footprint(outbox, walk->entry.size);
    walk->done = is_marked(outbox, walk->offset + ENTRY_HEADER);
    walk->crc = fl_get_u32(header + 20);
    return true;
}

/* Moves on to the next entry, from sector to sector. Begin with walk_sector(.., 0, ..). */
static bool walk_on(const fl_outbox_t *outbox, walk_t *walk) {
    for (;;) {
        const bool begins = walk->next % outbox->flash->sector_size == SECTOR_HEADER;
        if ((!begins || is_used(outbox, walk->sector)) && walk_entry(outbox, walk)) {
            return true;
        }
        if (walk->sector + 1u >= outbox->sector_count) {
            return false;
        }
        walk_sector(outbox, walk->sector + 1u, walk);
    }
}

/* Moves on to the next entry that waits. */
static bool walk_live(const fl_outbox_t *outbox, walk_t *walk) {
    do {
        if (!walk_on(outbox, walk)) {
            return false;
        }
    } while (walk->done);
    return true;
}

/* Whether the content can be read, and is what was appended. */
static bool check_content(const fl_outbox_t *outbox, const walk_t *walk) {
    uint32_t crc = 0;
    return fl_flash_crc32(outbox->flash, walk->entry.offset, walk->entry.size, &crc) == FL_OK &&
           crc == walk->crc;
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

/* Finds what waits of the kinds up to a limit and is the first to send; or of those from the limit
 * on, and is the first to drop. Of a kind that is the oldest. Counts all that waits on the way. */
static bool choose(fl_outbox_t *outbox, fl_entry_kind_t limit, bool to_drop, walk_t *chosen) {
    bool found = false;
    walk_t walk;
    outbox->live = 0;
    walk_sector(outbox, 0, &walk);
    while (walk_live(outbox, &walk)) {
        const fl_entry_t *entry = &walk.entry;
        const fl_entry_t *best = &chosen->entry;
        outbox->live++;
        if (to_drop ? entry->kind < limit : entry->kind > limit) {
            continue;
        }
        if (!found || (entry->kind == best->kind ? entry->sequence < best->sequence
                                                 : (entry->kind > best->kind) == to_drop)) {
            *chosen = walk;
            found = true;
        }
    }
    return found;
}

static void count_live(fl_outbox_t *outbox) {
    walk_t first;
    (void)choose(outbox, FL_ENTRY_CHOSEN, false, &first);
}

/* An entry that choose() gave and that will not be sent: it makes room for others, or its content
 * was lost. FL_ERR_IO when flash does not take the mark. */
static fl_status_t drop(fl_outbox_t *outbox, const walk_t *walk) {
    const uint32_t live = outbox->live;
    FL_RETURN_IF_ERROR(mark(outbox, walk->offset + ENTRY_HEADER));
    outbox->dropped++;
    count_live(outbox);
    return outbox->live < live ? FL_OK : FL_ERR_IO;
}

static fl_status_t erase(const fl_outbox_t *outbox, uint32_t sector) {
    return outbox->flash->erase(outbox->flash->context, sector * outbox->flash->sector_size);
}

/* Erases a free sector, unless that was done since the mount. An erase that a power cut ended may
 * look complete and not be, so what is only found erased is erased again. */
static fl_status_t clean(fl_outbox_t *outbox, uint32_t sector) {
    if (outbox->clean == sector) {
        outbox->clean = NONE;
        return FL_OK;
    }
    return erase(outbox, sector);
}

/* Makes a free sector the head. */
static fl_status_t begin_head(fl_outbox_t *outbox, uint32_t sector) {
    const fl_flash_t *flash = outbox->flash;
    FL_RETURN_IF_ERROR(clean(outbox, sector));
    /* Not one of the numbers that say something else. */
    const uint32_t number = outbox->head_number >= NONE - 1u ? 1u : outbox->head_number + 1u;
    uint8_t header[SECTOR_HEADER];
    fl_put_u32(header, SECTOR_MAGIC);
    fl_put_u32(header + 4, number);
    fl_put_u32(header + 8, 0);
    outbox->unsynced = true;
    FL_RETURN_IF_ERROR(program_header(outbox, sector * flash->sector_size, header, 12));
    if (read_sector(outbox, sector) != number) {
        return FL_ERR_IO;
    }
    outbox->head = sector;
    outbox->head_number = number;
    outbox->head_offset = SECTOR_HEADER;
    return FL_OK;
}

/* The number of free sectors, and one of them. */
static uint32_t find_free(const fl_outbox_t *outbox, uint32_t *free_sector) {
    const uint32_t base = outbox->head == NONE ? 0 : outbox->head;
    uint32_t count = 0;
    /* From behind the head on, so that all sectors wear alike. */
    for (uint32_t i = 1; i <= outbox->sector_count; i++) {
        const uint32_t index = (base + i) % outbox->sector_count;
        if (read_sector(outbox, index) == 0 && count++ == 0) {
            *free_sector = index;
        }
    }
    return count;
}

/* Bytes of what waits in a sector. */
static uint32_t live_bytes(const fl_outbox_t *outbox, uint32_t sector) {
    uint32_t bytes = 0;
    walk_t walk;
    walk_sector(outbox, sector, &walk);
    while (walk_entry(outbox, &walk)) {
        bytes += walk.done ? 0 : walk.next - walk.offset;
    }
    return bytes;
}

/* The used sector with the least that waits, the oldest of equals, other than one that was found
 * free: a header whose program was cut may say one thing and then the other. NONE if there is none.
 */
static uint32_t find_victim(const fl_outbox_t *outbox, uint32_t free_sector, uint32_t *bytes) {
    uint32_t oldest = 0;
    uint32_t victim = NONE;
    for (uint32_t i = 0; i < outbox->sector_count; i++) {
        const uint32_t number = read_sector(outbox, i);
        if (number == 0 || number == NONE || i == free_sector) {
            continue;
        }
        const uint32_t live = live_bytes(outbox, i);
        if (victim == NONE || live < *bytes || (live == *bytes && number < oldest)) {
            victim = i;
            *bytes = live;
            oldest = number;
        }
    }
    return victim;
}

/* Whether an entry of this sequence, be it done, is in another sector too. */
static bool is_elsewhere(const fl_outbox_t *outbox, const walk_t *entry) {
    walk_t walk;
    walk_sector(outbox, 0, &walk);
    while (walk_on(outbox, &walk)) {
        if (walk.sector != entry->sector && walk.entry.sequence == entry->entry.sequence) {
            return true;
        }
    }
    return false;
}

/* Whether each entry that waits in a used sector is in another one too. */
static bool is_redundant(const fl_outbox_t *outbox, uint32_t sector) {
    walk_t walk;
    if (!is_used(outbox, sector)) {
        return false;
    }
    walk_sector(outbox, sector, &walk);
    while (walk_entry(outbox, &walk)) {
        if (!walk.done && !is_elsewhere(outbox, &walk)) {
            return false;
        }
    }
    return true;
}

/* No sector is free: the power was cut while one was copied. The copy goes, or the original if its
 * erase had begun. If it was something else, the sector with the least that waits is given up. */
static fl_status_t reclaim(fl_outbox_t *outbox) {
    uint32_t live;
    uint32_t chosen = find_victim(outbox, NONE, &live);
    if (chosen == NONE) {
        return FL_ERR_IO; /* None can be read. */
    }
    for (uint32_t i = 0; i < outbox->sector_count; i++) {
        const uint32_t index = (outbox->head + i) % outbox->sector_count;
        if (is_redundant(outbox, index)) {
            chosen = index;
            break;
        }
    }
    FL_RETURN_IF_ERROR(erase(outbox, chosen));
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
    outbox->mark_size = flash->program_size < 4u ? 4u : (uint8_t)flash->program_size;
    outbox->head = NONE;
    outbox->clean = NONE;
    for (uint32_t i = 0; i < outbox->sector_count; i++) {
        uint32_t number = read_sector(outbox, i);
        if (number == NONE && erase(outbox, i) == FL_OK) {
            /* A cut can leave what is not read until it is erased. */
            number = read_sector(outbox, i);
        }
        free_count += number == 0 ? 1u : 0;
        if (number != NONE && number > outbox->head_number) {
            outbox->head = i;
            outbox->head_number = number;
        }
    }
    /* What a cut append left may read differently tomorrow, or look erased and not be: nothing is
     * appended behind it. So may the header of a sector: its number is not used again. */
    outbox->head_offset = flash->sector_size;
    outbox->head_number++;
    if (free_count == 0) {
        (void)reclaim(outbox); /* Tried again when there is something to append. */
    }
    count_live(outbox);
    return FL_OK;
}

static fl_status_t drop_least(fl_outbox_t *outbox, fl_entry_kind_t kind) {
    walk_t least;
    return choose(outbox, kind, true, &least) ? drop(outbox, &least) : FL_ERR_NO_SPACE;
}

static fl_status_t copy_piece(void *to, const uint8_t *data, uint32_t size) {
    return fl_flash_write(to, data, size);
}

FL_APART static fl_status_t copy_live(fl_outbox_t *outbox, uint32_t victim) {
    const fl_flash_t *flash = outbox->flash;
    walk_t walk;
    walk_sector(outbox, victim, &walk);
    while (walk_entry(outbox, &walk)) {
        const uint32_t footprint = walk.next - walk.offset;
        /* More than was counted: a mark whose program was cut, so it is done. */
        if (walk.done || footprint > flash->sector_size - outbox->head_offset) {
            continue;
        }
        if (!check_content(outbox, &walk)) {
            outbox->dropped++;
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
    return FL_OK;
}

/* Makes the free sector the head, copies what waits in the victim there and erases the victim. */
static fl_status_t move_live(fl_outbox_t *outbox, uint32_t victim, uint32_t free_sector) {
    FL_RETURN_IF_ERROR(begin_head(outbox, free_sector));
    fl_status_t status = copy_live(outbox, victim);
    if (status == FL_OK) {
        /* The copies must be durable before the originals go. */
        status = fl_flash_sync(outbox->flash);
    }
    if (status == FL_OK) {
        status = erase(outbox, victim);
    }
    if (status != FL_OK) {
        /* What is behind the copies is not known. */
        outbox->head_offset = outbox->flash->sector_size;
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
    uint32_t free_sector = NONE;
    if (head_has_room(outbox, footprint)) {
        return FL_OK;
    }
    uint32_t free_count = find_free(outbox, &free_sector);
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
    for (;;) {
        uint32_t live;
        victim = find_victim(outbox, free_sector, &live);
        if (victim == NONE) {
            return FL_ERR_IO; /* Only one can be read: there is no log in it. */
        }
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
    return walk_entry(outbox, &walk) && check_content(outbox, &walk) ? FL_OK : FL_ERR_IO;
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
                status = write_entry(outbox, &entry, crc, parts, part_count);
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
    walk_t first;
    while (outbox->live > 0 && choose(outbox, least, false, &first)) {
        if (check_content(outbox, &first)) {
            *entry = first.entry;
            return FL_OK;
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
    return fl_flash_read(outbox->flash, entry->offset + offset, dst, (uint32_t)size);
}

/* Moves on to the next entry of this sequence that waits. Begin with walk_sector(.., 0, ..). */
static bool find(const fl_outbox_t *outbox, uint64_t sequence, walk_t *walk) {
    do {
        if (!walk_live(outbox, walk)) {
            return false;
        }
    } while (walk->entry.sequence != sequence);
    return true;
}

fl_status_t fl_outbox_find(const fl_outbox_t *outbox, uint64_t sequence) {
    walk_t walk;
    walk_sector(outbox, 0, &walk);
    while (find(outbox, sequence, &walk)) {
        /* A cut may have left a copy that is torn beside one that is not. */
        if (check_content(outbox, &walk)) {
            return FL_OK;
        }
    }
    return FL_ERR_NOT_FOUND;
}

fl_status_t fl_outbox_done(fl_outbox_t *outbox, uint64_t sequence) {
    walk_t walk;
    walk_sector(outbox, 0, &walk);
    if (!find(outbox, sequence, &walk)) {
        return FL_ERR_NOT_FOUND;
    }
    FL_RETURN_IF_ERROR(mark(outbox, walk.offset + ENTRY_HEADER));
    count_live(outbox);
    return FL_OK;
}
