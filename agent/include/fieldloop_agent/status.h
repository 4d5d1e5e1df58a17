/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef FIELDLOOP_AGENT_STATUS_H
#define FIELDLOOP_AGENT_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

/**
 * @brief Result of an agent call. Errors are negative; the numbers never change.
 */
typedef enum fl_status {
    FL_OK = 0,               /**< Done. */
    FL_ERR_ARG = -1,         /**< A parameter breaks the contract of the call. */
    FL_ERR_IO = -2,          /**< The port reported a failure. */
    FL_ERR_CORRUPT = -3,     /**< Stored data does not match its checksum. */
    FL_ERR_NOT_FOUND = -4,   /**< There is nothing to return. */
    FL_ERR_NO_SPACE = -5,    /**< The data does not fit its buffer or its flash area. */
    FL_ERR_UNSUPPORTED = -6, /**< Well formed, but not something this build can do. */
    FL_ERR_SELF_TEST = -7,   /**< A model gave another output than it promises. */
    FL_ERR_AGAIN = -8,       /**< Not now: nothing was done, call again later. */
    FL_ERR_CLOSED = -9,      /**< The other side closed the connection, or it broke. */
    FL_ERR_TRUST = -10,      /**< A signature, digest, expiry or identity does not allow it. */
} fl_status_t;

/** Returns a constant string such as "FL_ERR_IO"; "?" for a number that is not a status. */
const char *fl_status_text(fl_status_t status);

/** Returns the status of @p expr from the current function unless it is FL_OK. */
#define FL_RETURN_IF_ERROR(expr)                \
    do {                                        \
        const fl_status_t fl_status__ = (expr); \
        if (fl_status__ != FL_OK) {             \
            return fl_status__;                 \
        }                                       \
    } while (0)

#ifdef __cplusplus
}
#endif

#endif
