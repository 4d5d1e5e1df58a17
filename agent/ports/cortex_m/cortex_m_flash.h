/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/**
 * @file
 * @brief Areas of one flash device.
 */
#ifndef FIELDLOOP_AGENT_PORTS_CORTEX_M_CORTEX_M_FLASH_H
#define FIELDLOOP_AGENT_PORTS_CORTEX_M_CORTEX_M_FLASH_H

#include "fieldloop_agent/port.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Where an area lies. A sector of it may be several of the device's. */
typedef struct fl_cortex_m_extent {
    uint32_t offset;
    uint32_t size;
    uint32_t sector_size;
} fl_cortex_m_extent_t;

/** Context of an area; must outlive it and stay where it is. */
typedef struct fl_cortex_m_area {
    const fl_flash_t *device;
    fl_cortex_m_extent_t extent;
} fl_cortex_m_area_t;

/**
 * Makes an area of a device. What is outside of it, or not aligned, is not touched: FL_ERR_IO.
 *
 * @return FL_OK; FL_ERR_ARG if the extent does not lie in the device or on its sectors.
 */
fl_status_t fl_cortex_m_area_open(fl_cortex_m_area_t *area, const fl_flash_t *device,
                                  const fl_cortex_m_extent_t *extent, fl_flash_t *flash);

#ifdef __cplusplus
}
#endif

#endif
