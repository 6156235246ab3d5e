/* SPDX-License-Identifier: Apache-2.0 */
/* Checking without changing anything: can this tree be dumped, can this image be restored here. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "checkpoint/dump.h"
#include "kind/collect.h"
#include "util/arena.h"

struct rebuild_options;
struct tree;

struct check_result {
	struct arena arena; /* owns the refusals */
	struct refusal *refusals;
	size_t n_refusals;
	size_t n_processes;
	uint64_t stopped_ns; /* how long the tree was held; 0 for images */
};

void check_result_deinit(struct check_result *result);

/* Every reason why dump would refuse the tree. It is stopped for as long as dump's collect stage takes. */
int check_dump(struct context *ctx, const struct dump_options *opt, struct check_result *ret);
/* The processes of a running tree as data for the planner; in @arena, with all they refer to. */
int check_tree(struct context *ctx, const struct dump_options *opt, struct arena *arena,
	       struct tree **ret_tree);
/* Every reason why restore would refuse the image on this machine, now. */
int check_restore(struct context *ctx, const char *dir, const struct rebuild_options *opt,
		  struct check_result *ret);
