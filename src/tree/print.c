/* SPDX-License-Identifier: Apache-2.0 */
#include "tree/print.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "util/arena.h"

const char *plan_op_name(enum plan_op op)
{
	static const char *const name[] = {
		[PLAN_CLONE] = "clone",
		[PLAN_SETSID] = "setsid",
		[PLAN_SETPGID] = "setpgid",
		[PLAN_SUBREAPER] = "subreaper",
		[PLAN_EXIT] = "exit",
		[PLAN_WAIT] = "wait",
		[PLAN_TTY_OPEN] = "tty_open",
		[PLAN_TTY_DROP] = "tty_drop",
		[PLAN_TTY_FOREGROUND] = "tty_foreground",
		[PLAN_USER_NEW] = "user_new",
		[PLAN_USER_JOIN] = "user_join",
		[PLAN_NS_NEW] = "pid_ns_new",
		[PLAN_NS_ENTER] = "pid_ns_enter",
	};

	return name[op];
}

static int32_t number(const struct plan *plan, uint32_t process)
{
	return process == PLAN_NONE ? 0 : plan->processes[process].pid[0];
}

/* "7", in nested namespaces "7/2/1"; for PLAN_NONE the coordinator, who acts outside. */
static void print_name(const struct plan *plan, uint32_t process, struct strbuf *out)
{
	if (process == PLAN_NONE)
		strbuf_puts(out, "coppice");
	for (unsigned int i = 0; process != PLAN_NONE && i < plan->processes[process].n_pid; i++)
		strbuf_printf(out, "%s%d", i ? "/" : "", plan->processes[process].pid[i]);
}

/* ---- the picture of the tree */

enum { MAX_INDENT = 24 }; /* levels that are drawn */

/* Children by parent, in the order of the processes. */
struct picture {
	const struct tree *tree;
	struct strbuf *out;
	uint32_t *child; /* first child */
	uint32_t *next;	 /* next sibling */
	bool *indent;	 /* by level: has the one above more siblings? */
};

static void print_exit_status(int32_t status, struct strbuf *out)
{
	if (WIFSIGNALED(status))
		strbuf_printf(out, ", zombie (killed by signal %d)", WTERMSIG(status));
	else
		strbuf_printf(out, ", zombie (exit status %d)", WEXITSTATUS(status));
}

static void print_namespaces(const struct tree *tree, const struct tree_process *p,
			     struct strbuf *out)
{
	static const char *const state[] = {
		[TREE_NS_LIVES] = "",
		[TREE_NS_ZOMBIE] = ", whose init is dead",
		[TREE_NS_DEAD] = ", which is dead",
		[TREE_NS_UNBORN] = ", which has no init yet",
	};

	if (p->pid_ns)
		strbuf_printf(out, ", PID namespace %u", p->pid_ns);
	if (p->user_ns)
		strbuf_printf(out, ", user namespace %u", p->user_ns);
	if (p->children_ns != p->pid_ns)
		strbuf_printf(out, ", children in PID namespace %u%s", p->children_ns,
			      state[tree->pid_ns[p->children_ns].state]);
}

static void print_process(const struct tree *tree, const struct tree_process *p, struct strbuf *out)
{
	for (uint32_t i = 0; i <= tree->pid_ns[p->pid_ns].level; i++)
		strbuf_printf(out, "%s%d", i ? "/" : "", p->pid[i]);
	if (p->sid[0] == p->pid[0])
		strbuf_puts(out, "  leads its session");
	else if (p->sid[0])
		strbuf_printf(out, "  session %d", p->sid[0]);
	else
		strbuf_puts(out, "  session outside");
	if (p->pgid[0] != p->sid[0])
		strbuf_printf(out, ", group %d", p->pgid[0]);
	print_namespaces(tree, p, out);
	if (p->parent == TREE_NONE && p != tree->processes)
		strbuf_puts(out, ", came from outside");
	if (p->subreaper)
		strbuf_puts(out, ", subreaper");
	if (p->exit_signal != SIGCHLD)
		strbuf_printf(out, ", exit signal %d", p->exit_signal);
	if (p->tty)
		strbuf_printf(out, ", terminal %u", p->tty);
	if (p->zombie)
		print_exit_status(p->exit_status, out);
	strbuf_puts(out, "\n");
}

static bool picture_init(struct picture *pic, struct arena *arena)
{
	const struct tree *tree = pic->tree;
	size_t n = tree->n_processes;

	pic->child = arena_new_n(arena, uint32_t, n);
	pic->next = arena_new_n(arena, uint32_t, n);
	pic->indent = arena_new_n(arena, bool, n);
	if (!pic->child || !pic->next || !pic->indent)
		return false;
	for (size_t i = 0; i < n; i++)
		pic->child[i] = pic->next[i] = TREE_NONE;
	for (size_t i = n; i-- > 1;) {
		uint32_t parent = tree->processes[i].parent;

		if (parent == TREE_NONE)
			parent = 0; /* joined from outside: shown below the root */
		pic->next[i] = pic->child[parent];
		pic->child[parent] = (uint32_t)i;
	}
	return true;
}

static void print_indent(struct picture *pic, size_t depth, bool last)
{
	size_t from = 1;

	if (depth > MAX_INDENT) {
		from = depth - MAX_INDENT;
		strbuf_printf(pic->out, "(level %zu) ", depth);
	}
	for (size_t d = from; d < depth; d++)
		strbuf_puts(pic->out, pic->indent[d] ? "|  " : "   ");
	if (depth)
		strbuf_puts(pic->out, last ? "`- " : "|- ");
}

/* Depth first with the way back through the parents: trees may be deep. */
static void picture_walk(struct picture *pic)
{
	const struct tree *tree = pic->tree;
	uint32_t at = 0;
	size_t depth = 0;

	for (;;) {
		print_indent(pic, depth, pic->next[at] == TREE_NONE);
		print_process(tree, &tree->processes[at], pic->out);
		if (pic->child[at] != TREE_NONE) {
			pic->indent[depth++] = pic->next[at] != TREE_NONE;
			at = pic->child[at];
			continue;
		}
		while (depth && pic->next[at] == TREE_NONE) {
			at = tree->processes[at].parent == TREE_NONE ? 0
								     : tree->processes[at].parent;
			depth--;
		}
		if (!depth)
			return;
		at = pic->next[at];
	}
}

static void print_picture(const struct tree *tree, struct strbuf *out)
{
	struct picture pic = {.tree = tree, .out = out};
	struct arena arena;

	arena_init(&arena, NULL);
	if (picture_init(&pic, &arena))
		picture_walk(&pic);
	else
		out->failed = true;
	arena_deinit(&arena);
}

/* ---- the steps */

static void print_tables(uint64_t flags, struct strbuf *out)
{
	const char *before = ", sharing its ";

	for (int t = 0; t < TREE_TABLES; t++) {
		if (!(flags & tree_table_flag[t]))
			continue;
		strbuf_printf(out, "%s%s", before, tree_table_name[t]);
		before = " and ";
	}
}

static void print_clone(const struct plan *plan, const struct plan_step *s, struct strbuf *out)
{
	uint32_t from = s->process == PLAN_NONE ? PLAN_NONE : plan->processes[s->process].pid_ns;

	strbuf_puts(out, "forks ");
	print_name(plan, s->child, out);
	if (s->new_pid_ns)
		strbuf_printf(out, ", init of the new PID namespace %u", s->pid_ns);
	else if (s->pid_ns != from)
		strbuf_printf(out, " into PID namespace %u", s->pid_ns);
	print_tables(s->flags, out);
}

static void print_setpgid(const struct plan *plan, const struct plan_step *s, struct strbuf *out)
{
	if (s->target == s->process) {
		strbuf_puts(out, "enters ");
	} else {
		strbuf_puts(out, "puts ");
		print_name(plan, s->target, out);
		strbuf_puts(out, " into ");
	}
	if (s->group == PLAN_NONE)
		strbuf_puts(out, "a group outside");
	else
		strbuf_printf(out, "group %d", number(plan, s->group));
}

static void print_what(const struct plan *plan, const struct plan_step *s, struct strbuf *out)
{
	print_name(plan, s->process, out);
	strbuf_puts(out, " ");
	switch (s->op) {
	case PLAN_CLONE:
		print_clone(plan, s, out);
		break;
	case PLAN_SETSID:
		strbuf_puts(out, "calls setsid");
		break;
	case PLAN_SETPGID:
		print_setpgid(plan, s, out);
		break;
	case PLAN_SUBREAPER:
		strbuf_puts(out, s->on ? "becomes a subreaper" : "ceases to be a subreaper");
		break;
	case PLAN_EXIT:
		strbuf_puts(out, "exits");
		break;
	case PLAN_WAIT:
		strbuf_puts(out, "waits for ");
		print_name(plan, s->child, out);
		break;
	case PLAN_TTY_OPEN:
		strbuf_printf(out, "takes terminal %u", s->tty);
		break;
	case PLAN_TTY_DROP:
		strbuf_puts(out, "drops its terminal");
		break;
	case PLAN_TTY_FOREGROUND:
		strbuf_printf(out, "puts group %d in the foreground", number(plan, s->group));
		break;
	case PLAN_USER_NEW:
		strbuf_printf(out, "makes user namespace %u", s->user_ns);
		break;
	case PLAN_USER_JOIN:
		strbuf_printf(out, "joins user namespace %u", s->user_ns);
		break;
	case PLAN_NS_NEW:
		strbuf_printf(out, "makes PID namespace %u", s->pid_ns);
		break;
	case PLAN_NS_ENTER:
		strbuf_printf(out, "enters PID namespace %u for its children", s->pid_ns);
		break;
	}
}

static void print_step(const struct plan *plan, size_t i, struct strbuf *out)
{
	size_t before = out->len;

	strbuf_printf(out, "%5zu  ", i + 1);
	print_what(plan, &plan->steps[i], out);
	if (out->len < before + 40)
		strbuf_printf(out, "%*s", (int)(before + 40 - out->len), "");
	strbuf_printf(out, "  %s\n", plan->steps[i].reason);
}

static size_t count_role(const struct plan *plan, enum plan_role role)
{
	size_t n = 0;

	for (size_t i = 0; i < plan->n_processes; i++)
		n += plan->processes[i].role == role;
	return n;
}

void print_plan_text(const struct tree *tree, const struct plan *plan, struct strbuf *out)
{
	static const char *const root_session[] = {
		[PLAN_ROOT_SESSION_ANY] = "a session that it leaves",
		[PLAN_ROOT_SESSION_NEW] = "a new session outside the tree",
		[PLAN_ROOT_SESSION_INHERITED] = "the session of whoever restores",
	};

	print_picture(tree, out);
	strbuf_printf(out, "\n%zu processes, %zu dead leaders, %zu scaffolds, %zu steps\n",
		      tree->n_processes, count_role(plan, PLAN_ROLE_LEADER),
		      count_role(plan, PLAN_ROLE_SCAFFOLD), plan->n_steps);
	strbuf_printf(out, "    0  %d is there, in %s\n", number(plan, 0),
		      root_session[plan->root_session]);
	if (plan->n_outside > 1)
		strbuf_printf(out, "       so are leaders of %zu sessions and groups outside\n",
			      plan->n_outside);
	for (size_t i = 0; i < plan->n_steps; i++)
		print_step(plan, i, out);
}

/* ---- dot */

static void dot_node(const struct tree *tree, const struct plan *plan, size_t i, struct strbuf *out)
{
	static const char *const style[] = {
		[PLAN_ROLE_TREE] = "solid",
		[PLAN_ROLE_LEADER] = "dashed",
		[PLAN_ROLE_SCAFFOLD] = "dotted",
	};
	const struct tree_process *p = i < tree->n_processes ? &tree->processes[i] : NULL;

	strbuf_printf(out, "\tp%zu [label=\"", i);
	print_name(plan, (uint32_t)i, out);
	if (p)
		strbuf_printf(out, "\\nsession %d group %d%s%s", p->sid[0], p->pgid[0],
			      p->subreaper ? "\\nsubreaper" : "", p->zombie ? "\\nzombie" : "");
	strbuf_printf(out, "\", style=%s];\n", style[plan->processes[i].role]);
}

/* A box around all who live in PID namespace @ns; those in it are drawn on their own. */
static void dot_namespace(const struct tree *tree, const struct plan *plan, uint32_t ns,
			  struct strbuf *out)
{
	if (ns)
		strbuf_printf(out, "\tsubgraph cluster%u {\n\tlabel=\"PID namespace %u in %u\";\n",
			      ns, ns, tree->pid_ns[ns].parent);
	for (size_t i = 0; i < plan->n_processes; i++)
		if (plan->processes[i].pid_ns == ns)
			dot_node(tree, plan, i, out);
	if (ns)
		strbuf_puts(out, "\t}\n");
}

static void dot_births(const struct plan *plan, struct strbuf *out)
{
	strbuf_puts(out, "\t// who forks whom\n");
	for (size_t i = 0; i < plan->n_steps; i++) {
		const struct plan_step *s = &plan->steps[i];

		if (s->op == PLAN_CLONE && s->process == PLAN_NONE)
			strbuf_printf(out, "\toutside -> p%u [style=dashed, color=gray];\n",
				      s->child);
		else if (s->op == PLAN_CLONE)
			strbuf_printf(out, "\tp%u -> p%u [style=dashed, color=gray%s];\n",
				      s->process, s->child,
				      s->flags & CLONE_PARENT ? ", label=sibling" : "");
	}
}

void print_plan_dot(const struct tree *tree, const struct plan *plan, struct strbuf *out)
{
	strbuf_puts(out, "digraph plan {\n\tnode [shape=box];\n");
	strbuf_puts(out, "\t// solid: of the tree; dashed: dead leader; dotted: scaffold\n");
	for (uint32_t ns = 0; ns < tree->n_pid_ns; ns++)
		dot_namespace(tree, plan, ns, out);
	strbuf_puts(out, "\t// who is whose child in the end\n");
	for (size_t i = 1; i < tree->n_processes; i++)
		if (tree->processes[i].parent != TREE_NONE)
			strbuf_printf(out, "\tp%u -> p%zu [style=bold];\n",
				      tree->processes[i].parent, i);
	dot_births(plan, out);
	strbuf_puts(out, "}\n");
}
