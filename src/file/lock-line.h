/* SPDX-License-Identifier: Apache-2.0 */
/* The text of a file lock, as /proc/locks and /proc/PID/fdinfo/N show it (fs/locks.c, lock_get_status). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "image/checkpoint.pb-c.h"

/* A line of /proc/locks, or of fdinfo after "lock:\t". */
struct lock_line {
	Coppice__FileLock__Kind kind;
	bool waits; /* for the lock above it */
	bool write;
	bool unlock;   /* a lease that is to be given up */
	bool breaking; /* a lease: it is to become what it shows */
	bool deleg;    /* a delegation */
	int pid;       /* who set it; -1 for OFD locks */
	uint32_t dev_major;
	uint32_t dev_minor;
	uint64_t ino;
	int64_t start;
	int64_t length; /* 0: to the end of the file */
};

/* Reads the line that @text begins with. -EBADMSG: it is none that the kernel prints. */
int lock_parse(const char *text, struct lock_line *ret);
