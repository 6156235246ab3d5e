/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Property test: for random credentials the calls of creds_add() lead from what a privileged stub
 * has to what is wanted, without a single refusal, by the rules of a model of
 * security/commoncap.c and kernel/sys.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>

#include "task/creds.h"
#include "util/arena.h"
#include "util/strbuf.h"

#define BIT(n) (UINT64_C(1) << (n))

enum { ROUNDS = 20000, GROUPS_MAX = 4, LAST_CAP = CAP_CHECKPOINT_RESTORE };

/* ---- the model kernel: each call returns what the kernel would ------------------------------ */

struct model {
	Coppice__Creds creds;
	uint32_t groups[GROUPS_MAX];
};

static bool can(const struct model *m, unsigned int cap)
{
	return m->creds.cap_effective & BIT(cap);
}

/* cap_task_fix_setuid(): what a change of uids does to the capabilities. */
static void fix_setuid(struct model *m, const Coppice__Creds *old)
{
	Coppice__Creds *c = &m->creds;
	bool was_root = !old->uid || !old->euid || !old->suid;

	if (c->securebits & SECBIT_NO_SETUID_FIXUP)
		return;
	if (was_root && c->uid && c->euid && c->suid) {
		if (!(c->securebits & SECBIT_KEEP_CAPS))
			c->cap_permitted = c->cap_effective = 0;
		c->cap_ambient = 0;
	}
	if (!old->euid && c->euid)
		c->cap_effective = 0;
	if (old->euid && !c->euid)
		c->cap_effective = c->cap_permitted;
}

static int64_t set_securebits(struct model *m, uint32_t bits)
{
	uint32_t old = m->creds.securebits;
	uint32_t locks = old & SECURE_ALL_LOCKS;

	if ((locks >> 1) & (old ^ bits) || locks & ~bits ||
	    bits & ~(SECURE_ALL_LOCKS | SECURE_ALL_BITS))
		return -1;
	if (!can(m, CAP_SETPCAP))
		return -1;
	m->creds.securebits = bits;
	return 0;
}

static int64_t set_caps(struct model *m, const struct __user_cap_data_struct *data)
{
	Coppice__Creds *c = &m->creds;
	uint64_t effective = data[0].effective | (uint64_t)data[1].effective << 32;
	uint64_t permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
	uint64_t inheritable = data[0].inheritable | (uint64_t)data[1].inheritable << 32;

	if (!can(m, CAP_SETPCAP) && inheritable & ~(c->cap_inheritable | c->cap_permitted))
		return -1;
	if (inheritable & ~(c->cap_inheritable | c->cap_bounding) ||
	    permitted & ~c->cap_permitted || effective & ~permitted)
		return -1;
	c->cap_effective = effective;
	c->cap_permitted = permitted;
	c->cap_inheritable = inheritable;
	c->cap_ambient &= permitted & inheritable;
	return 0;
}

static int64_t change_ambient(struct model *m, uint64_t op, uint64_t cap)
{
	Coppice__Creds *c = &m->creds;

	if (op == PR_CAP_AMBIENT_LOWER) {
		c->cap_ambient &= ~BIT(cap);
		return 0;
	}
	if (c->securebits & SECBIT_NO_CAP_AMBIENT_RAISE ||
	    !(c->cap_permitted & c->cap_inheritable & BIT(cap)))
		return -1;
	c->cap_ambient |= BIT(cap);
	return 0;
}

static int64_t do_prctl(struct model *m, const uint64_t arg[6])
{
	switch (arg[0]) {
	case PR_SET_SECUREBITS:
		return set_securebits(m, (uint32_t)arg[1]);
	case PR_CAP_AMBIENT:
		return change_ambient(m, arg[1], arg[2]);
	case PR_CAPBSET_DROP:
		if (!can(m, CAP_SETPCAP) || arg[1] > LAST_CAP)
			return -1;
		m->creds.cap_bounding &= ~BIT(arg[1]);
		return 0;
	case PR_SET_NO_NEW_PRIVS:
		m->creds.no_new_privs = true;
		return 0;
	default:
		return -1;
	}
}

static int64_t set_groups(struct model *m, uint64_t n, const uint32_t *groups)
{
	if (!can(m, CAP_SETGID))
		return -1;
	m->creds.n_groups = n;
	if (n)
		memcpy(m->groups, groups, n * sizeof(*groups));
	return 0;
}

static int64_t set_uids(struct model *m, const uint64_t arg[6])
{
	const Coppice__Creds old = m->creds;

	if (!can(m, CAP_SETUID))
		return -1;
	m->creds.uid = (uint32_t)arg[0];
	m->creds.euid = m->creds.fsuid = (uint32_t)arg[1];
	m->creds.suid = (uint32_t)arg[2];
	fix_setuid(m, &old);
	return 0;
}

static int64_t set_gids(struct model *m, const uint64_t arg[6])
{
	if (!can(m, CAP_SETGID))
		return -1;
	m->creds.gid = (uint32_t)arg[0];
	m->creds.egid = m->creds.fsgid = (uint32_t)arg[1];
	m->creds.sgid = (uint32_t)arg[2];
	return 0;
}

static int64_t set_fs_id(struct model *m, uint32_t *id, unsigned int cap, uint64_t value)
{
	uint32_t old = *id;

	if ((uint32_t)value != UINT32_MAX && can(m, cap))
		*id = (uint32_t)value;
	return old;
}

static int64_t execute(struct model *m, const struct call *call, const uint64_t arg[6])
{
	switch (call->nr) {
	case SYS_prctl:
		return do_prctl(m, arg);
	case SYS_capset:
		return set_caps(m, (const void *)(uintptr_t)arg[1]);
	case SYS_setgroups:
		return set_groups(m, arg[0], (const void *)(uintptr_t)arg[1]);
	case SYS_setresuid:
		return set_uids(m, arg);
	case SYS_setresgid:
		return set_gids(m, arg);
	case SYS_setfsuid:
		return set_fs_id(m, &m->creds.fsuid, CAP_SETUID, arg[0]);
	case SYS_setfsgid:
		return set_fs_id(m, &m->creds.fsgid, CAP_SETGID, arg[0]);
	default:
		return -1;
	}
}

static void execute_all(struct model *m, struct call_table *t)
{
	for (size_t i = 0; i < t->n_calls; i++) {
		const struct call *call = &t->calls[i];
		uint64_t arg[6];
		int64_t result;

		for (int k = 0; k < 6; k++)
			arg[k] = call->arg[k].kind == CALL_ARG_DATA
					 ? (uint64_t)(uintptr_t)call_bytes(
						   t, (uint32_t)call->arg[k].value)
					 : call->arg[k].value;
		result = execute(m, call, arg);
		if (call->expect == CALL_EXACT && result != call->want)
			fail_msg("%s: %lld", call->what, (long long)result);
		if (call->expect == CALL_SUCCESS && result < 0)
			fail_msg("%s was refused", call->what);
	}
}

/* ---- random credentials -------------------------------------------------------------------- */

static uint64_t state;

static uint64_t next_random(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static uint32_t random_id(void)
{
	static const uint32_t ids[] = {0, 0, 1, 1000, 65534, 4000000000U};

	return ids[next_random() % (sizeof(ids) / sizeof(*ids))];
}

static uint64_t random_caps(uint64_t within)
{
	switch (next_random() % 4) {
	case 0:
		return 0;
	case 1:
		return within;
	default:
		return next_random() & within;
	}
}

static void random_creds(Coppice__Creds *c, uint32_t *groups, uint64_t all)
{
	coppice__creds__init(c);
	c->uid = random_id();
	c->euid = random_id();
	c->suid = random_id();
	c->fsuid = next_random() % 2 ? c->euid : random_id();
	c->gid = random_id();
	c->egid = random_id();
	c->sgid = random_id();
	c->fsgid = next_random() % 2 ? c->egid : random_id();
	c->groups = groups;
	c->n_groups = next_random() % (GROUPS_MAX + 1);
	for (size_t i = 0; i < c->n_groups; i++)
		groups[i] = random_id();
	c->cap_permitted = random_caps(all);
	c->cap_effective = random_caps(c->cap_permitted);
	c->cap_inheritable = random_caps(all);
	c->cap_bounding = random_caps(all);
	c->cap_ambient = random_caps(c->cap_permitted & c->cap_inheritable);
	c->securebits = (uint32_t)next_random() & (SECURE_ALL_LOCKS | SECURE_ALL_BITS);
	c->no_new_privs = next_random() % 2;
}

static void init_stub(struct model *m, uint64_t all)
{
	memset(m, 0, sizeof(*m));
	coppice__creds__init(&m->creds);
	m->creds.groups = m->groups;
	m->creds.cap_permitted = m->creds.cap_effective = m->creds.cap_bounding = all;
}

/* ---- the tests ----------------------------------------------------------------------------- */

static void test_any_is_reached(void **unused)
{
	uint64_t seed = (uint64_t)time(NULL) | 1;

	(void)unused;
	print_message("seed %llu\n", (unsigned long long)seed);
	state = seed;
	for (int i = 0; i < ROUNDS; i++) {
		/* All but CAP_SYS_RESOURCE, as in many a container, or all. */
		uint64_t all =
			(BIT(LAST_CAP + 1) - 1) & ~(next_random() % 2 ? BIT(CAP_SYS_RESOURCE) : 0);
		uint32_t groups[GROUPS_MAX];
		Coppice__Creds want;
		struct call_table t;
		struct arena arena;
		struct model m;

		arena_init(&arena, NULL);
		call_table_init(&t, &arena);
		init_stub(&m, all);
		random_creds(&want, groups, all);
		creds_add(&t, &m.creds, &want);
		assert_false(t.failed);
		execute_all(&m, &t);
		if (!creds_equal(&m.creds, &want))
			fail_msg("round %d", i);
		arena_deinit(&arena);
	}
}

static void test_nothing_to_do(void **unused)
{
	struct call_table t;
	struct arena arena;
	struct model m;

	(void)unused;
	arena_init(&arena, NULL);
	call_table_init(&t, &arena);
	init_stub(&m, BIT(LAST_CAP + 1) - 1);
	creds_add(&t, &m.creds, &m.creds);
	assert_int_equal(t.n_calls, 0);
	arena_deinit(&arena);
}

static void test_explained(void **unused)
{
	_cleanup_strbuf_ struct strbuf why = {0}, none = {0};
	struct model have, want;

	(void)unused;
	init_stub(&have, BIT(LAST_CAP + 1) - 1);
	init_stub(&want, BIT(LAST_CAP + 1) - 1);
	creds_explain(&have.creds, &want.creds, &none);
	assert_int_equal(none.len, 0);
	have.creds.cap_permitted &= ~BIT(CAP_SYS_RESOURCE);
	have.creds.no_new_privs = true;
	creds_explain(&have.creds, &want.creds, &why);
	assert_string_equal(strbuf_text(&why),
			    "permitted capabilities CAP_SYS_RESOURCE, no_new_privs off");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_is_reached),
		cmocka_unit_test(test_nothing_to_do),
		cmocka_unit_test(test_explained),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
