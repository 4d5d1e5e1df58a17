/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "tests/qemu/firmware/bootloader.h"

#include <string.h>

#include "agent/ports/cortex_m/cortex_m_flash.h"
#include "agent/ports/cortex_m/cortex_m_port.h"
#include "agent/ports/mbedtls/crypto.h"
#include "fieldloop_agent/record.h"
#include "tests/qemu/cortex_m4/semihosting.h"

typedef struct image_header {
  char magic[4];
  uint32_t size;
  char version[16];
  uint8_t starts;
} image_header_t;

/* The record's body. */
typedef struct boot_state {
  uint8_t active; /* Slot whose image runs. */
  uint8_t pending;
  uint8_t on_trial;
} boot_state_t;

static struct {
  fl_cortex_m_area_t areas[3];
  fl_flash_t slot[2];
  fl_flash_t record;
  boot_state_t state;
} boot;

static void open_area(const fl_flash_t* device, unsigned index, uint32_t offset, uint32_t size,
                      fl_flash_t* area) {
  const fl_cortex_m_extent_t extent = {
      .offset = offset, .size = size, .sector_size = device->sector_size};
  if (fl_cortex_m_area_open(&boot.areas[index], device, &extent, area) != FL_OK) {
    semihosting_fail("bootloader: its slots do not fit the flash");
  }
}

static fl_status_t save(boot_state_t state) {
  FL_RETURN_IF_ERROR(fl_record_save(&boot.record, 0, &state, sizeof state));
  boot.state = state;
  return FL_OK;
}

static fl_status_t read_header(image_header_t* header) {
  const fl_flash_t* slot = &boot.slot[boot.state.active];
  FL_RETURN_IF_ERROR(slot->read(slot->context, 0, header, sizeof *header));
  return memcmp(header->magic, "FLFW", sizeof header->magic) == 0 &&
                 header->size >= sizeof *header && header->size <= slot->size &&
                 header->version[sizeof header->version - 1] == '\0'
             ? FL_OK
             : FL_ERR_CORRUPT;
}

void bootloader_run(const fl_flash_t* device, char version[16]) {
  size_t size = 0;
  image_header_t header;
  open_area(device, 0, BOOTLOADER_SLOT_0, BOOTLOADER_SLOT_SIZE, &boot.slot[0]);
  open_area(device, 1, BOOTLOADER_SLOT_1, BOOTLOADER_SLOT_SIZE, &boot.slot[1]);
  open_area(device, 2, BOOTLOADER_RECORD, 2 * device->sector_size, &boot.record);
  if (fl_record_load(&boot.record, 0, &boot.state, sizeof boot.state, &size) != FL_OK) {
    boot.state = (boot_state_t){0};
  }
  if (boot.state.pending != 0 || boot.state.on_trial != 0) {
    const boot_state_t next = {.active = boot.state.active ^ 1u, .on_trial = boot.state.pending};
    if (save(next) != FL_OK) {
      semihosting_fail("bootloader: the record cannot be written");
    }
  }
  if (read_header(&header) != FL_OK || header.starts == 0) {
    if (boot.state.on_trial == 0) {
      semihosting_fail("bootloader: there is no image that starts");
    }
    semihosting_print("bootloader: the image on trial does not start\n");
    fl_cortex_m_reset();
  }
  memcpy(version, header.version, sizeof header.version);
}

static fl_status_t running(void* context, uint8_t digest[32]) {
  const fl_flash_t* slot = &boot.slot[boot.state.active];
  image_header_t header;
  fl_sha256_t hash;
  uint8_t bytes[256];
  (void)context;
  FL_RETURN_IF_ERROR(read_header(&header));
  fl_mbedtls_sha256_start(NULL, &hash);
  for (uint32_t at = 0; at < header.size; at += (uint32_t)sizeof bytes) {
    const uint32_t left = header.size - at;
    const uint32_t part = left < sizeof bytes ? left : (uint32_t)sizeof bytes;
    FL_RETURN_IF_ERROR(slot->read(slot->context, at, bytes, part));
    fl_mbedtls_sha256_update(NULL, &hash, bytes, part);
  }
  fl_mbedtls_sha256_finish(NULL, &hash, digest);
  return FL_OK;
}

static fl_status_t request_swap(void* context) {
  boot_state_t state = boot.state;
  (void)context;
  state.pending = 1;
  return save(state);
}

static fl_status_t confirm(void* context) {
  boot_state_t state = boot.state;
  (void)context;
  if (state.on_trial == 0) {
    return FL_OK;
  }
  state.on_trial = 0;
  return save(state);
}

fl_firmware_t bootloader_hooks(void) {
  return (fl_firmware_t){.slot = boot.slot[boot.state.active ^ 1u],
                         .running = running,
                         .request_swap = request_swap,
                         .confirm = confirm};
}
