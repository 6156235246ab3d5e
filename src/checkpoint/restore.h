/* SPDX-License-Identifier: Apache-2.0 */
/* Restore: an image becomes a running process tree. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "checkpoint/stage.h"
#include "kind/rebuild.h"

struct image_reader;

struct restore_options {
	const char *dir;
	struct rebuild_options rebuild;
	bool verify;	    /* collect the restored tree and compare it with the image (default) */
	bool leave_stopped; /* every process is left stopped by SIGSTOP */
};

struct restore_report {
	struct stage_times times;
	pid_t root; /* the restored root, a child of the caller */
	size_t n_processes;
	size_t n_threads;
};

/*
 * Restores the tree. On failure nothing is left behind: no process, no file, no mount. On success
 * the root is a child of the calling process and runs.
 */
int restore_tree(struct context *ctx, const struct restore_options *opt,
		 struct restore_report *ret_report);

/*
 * The same for a checkpoint that was loaded, and validated, already. @report carries the times so
 * far.
 */
int restore_checkpoint(struct context *ctx, const struct restore_options *opt,
		       struct image_reader *images, Coppice__Checkpoint *cp,
		       struct restore_report *report);
