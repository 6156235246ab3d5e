/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening what an image names. Paths in an image are what d_path() printed: without symbolic links.
 * One that leads through such a link now is not the same path, and is refused: as root one must
 * not be led elsewhere.
 */
#pragma once

#include <fcntl.h>
#include <stdint.h>

/* What F_SETFL can set (fs/fcntl.c, SETFL_MASK and FASYNC). */
#define O_SETTABLE ((uint32_t)(O_APPEND | O_NONBLOCK | O_ASYNC | O_DIRECT | O_NOATIME))

/* The flags of struct File that open() has to be given: all others. */
uint32_t open_time_flags(uint32_t file_flags);

/*
 * Opens by path with the open-time part of @file_flags, close-on-exec; never waits (for the other
 * end of a FIFO, a lease) and takes no controlling terminal. A descriptor or -errno; -ELOOP: a
 * symbolic link is in the way.
 */
int open_path(const char *path, uint32_t file_flags);
/* A new open file description of what @fd refers to (through /proc/self/fd). */
int open_again(int fd, uint32_t file_flags);

/* Sets the flags that F_SETFL can set. 0 or -errno. */
int open_set_flags(int fd, uint32_t file_flags);
