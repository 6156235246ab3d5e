/* SPDX-License-Identifier: Apache-2.0 */
/* Hand-made trees in nested namespaces, as programs that people run leave them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tree/planner.h"
#include "util/arena.h"
#include "util/strbuf.h"

#define INIT "{\"pid\": [1], \"parent\": null, \"pid_ns\": 0, \"sid\": [1], \"pgid\": [1]}"
#define TWO  "{\"id\": 0, \"parent\": null}, {\"id\": 1, \"parent\": 0"

static void expect(const char *namespaces, const char *processes, int wanted)
{
	struct strbuf text = {0};
	struct context ctx = {0};
	struct arena arena;
	struct tree *tree;
	struct plan *plan;
	int r;

	strbuf_printf(&text, "{\"root\": 1, %s, \"processes\": [" INIT "%s]}", namespaces,
		      processes);
	arena_init(&arena, NULL);
	r = tree_from_json(&ctx, &arena, strbuf_text(&text), text.len, &tree);
	if (r == 0)
		r = planner_run_checked(&ctx, &arena, tree, &plan);
	if (r != wanted)
		print_message("%s\n", ctx.err.frame[0]);
	assert_int_equal(r, wanted);
	arena_deinit(&arena);
	strbuf_deinit(&text);
}

/* What `unshare --pid --fork` is when its child has died: no fork works any more. */
static void test_dead_namespace(void **state)
{
	(void)state;
	expect("\"pid_namespaces\": [" TWO ", \"state\": \"dead\"}]",
	       ", {\"pid\": [7], \"parent\": 1, \"pid_ns\": 0, \"pid_ns_for_children\": 1, "
	       "\"sid\": [1], \"pgid\": [7]}",
	       0);
}

static void test_unborn_namespace(void **state)
{
	(void)state;
	expect("\"pid_namespaces\": [" TWO ", \"state\": \"unborn\"}]",
	       ", {\"pid\": [7], \"parent\": 1, \"pid_ns\": 0, \"pid_ns_for_children\": 1, "
	       "\"sid\": [1], \"pgid\": [7]}",
	       0);
}

/* unshare --user --map-root-user --pid --fork: the parent stays, in the new user namespace. */
static void test_user_and_pid(void **state)
{
	(void)state;
	expect("\"user_namespaces\": [{\"id\": 5}], \"pid_namespaces\": [" TWO ", \"user_ns\": 5}]",
	       ", {\"pid\": [7], \"parent\": 1, \"pid_ns\": 0, \"pid_ns_for_children\": 1, "
	       "\"user_ns\": 5, \"sid\": [1], \"pgid\": [7]}, "
	       "{\"pid\": [8, 1], \"parent\": 7, \"pid_ns\": 1, \"user_ns\": 5, "
	       "\"sid\": [1, 0], \"pgid\": [7, 0]}",
	       0);
}

/* nsenter into a container, and into a namespace within it */
static void test_entered(void **state)
{
	(void)state;
	expect("\"pid_namespaces\": [" TWO "}]",
	       ", {\"pid\": [7, 1], \"parent\": 1, \"pid_ns\": 1, \"sid\": [1, 0], \"pgid\": [1, "
	       "0]}, "
	       "{\"pid\": [8], \"parent\": null, \"pid_ns\": 0, \"sid\": [0], \"pgid\": [0]}, "
	       "{\"pid\": [9, 2], \"parent\": null, \"pid_ns\": 1, \"sid\": [0, 0], "
	       "\"pgid\": [0, 0], \"outside_session\": 2}",
	       0);
}

static void test_zombie_init(void **state)
{
	(void)state;
	expect("\"pid_namespaces\": [" TWO ", \"state\": \"zombie\"}]",
	       ", {\"pid\": [7, 1], \"parent\": 1, \"pid_ns\": 1, \"sid\": [1, 0], \"pgid\": [1, "
	       "0], "
	       "\"zombie\": true}",
	       0);
	/* it would have taken the other one along */
	expect("\"pid_namespaces\": [" TWO ", \"state\": \"zombie\"}]",
	       ", {\"pid\": [7, 1], \"parent\": 1, \"pid_ns\": 1, \"sid\": [1, 0], \"pgid\": [1, "
	       "0], "
	       "\"zombie\": true}, {\"pid\": [8, 2], \"parent\": 1, \"pid_ns\": 1, \"sid\": [1, "
	       "0], "
	       "\"pgid\": [1, 0]}",
	       -EDOM);
}

/* A table that an init shares with one that it has adopted: neither comes from the other. */
static void test_shared_with_init(void **state)
{
	(void)state;
	expect("\"pid_namespaces\": [" TWO "}]",
	       ", {\"pid\": [7, 1], \"parent\": 1, \"pid_ns\": 1, \"files\": 5, \"sid\": [1, 0], "
	       "\"pgid\": [1, 0]}, "
	       "{\"pid\": [8, 2], \"parent\": 7, \"pid_ns\": 1, \"files\": 5, \"sid\": [1, 0], "
	       "\"pgid\": [1, 0]}",
	       0);
}

/* Two of one table, whose sessions are led from the namespace above: so was who the table came from. */
static void test_shared_across_sessions(void **state)
{
	(void)state;
	expect("\"pid_namespaces\": [" TWO "}]",
	       ", {\"pid\": [6], \"parent\": 1, \"pid_ns\": 0, \"zombie\": true, "
	       "\"sid\": [6], \"pgid\": [6]}, "
	       "{\"pid\": [7, 1], \"parent\": 1, \"pid_ns\": 1, \"sid\": [1, 0], \"pgid\": [1, "
	       "0]}, "
	       "{\"pid\": [8, 2], \"parent\": 7, \"pid_ns\": 1, \"vm\": 5, \"sid\": [1, 0], "
	       "\"pgid\": [1, 0]}, "
	       "{\"pid\": [9, 3], \"parent\": 7, \"pid_ns\": 1, \"vm\": 5, \"sid\": [6, 0], "
	       "\"pgid\": [6, 0]}",
	       0);
}

/* An exit signal that comes down from a dead sibling, which a shared table tells of. */
static void test_signal_of_sibling(void **state)
{
	(void)state;
	expect("\"pid_namespaces\": [" TWO "}]",
	       ", {\"pid\": [7, 1], \"parent\": 1, \"pid_ns\": 1, \"vm\": 5, \"exit_signal\": 10, "
	       "\"sid\": [1, 0], \"pgid\": [1, 0]}, "
	       "{\"pid\": [8, 2], \"parent\": 7, \"pid_ns\": 1, \"vm\": 5, \"sid\": [1, 0], "
	       "\"pgid\": [1, 0]}",
	       0);
}

/* What was made in time can be born into when the one above is dead; refused by name. */
static void test_dead_above(void **state)
{
	(void)state;
	expect("\"pid_namespaces\": [" TWO ", \"state\": \"dead\"}, {\"id\": 2, \"parent\": 1}]",
	       ", {\"pid\": [7, 3, 1], \"parent\": 1, \"pid_ns\": 2, \"sid\": [1, 0, 0], "
	       "\"pgid\": [1, 0, 0]}",
	       -EOPNOTSUPP);
	expect("\"pid_namespaces\": [" TWO ", \"state\": \"unborn\"}, {\"id\": 2, \"parent\": 1}]",
	       ", {\"pid\": [7, 3, 1], \"parent\": 1, \"pid_ns\": 2, \"sid\": [1, 0, 0], "
	       "\"pgid\": [1, 0, 0]}",
	       -EDOM);
}

/* As deep as the kernel goes. */
static void test_chain(void **state)
{
	struct strbuf namespaces = {0}, processes = {0};

	(void)state;
	strbuf_puts(&namespaces, "\"pid_namespaces\": [{\"id\": 0, \"parent\": null}");
	for (int level = 1; level < TREE_LEVELS; level++) {
		strbuf_printf(&namespaces, ", {\"id\": %d, \"parent\": %d}", level, level - 1);
		strbuf_puts(&processes, ", {\"pid\": [");
		for (int i = 0; i <= level; i++)
			strbuf_printf(&processes, "%s%d", i ? ", " : "", level - i + 1);
		strbuf_printf(&processes, "], \"parent\": %d, \"pid_ns\": %d, \"sid\": [1", level,
			      level);
		for (int i = 0; i < level; i++)
			strbuf_puts(&processes, ", 0");
		strbuf_puts(&processes, "], \"pgid\": [1");
		for (int i = 0; i < level; i++)
			strbuf_puts(&processes, ", 0");
		strbuf_puts(&processes, "]}");
	}
	strbuf_puts(&namespaces, "]");
	expect(strbuf_text(&namespaces), strbuf_text(&processes), 0);
	strbuf_deinit(&namespaces);
	strbuf_deinit(&processes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dead_namespace),
		cmocka_unit_test(test_unborn_namespace),
		cmocka_unit_test(test_user_and_pid),
		cmocka_unit_test(test_entered),
		cmocka_unit_test(test_zombie_init),
		cmocka_unit_test(test_shared_with_init),
		cmocka_unit_test(test_shared_across_sessions),
		cmocka_unit_test(test_signal_of_sibling),
		cmocka_unit_test(test_dead_above),
		cmocka_unit_test(test_chain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
