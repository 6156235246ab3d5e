/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/proc.h"
#include "util/cleanup.h"
#include "util/macro.h"

/* Fields 3 to 52 of a shell's, with numbers that tell the fields apart. */
#define REST                                                                                       \
	" S 1 7 8 34816 9 4194560 101 0 0 0 1 2 3 4 -2 -20 5 0 208690 3133440 409 "                \
	"18446744073709551615 94548979789824 94548979809705 140734636317824 0 0 0 0 0 0 0 0 0 "    \
	"17 1 50 1 0 0 0 94548979825712 94548979827328 94549497905152 140734636321400 "            \
	"140734636321438 140734636321439 140734636322795 256\n"

static void fields(void **state _unused_)
{
	struct proc_stat stat;

	assert_int_equal(parse_stat("812 (nginx)" REST, &stat), 0);
	assert_int_equal(stat.pid, 812);
	assert_string_equal(stat.comm, "nginx");
	assert_int_equal(stat.state, 'S');
	assert_int_equal(stat.ppid, 1);
	assert_int_equal(stat.pgrp, 7);
	assert_int_equal(stat.session, 8);
	assert_int_equal(stat.tty_nr, 34816);
	assert_int_equal(stat.tpgid, 9);
	assert_int_equal(stat.flags, 4194560);
	assert_int_equal(stat.priority, -2);
	assert_int_equal(stat.nice, -20);
	assert_int_equal(stat.num_threads, 5);
	assert_int_equal(stat.start_time, 208690);
	assert_int_equal(stat.start_code, 94548979789824);
	assert_int_equal(stat.end_code, 94548979809705);
	assert_int_equal(stat.start_stack, 140734636317824);
	assert_int_equal(stat.exit_signal, 17);
	assert_int_equal(stat.rt_priority, 50);
	assert_int_equal(stat.policy, 1);
	assert_int_equal(stat.start_data, 94548979825712);
	assert_int_equal(stat.end_data, 94548979827328);
	assert_int_equal(stat.start_brk, 94549497905152);
	assert_int_equal(stat.arg_start, 140734636321400);
	assert_int_equal(stat.arg_end, 140734636321438);
	assert_int_equal(stat.env_start, 140734636321439);
	assert_int_equal(stat.env_end, 140734636322795);
	assert_int_equal(stat.exit_code, 256);
}

static void hostile_names(void **state _unused_)
{
	static const char *const names[] = {
		"", ")", "(", ") R 1 (", "a b", "\n", "a\nb)(", ") R 1 2 3 4 5 6", " ", "\\012",
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct proc_stat stat;
		char text[1024];

		(void)snprintf(text, sizeof(text), "5 (%s)" REST, names[i]);
		assert_int_equal(parse_stat(text, &stat), 0);
		assert_string_equal(stat.comm, names[i]);
		assert_int_equal(stat.state, 'S');
		assert_int_equal(stat.ppid, 1);
	}
}

/* The kernel's own workers have names of up to 63 bytes. */
static void name_length(void **state _unused_)
{
	struct proc_stat stat;
	char text[1024];

	(void)snprintf(text, sizeof(text), "5 (%063d)" REST, 0);
	assert_int_equal(parse_stat(text, &stat), 0);
	assert_int_equal(strlen(stat.comm), 63);
	(void)snprintf(text, sizeof(text), "5 (%064d)" REST, 0);
	assert_int_equal(parse_stat(text, &stat), -EBADMSG);
}

static void cut_anywhere(void **state _unused_)
{
	static const char whole[] = "812 (a)" REST;

	/* The last field has 3 digits and a newline: shorter texts lack a field. */
	for (size_t len = 0; len < sizeof(whole) - 5; len++) {
		char text[sizeof(whole)] = {};
		struct proc_stat stat = {.pid = 77};

		memcpy(text, whole, len);
		assert_int_equal(parse_stat(text, &stat), -EBADMSG);
		assert_int_equal(stat.pid, 77);
	}
}

static void own(void **state _unused_)
{
	_cleanup_close_ int fd = -EBADF;
	struct proc_stat stat;

	assert_int_equal(proc_open(getpid(), &fd), 0);
	assert_int_equal(proc_read_stat(fd, &stat), 0);
	assert_int_equal(stat.pid, getpid());
	assert_int_equal(stat.ppid, getppid());
	assert_int_equal(stat.session, getsid(0));
	assert_int_equal(stat.state, 'R');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields),      cmocka_unit_test(hostile_names),
		cmocka_unit_test(name_length), cmocka_unit_test(cut_anywhere),
		cmocka_unit_test(own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
