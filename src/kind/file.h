/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shape of the file registry: one `const struct file_kind` per file of src/file, listed once in
 * src/file/meson.build, which generates file_kinds[] in that order. An open file that no kind
 * matches is refused by name.
 */
#pragma once

#include <sys/stat.h>

#include "kind/collect.h"
#include "kind/rebuild.h"

/* What is known of a descriptor before its kind is. */
struct file_probe {
	struct collect_process *process; /* the first one, in canonical order, that has it */
	int number;
	int fd; /* a duplicate of ours (pidfd_getfd); -EBADF where none can be had (O_PATH is fine)
		 */
	/* Sent through a socket and not received yet: process and number are those of a descriptor
	 * of the socket, for messages; what can be read is read from @fd, which stays open. */
	bool in_flight;
	struct stat st;
	uint64_t fs_type;	 /* statfs f_type */
	const char *link;	 /* /proc/PID/fd/N */
	struct proc_fdinfo info; /* /proc/PID/fdinfo/N */
};

struct file_kind {
	const char *name; /* as users know it: "pipe", "regular file" */
	Coppice__File__KindCase which;
	bool foreign; /* its owner for signals and its locks belong to the outside */
	/* What poll() says of it depends on who asks, or changes by being asked. */
	bool poll_has_effects;

	bool (*matches)(const struct file_probe *probe);
	/* Fills @file's member; called once per open file description. @probe and @file live as long
	 * as the collection; probe->fd does not, unless it is in flight. */
	int (*collect)(struct collect *c, const struct file_probe *probe, Coppice__File *file);
	/* What is in flight in it: called for every description, also for those found by it. */
	int (*collect_queued)(struct collect *c, const struct file_probe *probe,
			      Coppice__File *file);
	/* After all descriptors are known (pipe ends, locks): what needs the others. */
	int (*collect_late)(struct collect *c, const struct file_probe *probe, Coppice__File *file);

	/* The image is complete and the tree about to be killed: what is to be done so that its end
	 * is not told to others. */
	int (*disarm)(struct collect *c, const struct file_probe *probe, const Coppice__File *file);

	/* Restore: is everything there that it needs? Reports with rebuild_refuse. */
	int (*check)(struct rebuild *r, const Coppice__File *file);
	/* The bare object, in the coordinator. */
	int (*create)(struct rebuild *r, const Coppice__File *file, int *ret_fd);
	/* To others: content in flight, epoll targets. All objects exist. */
	int (*connect)(struct rebuild *r, const Coppice__File *file, int fd);
	/* When the processes stand with their PIDs (owners, leases). */
	int (*last)(struct rebuild *r, const Coppice__File *file, int fd);
	/* After verification, right before the program goes on: what must not begin to run earlier.
	 * Of kinds that have it, the coordinator keeps a descriptor until then. */
	int (*resume)(struct rebuild *r, const Coppice__File *file, int fd);
	/* When all others have had their last phase: what watches them. */
	int (*watch)(struct rebuild *r, const Coppice__File *file, int fd);
	/* Makes it ready to be read for a moment, and takes that back; after connect. Optional: an
	 * epoll entry that has fired (EPOLLONESHOT) can only be had by firing. */
	int (*rouse)(struct rebuild *r, const Coppice__File *file, int fd, bool on);
	/* One line for show and messages. */
	void (*describe)(const Coppice__File *file, char *buf, size_t size);
};

extern const struct file_kind *const file_kinds[]; /* NULL-terminated; generated */
