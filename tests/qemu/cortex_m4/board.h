/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef FIELDLOOP_TESTS_QEMU_CORTEX_M4_BOARD_H
#define FIELDLOOP_TESTS_QEMU_CORTEX_M4_BOARD_H

/** What the board does after its start. */
void board_main(void);

#endif
