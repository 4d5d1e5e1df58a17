/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
/**
 * @file
 * @brief The modem: UART 0 of the board, which QEMU's `-chardev socket,reconnect=1` ties to a TCP
 * connection.
 *
 * The UART has no line that tells whether there is a connection. So the modem keeps the rules of a
 * line that dials by itself: a line that is hung up (TLS has said goodbye, the server closes the
 * connection) is up again a second later. modem_open() waits for that time of silence.
 */
#ifndef FIELDLOOP_TESTS_QEMU_FIRMWARE_MODEM_H
#define FIELDLOOP_TESTS_QEMU_FIRMWARE_MODEM_H

#include "fieldloop_agent/port.h"

/** Switches the UART on. */
void modem_start(void);

/** See fl_cortex_m_board_t.line_open, line_receive, line_send and line_close. */
fl_status_t modem_open(void* context);
fl_status_t modem_receive(void* context, uint8_t* dst, size_t capacity, size_t* size);
fl_status_t modem_send(void* context, const uint8_t* src, size_t size, size_t* sent);
void modem_close(void* context);

/** Whether modem_open() would wait. */
bool modem_is_dialling(void);

/** Belongs into the vector table, at interrupt 0. */
void UART0_receive_Handler(void);

#endif
