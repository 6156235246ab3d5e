/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "kernel/proc.h"
#include "util/cleanup.h"
#include "util/macro.h"
#include "util/strbuf.h"

#define HEAD                                                                                       \
	"Name:\tcat\nUmask:\t0027\nState:\tT (stopped)\nTgid:\t12\nNgid:\t0\nPid:\t13\nPPid:\t3\n" \
	"TracerPid:\t99\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t4294967295\nFDSize:\t256\n"
#define GROUPS "Groups:\t4 20 4294967294 \n"
#define TAIL                                                                                       \
	"NStgid:\t12\t1\nNSpid:\t13\t2\nNSpgid:\t0\t1\nNSsid:\t5\t0\nKthread:\t0\n"                \
	"VmLck:\t       8 kB\nVmRSS:\t    1748 kB\nCoreDumping:\t0\nTHP_enabled:\t1\n"             \
	"untag_mask:\t0x81ffffffffffffff\nThreads:\t1\nSigQ:\t0/96365\n"                           \
	"SigPnd:\t0000000000000001\nShdPnd:\t8000000000000000\nSigBlk:\t0000000000000002\n"        \
	"SigIgn:\t0000000000000004\nSigCgt:\tfffffffe7ffbfeff\nCapInh:\t0000000000000010\n"        \
	"CapPrm:\t000001fffeffffff\nCapEff:\t0000000000000020\nCapBnd:\t0000000000000040\n"        \
	"CapAmb:\t0000000000000080\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t3\n"            \
	"Speculation_Store_Bypass:\tthread force mitigated\n"                                      \
	"SpeculationIndirectBranch:\tconditional enabled\nCpus_allowed:\t3\n"                      \
	"x86_Thread_features:\tshstk wrss \nx86_Thread_features_locked:\tshstk \n"

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

static void fields(void **state)
{
	struct proc_status s;

	assert_int_equal(parse_status(HEAD GROUPS TAIL, *state, &s), 0);
	assert_int_equal(s.state, 'T');
	assert_int_equal(s.umask, 027);
	assert_int_equal(s.tgid, 12);
	assert_int_equal(s.ppid, 3);
	assert_int_equal(s.tracer, 99);
	assert_memory_equal(s.uid, ((uint32_t[]){1, 2, 3, 4}), sizeof(s.uid));
	assert_memory_equal(s.gid, ((uint32_t[]){5, 6, 7, ~0u}), sizeof(s.gid));
	assert_int_equal(s.n_groups, 3);
	assert_memory_equal(s.groups, ((uint32_t[]){4, 20, 4294967294u}), 12);
	assert_int_equal(s.ns_tgid.n, 2);
	assert_int_equal(s.ns_pid.id[1], 2);
	assert_int_equal(s.ns_pgid.id[0], 0);
	assert_int_equal(s.ns_sid.id[0], 5);
	assert_int_equal(s.sig_pending, 1);
	assert_true(s.shared_pending == UINT64_C(1) << 63);
	assert_int_equal(s.sig_blocked, 2);
	assert_int_equal(s.sig_ignored, 4);
	assert_true(s.sig_caught == UINT64_C(0xfffffffe7ffbfeff));
	assert_int_equal(s.cap_inheritable, 0x10);
	assert_int_equal(s.cap_permitted, 0x1fffeffffff);
	assert_int_equal(s.cap_effective, 0x20);
	assert_int_equal(s.cap_bounding, 0x40);
	assert_int_equal(s.cap_ambient, 0x80);
	assert_true(s.no_new_privs);
	assert_int_equal(s.seccomp, 2);
	assert_int_equal(s.seccomp_filters, 3);
	assert_true(s.has_thp_enabled && s.thp_enabled);
	assert_int_equal(s.vm_locked_kb, 8);
	assert_int_equal(s.vm_rss_kb, 1748);
	assert_string_equal(s.speculation_store_bypass, "thread force mitigated");
	assert_string_equal(s.speculation_indirect_branch, "conditional enabled");
	assert_true(s.untag_mask_seen);
	assert_true(s.untag_mask == UINT64_C(0x81ffffffffffffff));
	assert_string_equal(s.x86_thread_features, "shstk wrss");
	assert_string_equal(s.x86_thread_features_locked, "shstk");
}

/* A zombie has no umask and no memory lines. */
static void absent_lines(void **state)
{
	static const char text[] =
		"Name:\tx\nState:\tZ (zombie)\nTgid:\t1\nPPid:\t2\nTracerPid:\t0\n"
		"Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nGroups:\t \nSigPnd:\t0\nShdPnd:\t0\n"
		"SigBlk:\t0\nSigIgn:\t0\nSigCgt:\t0\nCapInh:\t0\nCapPrm:\t0\nCapEff:\t0\n"
		"CapBnd:\t0\nCapAmb:\t0\nNoNewPrivs:\t0\n";
	struct proc_status s;

	assert_int_equal(parse_status(text, *state, &s), 0);
	assert_int_equal(s.umask, ~0u);
	assert_false(s.has_thp_enabled);
	assert_false(s.untag_mask_seen);
	assert_int_equal(s.n_groups, 0);
	assert_int_equal(s.ns_pid.n, 0);
	assert_string_equal(s.x86_thread_features, "");
}

static void refused(void **state)
{
	static const char *const texts[] = {
		"",
		HEAD TAIL,			 /* no groups */
		GROUPS TAIL,			 /* no ids */
		HEAD GROUPS TAIL "Seccomp:\t\n", /* no value */
		HEAD GROUPS TAIL "Seccomp:\t99999999999\n",
		HEAD GROUPS TAIL "Uid:\t1 2 3\n",
		HEAD GROUPS TAIL "Uid:\t1 2 3 4294967296\n",
		HEAD GROUPS TAIL "NoNewPrivs:\t2\n",
		HEAD GROUPS TAIL "SigPnd:\t10000000000000000\n",
		HEAD GROUPS TAIL "Groups:\t1 x\n",
		HEAD GROUPS TAIL "NSpid:\t1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 "
				 "1 1 1 1 1 1\n",
		HEAD GROUPS TAIL "Speculation_Store_Bypass:\t"
				 "0123456789012345678901234567890123456789\n",
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct proc_status s = {.tgid = 77};

		assert_int_equal(parse_status(texts[i], *state, &s), -EBADMSG);
		assert_int_equal(s.tgid, 77);
	}
}

static void most_groups(void **state)
{
	enum { N = 65536 };
	_cleanup_strbuf_ struct strbuf text = {};
	struct proc_status s;

	strbuf_puts(&text, HEAD "Groups:\t");
	for (unsigned int i = 0; i < N; i++)
		strbuf_printf(&text, "%u ", 4294900000u + i);
	strbuf_puts(&text, "\n" TAIL);
	assert_int_equal(parse_status(strbuf_text(&text), *state, &s), 0);
	assert_int_equal(s.n_groups, N);
	assert_int_equal(s.groups[N - 1], 4294900000u + N - 1);
}

static void own(void **state)
{
	_cleanup_close_ int fd = -EBADF;
	struct proc_status s;

	assert_int_equal(proc_open(getpid(), &fd), 0);
	assert_int_equal(proc_read_status(fd, *state, &s), 0);
	assert_int_equal(s.tgid, getpid());
	assert_int_equal(s.uid[1], geteuid());
	assert_true(s.ns_pid.n >= 1);
	assert_int_equal(s.ns_pid.id[s.ns_pid.n - 1], getpid());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields),  cmocka_unit_test(absent_lines),
		cmocka_unit_test(refused), cmocka_unit_test(most_groups),
		cmocka_unit_test(own),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
