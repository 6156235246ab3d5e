/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kind/external.h"
#include "util/macro.h"

static const struct {
	const char *text;
	struct resource want;
	const char *again; /* NULL: a path */
} good[] = {
	{"pipe:[123]", {.type = RESOURCE_PIPE, .inode = 123}, "pipe:[123]"},
	{"pipe[123]", {.type = RESOURCE_PIPE, .inode = 123}, "pipe:[123]"},
	{"socket:[7]", {.type = RESOURCE_SOCKET, .inode = 7}, "socket:[7]"},
	{"unix[7]", {.type = RESOURCE_SOCKET, .inode = 7}, "socket:[7]"},
	{"tty[8803:16]", {.type = RESOURCE_TTY, .first = 0x8803, .inode = 0x16}, "tty[8803:16]"},
	{"file[2a:ffe0]", {.type = RESOURCE_FILE, .first = 0x2a, .inode = 0xffe0}, "file[2a:ffe0]"},
	{"/var/log/x[1].log", {.type = RESOURCE_PATH, .path = "var/log/x[1].log"}, NULL},
	{"var/log/x", {.type = RESOURCE_PATH, .path = "var/log/x"}, NULL},
};

static void test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct resource got = {.path = NULL};
		char text[RESOURCE_TEXT];

		assert_int_equal(resource_parse(good[i].text, &got), 0);
		assert_true(resource_equal(&got, &good[i].want));
		if (!good[i].again)
			continue;
		resource_format(&got, text);
		assert_string_equal(text, good[i].again);
	}
}

static void test_bad(void **state)
{
	static const char *const bad[] = {
		"",
		"/",
		"pipe:[12",
		"pipe[x]",
		"pipe:[1] ",
		"tty[8803]",
		"file[2a,ffe0]",
		"socket:[-1]",
		"scoket:[12]",
		"pipe:[]",
		"tty[G:1]",
		"unix[1:2]",
		"pipe[99999999999999999999]",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct resource got;

		assert_int_equal(resource_parse(bad[i], &got), -EINVAL);
	}
}

static void test_inherited(void **state)
{
	static const char *const bad[] = {"fd[3]",	    "fd[3]:",	  "fd[-1]:pipe:[1]",
					  "fd[x]:pipe:[1]", "3:pipe:[1]", "fd[3]pipe:[1]"};
	struct inherited_fd got;

	(void)state;
	assert_int_equal(inherited_fd_parse("fd[3]:pipe:[12]", &got), 0);
	assert_int_equal(got.fd, 3);
	assert_int_equal(got.resource.type, RESOURCE_PIPE);
	assert_int_equal(got.resource.inode, 12);
	assert_string_equal(got.text, "pipe:[12]");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(inherited_fd_parse(bad[i], &got), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_inherited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
