/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "file/lock-line.h"
#include "util/macro.h"

static const struct {
	const char *text;
	struct lock_line want;
} good[] = {
	{"1: POSIX  ADVISORY  WRITE 812 08:01:1234 0 EOF",
	 {.kind = COPPICE__FILE_LOCK__KIND__POSIX,
	  .write = true,
	  .pid = 812,
	  .dev_major = 8,
	  .dev_minor = 1,
	  .ino = 1234}},
	{"2: POSIX  ADVISORY  READ  5 fe:0a:7 10 19\nlock:\t3: ...",
	 {.kind = COPPICE__FILE_LOCK__KIND__POSIX,
	  .pid = 5,
	  .dev_major = 0xfe,
	  .dev_minor = 10,
	  .ino = 7,
	  .start = 10,
	  .length = 10}},
	{"3: OFDLCK ADVISORY  READ  -1 00:2a:7 9223372036854775807 EOF",
	 {.kind = COPPICE__FILE_LOCK__KIND__OFD,
	  .pid = -1,
	  .dev_minor = 0x2a,
	  .ino = 7,
	  .start = INT64_MAX}},
	{"4: FLOCK  ADVISORY  WRITE 9 00:01:2 0 EOF",
	 {.kind = COPPICE__FILE_LOCK__KIND__FLOCK,
	  .write = true,
	  .pid = 9,
	  .dev_minor = 1,
	  .ino = 2}},
	{"5: -> FLOCK  ADVISORY  WRITE 9 00:01:2 0 EOF",
	 {.kind = COPPICE__FILE_LOCK__KIND__FLOCK,
	  .waits = true,
	  .write = true,
	  .pid = 9,
	  .dev_minor = 1,
	  .ino = 2}},
	{"6: LEASE  BREAKING  UNLCK 9 00:01:2 0 EOF",
	 {.kind = COPPICE__FILE_LOCK__KIND__LEASE,
	  .unlock = true,
	  .breaking = true,
	  .pid = 9,
	  .dev_minor = 1,
	  .ino = 2}},
	{"7: DELEG  ACTIVE    READ  9 00:01:2 0 EOF",
	 {.kind = COPPICE__FILE_LOCK__KIND__LEASE,
	  .deleg = true,
	  .pid = 9,
	  .dev_minor = 1,
	  .ino = 2}},
};

static void test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct lock_line got = {};

		assert_int_equal(lock_parse(good[i].text, &got), 0);
		assert_int_equal(got.kind, good[i].want.kind);
		assert_int_equal(got.waits, good[i].want.waits);
		assert_int_equal(got.write, good[i].want.write);
		assert_int_equal(got.unlock, good[i].want.unlock);
		assert_int_equal(got.breaking, good[i].want.breaking);
		assert_int_equal(got.deleg, good[i].want.deleg);
		assert_int_equal(got.pid, good[i].want.pid);
		assert_int_equal(got.dev_major, good[i].want.dev_major);
		assert_int_equal(got.dev_minor, good[i].want.dev_minor);
		assert_int_equal(got.ino, good[i].want.ino);
		assert_true(got.start == good[i].want.start);
		assert_true(got.length == good[i].want.length);
	}
}

static void test_bad(void **state)
{
	static const char *const bad[] = {
		"",
		"1:",
		"x: POSIX  ADVISORY  WRITE 812 08:01:1234 0 EOF",
		"1: POSIX  MANDATORY WRITE 812 08:01:1234 0 EOF",
		"1: POSIX  ADVISORY  MAYBE 812 08:01:1234 0 EOF",
		"1: POSIX  ADVISORY  WRITE 812 08:01:1234 20 10",
		"1: POSIX  ADVISORY  WRITE 812 08:01:1234 0 9223372036854775807",
		"1: POSIX  ADVISORY  WRITE 812 08:01 0 EOF",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct lock_line got = {};

		assert_int_equal(lock_parse(bad[i], &got), -EBADMSG);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
