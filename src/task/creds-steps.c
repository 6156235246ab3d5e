/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calls that lead from one set of credentials to another, in the order that the kernel's
 * checks demand (capabilities(7), credentials(7), security/commoncap.c):
 *
 *  1. SECBIT_NO_SETUID_FIXUP, or the uid changes would take the capabilities along;
 *  2. groups, gids, uids; the fs ids after the others, which set them too;
 *  3. the inheritable set while the bounding set is whole, as nothing outside it can be added,
 *     though a task may well have dropped a capability from the bounding set afterwards;
 *  4. the ambient set: needs permitted and inheritable, and SECBIT_NO_CAP_AMBIENT_RAISE not set;
 *  5. the bounding set and the securebits with their locks: both need CAP_SETPCAP, so
 *  6. permitted and effective come last;
 *  7. no_new_privs, which nothing above minds.
 */
#include <linux/capability.h>
#include <linux/securebits.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "task/caps.h"
#include "task/creds.h"
#include "util/strbuf.h"

#define BIT(n) (UINT64_C(1) << (n))

enum { ALL_CAPS = 64 };

void creds_from_status(const struct proc_status *status, Coppice__Creds *ret)
{
	coppice__creds__init(ret);
	ret->uid = status->uid[0];
	ret->euid = status->uid[1];
	ret->suid = status->uid[2];
	ret->fsuid = status->uid[3];
	ret->gid = status->gid[0];
	ret->egid = status->gid[1];
	ret->sgid = status->gid[2];
	ret->fsgid = status->gid[3];
	ret->groups = status->groups;
	ret->n_groups = status->n_groups;
	ret->cap_inheritable = status->cap_inheritable;
	ret->cap_permitted = status->cap_permitted;
	ret->cap_effective = status->cap_effective;
	ret->cap_bounding = status->cap_bounding;
	ret->cap_ambient = status->cap_ambient;
	ret->no_new_privs = status->no_new_privs;
}

static bool same_uids(const Coppice__Creds *a, const Coppice__Creds *b)
{
	return a->uid == b->uid && a->euid == b->euid && a->suid == b->suid && a->fsuid == b->fsuid;
}

static bool same_gids(const Coppice__Creds *a, const Coppice__Creds *b)
{
	return a->gid == b->gid && a->egid == b->egid && a->sgid == b->sgid && a->fsgid == b->fsgid;
}

static bool same_groups(const Coppice__Creds *a, const Coppice__Creds *b)
{
	return a->n_groups == b->n_groups &&
	       (!a->n_groups || !memcmp(a->groups, b->groups, a->n_groups * sizeof(*a->groups)));
}

void creds_with_ids(const Coppice__Creds *have, const Coppice__Creds *want, Coppice__Creds *ret)
{
	*ret = *have;
	ret->uid = want->uid;
	ret->euid = want->euid;
	ret->suid = want->suid;
	ret->fsuid = want->fsuid;
	ret->gid = want->gid;
	ret->egid = want->egid;
	ret->sgid = want->sgid;
	ret->fsgid = want->fsgid;
	ret->groups = want->groups;
	ret->n_groups = want->n_groups;
}

void creds_joined(const Coppice__Creds *ids, uint64_t all_caps, Coppice__Creds *ret)
{
	*ret = *ids;
	ret->cap_inheritable = ret->cap_ambient = 0;
	ret->cap_permitted = ret->cap_effective = ret->cap_bounding = all_caps;
	ret->securebits = SECUREBITS_DEFAULT;
}

static bool same_caps(const Coppice__Creds *a, const Coppice__Creds *b)
{
	return a->cap_inheritable == b->cap_inheritable && a->cap_permitted == b->cap_permitted &&
	       a->cap_effective == b->cap_effective;
}

bool creds_equal(const Coppice__Creds *a, const Coppice__Creds *b)
{
	return same_uids(a, b) && same_gids(a, b) && same_groups(a, b) && same_caps(a, b) &&
	       a->cap_bounding == b->cap_bounding && a->cap_ambient == b->cap_ambient &&
	       a->securebits == b->securebits && a->no_new_privs == b->no_new_privs;
}

static void add_securebits(struct call_table *t, uint32_t bits)
{
	call_add(t, "prctl(PR_SET_SECUREBITS)", SYS_prctl, CALL_IMM(PR_SET_SECUREBITS),
		 CALL_IMM(bits));
}

static void add_capset(struct call_table *t, uint64_t effective, uint64_t permitted,
		       uint64_t inheritable)
{
	const struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	const struct __user_cap_data_struct data[2] = {
		{(uint32_t)effective, (uint32_t)permitted, (uint32_t)inheritable},
		{(uint32_t)(effective >> 32), (uint32_t)(permitted >> 32),
		 (uint32_t)(inheritable >> 32)},
	};
	uint32_t header_at = call_space(t, &header, sizeof(header));
	uint32_t data_at = call_space(t, data, sizeof(data));

	call_add(t, "capset()", SYS_capset, CALL_DATA(header_at), CALL_DATA(data_at));
}

/* setfsuid and setfsgid report no error but the value before: a second call tells. */
static void add_fs_id(struct call_table *t, const char *what, uint64_t nr, uint32_t id)
{
	call_expect_any(t, call_add(t, what, nr, CALL_IMM(id)));
	call_expect_exact(t, call_add(t, what, nr, CALL_IMM(UINT32_MAX)), id);
}

static void add_ids(struct call_table *t, const Coppice__Creds *have, const Coppice__Creds *want)
{
	if (!same_groups(have, want)) {
		uint32_t at = want->n_groups ? call_space(t, want->groups,
							  want->n_groups * sizeof(*want->groups))
					     : 0;

		call_add(t, "setgroups()", SYS_setgroups, CALL_IMM(want->n_groups),
			 want->n_groups ? CALL_DATA(at) : CALL_IMM(0));
	}
	if (!same_gids(have, want)) {
		call_add(t, "setresgid()", SYS_setresgid, CALL_IMM(want->gid), CALL_IMM(want->egid),
			 CALL_IMM(want->sgid));
		add_fs_id(t, "setfsgid()", SYS_setfsgid, want->fsgid);
	}
	if (!same_uids(have, want)) {
		call_add(t, "setresuid()", SYS_setresuid, CALL_IMM(want->uid), CALL_IMM(want->euid),
			 CALL_IMM(want->suid));
		add_fs_id(t, "setfsuid()", SYS_setfsuid, want->fsuid);
	}
}

/* One prctl for each capability of @caps. */
static void add_each(struct call_table *t, const char *what, int option, uint64_t sub,
		     uint64_t caps)
{
	for (unsigned int cap = 0; cap < ALL_CAPS; cap++) {
		if (!(caps & BIT(cap)))
			continue;
		if (option == PR_CAP_AMBIENT)
			call_add(t, what, SYS_prctl, CALL_IMM(option), CALL_IMM(sub),
				 CALL_IMM(cap));
		else
			call_add(t, what, SYS_prctl, CALL_IMM(option), CALL_IMM(cap));
	}
}

void creds_add(struct call_table *t, const Coppice__Creds *have, const Coppice__Creds *want)
{
	uint32_t securebits = have->securebits;

	if (!same_uids(have, want) && !(securebits & SECBIT_NO_SETUID_FIXUP)) {
		securebits |= SECBIT_NO_SETUID_FIXUP;
		add_securebits(t, securebits);
	}
	add_ids(t, have, want);
	if (want->cap_inheritable != have->cap_inheritable)
		add_capset(t, have->cap_effective, have->cap_permitted, want->cap_inheritable);
	add_each(t, "prctl(PR_CAP_AMBIENT_LOWER)", PR_CAP_AMBIENT, PR_CAP_AMBIENT_LOWER,
		 have->cap_ambient & ~want->cap_ambient);
	add_each(t, "prctl(PR_CAP_AMBIENT_RAISE)", PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE,
		 want->cap_ambient & ~have->cap_ambient);
	add_each(t, "prctl(PR_CAPBSET_DROP)", PR_CAPBSET_DROP, 0,
		 have->cap_bounding & ~want->cap_bounding);
	if (want->securebits != securebits)
		add_securebits(t, want->securebits);
	if (want->cap_permitted != have->cap_permitted ||
	    want->cap_effective != have->cap_effective)
		add_capset(t, want->cap_effective, want->cap_permitted, want->cap_inheritable);
	if (want->no_new_privs && !have->no_new_privs)
		call_add(t, "prctl(PR_SET_NO_NEW_PRIVS)", SYS_prctl, CALL_IMM(PR_SET_NO_NEW_PRIVS),
			 CALL_IMM(1));
}

/* ---- what cannot be had -------------------------------------------------------------------- */

static void explain_caps(struct strbuf *why, const char *set, uint64_t missing)
{
	if (!missing)
		return;
	strbuf_printf(why, "%s%s capabilities ", why->len ? ", " : "", set);
	caps_format(why, missing);
}

static void explain_need(struct strbuf *why, const Coppice__Creds *have, unsigned int cap,
			 bool needed, const char *what)
{
	if (needed && !(have->cap_effective & BIT(cap)))
		strbuf_printf(why, "%s%s (needs %s)", why->len ? ", " : "", what, cap_name(cap));
}

void creds_explain(const Coppice__Creds *have, const Coppice__Creds *want, struct strbuf *why)
{
	/* Each lock is the bit above the one that it locks. */
	uint32_t locked = (have->securebits & SECURE_ALL_LOCKS) |
			  ((have->securebits & SECURE_ALL_LOCKS) >> 1);

	explain_caps(why, "permitted", want->cap_permitted & ~have->cap_permitted);
	explain_caps(why, "bounding", want->cap_bounding & ~have->cap_bounding);
	explain_caps(why, "inheritable",
		     want->cap_inheritable & ~(have->cap_inheritable | have->cap_bounding));
	explain_need(why, have, CAP_SETUID, !same_uids(have, want), "user ids");
	explain_need(why, have, CAP_SETGID, !same_gids(have, want) || !same_groups(have, want),
		     "group ids");
	explain_need(why, have, CAP_SETPCAP,
		     want->securebits != have->securebits || !same_uids(have, want) ||
			     (have->cap_bounding & ~want->cap_bounding),
		     "securebits and bounding set");
	if ((want->securebits ^ have->securebits) & locked)
		strbuf_printf(why, "%ssecurebits %#x", why->len ? ", " : "", want->securebits);
	if (have->no_new_privs && !want->no_new_privs)
		strbuf_printf(why, "%sno_new_privs off", why->len ? ", " : "");
}
