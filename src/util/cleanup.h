/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ownership guards: a variable declared with one of these releases what it owns when it goes
 * out of scope. TAKE_FD and TAKE_PTR hand ownership on and leave the guard with nothing to do.
 */
#pragma once

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(fn) __attribute__((cleanup(fn)))

static inline void close_guard(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		(void)close(*fd); /* the descriptor is gone whatever close says */
	errno = saved;
}

static inline void free_guard(void *p)
{
	free(*(void **)p);
}

static inline void fclose_guard(FILE **f)
{
	if (*f)
		(void)fclose(*f); /* read-only streams: nothing to lose */
}

static inline void closedir_guard(DIR **dir)
{
	if (*dir)
		(void)closedir(*dir); /* read-only: nothing to lose */
}

#define _cleanup_close_	   _cleanup_(close_guard)
#define _cleanup_free_	   _cleanup_(free_guard)
#define _cleanup_fclose_   _cleanup_(fclose_guard)
#define _cleanup_closedir_ _cleanup_(closedir_guard)

#define TAKE_GENERIC(var, type, nothing)                                                           \
	({                                                                                         \
		type *_from = &(var);                                                              \
		type _taken = *_from;                                                              \
		*_from = (nothing);                                                                \
		_taken;                                                                            \
	})
#define TAKE_FD(fd)   TAKE_GENERIC(fd, int, -EBADF)
#define TAKE_PTR(ptr) TAKE_GENERIC(ptr, typeof(ptr), NULL)
