/* SPDX-License-Identifier: Apache-2.0 */
/* Reading trees (files, checkpoints, hostile ones), and what the planner says of odd ones. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tree/planner.h"
#include "tree/print.h"
#include "tree/replay.h"
#include "util/macro.h"
#include "util/strbuf.h"

#define ONE_NAMESPACE "\"pid_namespaces\": [{\"id\": 0, \"parent\": null}]"
#define PROCESS(pid, parent, sid, pgid, more)                                                      \
	"{\"pid\": [" #pid "], \"parent\": " #parent ", \"pid_ns\": 0, \"sid\": [" #sid            \
	"], \"pgid\": [" #pgid "]" more "}"
#define NEXT(...)	 ", " PROCESS(__VA_ARGS__)
#define TREE(root, list) "{\"root\": " #root ", " ONE_NAMESPACE ", \"processes\": [" list "]}"
#define INIT		 PROCESS(1, null, 1, 1, "")

struct fixture {
	struct context ctx;
	struct arena arena;
	struct tree *tree;
	struct plan *plan;
	struct strbuf out;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	arena_init(&f->arena, NULL);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	arena_deinit(&f->arena);
	strbuf_deinit(&f->out);
	free(f);
	return 0;
}

static int read_tree(struct fixture *f, const char *text)
{
	return tree_from_json(&f->ctx, &f->arena, text, strlen(text), &f->tree);
}

static int plan_text(struct fixture *f, const char *text)
{
	assert_int_equal(read_tree(f, text), 0);
	return planner_run_checked(&f->ctx, &f->arena, f->tree, &f->plan);
}

static bool error_says(const struct fixture *f, const char *what)
{
	for (unsigned int i = 0; i < f->ctx.err.frames; i++)
		if (strstr(f->ctx.err.frame[i], what))
			return true;
	print_message("wanted \"%s\", got \"%s\"\n", what, f->ctx.err.frame[0]);
	return false;
}

static size_t count_op(const struct plan *plan, enum plan_op op)
{
	size_t n = 0;

	for (size_t i = 0; i < plan->n_steps; i++)
		n += plan->steps[i].op == op;
	return n;
}

/* ---- readers */

static void test_bad_files(void **state)
{
	static const struct {
		const char *text;
		const char *says;
	} rows[] = {
		{"", "no JSON"},
		{"[1, 2", "no JSON"},
		{"[]", "not a JSON object"},
		{"{}", "pid_namespaces"},
		{"{\"pid_namespaces\": [{\"id\": 0, \"parent\": 0}]}", "parent"},
		{"{\"pid_namespaces\": [{\"id\": -1}]}", "id"},
		{"{\"pid_namespaces\": [7]}", "id"},
		{"{" ONE_NAMESPACE "}", "processes"},
		{"{" ONE_NAMESPACE ", \"processes\": [3]}", "pid_ns"},
		{TREE(2, INIT), "root: no such process"},
		{TREE(1, INIT ", " INIT), "given twice"},
		{TREE(1, INIT NEXT(2, 9, 1, 1, "")), "no process 9"},
		{TREE(1, INIT NEXT(2, 2, 1, 1, "")), "its own parent"},
		{TREE(1, INIT NEXT(2, 3, 1, 1, "") NEXT(3, 2, 1, 1, "")), "own ancestor"},
		{TREE(1, INIT NEXT(2, 1, -4, 1, "")), "sid: not a process number"},
		{TREE(1, INIT NEXT(2, 1, 99999999, 1, "")), "sid: not a process number"},
		{TREE(1, INIT NEXT(2, 1, 1.5, 1, "")), "sid: not a process number"},
		{TREE(1, INIT NEXT(4194304, 1, 1, 1, "")), "pid: not a process number"},
		{TREE(1, INIT NEXT(2, "1", 1, 1, "")), "parent: not a number"},
		{TREE(1, INIT NEXT(2, 1, 1, 1, ", \"zombie\": 1")), "zombie: not true or false"},
		{TREE(1, INIT NEXT(2, 1, 1, 1, ", \"exit_signal\": 65")), "exit_signal"},
		{TREE(1, INIT ", {\"pid\": [2, 1], \"pid_ns\": 0}"), "pid: 2 entries"},
		{TREE(1, "{\"pid\": [], \"pid_ns\": 0}"), "pid: 0 entries"},
		{TREE(2, INIT NEXT(2, 1, 1, 1, "")), "the root has a parent"},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(read_tree(f, rows[i].text), -EBADMSG);
		assert_true(error_says(f, rows[i].says));
	}
}

/* The root need not come first in a file. */
static void test_root_is_first(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(read_tree(f, TREE(50, PROCESS(60, 50, 0, 0, "") NEXT(50, null, 0, 0, ""))),
			 0);
	assert_int_equal(TREE_PID(f->tree, 0), 50);
	assert_int_equal(f->tree->processes[1].parent, 0);
	assert_false(f->tree->container);
}

/* A namespace of its own, with a member whose group is led from above. */
static void test_nested(void **state)
{
	static const char text[] =
		"{\"root\": 1, \"pid_namespaces\": [{\"id\": 0, \"parent\": null}, {\"id\": 1, "
		"\"parent\": 0}], \"processes\": [" INIT ", {\"pid\": [7, 1], \"parent\": 1, "
		"\"pid_ns\": 1, \"sid\": [1, 0], \"pgid\": [7, 1]}, {\"pid\": [8, 2], \"parent\": "
		"7, "
		"\"pid_ns\": 1, \"sid\": [1, 0], \"pgid\": [9, 0]}]}";
	struct fixture *f = *state;

	assert_int_equal(plan_text(f, text), 0);
	assert_int_equal(f->plan->processes[1].n_pid, 2);
}

struct small_checkpoint {
	Coppice__Checkpoint cp;
	Coppice__Origin origin;
	Coppice__Process process[3];
	Coppice__Process *processes[3];
	int32_t number[3][3];
};

static void small_checkpoint(struct small_checkpoint *c, const int32_t number[3][3])
{
	coppice__checkpoint__init(&c->cp);
	coppice__origin__init(&c->origin);
	c->origin.root = 1;
	c->cp.origin = &c->origin;
	c->cp.n_processes = 3;
	c->cp.processes = c->processes;
	memcpy(c->number, number, sizeof(c->number));
	for (unsigned int i = 0; i < 3; i++) {
		Coppice__Process *p = &c->process[i];

		coppice__process__init(p);
		p->id = i + 1;
		p->parent = i ? 1 : 0;
		p->n_pid = p->n_sid = p->n_pgid = 1;
		p->pid = &c->number[i][0];
		p->sid = &c->number[i][1];
		p->pgid = &c->number[i][2];
		p->exit_signal = SIGCHLD;
		c->processes[i] = p;
	}
}

/* A job of a shell: its session is outside, and so is one group, but not that of a dead member. */
static void test_outside_of_checkpoint(void **state)
{
	static const int32_t number[3][3] = {{50, 40, 45}, {51, 40, 40}, {52, 40, 49}};
	struct fixture *f = *state;
	struct small_checkpoint c;

	small_checkpoint(&c, number);
	assert_int_equal(tree_from_checkpoint(&f->ctx, &f->arena, &c.cp, &f->tree), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(f->tree->processes[i].sid[0], 0);
	assert_int_equal(f->tree->processes[0].pgid[0], 0);
	assert_int_equal(f->tree->processes[1].pgid[0], 0);
	assert_int_equal(f->tree->processes[2].pgid[0], 49);
	assert_int_equal(planner_run_checked(&f->ctx, &f->arena, f->tree, &f->plan), 0);
	assert_int_equal(f->plan->root_session, PLAN_ROOT_SESSION_NEW);
}

static void test_bad_checkpoints(void **state)
{
	static const int32_t number[3][3] = {{50, 40, 45}, {51, 40, 40}, {52, 40, 49}};
	struct fixture *f = *state;
	struct small_checkpoint c;

	small_checkpoint(&c, number);
	c.process[1].parent = 9;
	assert_int_equal(tree_from_checkpoint(&f->ctx, &f->arena, &c.cp, &f->tree), -EBADMSG);
	small_checkpoint(&c, number);
	c.process[1].n_sid = 0;
	assert_int_equal(tree_from_checkpoint(&f->ctx, &f->arena, &c.cp, &f->tree), -EBADMSG);
	small_checkpoint(&c, number);
	c.process[2].id = 2;
	assert_int_equal(tree_from_checkpoint(&f->ctx, &f->arena, &c.cp, &f->tree), -EBADMSG);
	small_checkpoint(&c, number);
	c.number[2][0] = 51;
	assert_int_equal(tree_from_checkpoint(&f->ctx, &f->arena, &c.cp, &f->tree), -EBADMSG);
}

/* ---- the planner on chosen trees */

static void test_impossible(void **state)
{
	static const struct {
		const char *text;
		const char *says;
	} rows[] = {
		{TREE(1, INIT NEXT(2, 1, 1, 1, ", \"zombie\": true") NEXT(3, 2, 1, 1, "")),
		 "the parent 2 of process 3 is a zombie"},
		{TREE(1, INIT NEXT(2, 1, 2, 1, "")), "process 2 leads a session but is in group"},
		{TREE(1, INIT NEXT(2, 1, 3, 3, "") NEXT(3, 1, 1, 1, "")),
		 "process 2 is in session 3, but process 3 is in session 1"},
		{TREE(1, INIT NEXT(2, 1, 1, 0, "")), "is outside the tree but not its session"},
		{TREE(1, INIT NEXT(2, 1, 1, 9, "") NEXT(3, 1, 3, 3, "") NEXT(4, 3, 3, 9, "")),
		 "group 9 of process 4 is in session 3"},
		{TREE(50, PROCESS(50, null, 50, 50, "") NEXT(60, 50, 1, 1, "")),
		 "init, is missing"},
		{TREE(1, PROCESS(1, null, 2, 2, "") NEXT(2, 1, 2, 2, "")),
		 "process 2 leads the session of process 1"},
		{TREE(1, INIT NEXT(2, 1, 2, 2, "") NEXT(3, 2, 0, 0, "") NEXT(4, 3, 4, 4, "")
				 NEXT(5, 4, 2, 2, "") NEXT(6, 5, 0, 0, "")),
		 "must be an ancestor of process 6"},
		{TREE(1, INIT NEXT(2, 1, 2, 2, "") NEXT(3, 2, 9, 9, ", \"exit_signal\": 10")
				 NEXT(4, 3, 4, 4, "") NEXT(5, 4, 9, 9, ", \"exit_signal\": 12")
					 NEXT(6, 5, 2, 2, "")),
		 "must descend"},
		{TREE(1, INIT NEXT(2, 1, 2, 2, ", \"tty\": 1") NEXT(3, 2, 2, 2, ", \"tty\": 2")),
		 "terminal of process 3 is not that of its session"},
		{TREE(1, INIT NEXT(2, 1, 9, 9, ", \"tty\": 1")), "is dead"},
		{TREE(1, INIT NEXT(2, 1, 1, 1, ", \"sighand\": 3, \"vm\": 1")
				 NEXT(3, 1, 1, 1, ", \"sighand\": 3, \"vm\": 2")),
		 "share signal handlers but not the memory"},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(plan_text(f, rows[i].text), -EDOM);
		assert_true(error_says(f, rows[i].says));
	}
}

/* a's child in b's session, b's child in a's, both leaders and all alive */
#define CROSSED                                                                                    \
	TREE(1, INIT NEXT(2, 1, 2, 2, "") NEXT(3, 1, 3, 3, "") NEXT(4, 2, 3, 3, "")                \
			NEXT(5, 3, 2, 2, ""))

static void test_crossed_sessions(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(plan_text(f, CROSSED), 0);
	assert_int_equal(count_op(f->plan, PLAN_SETSID), 3);
}

static void test_giving_up(void **state)
{
	static const struct planner_options little = {.effort = 5};
	struct fixture *f = *state;

	assert_int_equal(read_tree(f, CROSSED), 0);
	assert_int_equal(planner_run(&f->ctx, &f->arena, f->tree, &little, &f->plan), -ETIME);
	assert_true(error_says(f, "gave up"));
}

/* Two groups that swapped their founders: a scaffold must keep one alive. */
static void test_swapped_groups(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(plan_text(f, TREE(1, INIT NEXT(2, 1, 1, 3, "") NEXT(3, 1, 1, 2, ""))), 0);
	assert_int_equal(f->plan->n_processes, 4);
	assert_int_equal(f->plan->processes[3].role, PLAN_ROLE_SCAFFOLD);
}

static void test_terminals(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(plan_text(f, TREE(1, INIT NEXT(2, 1, 2, 2, ", \"tty\": 7, \"tty_pgrp\": 9")
						      NEXT(3, 2, 2, 3, ", \"tty\": 7")
							      NEXT(4, 2, 2, 3, ""))),
			 0);
	assert_int_equal(count_op(f->plan, PLAN_TTY_OPEN), 1);
	assert_int_equal(count_op(f->plan, PLAN_TTY_DROP), 1);
	/* by a scaffold that founds it: group 9 has no members any more */
	assert_int_equal(count_op(f->plan, PLAN_TTY_FOREGROUND), 1);
}

/* The terminal's foreground group is gone, and its number is in another session. */
static void test_lost_foreground(void **state)
{
	static const char *const texts[] = {
		TREE(1,
		     INIT NEXT(2, 1, 2, 2, ", \"tty\": 7, \"tty_pgrp\": 9") NEXT(9, 1, 9, 9, "")),
		TREE(1,
		     INIT NEXT(2, 1, 2, 2, ", \"tty\": 7, \"tty_pgrp\": 9") NEXT(9, 2, 1, 1, "")),
		TREE(1, INIT NEXT(2, 1, 2, 2, ", \"tty\": 7, \"tty_pgrp\": 9") NEXT(
				3, 1, 3, 3, ", \"tty\": 8, \"tty_pgrp\": 9") NEXT(4, 3, 3, 9, "")),
		TREE(1,
		     INIT NEXT(2, 1, 2, 2, ", \"tty\": 7, \"tty_pgrp\": 9") NEXT(4, 1, 9, 9, "")),
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		assert_int_equal(plan_text(f, texts[i]), 0);
		assert_int_equal(count_op(f->plan, PLAN_TTY_FOREGROUND), i == 2 ? 2 : 1);
	}
	assert_int_equal(
		plan_text(f, TREE(1, INIT NEXT(9, 1, 1, 1, "")
					     NEXT(2, 9, 2, 2, ", \"tty\": 7, \"tty_pgrp\": 9"))),
		-EDOM);
	assert_true(error_says(f, "had a foreground group with the number"));
}

static void test_zombie_root(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(plan_text(f, TREE(50, PROCESS(50, null, 0, 45, ", \"zombie\": true"))), 0);
	/* and the leader of its group */
	assert_int_equal(count_op(f->plan, PLAN_EXIT), 2);
	assert_int_equal(plan_text(f, TREE(50, PROCESS(50, null, 50, 50, ", \"zombie\": true")
						       NEXT(51, 50, 50, 50, ""))),
			 -EDOM);
}

static void test_shell_job(void **state)
{
#define JOB "\"shell_job\": true, " ONE_NAMESPACE ", \"processes\": ["
	static const char text[] =
		"{\"root\": 50, " JOB PROCESS(50, null, 0, 50, ", \"tty\": 7") ", " PROCESS(
			51, 50, 0, 50, "") ", " PROCESS(52, 50, 52, 52, "") "]}";
	struct fixture *f = *state;

	assert_int_equal(plan_text(f, text), 0);
	assert_int_equal(f->plan->root_session, PLAN_ROOT_SESSION_INHERITED);
	assert_int_equal(count_op(f->plan, PLAN_TTY_DROP), 1);
	f->tree->shell_job = false;
	assert_int_equal(planner_run(&f->ctx, &f->arena, f->tree, NULL, &f->plan), -EOPNOTSUPP);
	assert_true(strstr(f->ctx.err.hint, "--shell-job"));
}

/* Sharers that are siblings now: their table came from a process that is dead. */
static void test_shared_by_siblings(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(
		plan_text(f, TREE(1, INIT NEXT(2, 1, 1, 1, ", \"vm\": 5, \"files\": 6")
					     NEXT(3, 1, 1, 1, ", \"vm\": 5, \"files\": 6"))),
		0);
	assert_int_equal(f->plan->n_processes, 4);
}

/* Sharers on both sides of one that must have shared, and has left the table since. */
static void test_left_table(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(
		plan_text(f, TREE(1, INIT NEXT(2, 1, 1, 1, ", \"vm\": 5") NEXT(3, 2, 1, 1, "")
					     NEXT(4, 3, 1, 1, ", \"vm\": 5"))),
		-EOPNOTSUPP);
	assert_true(error_says(f, "exec or unshare()"));
}

static int no_memory(void *data)
{
	(void)data;
	return -ENOMEM;
}

/* Each allocation fails once: no crash, no leak, and an error that says so. */
static void test_no_memory(void **state)
{
	static const char text[] = TREE(
		1, INIT NEXT(2, 1, 2, 2, ", \"tty\": 4, \"tty_pgrp\": 8, \"vm\": 3")
			   NEXT(3, 1, 3, 3, ", \"vm\": 3") NEXT(4, 2, 3, 3, "") NEXT(5, 3, 2, 6, "")
				   NEXT(6, 1, 2, 5, "") NEXT(7, 1, 9, 7, ", \"zombie\": true")
					   NEXT(10, 1, 1, 1, ", \"exit_signal\": 9"));
	int r = -ENOMEM;

	(void)state;
	for (uint64_t at = 1; r < 0; at++) {
		struct context ctx = {.fault = {.at = at, .strike = no_memory}};
		struct arena arena;
		struct tree *tree;
		struct plan *plan;

		arena_init(&arena, &ctx);
		r = tree_from_json(&ctx, &arena, text, sizeof(text) - 1, &tree);
		if (r == 0)
			r = planner_run_checked(&ctx, &arena, tree, &plan);
		assert_true(r == 0 || r == -ENOMEM);
		arena_deinit(&arena);
	}
}

/* ---- printing */

static void test_json(void **state)
{
	static const char wanted[] =
		"{\n  \"root_session\": \"any\",\n  \"tree_processes\": 2,\n  \"steps\": [\n"
		"    {\"op\": \"setsid\", \"process\": 0, \"reason\": \"leads session 1\"},\n"
		"    {\"op\": \"clone\", \"process\": 0, \"child\": 1, \"pid\": [7], "
		"\"exit_signal\": 10, "
		"\"reason\": \"in session 1, a child of 1\"},\n"
		"    {\"op\": \"setpgid\", \"process\": 1, \"pgid\": [7], \"reason\": \"founds "
		"group "
		"7\"},\n"
		"    {\"op\": \"exit\", \"process\": 1, \"status\": 256, \"reason\": \"is a "
		"zombie\"}\n"
		"  ]\n}\n";
	struct fixture *f = *state;

	assert_int_equal(plan_text(f, TREE(1, INIT NEXT(7, 1, 1, 7,
							", \"zombie\": true, "
							"\"exit_status\": 256, "
							"\"exit_signal\": 10"))),
			 0);
	print_plan_json(f->tree, f->plan, &f->out);
	assert_string_equal(strbuf_text(&f->out), wanted);
}

static void test_text(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(plan_text(f, CROSSED), 0);
	print_plan_text(f->tree, f->plan, &f->out);
	assert_true(strstr(strbuf_text(&f->out), "|- 2  leads its session\n|  `- 4  session 3\n"
						 "`- 3  leads its session\n   `- 5  session 2\n"));
	print_plan_dot(f->tree, f->plan, &f->out);
	assert_true(strstr(strbuf_text(&f->out), "p0 -> p1 [style=bold]"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_bad_files),
		TEST(test_root_is_first),
		TEST(test_nested),
		TEST(test_outside_of_checkpoint),
		TEST(test_bad_checkpoints),
		TEST(test_impossible),
		TEST(test_crossed_sessions),
		TEST(test_giving_up),
		TEST(test_swapped_groups),
		TEST(test_terminals),
		TEST(test_lost_foreground),
		TEST(test_zombie_root),
		TEST(test_shell_job),
		TEST(test_shared_by_siblings),
		TEST(test_left_table),
		TEST(test_no_memory),
		TEST(test_json),
		TEST(test_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
