/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/**
 * @file
 * @brief Uplinks that wait for the server's Ack: a log in flash that survives resets.
 *
 * Entries are appended to sectors that are opened in turn, and marked when they are done. One
 * sector is always free: when the last one but it is full, the sector with the least that still
 * waits is copied into it. If too much waits, entries are dropped, the least important kind first
 * and the oldest of a kind first, but never for an entry of a lesser kind. The bytes are described
 * in agent/docs/FORMAT.md.
 *
 * After a power cut an entry is there whole or not at all, and a mark that was being written may be
 * lost: the entry is then sent again with the same sequence, which the server counts once.
 *
 * A sector whose header cannot be read is erased by the mount; if it still cannot be read it is
 * left out until the next one, and the others are used as long as two are left.
 */
#ifndef FIELDLOOP_AGENT_OUTBOX_H
#define FIELDLOOP_AGENT_OUTBOX_H

#include "fieldloop_agent/port.h"
#include "fieldloop_agent/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Kinds, the most important first. */
typedef enum fl_entry_kind {
    FL_ENTRY_REPORT = 1, /**< An encoded DeviceMessage with an UpdateReport. */
    FL_ENTRY_SKETCH = 2, /**< An encoded DeviceMessage with a SketchReport. */
    FL_ENTRY_RANDOM = 3, /**< A recording chosen at random: see fl_outbox_append(). */
    FL_ENTRY_CHOSEN = 4, /**< A recording chosen because it is uncertain or novel. */
} fl_entry_kind_t;

/** An entry that waits. */
typedef struct fl_entry {
    fl_entry_kind_t kind;
    uint64_t sequence;
    uint32_t offset; /**< Of its content, in the area. */
    uint32_t size;   /**< Of its content. */
} fl_entry_t;

/** A piece of an entry's content. */
typedef struct fl_part {
    const void *data;
    size_t size;
} fl_part_t;

/** An outbox. Treat the members as private; dropped may be read and set. */
typedef struct fl_outbox {
    const fl_flash_t *flash;
    uint32_t sector_count;
    uint32_t head;        /* Sector that is appended to; UINT32_MAX for none. */
    uint32_t head_offset; /* Where in it; sector_size when it is full. */
    uint32_t head_number; /* Number of the head; each new sector has the next one. */
    uint32_t clean;       /* Free sector erased since the mount; UINT32_MAX for none. */
    uint32_t live;        /* Entries that wait. */
    uint8_t mark_size;    /* Bytes of a mark: one program unit, at least 4. */
    bool unsynced;        /* Something was written that sync() has not covered. */
    uint32_t dropped;     /**< Entries dropped because the outbox was full, counted on. */
} fl_outbox_t;

/**
 * @brief Finds what waits in the area, and mends what a power cut left.
 *
 * @param flash  Must outlive the outbox.
 * @return FL_OK; FL_ERR_ARG for a geometry that cannot be used.
 */
fl_status_t fl_outbox_mount(fl_outbox_t *outbox, const fl_flash_t *flash);

/**
 * @brief Appends an entry of the given parts. Durable after fl_outbox_sync().
 *
 * @return FL_OK; FL_ERR_NO_SPACE if it is larger than a sector or only more important entries could
 *         make room: it is then counted as dropped; FL_ERR_IO.
 */
fl_status_t fl_outbox_append(fl_outbox_t *outbox, fl_entry_kind_t kind, uint64_t sequence,
                             const fl_part_t *parts, size_t part_count);

/** Makes all appended entries durable. */
fl_status_t fl_outbox_sync(fl_outbox_t *outbox);

/**
 * @brief Finds what to send first: the most important kind, and of it the lowest sequence. An entry
 * whose content was lost or cannot be read is dropped on the way.
 *
 * @param least  Kinds of less importance than this one are left out.
 * @return FL_OK; FL_ERR_NOT_FOUND if nothing waits; FL_ERR_IO.
 */
fl_status_t fl_outbox_next(fl_outbox_t *outbox, fl_entry_kind_t least, fl_entry_t *entry);

/** Reads part of an entry's content. */
fl_status_t fl_outbox_read(const fl_outbox_t *outbox, const fl_entry_t *entry, uint32_t offset,
                           void *dst, size_t size);

/** Whether an entry of this sequence waits, and is whole: FL_OK, FL_ERR_NOT_FOUND. */
fl_status_t fl_outbox_find(const fl_outbox_t *outbox, uint64_t sequence);

/** Marks the entry of this sequence as done. FL_ERR_NOT_FOUND if there is none. */
fl_status_t fl_outbox_done(fl_outbox_t *outbox, uint64_t sequence);

#ifdef __cplusplus
}
#endif

#endif
