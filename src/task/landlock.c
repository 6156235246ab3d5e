/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Landlock domains. The kernel shows nowhere whether a task is in one, and lets nobody put a task
 * into an existing one; but every domain, whatever it restricts, forbids its tasks to look into a
 * process outside it (hook_ptrace_access_check() in security/landlock). So each thread is asked for
 * something that needs such a look and has no effect, get_robust_list(2) of a witness: a process
 * outside any domain whose user and privileges permit the thread to look. EPERM then means a domain,
 * or another security module that keeps the two apart, and the dump is refused.
 *
 * The coordinator is the witness where its own privileges allow; else a child of it is (witness.c).
 * A thread in another PID namespace has no number for it, but can be lent a pidfd, and asks for a
 * descriptor that nobody has: pidfd_getfd(2) looks first, -EBADF means that it was allowed.
 *
 * That the coordinator is outside any domain is made sure of by a task that shares its memory and
 * adds layers to its own domain: the kernel allows 16 (LANDLOCK_MAX_NUM_LAYERS).
 */
#include "task/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/sys.h"
#include "kind/task.h"
#include "task/surroundings.h"
#include "task/witness.h"
#include "util/cleanup.h"

/* ---- the coordinator's own domain ----------------------------------------------------------- */

enum { LAYERS_MAX = 16, STACK_SIZE = 64 * 1024 };

struct layers {
	int ruleset;
	unsigned int added;
};

/* Runs in a task of its own, whose domain dies with it; only its memory is the coordinator's. */
static int add_layers(void *data)
{
	struct layers *layers = data;

	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	while (layers->added < LAYERS_MAX &&
	       syscall(__NR_landlock_restrict_self, layers->ruleset, 0) == 0)
		layers->added++;
	return 0;
}

int landlock_own_layers(struct context *ctx, unsigned int *ret)
{
	const struct landlock_ruleset_attr attr = {.handled_access_fs = LANDLOCK_ACCESS_FS_EXECUTE};
	_cleanup_free_ char *stack = NULL;
	_cleanup_close_ int ruleset = -EBADF;
	struct layers layers = {0};
	pid_t pid;

	ruleset = (int)syscall(__NR_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (ruleset < 0)
		return err_sys(ctx, -errno, "landlock_create_ruleset()");
	stack = malloc(STACK_SIZE);
	if (!stack)
		return err_oom(ctx);
	layers.ruleset = ruleset;
	pid = clone(add_layers, stack + STACK_SIZE, CLONE_VM | CLONE_VFORK, &layers);
	if (pid < 0)
		return err_sys(ctx, -errno, "clone(CLONE_VM | CLONE_VFORK)");
	while (waitpid(pid, NULL, __WALL) < 0) /* it sends no SIGCHLD */
		if (errno != EINTR)
			return err_sys(ctx, -errno, "waitpid(%d)", pid);
	*ret = LAYERS_MAX - layers.added;
	return 0;
}

/* ---- whom to look at ------------------------------------------------------------------------- */

static uint64_t own_permitted(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &header, data) < 0)
		return ~UINT64_C(0);
	return data[0].permitted | (uint64_t)data[1].permitted << 32;
}

/* May the thread look into the coordinator, as far as credentials go? (__ptrace_may_access()) */
static bool may_look_at_us(const struct proc_status *status)
{
	uid_t uid[3];
	gid_t gid[3];

	if (status->cap_effective >> CAP_SYS_PTRACE & 1)
		return true;
	if (getresuid(&uid[0], &uid[1], &uid[2]) < 0 || getresgid(&gid[0], &gid[1], &gid[2]) < 0)
		return false;
	for (int i = 0; i < 3; i++)
		if (uid[i] != status->uid[0] || gid[i] != status->gid[0])
			return false;
	return (own_permitted() & ~status->cap_permitted) == 0 &&
	       prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 1;
}

static int find_witness(struct collect *c, const struct collect_thread *th, pid_t *ret)
{
	const struct witness *witness;
	int same = witness_same_user_ns(c, th), r;

	if (same < 0)
		return same;
	if (same && may_look_at_us(&th->status)) {
		*ret = getpid();
		return 0;
	}
	r = witness_find(c, th, &witness);
	if (r >= 0)
		*ret = witness->pid;
	return r;
}

/* ---- asking --------------------------------------------------------------------------------- */

/* What the thread got when it looked; @right is what one outside any domain gets. */
static int judge(struct collect *c, const struct collect_thread *th, const char *call,
		 int64_t result, int64_t right)
{
	if (result == right)
		return 0;
	if (result == -EPERM)
		return collect_refuse(c, NULL,
				      "%s, thread %d: is in a Landlock domain, or confined by "
				      "another security module; it could not be put back into it",
				      collect_name(c, th->process), th->tid);
	return collect_refuse(c, NULL,
			      "%s, thread %d: whether it is in a Landlock domain cannot be found "
			      "out (%s: %s)",
			      collect_name(c, th->process), th->tid, call, err_name((int)result));
}

static bool sees_us(const struct collect_thread *th)
{
	return th->status.ns_pid.n == 1;
}

static int look_from_inside(struct collect *c, struct collect_thread *th)
{
	_cleanup_close_ int pidfd = sys_pidfd_open(th->landlock_witness, 0);
	struct puppet_loan loan;
	int64_t result;
	int r;

	if (pidfd < 0)
		return err_sys(c->ctx, pidfd, "pidfd_open(%d)", th->landlock_witness);
	r = puppet_lend(c->ctx, th->process->puppet, pidfd, &loan);
	if (r < 0)
		return r;
	result = puppet_call(c->ctx, th->puppet, "pidfd_getfd()", SYS_pidfd_getfd,
			     (const struct call_arg[6]){CALL_IMM(loan.fd), CALL_IMM(-1)});
	err_clear(c->ctx); /* it always fails */
	r = puppet_take_back(c->ctx, &loan, 0);
	return r < 0 ? r : judge(c, th, "pidfd_getfd", result, -EBADF);
}

/* Everything that can fail: the asking phase itself cannot. */
static int collect_thread(struct collect *c, struct collect_thread *th)
{
	const struct surroundings *s;
	int r = surroundings_get(c->ctx, c->arena, &c->surroundings, &s);

	if (r < 0 || !s->landlock)
		return r;
	if (s->landlock_layers > 0)
		return collect_refuse(c, "run coppice outside the Landlock domain",
				      "%s, thread %d: whether it is in a Landlock domain cannot be "
				      "found out from inside another one",
				      collect_name(c, th->process), th->tid);
	r = find_witness(c, th, &th->landlock_witness);
	return r < 0 || sees_us(th) ? r : look_from_inside(c, th);
}

static void ask_thread(struct collect *c _unused_, struct collect_thread *th, struct call_table *t)
{
	uint32_t head = call_space(t, NULL, sizeof(uint64_t));
	uint32_t len = call_space(t, NULL, sizeof(uint64_t));

	if (th->landlock_witness && sees_us(th))
		call_expect_any(t, call_add(t, "get_robust_list()", SYS_get_robust_list,
					    CALL_IMM(th->landlock_witness), CALL_DATA(head),
					    CALL_DATA(len)));
}

static int reply_thread(struct collect *c, struct collect_thread *th, struct call_table *t,
			uint32_t first)
{
	if (!th->landlock_witness || !sees_us(th))
		return 0;
	return judge(c, th, "get_robust_list", call_result(t, first), 0);
}

static int check(struct rebuild *r, const struct rebuild_process *p)
{
	const struct surroundings *s;
	int rc = surroundings_get(r->ctx, r->arena, &r->surroundings, &s);

	if (rc < 0 || s->landlock_layers == 0 || p->msg->n_threads == 0)
		return rc;
	return rebuild_refuse(r, "run coppice outside it",
			      "%s: would inherit the Landlock domain that coppice itself is in",
			      rebuild_name(r, p));
}

const struct task_aspect aspect_landlock = {
	.name = "Landlock domain",
	.collect_thread = collect_thread,
	.ask_thread = ask_thread,
	.reply_thread = reply_thread,
	.check = check,
};
