/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What /proc/PID/fdinfo/N says of single kinds of files: the lines behind those that all have
 * (struct proc_fdinfo.rest). Lines that are of no concern, of locks for example, are passed over.
 *
 * Each returns 0, -EBADMSG where the text is none that the kernel prints, or -ENOMEM.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct arena;

enum { FDINFO_HANDLE_MAX = 128 }; /* MAX_HANDLE_SZ */

struct fdinfo_eventfd {
	uint64_t count;
	bool semaphore;
	bool semaphore_known; /* told since 6.5 */
};

struct fdinfo_timerfd {
	int clock;
	uint64_t ticks;	     /* expirations that nobody has read */
	uint32_t flags;	     /* TFD_TIMER_ABSTIME, TFD_TIMER_CANCEL_ON_SET */
	int64_t value_ns;    /* remaining; 0: disarmed, or expired and not yet looked at */
	int64_t interval_ns; /* 0: expires once */
};

/* A line of an epoll instance, in the order of its tree, which kcmp_epoll_slot.toff goes by. */
struct fdinfo_epoll_entry {
	uint32_t number; /* as it was given to epoll_ctl() */
	uint32_t events;
	uint64_t data;
	uint64_t ino; /* of the file */
	uint64_t dev; /* st_dev of the file in the kernel's own encoding */
};

/* A mark of inotify or fanotify. */
struct fdinfo_mark {
	enum fdinfo_mark_on {
		MARK_INODE,
		MARK_MOUNT,
		MARK_FILESYSTEM,
		MARK_OTHER, /* of a kind that is not known here */
	} on;
	int wd;	      /* inotify */
	uint64_t ino; /* MARK_INODE */
	uint64_t dev; /* MARK_INODE, MARK_FILESYSTEM; in the kernel's own encoding */
	uint32_t mount;
	uint32_t flags; /* fanotify: "mflags" */
	uint32_t mask;
	uint32_t ignored;
	uint32_t handle_type; /* MARK_INODE */
	uint32_t handle_len;  /* 0: there is none */
	unsigned char handle[FDINFO_HANDLE_MAX];
};

struct fdinfo_fanotify {
	uint32_t flags; /* of fanotify_init() */
	uint32_t event_flags;
	struct fdinfo_mark *marks; /* the newest first */
	size_t n_marks;
};

int parse_fdinfo_fanotify(const char *rest, struct arena *arena, struct fdinfo_fanotify *ret);
int parse_fdinfo_inotify(const char *rest, struct arena *arena, struct fdinfo_mark **ret,
			 size_t *ret_n);
/* As the namespace of /proc numbers it; 0: not visible there, -1: gone. */
int parse_fdinfo_pidfd(const char *rest, pid_t *ret_pid);
int parse_fdinfo_eventfd(const char *rest, struct fdinfo_eventfd *ret);
int parse_fdinfo_timerfd(const char *rest, struct fdinfo_timerfd *ret);
/* Bit i: signal i + 1. */
int parse_fdinfo_signalfd(const char *rest, uint64_t *ret_mask);
int parse_fdinfo_epoll(const char *rest, struct arena *arena, struct fdinfo_epoll_entry **ret,
		       size_t *ret_n);
