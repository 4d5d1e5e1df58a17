/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "fieldloop_agent/status.h"

#include "fieldloop_agent/config.h"

const char *fl_status_text(fl_status_t status) {
#if FIELDLOOP_AGENT_STATUS_TEXT
    switch (status) {
        case FL_OK: return "FL_OK";
        case FL_ERR_ARG: return "FL_ERR_ARG";
        case FL_ERR_IO: return "FL_ERR_IO";
        case FL_ERR_CORRUPT: return "FL_ERR_CORRUPT";
        case FL_ERR_NOT_FOUND: return "FL_ERR_NOT_FOUND";
        case FL_ERR_NO_SPACE: return "FL_ERR_NO_SPACE";
        case FL_ERR_UNSUPPORTED: return "FL_ERR_UNSUPPORTED";
        case FL_ERR_SELF_TEST: return "FL_ERR_SELF_TEST";
        case FL_ERR_AGAIN: return "FL_ERR_AGAIN";
        case FL_ERR_CLOSED: return "FL_ERR_CLOSED";
        case FL_ERR_TRUST: return "FL_ERR_TRUST";
    }
#else
    (void)status;
#endif
    return "?";
}
