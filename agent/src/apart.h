/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef FIELDLOOP_AGENT_SRC_APART_H
#define FIELDLOOP_AGENT_SRC_APART_H

/* A function that is not to be copied into its callers: a call, or the short instructions that
 * reach the first bytes of what its parameters point at, take less flash. */
#if defined(__GNUC__)
#define FL_APART __attribute__((noinline))
#else
#define FL_APART
#endif

#endif
