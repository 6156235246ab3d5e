/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-plans FILE: how long it takes to plan the tree in FILE (docs/TREES.md), and to replay the
 * plan: "planned MS replayed MS", the best of several.
 */
#include <fcntl.h>
#include <stdio.h>
#include <time.h>

#include "tree/planner.h"
#include "tree/replay.h"
#include "util/cleanup.h"
#include "util/io.h"

enum { ROUNDS = 5 };

static double now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int one_round(struct context *ctx, const struct tree *tree, double best[2])
{
	struct arena arena;
	struct plan *plan;
	double began = now_ms(), planned;
	int r;

	arena_init(&arena, NULL);
	r = planner_run(ctx, &arena, tree, NULL, &plan);
	planned = now_ms();
	if (r == 0)
		r = replay_check(ctx, tree, plan);
	if (best[0] == 0 || planned - began < best[0])
		best[0] = planned - began;
	if (best[1] == 0 || now_ms() - planned < best[1])
		best[1] = now_ms() - planned;
	arena_deinit(&arena);
	return r;
}

int main(int argc, char **argv)
{
	_cleanup_free_ char *text = NULL;
	struct context ctx = {0};
	double best[2] = {0, 0};
	struct arena arena;
	struct tree *tree;
	size_t len;
	int r;

	if (argc != 2)
		return 2;
	arena_init(&arena, NULL);
	r = io_read_file(AT_FDCWD, argv[1], &text, &len);
	if (r == 0)
		r = tree_from_json(&ctx, &arena, text, len, &tree);
	for (int i = 0; i < ROUNDS && r == 0; i++)
		r = one_round(&ctx, tree, best);
	arena_deinit(&arena);
	if (r < 0)
		(void)fprintf(stderr, "%s: %s\n", argv[1], ctx.err.frame[0]);
	else
		(void)printf("planned %.2f replayed %.2f\n", best[0], best[1]);
	return r < 0;
}
