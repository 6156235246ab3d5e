/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Labels that security modules attach to a task (SELinux contexts, AppArmor profiles, Smack
 * labels): what it runs under, and what it asked for its next exec, files, keys and sockets.
 *
 * A stub has the coordinator's. Some modules would let it change, by rules of their own; a program
 * that is confined otherwise than coppice, here or where it is restored, is refused.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "kernel/proc.h"
#include "kind/task.h"
#include "task/surroundings.h"

/* Below /proc/PID/attr; one is there only if its module is. */
static const char *const attributes[] = {
	"current",	    "exec",	     "fscreate",      "keycreate", "sockcreate",
	"apparmor/current", "apparmor/exec", "smack/current",
};

/*
 * Appends "NAME=LABEL". EINVAL: no security module has a say on that attribute. Labels that are
 * not set are empty.
 */
static int add_label(int proc_fd, const char *prefix, const char *name, struct arena *arena,
		     char ***labels, size_t *n)
{
	char path[80];
	char *text;
	char **slot;
	int r;

	(void)snprintf(path, sizeof(path), "%sattr/%s", prefix, name);
	r = proc_read_text(proc_fd, path, arena, &text);
	if (r == -EINVAL || r == -ENOENT)
		return 0;
	if (r < 0 || text[0] == '\0')
		return r;
	slot = arena_append(arena, labels, n, sizeof(*slot));
	if (!slot)
		return -ENOMEM;
	*slot = arena_printf(arena, "%s=%s", name, text);
	return *slot ? 0 : -ENOMEM;
}

int labels_read(int proc_fd, const char *prefix, struct arena *arena, char ***ret)
{
	char **labels = NULL;
	char **end;
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(attributes); i++) {
		int r = add_label(proc_fd, prefix, attributes[i], arena, &labels, &n);

		if (r < 0)
			return r;
	}
	end = arena_append(arena, &labels, &n, sizeof(*end)); /* NULL */
	if (!end)
		return -ENOMEM;
	*ret = labels;
	return 0;
}

static size_t count(char *const *labels)
{
	size_t n = 0;

	while (labels[n])
		n++;
	return n;
}

/* The first of @labels that is not among @others, or NULL. */
static const char *first_missing(char *const *labels, size_t n, char *const *others,
				 size_t n_others)
{
	for (size_t i = 0; i < n; i++) {
		bool found = false;

		for (size_t k = 0; k < n_others && !found; k++)
			found = strcmp(labels[i], others[k]) == 0;
		if (!found)
			return labels[i];
	}
	return NULL;
}

/* What one has and the other has not, either way round; NULL if they agree. */
static const char *difference(char *const *a, size_t n_a, char *const *b, size_t n_b)
{
	const char *label = first_missing(a, n_a, b, n_b);

	return label ? label : first_missing(b, n_b, a, n_a);
}

static int collect_thread(struct collect *c, struct collect_thread *th)
{
	const struct surroundings *s;
	const char *label;
	char prefix[COLLECT_PREFIX];
	char **labels;
	int r;

	r = surroundings_get(c->ctx, c->arena, &c->surroundings, &s);
	/* Without a module that labels tasks, and most machines have none, there is nothing to read. */
	if (r < 0 || !s->labels[0])
		return r;
	r = labels_read(th->process->proc_fd, collect_prefix(th, prefix), c->arena, &labels);
	if (r < 0)
		return err_sys(c->ctx, r, "reading /proc/%d/attr", th->tid);
	th->msg->security_labels = labels;
	th->msg->n_security_labels = count(labels);
	label = difference(labels, count(labels), s->labels, count(s->labels));
	return label ? collect_refuse(c, "run coppice under the same label",
				      "%s, thread %d: its security label differs from coppice's "
				      "own by %s",
				      collect_name(c, th->process), th->tid, label)
		     : 0;
}

static int check(struct rebuild *r, const struct rebuild_process *p)
{
	const struct surroundings *s;
	int rc = surroundings_get(r->ctx, r->arena, &r->surroundings, &s);

	for (size_t i = 0; i < p->msg->n_threads && rc >= 0; i++) {
		const Coppice__Thread *th = p->msg->threads[i];
		const char *label = difference(th->security_labels, th->n_security_labels,
					       s->labels, count(s->labels));

		if (label)
			rc = rebuild_refuse(r, "run coppice under the same label",
					    "%s, thread %d: its security label differs from "
					    "coppice's own by %s",
					    rebuild_name(r, p), th->tid[0], label);
	}
	return rc;
}

const struct task_aspect aspect_label = {
	.name = "security labels",
	.collect_thread = collect_thread,
	.check = check,
};
