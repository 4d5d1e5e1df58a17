/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "agent/ports/cortex_m/cortex_m_flash.h"

#include <string.h>

static bool in_range(const fl_cortex_m_area_t *area, uint32_t offset, size_t size) {
    return offset <= area->extent.size && size <= area->extent.size - offset;
}

static fl_status_t read_area(void *context, uint32_t offset, void *dst, size_t size) {
    const fl_cortex_m_area_t *area = context;
    const fl_flash_t *device = area->device;
    return in_range(area, offset, size)
               ? device->read(device->context, area->extent.offset + offset, dst, size)
               : FL_ERR_IO;
}

static fl_status_t program_area(void *context, uint32_t offset, const void *src, size_t size) {
    const fl_cortex_m_area_t *area = context;
    const fl_flash_t *device = area->device;
    if (!in_range(area, offset, size) || offset % device->program_size != 0 ||
        size % device->program_size != 0) {
        return FL_ERR_IO;
    }
    return device->program(device->context, area->extent.offset + offset, src, size);
}

static fl_status_t erase_area(void *context, uint32_t offset) {
    const fl_cortex_m_area_t *area = context;
    const fl_flash_t *device = area->device;
    if (!in_range(area, offset, area->extent.sector_size) ||
        offset % area->extent.sector_size != 0) {
        return FL_ERR_IO;
    }
    for (uint32_t at = 0; at < area->extent.sector_size; at += device->sector_size) {
        FL_RETURN_IF_ERROR(device->erase(device->context, area->extent.offset + offset + at));
    }
    return FL_OK;
}

static fl_status_t sync_area(void *context) {
    const fl_cortex_m_area_t *area = context;
    return area->device->sync == NULL ? FL_OK : area->device->sync(area->device->context);
}

fl_status_t fl_cortex_m_area_open(fl_cortex_m_area_t *area, const fl_flash_t *device,
                                  const fl_cortex_m_extent_t *extent, fl_flash_t *flash) {
    if (extent->offset > device->size || extent->size > device->size - extent->offset ||
        extent->offset % device->sector_size != 0 || extent->sector_size == 0 ||
        extent->sector_size % device->sector_size != 0 || extent->size % extent->sector_size != 0) {
        return FL_ERR_ARG;
    }
    area->device = device;
    area->extent = *extent;
    *flash = (fl_flash_t){.context = area,
                          .size = extent->size,
                          .sector_size = extent->sector_size,
                          .program_size = device->program_size,
                          .erased_value = device->erased_value,
                          .read = read_area,
                          .program = program_area,
                          .erase = erase_area,
                          .sync = sync_area};
    return FL_OK;
}
