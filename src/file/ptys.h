/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pseudo terminals: which open files belong to the same one, and its state. Private to src/file, but
 * for what the controlling terminal of a process (task/terminal.c) and growing need of it.
 */
#pragma once

#include <sys/stat.h>

#include "kind/collect.h"
#include "kind/file.h"
#include "kind/rebuild.h"

/* ---- collect */

struct pty_node {
	dev_t dev; /* of the devpts instance */
	Coppice__Pty *msg;
	const struct file_probe *master; /* NULL: it is not in the tree */
	struct stat st;			 /* of the slave's node, where the master is in the tree */
	uint32_t device;		 /* as in proc_stat.tty_nr, likewise */
	pid_t session;			 /* whose controlling terminal it is; 0: nobody's */
	bool opened;			 /* some process has the slave open, hung up or not */
	bool async;			 /* some opening has O_ASYNC */
};

/* Is this the device number of a pseudo terminal's slave? */
bool pty_is_slave(dev_t rdev);
/* The terminal at @path in devpts instance @dev, with a message and an id of its own. */
int pty_get(struct collect *c, dev_t dev, const char *path, struct pty_node **ret_node);
/* The same if it has been met before, or NULL. */
struct pty_node *pty_find(const struct collect *c, dev_t dev, const char *path);
/* The terminal behind a master: *@ret_node NULL: refused. */
int pty_get_master(struct collect *c, const struct file_probe *probe, struct pty_node **ret_node);
/*
 * The controlling terminal with number @device of a session, if its master is in the tree; else NULL.
 * Not before all files have been collected once.
 */
const struct pty_node *pty_of_session(const struct collect *c, pid_t session, uint32_t device);

/* Fills the message of a terminal whose master is in the tree, or refuses it. (pty-state.c) */
int pty_collect_state(struct collect *c, struct pty_node *node);

/*
 * 1: a process outside the tree has one of its sides open; *@ret_pid is that. Looks at the open files of
 * every process once. Openings as /dev/tty are not seen. (pty-outside.c)
 */
int pty_is_open_outside(struct collect *c, const struct pty_node *node, pid_t *ret_pid);

/* ---- rebuild (ptys-rebuild.c) */

/* A pseudo terminal while it is being rebuilt; all owned, -EBADF. */
struct rebuild_pty {
	int master;
	int slave; /* an opening of ours, so that it is one that has been opened */
};

/* Is it free, and can it be had? */
int ptys_check(struct rebuild *r);
/* Makes all of them: before the tree is grown, whose leaders take them. */
int ptys_create(struct rebuild *r);
/* The slave of the terminal that Process.tty means, as a descriptor of ours; -EBADF: it is the job's. */
int ptys_controlling(struct rebuild *r, uint32_t tty);
/*
 * Opens the slave of a terminal that stands as @file has it: by name, or, without O_LARGEFILE, by its
 * master (TIOCGPTPEER, as openpty() does). A descriptor, owned by the caller, or -errno with a chain.
 */
int ptys_open_slave(struct rebuild *r, const Coppice__File *file);
/* When all have been opened: what would have stood in the way. */
int ptys_connect(struct rebuild *r, uint32_t id);
void ptys_deinit(struct rebuild *r);
