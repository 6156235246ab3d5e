/* SPDX-License-Identifier: Apache-2.0 */
/* A plan as JSON (docs/TREES.md). Reasons are our own words: nothing in them needs escapes. */
#include <sched.h>
#include <signal.h>

#include "tree/print.h"

static void json_pid(const struct plan *plan, const char *field, uint32_t process,
		     struct strbuf *out)
{
	strbuf_printf(out, ", \"%s\": [", field);
	if (process == PLAN_NONE)
		strbuf_puts(out, "0");
	for (unsigned int i = 0; process != PLAN_NONE && i < plan->processes[process].n_pid; i++)
		strbuf_printf(out, "%s%d", i ? ", " : "", plan->processes[process].pid[i]);
	strbuf_puts(out, "]");
}

static void json_tables(uint64_t flags, struct strbuf *out)
{
	static const char *const name[TREE_TABLES] = {
		[TREE_VM] = "vm",	    [TREE_FILES] = "files",	[TREE_FS] = "fs",
		[TREE_SIGHAND] = "sighand", [TREE_SYSVSEM] = "sysvsem", [TREE_IO] = "io",
	};
	unsigned int n = 0;

	for (int t = 0; t < TREE_TABLES; t++)
		if (flags & tree_table_flag[t])
			strbuf_printf(out, "%s\"%s\"", n++ ? ", " : ", \"share\": [", name[t]);
	if (n)
		strbuf_puts(out, "]");
}

static void json_namespaces(const struct plan *plan, const struct plan_step *s, struct strbuf *out)
{
	uint32_t from = s->process == PLAN_NONE ? PLAN_NONE : plan->processes[s->process].pid_ns;

	if (s->new_pid_ns)
		strbuf_puts(out, ", \"newpidns\": true");
	if (s->pid_ns != from)
		strbuf_printf(out, ", \"pid_ns\": %u", s->pid_ns);
}

static void json_clone(const struct plan *plan, const struct plan_step *s, struct strbuf *out)
{
	strbuf_printf(out, ", \"child\": %u", s->child);
	json_pid(plan, "pid", s->child, out);
	json_namespaces(plan, s, out);
	if (s->flags & CLONE_PARENT && s->process != PLAN_NONE)
		strbuf_puts(out, ", \"clone_parent\": true");
	if (s->process == PLAN_NONE && !(s->flags & CLONE_PARENT))
		strbuf_puts(out, ", \"under_leader\": true");
	if (s->process == PLAN_NONE && s->outside)
		strbuf_printf(out, ", \"outside\": %u", s->outside);
	json_tables(s->flags, out);
	if (s->exit_signal != SIGCHLD)
		strbuf_printf(out, ", \"exit_signal\": %d", s->exit_signal);
}

static void json_setpgid(const struct plan *plan, const struct plan_step *s, struct strbuf *out)
{
	if (s->target != s->process)
		strbuf_printf(out, ", \"target\": %u", s->target);
	json_pid(plan, "pgid", s->group, out);
	if (s->process == PLAN_NONE && s->outside)
		strbuf_printf(out, ", \"outside\": %u", s->outside);
	if (s->group == PLAN_NONE && s->outside_group)
		strbuf_printf(out, ", \"outside_group\": %u", s->outside_group);
}

static void json_step(const struct plan *plan, const struct plan_step *s, struct strbuf *out)
{
	strbuf_printf(out, "    {\"op\": \"%s\", \"process\": ", plan_op_name(s->op));
	if (s->process == PLAN_NONE)
		strbuf_puts(out, "null");
	else
		strbuf_printf(out, "%u", s->process);
	switch (s->op) {
	case PLAN_CLONE:
		json_clone(plan, s, out);
		break;
	case PLAN_SETSID:
		break;
	case PLAN_SETPGID:
		json_setpgid(plan, s, out);
		break;
	case PLAN_SUBREAPER:
		strbuf_printf(out, ", \"on\": %s", s->on ? "true" : "false");
		break;
	case PLAN_EXIT:
		if (s->status)
			strbuf_printf(out, ", \"status\": %d", s->status);
		break;
	case PLAN_WAIT:
		strbuf_printf(out, ", \"child\": %u", s->child);
		break;
	case PLAN_TTY_OPEN:
	case PLAN_TTY_DROP:
		strbuf_printf(out, ", \"tty\": %u", s->tty);
		break;
	case PLAN_TTY_FOREGROUND:
		strbuf_printf(out, ", \"tty\": %u", s->tty);
		json_pid(plan, "pgid", s->group, out);
		break;
	case PLAN_USER_NEW:
	case PLAN_USER_JOIN:
		strbuf_printf(out, ", \"user_ns\": %u", s->user_ns);
		break;
	case PLAN_NS_NEW:
	case PLAN_NS_ENTER:
		strbuf_printf(out, ", \"pid_ns\": %u", s->pid_ns);
		break;
	}
	strbuf_printf(out, ", \"reason\": \"%s\"}", s->reason);
}

/* One pair is the rule, and goes without saying. */
static void json_outside(const struct plan *plan, struct strbuf *out)
{
	if (plan->root_under_leader)
		strbuf_puts(out, "  \"root_under_leader\": true,\n");
	if (plan->n_outside < 2)
		return;
	strbuf_puts(out, "  \"outside\": [");
	for (size_t i = 0; i < plan->n_outside; i++)
		strbuf_printf(out, "%s{\"session\": %u}", i ? ", " : "", plan->outside[i].session);
	strbuf_puts(out, "],\n");
}

void print_plan_json(const struct tree *tree, const struct plan *plan, struct strbuf *out)
{
	static const char *const root_session[] = {
		[PLAN_ROOT_SESSION_ANY] = "any",
		[PLAN_ROOT_SESSION_NEW] = "new",
		[PLAN_ROOT_SESSION_INHERITED] = "inherited",
	};
	size_t n = 0;

	strbuf_printf(out, "{\n  \"root_session\": \"%s\",\n  \"tree_processes\": %zu,\n",
		      root_session[plan->root_session], tree->n_processes);
	json_outside(plan, out);
	strbuf_puts(out, "  \"steps\": [\n");
	for (size_t i = 0; i < plan->n_steps; i++) {
		const struct plan_step *s = &plan->steps[i];

		if (s->op == PLAN_WAIT && s->process == PLAN_NONE)
			continue; /* the coordinator reaps its children: goes without saying */
		strbuf_puts(out, n++ ? ",\n" : "");
		json_step(plan, s, out);
	}
	strbuf_puts(out, n ? "\n  ]\n}\n" : "  ]\n}\n");
}
