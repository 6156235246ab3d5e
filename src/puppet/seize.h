/* SPDX-License-Identifier: Apache-2.0 */
/* The state of a seizure under way, shared by seize.c and its helpers. Private to the layer. */
#pragma once

#include "puppet/puppet.h"
#include "util/arena.h"

struct seized {
	pid_t pid;
	pid_t ppid;
	bool zombie;
	bool tried;   /* to attach to its leader */
	bool scanned; /* while all its tasks were stopped: no new task or child since */
	bool has_children;
	bool placed;	       /* has its place in the tree that is handed over */
	bool stranger;	       /* came into a PID namespace of the tree from outside */
	struct puppet **tasks; /* owned, with what it points to */
	size_t n_tasks;
	size_t room;
};

struct seizure {
	struct context *ctx;
	struct arena scratch; /* for one scan; emptied again and again */
	struct seized *processes;
	size_t n_processes;
	size_t room;
	uint32_t *index; /* hash table: position in processes plus 1, by PID */
	size_t index_size;
	/* Children announced by ptrace events, not looked at yet. */
	pid_t *announced;
	size_t n_announced;
	size_t announced_room;
	pid_t root;
	struct thawed *thawed; /* freezer.c's; owned */
	size_t n_thawed;
	bool died; /* a task has died since this was cleared: its children have moved */
};

struct seized *seizure_find(struct seizure *s, pid_t pid);
/* Waits until each task that was attached is stopped; helps vfork parents along. */
int seizure_await(struct seizure *s);
/* Records a child of a seized task, which the kernel has attached. */
int seizure_announce(struct seizure *s, pid_t child);
/* Takes those on. */
int seizure_take_announced(struct seizure *s);
/* Adds the process, to be scanned, if it is new. */
int seizure_add(struct seizure *s, pid_t pid, struct seized **ret);
/* Adds those that joined a PID namespace whose init is in the tree from outside, and *@ret_n how
 * many are new. (seize-strangers.c) */
int seizure_add_strangers(struct seizure *s, size_t *ret_n);
