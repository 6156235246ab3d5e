/* SPDX-License-Identifier: Apache-2.0 */
/* Whole reads and writes. All return 0 (or a byte count where said) or -errno. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/* Reads from @fd to its end into *@ret_text (malloc'ed, NUL-terminated, owned by the caller). */
int io_read_all(int fd, char **ret_text, size_t *ret_len);
/* Opens @path below @dirfd read-only and reads it to its end. */
int io_read_file(int dirfd, const char *path, char **ret_text, size_t *ret_len);
/* Writes all of @buf. -ENOSPC and the like end it; short writes and EINTR do not. */
int io_write_all(int fd, const void *buf, size_t len);
/* The same, from @n places; @iov is used up. */
int io_writev_all(int fd, struct iovec *iov, size_t n);
/* Reads exactly @len bytes at @offset; -ENODATA when the file ends before. */
int io_pread_exact(int fd, void *buf, size_t len, off_t offset);
/* Writes all of @buf at @offset; -ENODATA where nothing can be written (memory of the dead). */
int io_pwrite_all(int fd, const void *buf, size_t len, off_t offset);
