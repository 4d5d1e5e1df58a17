/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/**
 * @file
 * @brief A bootloader with the rules of MCUboot's swap with revert, over files.
 *
 * The primary slot is a file of the user's, which holds an image and nothing else. The secondary
 * slot is a flash area in the state directory; where the image in it ends is where the erased bytes
 * begin, so that an image must not end with the byte 0xFF. A start of the process is a reset.
 *
 * The state directory holds firmware.flash (the secondary slot), firmware.swap (what the next reset
 * does), firmware.next and firmware.before (the images that a swap exchanges). Each
 * step can be repeated after a power cut.
 */
#ifndef FIELDLOOP_AGENT_PORTS_POSIX_POSIX_BOOTLOADER_H
#define FIELDLOOP_AGENT_PORTS_POSIX_POSIX_BOOTLOADER_H

#include "posix_flash.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fl_posix_bootloader {
    const char *directory; /* NULL: there is none. */
    const char *primary;
    fl_posix_flash_t secondary;
} fl_posix_bootloader_t;

/**
 * @brief Does what the bootloader does at a reset, and opens the secondary slot.
 *
 * A swap that was requested is made; one that was made before and not confirmed is undone. The
 * texts must outlive the bootloader.
 *
 * @param primary  File with the image that runs; FL_ERR_NOT_FOUND if there is none.
 */
fl_status_t fl_posix_bootloader_start(fl_posix_bootloader_t *bootloader, const char *directory,
                                      const char *primary, uint32_t size, uint32_t sector_size);

/** The primary slot: memory of malloc(), and its size. FL_OK, FL_ERR_NOT_FOUND or FL_ERR_IO. */
fl_status_t fl_posix_bootloader_image(const fl_posix_bootloader_t *bootloader, uint8_t **image,
                                      size_t *size);

/** As fl_firmware_t.request_swap and confirm. */
fl_status_t fl_posix_bootloader_request_swap(fl_posix_bootloader_t *bootloader);
fl_status_t fl_posix_bootloader_confirm(const fl_posix_bootloader_t *bootloader);

void fl_posix_bootloader_close(fl_posix_bootloader_t *bootloader);

#ifdef __cplusplus
}
#endif

#endif
