/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keyrings of a task (keyrings(7)).
 *
 * Those of the thread and of the process live as long as the task, with the keys in them: refused, as
 * is the authority to construct a key, which the kernel's helpers for request_key(2) assume.
 * Where requested keys go is kept, unless it is one of those.
 *
 * The session keyring is kept where it is the default one of the task's user, or the one that
 * coppice itself has: a restored program then has that of the coppice that restores it, as it is in
 * its session and on its terminal. One of its own is refused.
 *
 * It cannot be asked for by name: a task that has none would get the default one for good. So the
 * task is asked whether it may search a keyring that only those may search who possess it: one in
 * the default session keyring of its user (witness.c), and coppice's own session keyring. Nothing
 * is in either, so -ENOKEY says yes; -EACCES says no.
 */
#include "task/keyring.h"

#include <errno.h>
#include <linux/keyctl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kind/task.h"
#include "task/surroundings.h"
#include "task/witness.h"

static const struct {
	int32_t id;
	const char *name;
} own_keyrings[] = {
	{KEY_SPEC_THREAD_KEYRING, "thread keyring"},
	{KEY_SPEC_PROCESS_KEYRING, "process keyring"},
	{KEY_SPEC_REQKEY_AUTH_KEY, "key to construct (KEYCTL_ASSUME_AUTHORITY)"},
};

enum { ASK_DEFAULT = ARRAY_SIZE(own_keyrings), ASK_COPPICE, ASK_REQUESTED };

/* ---- the coordinator's own ------------------------------------------------------------------ */

static long keyctl(int operation, long a, const void *b, const void *c, long d)
{
	long r = syscall(SYS_keyctl, operation, a, b, c, d);

	return r < 0 ? -errno : r;
}

int keyring_own_session(struct context *ctx, int32_t *ret)
{
	int32_t key = witness_key_make();
	long r;

	*ret = 0;
	if (key == 0)
		return 0;
	if (key < 0)
		return err_sys(ctx, key, "add_key(keyring)");
	r = keyctl(KEYCTL_SEARCH, key, "keyring", "none", 0);
	witness_key_drop(key);
	if (r == -ENOKEY)
		return 0;
	if (r != -EACCES)
		return err_sys(ctx, (int)r, "keyctl(KEYCTL_SEARCH)");
	/* It has one, so asking installs none. */
	r = keyctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, NULL, NULL, 0);
	if (r < 0)
		return err_sys(ctx, (int)r, "keyctl(KEYCTL_GET_KEYRING_ID)");
	*ret = (int32_t)r;
	return 0;
}

/* ---- dump ----------------------------------------------------------------------------------- */

/* Everything that can fail: the asking phase itself cannot. */
static int collect_thread(struct collect *c, struct collect_thread *th)
{
	const struct surroundings *s;
	int r = surroundings_get(c->ctx, c->arena, &c->surroundings, &s);

	return r < 0 ? r : witness_key_of(c, th, &th->witness_key);
}

static void ask_search(struct call_table *t, int32_t keyring)
{
	uint32_t type = call_string(t, "keyring");
	uint32_t name = call_string(t, "none");

	call_expect_any(t, call_add(t, "keyctl(KEYCTL_SEARCH)", SYS_keyctl, CALL_IMM(KEYCTL_SEARCH),
				    CALL_IMM(keyring), CALL_DATA(type), CALL_DATA(name)));
}

/* A keyring of number 0 does not exist: -EINVAL. */
static void ask_thread(struct collect *c, struct collect_thread *th, struct call_table *t)
{
	for (size_t i = 0; i < ARRAY_SIZE(own_keyrings); i++)
		call_expect_any(t, call_add(t, "keyctl(KEYCTL_GET_KEYRING_ID)", SYS_keyctl,
					    CALL_IMM(KEYCTL_GET_KEYRING_ID),
					    CALL_IMM((int64_t)own_keyrings[i].id), CALL_IMM(0)));
	ask_search(t, th->witness_key);
	ask_search(t, c->surroundings->session_keyring);
	call_expect_any(t, call_add(t, "keyctl(KEYCTL_SET_REQKEY_KEYRING)", SYS_keyctl,
				    CALL_IMM(KEYCTL_SET_REQKEY_KEYRING),
				    CALL_IMM((int64_t)KEY_REQKEY_DEFL_NO_CHANGE)));
}

/* To ask for keys to go into a keyring of one's own makes one. */
static int reply_requested(struct collect *c, struct collect_thread *th, int64_t result)
{
	if (result < 0)
		return err_sys(c->ctx, (int)result, "keyctl(KEYCTL_SET_REQKEY_KEYRING)");
	th->msg->requested_keys = (uint32_t)result;
	if (result != KEY_REQKEY_DEFL_THREAD_KEYRING && result != KEY_REQKEY_DEFL_PROCESS_KEYRING)
		return 0;
	return collect_refuse(c, "have it set another place (KEYCTL_SET_REQKEY_KEYRING)",
			      "%s, thread %d: has requested keys put into a keyring of its own",
			      collect_name(c, th->process), th->tid);
}

static int reply_session(struct collect *c, struct collect_thread *th, struct call_table *t,
			 uint32_t first)
{
	if (call_result(t, first + ASK_DEFAULT) == -ENOKEY)
		return 0;
	if (call_result(t, first + ASK_COPPICE) == -ENOKEY) {
		th->msg->session_keyring = COPPICE__SESSION_KEYRING__SESSION_KEYRING_COPPICE;
		return 0;
	}
	return collect_refuse(
		c, "a service of systemd gets none with KeyringMode=inherit",
		"%s, thread %d: has a session keyring of its own, which would be lost",
		collect_name(c, th->process), th->tid);
}

/* -ENOKEY: it has none. */
static int reply_thread(struct collect *c, struct collect_thread *th, struct call_table *t,
			uint32_t first)
{
	int r = 0;

	if (th->witness_key == 0)
		return 0; /* a kernel without keys */
	for (uint32_t i = 0; i < ARRAY_SIZE(own_keyrings) && r >= 0; i++)
		if (call_result(t, first + i) != -ENOKEY)
			r = collect_refuse(c, NULL, "%s, thread %d: has a %s, which would be lost",
					   collect_name(c, th->process), th->tid,
					   own_keyrings[i].name);
	if (r >= 0)
		r = reply_requested(c, th, call_result(t, first + ASK_REQUESTED));
	return r < 0 ? r : reply_session(c, th, t, first);
}

/* ---- restore -------------------------------------------------------------------------------- */

static bool has_coppices(const Coppice__Thread *msg)
{
	return msg->session_keyring == COPPICE__SESSION_KEYRING__SESSION_KEYRING_COPPICE;
}

static int check(struct rebuild *r, const struct rebuild_process *p)
{
	const struct surroundings *s;
	int rc = surroundings_get(r->ctx, r->arena, &r->surroundings, &s);

	for (size_t i = 0; i < p->msg->n_threads && rc >= 0; i++)
		if (has_coppices(p->msg->threads[i]) && !s->session_keyring)
			rc = rebuild_refuse(r, "run coppice from a login session",
					    "%s, thread %d: had the session keyring of its login "
					    "session, and coppice has none to give it",
					    rebuild_name(r, p), p->msg->threads[i]->tid[0]);
	return rc;
}

/*
 * Stubs have coppice's own. The way back to the default one is to join it by its name, which is
 * looked for among those that the thread, as its own user by now, may search.
 */
static int add_session(struct rebuild *r, struct rebuild_thread *th, struct call_table *t)
{
	const struct surroundings *s;
	char name[32];
	uint32_t at;
	int rc = surroundings_get(r->ctx, r->arena, &r->surroundings, &s);

	if (rc < 0 || s->session_keyring == 0 || has_coppices(th->msg))
		return rc;
	(void)snprintf(name, sizeof(name), "_uid_ses.%u", th->msg->creds->uid);
	at = call_string(t, name);
	/* Makes it, if nobody has used it yet. */
	call_add(t, "keyctl(KEYCTL_GET_KEYRING_ID)", SYS_keyctl, CALL_IMM(KEYCTL_GET_KEYRING_ID),
		 CALL_IMM((int64_t)KEY_SPEC_USER_SESSION_KEYRING), CALL_IMM(0));
	call_add(t, "keyctl(KEYCTL_JOIN_SESSION_KEYRING)", SYS_keyctl,
		 CALL_IMM(KEYCTL_JOIN_SESSION_KEYRING), CALL_DATA(at));
	return 0;
}

static int last_thread(struct rebuild *r, struct rebuild_thread *th, struct call_table *t)
{
	long own = keyctl(KEYCTL_SET_REQKEY_KEYRING, KEY_REQKEY_DEFL_NO_CHANGE, NULL, NULL, 0);

	if (own >= 0 && (uint32_t)own != th->msg->requested_keys)
		call_add(t, "keyctl(KEYCTL_SET_REQKEY_KEYRING)", SYS_keyctl,
			 CALL_IMM(KEYCTL_SET_REQKEY_KEYRING), CALL_IMM(th->msg->requested_keys));
	return add_session(r, th, t);
}

const struct task_aspect aspect_keyring = {
	.name = "keyrings",
	.collect_thread = collect_thread,
	.ask_thread = ask_thread,
	.reply_thread = reply_thread,
	.check = check,
	.last_thread = last_thread,
};
