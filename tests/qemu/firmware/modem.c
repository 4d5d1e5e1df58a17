/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "tests/qemu/firmware/modem.h"

#include "agent/ports/cortex_m/cortex_m_clock.h"

/* UART 0 of the CMSDK. */
#define UART_DATA (*(volatile uint32_t*)0x40004000u)
#define UART_STATE (*(volatile uint32_t*)0x40004004u)
#define UART_CONTROL (*(volatile uint32_t*)0x40004008u)
#define UART_INTERRUPTS (*(volatile uint32_t*)0x4000400cu)
#define UART_DIVISOR (*(volatile uint32_t*)0x40004010u)
#define INTERRUPT_ENABLE (*(volatile uint32_t*)0xe000e100u)
#define INTERRUPT_DISABLE (*(volatile uint32_t*)0xe000e180u)

enum { TX_FULL = 1, RX_FULL = 2 };                       /* State. */
enum { TX_ENABLE = 1, RX_ENABLE = 2, RX_INTERRUPT = 8 }; /* Control. */
enum { RX_INTERRUPT_STATUS = 2, UART0_RECEIVE_BIT = 1 };
enum { RING_SIZE = 4096, DIAL_MS = 1500, START_MS = 200 };

/* Received bytes; only the interrupt writes what lies from `head` on. */
static volatile uint8_t ring[RING_SIZE];
static volatile uint32_t head; /* Bytes that came, ever. */
static volatile uint32_t tail; /* Bytes that were taken. */
static volatile bool up;
static volatile uint64_t up_again_ms = START_MS; /* At a start it is up, or nearly. */

/* Takes what the UART holds; what finds no room stays there, and holds the sender up. */
static void pump(void) {
  while ((UART_STATE & RX_FULL) != 0 && (!up || head - tail < RING_SIZE)) {
    const uint8_t byte = (uint8_t)UART_DATA;
    if (up) {
      ring[head % RING_SIZE] = byte;
      head = head + 1u;
    } else {
      up_again_ms = fl_cortex_m_now_ms() + DIAL_MS; /* The rest of a call that was hung up. */
    }
  }
}

void UART0_receive_Handler(void) {
  UART_INTERRUPTS = RX_INTERRUPT_STATUS;
  pump();
}

void modem_start(void) {
  UART_DIVISOR = 16;
  UART_CONTROL = TX_ENABLE | RX_ENABLE | RX_INTERRUPT;
  INTERRUPT_ENABLE = UART0_RECEIVE_BIT;
}

bool modem_is_dialling(void) {
  INTERRUPT_DISABLE = UART0_RECEIVE_BIT;
  pump();
  const uint64_t until = up_again_ms;
  INTERRUPT_ENABLE = UART0_RECEIVE_BIT;
  return fl_cortex_m_now_ms() < until;
}

fl_status_t modem_open(void* context) {
  (void)context;
  if (modem_is_dialling()) {
    return FL_ERR_AGAIN;
  }
  tail = head;
  up = true;
  return FL_OK;
}

fl_status_t modem_receive(void* context, uint8_t* dst, size_t capacity, size_t* size) {
  size_t taken = 0;
  (void)context;
  INTERRUPT_DISABLE = UART0_RECEIVE_BIT;
  pump();
  INTERRUPT_ENABLE = UART0_RECEIVE_BIT;
  while (taken < capacity && tail != head) {
    dst[taken++] = ring[tail % RING_SIZE];
    tail = tail + 1u;
  }
  *size = taken;
  return taken > 0 ? FL_OK : FL_ERR_AGAIN;
}

fl_status_t modem_send(void* context, const uint8_t* src, size_t size, size_t* sent) {
  (void)context;
  size_t done = 0;
  while (done < size && (UART_STATE & TX_FULL) == 0) {
    UART_DATA = src[done++];
  }
  *sent = done;
  return done > 0 ? FL_OK : FL_ERR_AGAIN;
}

void modem_close(void* context) {
  (void)context;
  if (up) {
    INTERRUPT_DISABLE = UART0_RECEIVE_BIT;
    up = false;
    up_again_ms = fl_cortex_m_now_ms() + DIAL_MS;
    INTERRUPT_ENABLE = UART0_RECEIVE_BIT;
  }
}
