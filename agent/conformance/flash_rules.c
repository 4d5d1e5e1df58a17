/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <string.h>

#include "rules.h"

enum { PIECE = 96, MANY_UNITS = 3, AREAS_MAX = 8 };

/* What the agent asks of an area. */
typedef struct area {
    const char *name;
    const fl_flash_t *flash;
    uint32_t sectors_min;
    uint32_t sector_size_min;
} area_t;

static size_t areas(const fl_port_t *port, area_t list[AREAS_MAX]) {
    size_t count = 0;
    list[count++] = (area_t){"flash state", &port->state, 4, 1280};
    list[count++] = (area_t){"flash outbox", &port->outbox, 3, 512};
    list[count++] = (area_t){"flash slot 0", &port->slot[0], 1, FL_PROGRAM_SIZE_MAX};
    list[count++] = (area_t){"flash slot 1", &port->slot[1], 1, FL_PROGRAM_SIZE_MAX};
    if (port->configuration[0].size != 0 || port->configuration[1].size != 0) {
        list[count++] =
            (area_t){"flash configuration 0", &port->configuration[0], 1, FL_PROGRAM_SIZE_MAX};
        list[count++] =
            (area_t){"flash configuration 1", &port->configuration[1], 1, FL_PROGRAM_SIZE_MAX};
    }
    if (port->firmware.running != NULL) {
        list[count++] = (area_t){"flash firmware", &port->firmware.slot, 1, FL_PROGRAM_SIZE_MAX};
    }
    return count;
}

/* Bytes of which no two neighbouring units are alike, and none is erased. */
static uint8_t pattern(const fl_flash_t *flash, uint32_t offset, uint32_t tag) {
    const uint8_t byte = (uint8_t)(offset * 7u + offset / flash->program_size * 31u + tag * 13u);
    return byte == flash->erased_value ? (uint8_t)(byte ^ 0x5au) : byte;
}

static bool is_erased(fl_rules_t *rules, const fl_flash_t *flash, uint32_t offset, uint32_t size) {
    uint8_t bytes[PIECE];
    while (size > 0) {
        const uint32_t part = size < PIECE ? size : PIECE;
        memset(bytes, ~flash->erased_value, sizeof bytes);
        if (!fl_rules_status(rules, flash->read(flash->context, offset, bytes, part), FL_OK)) {
            return false;
        }
        if (!fl_rules_all_are(bytes, part, flash->erased_value)) {
            return fl_rules_note(rules, "in the piece at", offset);
        }
        offset += part;
        size -= part;
    }
    return true;
}

static bool write_units(fl_rules_t *rules, const fl_flash_t *flash, uint32_t offset, uint32_t units,
                        uint32_t tag) {
    uint8_t bytes[MANY_UNITS * FL_PROGRAM_SIZE_MAX];
    const uint32_t size = units * flash->program_size;
    for (uint32_t i = 0; i < size; i++) {
        bytes[i] = pattern(flash, offset + i, tag);
    }
    return fl_rules_status(rules, flash->program(flash->context, offset, bytes, size), FL_OK);
}

/* Reads from any offset on. */
static bool reads_back(fl_rules_t *rules, const fl_flash_t *flash, uint32_t offset, uint32_t size,
                       uint32_t tag) {
    uint8_t bytes[MANY_UNITS * FL_PROGRAM_SIZE_MAX];
    memset(bytes, flash->erased_value, sizeof bytes);
    if (!fl_rules_status(rules, flash->read(flash->context, offset, bytes, size), FL_OK)) {
        return false;
    }
    for (uint32_t i = 0; i < size; i++) {
        if (bytes[i] != pattern(flash, offset + i, tag)) {
            return fl_rules_note(rules, "at", offset + i);
        }
    }
    return true;
}

static bool erase(fl_rules_t *rules, const fl_flash_t *flash, uint32_t sector) {
    return fl_rules_status(rules, flash->erase(flash->context, sector * flash->sector_size), FL_OK);
}

static bool sync(fl_rules_t *rules, const fl_flash_t *flash) {
    return flash->sync == NULL || fl_rules_status(rules, flash->sync(flash->context), FL_OK);
}

static bool geometry_is_usable(fl_rules_t *rules, const area_t *area) {
    const fl_flash_t *flash = area->flash;
    const uint32_t unit = flash->program_size;
    if (flash->read == NULL || flash->program == NULL || flash->erase == NULL) {
        return fl_rules_note(
            rules, "read, program and erase that are missing:",
            (uint64_t)(flash->read == NULL) + (flash->program == NULL) + (flash->erase == NULL));
    }
    if (unit == 0 || unit > FL_PROGRAM_SIZE_MAX || (unit & (unit - 1u)) != 0) {
        return fl_rules_note(rules, "program_size is", unit);
    }
    if (flash->sector_size < area->sector_size_min ||
        flash->sector_size % FL_PROGRAM_SIZE_MAX != 0) {
        return fl_rules_note(rules, "sector_size is", flash->sector_size);
    }
    if (flash->size % flash->sector_size != 0 ||
        flash->size / flash->sector_size < area->sectors_min) {
        return fl_rules_note(rules, "size is", flash->size);
    }
    if (flash->erased_value != 0xff && flash->erased_value != 0x00) {
        return fl_rules_note(rules, "erased_value is", flash->erased_value);
    }
    return true;
}

static void try_programming(fl_rules_t *rules, const fl_flash_t *flash) {
    const uint32_t unit = flash->program_size;
    const uint32_t many = MANY_UNITS * unit;
    const uint32_t rest = flash->sector_size - unit;
    fl_rules_check(rules, erase(rules, flash, 0) && is_erased(rules, flash, 0, flash->sector_size),
                   "an erased sector reads as erased_value");
    fl_rules_check(rules,
                   write_units(rules, flash, 0, 1, 1) && reads_back(rules, flash, 0, unit, 1),
                   "a unit that was programmed reads back");
    fl_rules_check(rules, is_erased(rules, flash, unit, rest),
                   "programming a unit leaves the others erased");
    fl_rules_check(rules,
                   write_units(rules, flash, 2u * unit, MANY_UNITS, 2) &&
                       reads_back(rules, flash, 2u * unit, many, 2) &&
                       reads_back(rules, flash, 0, unit, 1) &&
                       is_erased(rules, flash, unit, unit) &&
                       is_erased(rules, flash, 2u * unit + many, rest - unit - many),
                   "several units are programmed at once, and only they");
    fl_rules_check(rules, reads_back(rules, flash, 2u * unit + 1u, many - 2u, 2),
                   "any offset and any size can be read");
    fl_rules_check(rules,
                   erase(rules, flash, 0) && is_erased(rules, flash, 0, flash->sector_size) &&
                       write_units(rules, flash, 0, 1, 3) && reads_back(rules, flash, 0, unit, 3),
                   "a sector can be programmed anew after an erase");
}

/* Marks the first and the last unit of every sector, then erases one. */
static bool sectors_are_independent(fl_rules_t *rules, const fl_flash_t *flash) {
    const uint32_t sectors = flash->size / flash->sector_size;
    const uint32_t unit = flash->program_size;
    const uint32_t last = flash->sector_size - unit;
    const uint32_t erased = sectors / 2u;
    for (uint32_t i = 0; i < sectors; i++) {
        const uint32_t at = i * flash->sector_size;
        if (!erase(rules, flash, i) || !write_units(rules, flash, at, 1, i) ||
            !write_units(rules, flash, at + last, 1, i)) {
            return false;
        }
    }
    if (!erase(rules, flash, erased)) {
        return false;
    }
    for (uint32_t i = 0; i < sectors; i++) {
        const uint32_t at = i * flash->sector_size;
        const bool as_expected = i == erased ? is_erased(rules, flash, at, flash->sector_size)
                                             : reads_back(rules, flash, at, unit, i) &&
                                                   reads_back(rules, flash, at + last, unit, i);
        if (!as_expected) {
            return false;
        }
    }
    return true;
}

static bool range_is_kept(fl_rules_t *rules, const fl_flash_t *flash) {
    uint8_t bytes[2 * FL_PROGRAM_SIZE_MAX];
    const uint32_t unit = flash->program_size;
    memset(bytes, flash->erased_value, sizeof bytes);
    if (flash->read(flash->context, flash->size - unit, bytes, (size_t)unit * 2u) == FL_OK) {
        return fl_rules_note(rules, "read over the end at", flash->size - unit);
    }
    if (flash->program(flash->context, flash->size, bytes, unit) == FL_OK) {
        return fl_rules_note(rules, "programmed at", flash->size);
    }
    if (flash->erase(flash->context, flash->size) == FL_OK) {
        return fl_rules_note(rules, "erased at", flash->size);
    }
    return true;
}

static void try_area(fl_rules_t *rules, const area_t *area) {
    rules->subject = area->name;
    const bool usable = geometry_is_usable(rules, area);
    fl_rules_check(rules, usable, "the geometry is one that the agent can use");
    if (!usable) {
        return;
    }
    try_programming(rules, area->flash);
    fl_rules_check(rules, sectors_are_independent(rules, area->flash),
                   "erasing a sector leaves the others as they were");
    fl_rules_check(rules, range_is_kept(rules, area->flash),
                   "what lies outside the area is refused");
    fl_rules_check(rules, sync(rules, area->flash), "sync succeeds");
}

/* Marks both ends of each area, and reads them all afterwards. */
static bool mark_areas(fl_rules_t *rules, const area_t *list, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const fl_flash_t *flash = list[i].flash;
        const uint32_t last = flash->size / flash->sector_size - 1u;
        if (!erase(rules, flash, 0) || !erase(rules, flash, last) ||
            !write_units(rules, flash, 0, 1, (uint32_t)i) ||
            !write_units(rules, flash, flash->size - flash->program_size, 1, (uint32_t)i) ||
            !sync(rules, flash)) {
            return false;
        }
    }
    return true;
}

static bool marks_are_there(fl_rules_t *rules, const area_t *list, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const fl_flash_t *flash = list[i].flash;
        const uint32_t unit = flash->program_size;
        if (!reads_back(rules, flash, 0, unit, (uint32_t)i) ||
            !reads_back(rules, flash, flash->size - unit, unit, (uint32_t)i)) {
            return fl_rules_note(rules, "area", i);
        }
    }
    return true;
}

static bool erase_all(fl_rules_t *rules, const area_t *list, size_t count) {
    for (size_t i = 0; i < count; i++) {
        for (uint32_t k = 0; k < list[i].flash->size / list[i].flash->sector_size; k++) {
            if (!erase(rules, list[i].flash, k)) {
                return false;
            }
        }
        if (!sync(rules, list[i].flash)) {
            return false;
        }
    }
    return true;
}

void fl_rules_flash(fl_rules_t *rules) {
    static const char SURVIVES[] = "what was programmed and synced survives a reset";
    area_t list[AREAS_MAX];
    const uint32_t broken = rules->result.broken;
    size_t count = areas(rules->port, list);
    for (size_t i = 0; i < count; i++) {
        try_area(rules, &list[i]);
    }
    rules->subject = "flash";
    if (rules->result.broken != broken) {
        fl_rules_untried(rules, "the areas do not overlap");
        fl_rules_untried(rules, SURVIVES);
        return;
    }
    fl_rules_check(rules, mark_areas(rules, list, count) && marks_are_there(rules, list, count),
                   "the areas do not overlap");
    if (rules->conformance->reopen == NULL) {
        fl_rules_untried(rules, SURVIVES);
    } else if (fl_rules_reopen(rules)) {
        count = areas(rules->port, list);
        fl_rules_check(rules, marks_are_there(rules, list, count), SURVIVES);
    } else {
        return;
    }
    fl_rules_check(rules, erase_all(rules, list, count), "every sector can be erased");
}
