/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of collect_tree(); private to collect.c and its parts. */
#pragma once

#include "kind/collect.h"
#include "kind/task.h"

/* Makes a process and its threads of every one of @tree, each in its place. 0 or -errno. */
int collect_processes(struct collect *c, const struct puppet_tree *tree);

/* Enters every process and asks its threads what only they can tell. 0 or -errno. */
int collect_ask(struct collect *c, struct puppet_tree *tree);

/* The frame for what went wrong in an aspect; @tid 0: of the whole process. Returns @r. */
int collect_while(struct collect *c, int r, const struct task_aspect *aspect,
		  const struct collect_process *p, pid_t tid);
