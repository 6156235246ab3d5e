/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Namespaces that are saved as such: PID and user namespaces. Each gets its message when the first
 * process refers to it, after those above it, so that ids are canonical by themselves.
 */
#pragma once

#include <stdbool.h>

#include "kind/collect.h"
#include "task/surroundings.h"

/* A namespace that has been met. */
struct known_ns {
	uint64_t ino;
	bool inhabited; /* PID: its init is in the tree */
};

struct collect_namespaces {
	struct known_ns *pid; /* by PidNs.id - 1 */
	size_t n_pid;
	struct known_ns *user; /* by UserNs.id - 1 */
	size_t n_user;
};

/* Those of @c, made at the first call; NULL: out of memory. */
struct collect_namespaces *ns_of(struct collect *c);
int ns_identify(struct context *ctx, int fd, uint64_t *ret_ino);
/* The id of the one that has been met with that inode number; 0: it has not. */
uint32_t ns_known(const struct known_ns *list, size_t n, uint64_t ino);

/*
 * The id of namespace @fd; a new one gets its message. What cannot be saved is refused with @p, who is
 * in it or below. 0, or -errno with a chain. (user.c, pid.c)
 */
int user_ns_find(struct collect *c, const struct collect_process *p, int fd, uint32_t *ret_id);
int pid_ns_find(struct collect *c, const struct collect_process *p, int fd, uint32_t *ret_id);

/* Fills in all that can be read from within user namespace @fd: its maps, whether setgroups() is
 * denied, its limits. (user-read.c) */
int user_ns_read(struct collect *c, const struct collect_process *p, int fd, Coppice__UserNs *msg);
/* The owner of user namespace @fd as namespace @parent sees it; -EBADF: as the coordinator does.
 * (user-read.c) */
int user_ns_read_owner(struct context *ctx, int fd, int parent, uid_t *ret);

/* Fills in the namespaces of a process, whose threads are looked at one by one, after those of all before it in canonical
 * order. (process.c) */
int ns_collect(struct collect *c, struct collect_thread *th,
	       const uint64_t inodes[NAMESPACE_KINDS]);
int ns_collect_zombie(struct collect *c, struct collect_process *p);
/*
 * When the address space is known: mm_struct.user_ns, which only exec sets, cannot be made again. It
 * decides who may look into a process that is not dumpable, and whose its files in /proc are
 * (task_dump_owner()); only then, and where that is not coppice's root, can it be seen. (process.c)
 */
int ns_reply(struct collect *c, struct collect_process *p, struct call_table *t, uint32_t first);
/* When all processes are known: what became of the inits. (pid.c) */
int ns_collect_late(struct collect *c);
