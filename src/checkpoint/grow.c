/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/grow.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "checkpoint/grow-steps.h"
#include "checkpoint/rebuild.h"
#include "file/inode.h"
#include "file/place.h"
#include "image/reader.h"
#include "puppet/deaths.h"
#include "util/cleanup.h"
#include "util/macro.h"

/* ---- the record of what was made ----------------------------------------------------------- */

const char *grown_name(struct grown *g, uint32_t process)
{
	const struct grown_process *p = &g->processes[process];
	const char *name;

	if (p->rebuild)
		return rebuild_name(g->rebuild, p->rebuild);
	name = arena_printf(&g->arena, "%s %d",
			    p->plan->role == PLAN_ROLE_LEADER ? "dead leader" : "scaffold",
			    p->number ? p->number : p->plan->pid[0]);
	return name ? name : "scaffold";
}

int grown_add_task(struct grown *g, struct puppet *puppet)
{
	struct puppet **slot = arena_append(&g->arena, &g->tasks, &g->n_tasks, sizeof(*slot));

	if (slot) {
		*slot = puppet;
		return 0;
	}
	puppet_kill(puppet);
	puppet_free(puppet);
	return err_oom(g->ctx);
}

static int compare_numbers(const void *a, const void *b)
{
	pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;

	return (x > y) - (x < y);
}

bool grown_needs(const struct grown *g, pid_t number)
{
	return bsearch(&number, g->numbers, g->n_numbers, sizeof(number), compare_numbers);
}

static int add_number(struct grown *g, pid_t number)
{
	pid_t *slot = arena_append(&g->arena, &g->numbers, &g->n_numbers, sizeof(*slot));

	if (!slot)
		return err_oom(g->ctx);
	*slot = number;
	return 0;
}

/* All numbers that the plan and the threads will ask for where others have theirs, too. */
static int collect_numbers(struct grown *g)
{
	int r = 0;

	if (g->container)
		return 0;

	for (size_t i = 0; r == 0 && i < g->plan->n_processes; i++)
		r = add_number(g, g->plan->processes[i].pid[0]);
	for (size_t i = 0; i < g->rebuild->n_processes; i++) {
		const struct rebuild_process *p = &g->rebuild->processes[i];

		for (size_t k = 0; r == 0 && k < p->n_threads; k++)
			r = add_number(g, p->threads[k].msg->tid[0]);
	}
	if (r == 0)
		qsort(g->numbers, g->n_numbers, sizeof(*g->numbers), compare_numbers);
	return r;
}

/*
 * Where the plan makes @index by forks that lead back to the process it shares pages with, the
 * first of those forks must wait until that process has its memory.
 */
static void mark_fill(struct grown *g, uint32_t index)
{
	const struct rebuild_process *p = g->processes[index].rebuild;
	uint32_t child = index;

	if (!p || p->msg->cow_parent == 0)
		return;
	while (child != PLAN_NONE) {
		uint32_t forker = g->processes[child].forker;
		struct rebuild_process *source =
			forker == PLAN_NONE ? NULL : g->processes[forker].rebuild;

		if (source && source->msg->id == p->msg->cow_parent)
			g->processes[child].fill_first = source;
		child = forker;
	}
}

static int init_pid_ns(struct grown *g)
{
	size_t n = MAX(g->rebuild->cp->n_pid_namespaces, (size_t)1);

	g->pid_ns = arena_new_n(&g->arena, int, n);
	if (!g->pid_ns)
		return err_oom(g->ctx);
	g->n_pid_ns = n;
	for (size_t i = 0; i < n; i++)
		g->pid_ns[i] = -EBADF;
	return 0;
}

static int init_processes(struct grown *g)
{
	const struct plan *plan = g->plan;
	int r = init_pid_ns(g);

	if (r < 0)
		return r;
	g->container = plan->processes[0].pid[0] == 1;
	g->processes = arena_new_n(&g->arena, struct grown_process, plan->n_processes);
	if (!g->processes)
		return err_oom(g->ctx);
	for (size_t i = 0; i < plan->n_processes; i++) {
		const struct plan_process *p = &plan->processes[i];

		g->processes[i].plan = p;
		g->processes[i].forker = PLAN_NONE;
		g->processes[i].children_ns = p->pid_ns;
		if (p->id > 0)
			g->processes[i].rebuild = &g->rebuild->processes[p->id - 1];
	}
	for (size_t i = 0; i < plan->n_steps; i++)
		if (plan->steps[i].op == PLAN_CLONE)
			g->processes[plan->steps[i].child].forker = plan->steps[i].process;
	for (uint32_t i = 0; i < plan->n_processes; i++)
		mark_fill(g, i);
	return collect_numbers(g);
}

static int grown_new(struct rebuild *r, const struct plan *plan, struct grown **ret_grown)
{
	struct grown *g = calloc(1, sizeof(*g));
	int rc;

	if (!g)
		return err_oom(r->ctx);
	g->ctx = r->ctx;
	g->rebuild = r;
	g->plan = plan;
	arena_init(&g->arena, r->ctx);
	rc = init_processes(g);
	if (rc < 0) {
		grown_free(g);
		return rc;
	}
	*ret_grown = g;
	return 0;
}

/* ---- on one CPU ---------------------------------------------------------------------------- */

/*
 * Every round trip between the coordinator and a stub is twice as fast on one CPU. Stubs inherit
 * the coordinator's affinity.
 */
static bool pin(cpu_set_t *ret_before)
{
	int cpu = sched_getcpu();
	cpu_set_t one;

	CPU_ZERO(&one);
	if (cpu < 0 || cpu >= CPU_SETSIZE)
		return false;
	CPU_SET(cpu, &one);
	return sched_getaffinity(0, sizeof(*ret_before), ret_before) == 0 &&
	       sched_setaffinity(0, sizeof(one), &one) == 0;
}

/* From here on the stubs work at once. Failures cost time, no more; aspects set the final mask. */
static void unpin(const struct grown *g, const cpu_set_t *before)
{
	(void)sched_setaffinity(0, sizeof(*before), before);
	for (size_t i = 0; g && i < g->n_tasks; i++)
		if (g->tasks[i]->state == PUPPET_LOOP)
			(void)sched_setaffinity(g->tasks[i]->tid, sizeof(*before), before);
}

/* The plan was replayed on the model; this is the last look at the real thing. */
static int check_complete(struct grown *g)
{
	for (uint32_t i = 0; i < g->plan->n_processes; i++) {
		const struct grown_process *p = &g->processes[i];
		bool wanted = p->rebuild &&
			      p->rebuild->msg->state != COPPICE__RUN_STATE__RUN_STATE_ZOMBIE;

		if (wanted != (p->puppet != NULL))
			return err_msg(g->ctx, -EPROTO, "the plan ends with %s %s",
				       grown_name(g, i), wanted ? "missing" : "still there");
	}
	return 0;
}

/* ---- the whole ----------------------------------------------------------------------------- */

int grow(struct rebuild *r, const struct plan *plan, struct grown **ret_grown)
{
	struct grown *g = NULL;
	cpu_set_t before;
	int subreaper = 0;
	bool pinned;
	int rc;

	rc = grown_new(r, plan, &g);
	if (rc < 0)
		return rc;
	pinned = pin(&before);
	(void)prctl(PR_GET_CHILD_SUBREAPER, &subreaper); /* the plan may change it */
	rc = grow_user_namespaces(g);
	if (rc == 0)
		rc = grow_root(g);
	if (rc == 0)
		rc = grow_steps(g);
	if (rc == 0)
		rc = grow_end_leaders(g);
	if (rc == 0)
		rc = check_complete(g);
	if (rc == 0)
		rc = grow_finish(g);
	if (rc == 0)
		rc = grow_numbers(g);
	(void)prctl(PR_SET_CHILD_SUBREAPER, subreaper);
	if (pinned)
		unpin(g, &before);
	if (rc < 0) {
		struct err first = r->ctx->err;

		grown_free(g);
		r->ctx->err = first;
		return rc;
	}
	*ret_grown = g;
	return 0;
}

int grown_let_go(struct grown *g, bool leave_stopped)
{
	int r = leave_stopped ? grow_stop_all(g) : 0;

	for (size_t i = 0; r == 0 && i < g->n_tasks; i++)
		if (g->tasks[i]->state == PUPPET_STOPPED)
			r = puppet_keep(g->ctx, g->tasks[i]);
	if (r < 0)
		return r;
	g->let_go = true;
	/* A task that somebody has killed by now is none of our failures. */
	for (size_t i = 0; i < g->n_tasks; i++)
		if (g->tasks[i]->state == PUPPET_STOPPED)
			(void)puppet_let_go(g->ctx, g->tasks[i]);
	return 0;
}

/*
 * An init that is in a group whose leader has died in its namespace never gets to its end: it waits
 * until no number but its own is in use there (zap_pid_ns_processes()), and uses that one itself.
 */
static void leave_groups(struct grown *g)
{
	bool nested = g->container || g->n_pid_ns > 1;

	for (size_t i = 0; nested && i < g->n_tasks; i++)
		if (g->tasks[i]->state == PUPPET_LOOP && g->tasks[i]->tid == g->tasks[i]->tgid)
			(void)puppet_call(g->ctx, g->tasks[i], "setpgid(0, 0)", SYS_setpgid,
					  (const struct call_arg[6]){});
}

/*
 * Orphans of killed stubs come to us while we are a subreaper, so that none is left as a zombie
 * to an init that may not reap.
 */
static void kill_all(struct grown *g)
{
	int was = 0;

	(void)prctl(PR_GET_CHILD_SUBREAPER, &was);
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
	leave_groups(g);
	for (size_t i = 0; i < g->n_tasks; i++)
		if (g->tasks[i]->state != PUPPET_GONE)
			(void)syscall(SYS_tgkill, g->tasks[i]->tgid, g->tasks[i]->tid, SIGKILL);
	(void)puppet_await_deaths(g->tasks, g->n_tasks, g->tasks, g->n_tasks);
	for (size_t i = 0; i < g->n_tasks; i++)
		if (g->tasks[i]->tid == g->tasks[i]->tgid)
			(void)waitpid(g->tasks[i]->tid, NULL, __WALL | WNOHANG);
	(void)prctl(PR_SET_CHILD_SUBREAPER, was);
}

void grown_free(struct grown *g)
{
	if (!g)
		return;
	if (!g->let_go)
		kill_all(g);
	for (size_t i = 0; i < g->n_tasks; i++)
		puppet_free(g->tasks[i]);
	for (size_t i = 0; i < g->n_pid_ns; i++)
		close_guard(&g->pid_ns[i]);
	arena_deinit(&g->arena);
	free(g);
}
