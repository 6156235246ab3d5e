/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shape of the task registry: one `const struct task_aspect` per file of src/task, listed once
 * in src/task/meson.build, which generates task_aspects[] in that order. Every phase is optional.
 */
#pragma once

#include "kind/collect.h"
#include "kind/rebuild.h"

struct task_aspect {
	const char *name;

	/*
	 * Dump, without remote calls: /proc and ptrace only. Per process (zombies too: look at
	 * p->zombie), then per living thread.
	 */
	int (*collect)(struct collect *c, struct collect_process *p);
	int (*collect_thread)(struct collect *c, struct collect_thread *t);

	/*
	 * Dump, with remote calls: the aspect appends entries to the one table of the process
	 * (executed by its first living thread) or of each thread; after the table was run, the
	 * reply phase reads the results. @first is the index that the aspect's first entry got.
	 */
	void (*ask)(struct collect *c, struct collect_process *p, struct call_table *t);
	int (*reply)(struct collect *c, struct collect_process *p, struct call_table *t,
		     uint32_t first);
	void (*ask_thread)(struct collect *c, struct collect_thread *th, struct call_table *t);
	int (*reply_thread)(struct collect *c, struct collect_thread *th, struct call_table *t,
			    uint32_t first);

	/* Restore, before anything is made: what this machine cannot give is reported by
	 * rebuild_refuse. */
	int (*check)(struct rebuild *r, const struct rebuild_process *p);

	/*
	 * Restore, as entries of one table per process or thread, in registry order. `install`
	 * while the stub is root, `last` when everything else stands, in the order that permission
	 * checks demand (credentials, then what a uid change clears). A *_direct phase acts from
	 * the coordinator (ptrace, prlimit, /proc) at the same place, after the table was run.
	 * Within a process: install, install_direct, then install_thread and its direct phase for
	 * every thread; when all processes have come that far, the last phases in the same order.
	 */
	int (*install)(struct rebuild *r, struct rebuild_process *p, struct call_table *t);
	int (*install_direct)(struct rebuild *r, struct rebuild_process *p);
	int (*install_thread)(struct rebuild *r, struct rebuild_thread *th, struct call_table *t);
	int (*install_thread_direct)(struct rebuild *r, struct rebuild_thread *th);
	int (*last)(struct rebuild *r, struct rebuild_process *p, struct call_table *t);
	int (*last_direct)(struct rebuild *r, struct rebuild_process *p);
	int (*last_thread)(struct rebuild *r, struct rebuild_thread *th, struct call_table *t);
	int (*last_thread_direct)(struct rebuild *r, struct rebuild_thread *th);

	/*
	 * Restore, after verification, in the one table that a process runs right before its tasks
	 * become the program's: what must not start to run earlier, such as timers. Verification
	 * therefore cannot see it.
	 */
	int (*resume)(struct rebuild *r, struct rebuild_process *p, struct call_table *t);

	/*
	 * Restore, by ptrace alone: the task has its own registers already and executes no call of
	 * ours any more. Verification cannot see it either.
	 */
	int (*become_thread)(struct rebuild *r, struct rebuild_thread *th);
};

extern const struct task_aspect *const task_aspects[]; /* NULL-terminated; generated */
