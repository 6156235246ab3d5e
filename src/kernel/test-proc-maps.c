/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "kernel/proc-ahead.h"
#include "kernel/proc.h"
#include "util/cleanup.h"
#include "util/macro.h"
#include "util/strbuf.h"

static int setup(void **state)
{
	static struct arena arena;

	arena_init(&arena, NULL);
	*state = &arena;
	return 0;
}

static int teardown(void **state)
{
	arena_deinit(*state);
	return 0;
}

/* parse_maps writes to its text. */
static int parse(struct arena *arena, const char *text, struct proc_map **ret, size_t *ret_n)
{
	return parse_maps(arena_strdup(arena, text), arena, ret, ret_n);
}

static void plain(void **state)
{
	struct proc_map *m;
	size_t n;

	assert_int_equal(
		parse(*state,
		      "55d0c0a02000-55d0c0a07000 r-xp 00002000 fe:10 12345                      "
		      "/usr/bin/a cat\n"
		      "7f0000000000-7f0000001000 -w-s 7fff00000000 00:01 18446744073709551615 "
		      "/dev/zero (deleted)\n"
		      "7f0000001000-7f0000002000 ---p 00000000 00:00 0 \n"
		      "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0   [vsyscall]\n",
		      &m, &n),
		0);
	assert_int_equal(n, 4);
	assert_true(m[0].start == 0x55d0c0a02000 && m[0].end == 0x55d0c0a07000);
	assert_int_equal(m[0].prot, PROT_READ | PROT_EXEC);
	assert_false(m[0].shared);
	assert_int_equal(m[0].offset, 0x2000);
	assert_int_equal(m[0].dev_major, 0xfe);
	assert_int_equal(m[0].dev_minor, 0x10);
	assert_int_equal(m[0].inode, 12345);
	assert_string_equal(m[0].name, "/usr/bin/a cat");
	assert_false(m[0].deleted || m[0].has_flags);
	assert_true(m[1].shared && m[1].deleted);
	assert_int_equal(m[1].prot, PROT_WRITE);
	assert_true(m[1].offset == 0x7fff00000000 && m[1].inode == UINT64_MAX);
	assert_string_equal(m[1].name, "/dev/zero");
	assert_int_equal(m[2].prot, PROT_NONE);
	assert_string_equal(m[2].name, "");
	assert_string_equal(m[3].name, "[vsyscall]");
	assert_true(m[3].end == UINT64_C(0xffffffffff601000));
}

static void names(void **state)
{
	static const struct {
		const char *text;
		const char *name;
		bool deleted;
	} rows[] = {
		{"/a\\012b", "/a\nb", false},
		{"/a\\040b", "/a\\040b", false}, /* the kernel escapes newlines alone */
		{"/a\\\\012", "/a\\\n", false},
		{"/a\\01", "/a\\01", false},
		{"\\012", "\n", false},
		{"/x (deleted)", "/x", true},
		{"/x (deleted) (deleted)", "/x (deleted)", true},
		{"/x(deleted)", "/x(deleted)", false},
		{"/ (deleted)", "/", true},
		{"[anon:x (deleted)", "[anon:x (deleted)", false},
		{"/memfd:a b", "/memfd:a b", false},
		{"/55d0c0a02000-55d0c0a07000 r-xp", "/55d0c0a02000-55d0c0a07000 r-xp", false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char text[256];
		struct proc_map *m;
		size_t n;

		(void)snprintf(text, sizeof(text), "1000-2000 r--p 0 00:00 7 %s\n", rows[i].text);
		assert_int_equal(parse(*state, text, &m, &n), 0);
		assert_int_equal(n, 1);
		assert_string_equal(m[0].name, rows[i].name);
		assert_int_equal(m[0].deleted, rows[i].deleted);
	}
}

#define SMAPS_HEAD "7ffc0a000000-7ffc0a021000 rw-p 00000000 00:00 0   [stack]\n"

static void smaps(void **state)
{
	struct proc_map *m;
	size_t n;

	assert_int_equal(parse(*state,
			       SMAPS_HEAD
			       "Size:   132 kB\nKernelPageSize:     2048 kB\nRss:    16 kB\n"
			       "Pss:  5 kB\nPrivate_Dirty:  7 kB\nAnonymous:   12 kB\n"
			       "AnonHugePages:   99 kB\nSwap:    8 kB\nSwapPss:   1 kB\n"
			       "NewKeyOfTomorrow: ?\nProtectionKey:         15\n"
			       "VmFlags: rd wr mr mw me gd ac sd \n",
			       &m, &n),
			 0);
	assert_int_equal(n, 1);
	assert_int_equal(m[0].page_size, 2048 * 1024);
	assert_int_equal(m[0].rss_kb, 16);
	assert_int_equal(m[0].anonymous_kb, 12);
	assert_int_equal(m[0].swap_kb, 8);
	assert_int_equal(m[0].pkey, 15);
	assert_true(m[0].has_flags);
	assert_true(m[0].flags == (VMF_READ | VMF_WRITE | VMF_MAYREAD | VMF_MAYWRITE | VMF_MAYEXEC |
				   VMF_GROWSDOWN | VMF_ACCOUNT | VMF_SOFTDIRTY));
}

static void flag_words(void **state)
{
	static const struct {
		const char *words;
		uint64_t flags;
	} rows[] = {
		{"", 0},
		{" ui ss sl dp gu",
		 VMF_UFFD_MINOR | VMF_SHADOW_STACK | VMF_SEALED | VMF_DROPPABLE | VMF_GUARD},
		{" ht wf dd hg", VMF_HUGETLB | VMF_WIPEONFORK | VMF_DONTDUMP | VMF_HUGEPAGE},
		{" dw", 0},
		{" rd zz", VMF_READ | VMF_UNKNOWN},
		{" rdd", VMF_UNKNOWN},
		{" r", VMF_UNKNOWN},
		{" ??", VMF_UNKNOWN},
		{"   rd   ", VMF_READ},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char text[256];
		struct proc_map *m;
		size_t n;

		(void)snprintf(text, sizeof(text), SMAPS_HEAD "VmFlags:%s\n", rows[i].words);
		assert_int_equal(parse(*state, text, &m, &n), 0);
		assert_true(m[0].has_flags);
		assert_true(m[0].flags == rows[i].flags);
	}
}

static void refused(void **state)
{
	static const char *const texts[] = {
		"Size: 4 kB\n",
		"1000-2000\n",
		"1000-1000 r--p 0 00:00 0\n",
		"2000-1000 r--p 0 00:00 0\n",
		"1000-2000 rrrr 0 00:00 0\n",
		"1000-2000 r--\n",
		"1000-2000 r--p 0 00:00\n",
		"10000000000000000-10000000000001000 r--p 0 00:00 0\n",
		"1000-2000 r--p 0 100000000:00 0\n",
		"1000-3000 r--p 0 00:00 0\n2000-4000 r--p 0 00:00 0\n",
		"1000-2000 r--p 0 00:00 0\n?\n",
		"1000-2000 r--p 0 00:00 0\n\n",
		SMAPS_HEAD "Rss: x kB\n",
		SMAPS_HEAD "KernelPageSize: 18446744073709551615 kB\n",
		SMAPS_HEAD "ProtectionKey: -1\n",
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct proc_map *m;
		size_t n = 77;

		assert_int_equal(parse(*state, texts[i], &m, &n), -EBADMSG);
		assert_int_equal(n, 77);
	}
}

static void long_line(void **state)
{
	_cleanup_strbuf_ struct strbuf text = {};
	struct proc_map *m;
	size_t n;

	strbuf_puts(&text, "1000-2000 r--p 0 00:00 0 /");
	for (int i = 0; i < 200000; i++)
		strbuf_puts(&text, "x");
	strbuf_puts(&text, "\n2000-3000 r--p 0 00:00 0 /y");
	assert_int_equal(parse(*state, strbuf_text(&text), &m, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(strlen(m[0].name), 200001);
	assert_string_equal(m[1].name, "/y");
}

static const struct proc_map *find(const struct proc_map *m, size_t n, const void *at)
{
	for (size_t i = 0; i < n; i++)
		if (m[i].start == (uint64_t)(uintptr_t)at)
			return &m[i];
	return NULL;
}

/* More than one buffer of smaps, and flags that were just set. */
static void own(void **state)
{
	enum { N = 500 };
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	_cleanup_close_ int fd = -EBADF;
	const struct proc_map *found;
	struct proc_map *m;
	char *at;
	size_t n;

	/* Alternating protections: as many VMAs as pages. */
	at = mmap(NULL, N * page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(at, MAP_FAILED);
	for (size_t i = 0; i < N; i += 2)
		assert_int_equal(mprotect(at + i * page, page, PROT_NONE), 0);
	assert_int_equal(madvise(at + 2 * page, page, MADV_DONTFORK), 0);

	assert_int_equal(proc_open(getpid(), &fd), 0);
	assert_int_equal(proc_read_smaps(&(struct proc_dir){.fd = fd}, *state, &m, &n), 0);
	assert_true(n > N);
	for (size_t i = 1; i < N - 1; i++) {
		found = find(m, n, at + i * page);
		assert_non_null(found);
		assert_int_equal(found->end - found->start, page);
		assert_int_equal(found->prot, i % 2 ? PROT_READ : PROT_NONE);
		assert_int_equal(found->page_size, page);
		assert_int_equal(!!(found->flags & VMF_DONTCOPY), i == 2);
		assert_false(found->flags & VMF_UNKNOWN);
	}
	assert_int_equal(proc_read_maps(fd, *state, &m, &n), 0);
	assert_non_null(find(m, n, at + page));
	assert_false(m[0].has_flags);
	assert_int_equal(munmap(at, N * page), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain),   cmocka_unit_test(names),
		cmocka_unit_test(smaps),   cmocka_unit_test(flag_words),
		cmocka_unit_test(refused), cmocka_unit_test(long_line),
		cmocka_unit_test(own),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
