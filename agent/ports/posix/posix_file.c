/*
 * Copyright the Fieldloop authors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "posix_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

fl_status_t fl_posix_read_file(const char *path, uint8_t **data, size_t *size) {
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return errno == ENOENT ? FL_ERR_NOT_FOUND : FL_ERR_IO;
    }
    struct stat info;
    uint8_t *buffer = NULL;
    size_t done = 0;
    fl_status_t status = FL_ERR_IO;
    if (fstat(file, &info) != 0 || info.st_size < 0) {
        goto cleanup;
    }
    const size_t wanted = (size_t)info.st_size;
    buffer = malloc(wanted + 1u);
    while (buffer != NULL && done < wanted) {
        const ssize_t part = read(file, buffer + done, wanted - done);
        if (part <= 0) {
            goto cleanup;
        }
        done += (size_t)part;
    }
    if (buffer != NULL) {
        buffer[done] = 0;
        *data = buffer;
        *size = done;
        buffer = NULL;
        status = FL_OK;
    }
cleanup:
    free(buffer);
    (void)close(file);
    return status;
}

/* Makes a rename in the directory of path durable. */
static fl_status_t sync_directory(const char *path) {
    char directory[PATH_MAX];
    const char *slash = strrchr(path, '/');
    const int length = slash == NULL ? 1 : (int)(slash - path) + 1;
    (void)snprintf(directory, sizeof directory, "%.*s", length, slash == NULL ? "." : path);
    const int handle = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (handle < 0) {
        return FL_ERR_IO;
    }
    const int result = fsync(handle);
    (void)close(handle);
    return result == 0 ? FL_OK : FL_ERR_IO;
}

fl_status_t fl_posix_write_file(const char *path, const void *data, size_t size) {
    char temporary[PATH_MAX];
    const int length = snprintf(temporary, sizeof temporary, "%s.tmp", path);
    if (length < 0 || (size_t)length >= sizeof temporary) {
        return FL_ERR_IO;
    }
    const int file = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0) {
        return FL_ERR_IO;
    }
    const uint8_t *from = data;
    size_t done = 0;
    while (done < size) {
        const ssize_t part = write(file, from + done, size - done);
        if (part <= 0) {
            break;
        }
        done += (size_t)part;
    }
    /* fchmod: a temporary file left by an earlier start keeps its mode otherwise. */
    const int synced = done == size && fchmod(file, 0600) == 0 ? fsync(file) : -1;
    if (close(file) != 0 || synced != 0 || rename(temporary, path) != 0) {
        return FL_ERR_IO;
    }
    return sync_directory(path);
}
