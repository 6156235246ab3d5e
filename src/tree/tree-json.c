/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tree files: a final tree as JSON (docs/TREES.md). They come from tests, from other programs and
 * from people, so every field is checked and every message names the process and the field.
 */
#include <errno.h>
#include <json-c/json.h>
#include <signal.h>
#include <string.h>

#include "tree/idmap.h"
#include "tree/tree.h"
#include "util/macro.h"

static const char *const table_field[TREE_TABLES] = {
	[TREE_VM] = "vm",	    [TREE_FILES] = "files",	[TREE_FS] = "fs",
	[TREE_SIGHAND] = "sighand", [TREE_SYSVSEM] = "sysvsem", [TREE_IO] = "io",
};

struct reader {
	struct context *ctx;
	struct arena *arena;
	struct tree *tree;
	struct idmap ns_by_id;	 /* ids of the file, plus 1, to indexes */
	struct idmap user_by_id; /* likewise */
	struct idmap by_number;	 /* outermost PIDs to indexes */
	int32_t *parents;	 /* outermost numbers as the file gives them, 0: null */
};

/* A whole number from @least to @most; *@ret keeps its value where the field is missing or null. */
static int get_int(struct reader *rd, struct json_object *obj, const char *field, int64_t least,
		   int64_t most, int64_t *ret)
{
	struct json_object *value;
	int64_t number;

	if (!json_object_object_get_ex(obj, field, &value) || !value)
		return 0;
	number = json_object_get_int64(value);
	if (!json_object_is_type(value, json_type_int) || number < least || number > most)
		return err_msg(rd->ctx, -EBADMSG, "%s: not a number from %lld to %lld", field,
			       (long long)least, (long long)most);
	*ret = number;
	return 0;
}

static int get_bool(struct reader *rd, struct json_object *obj, const char *field, bool *ret)
{
	struct json_object *value;

	if (!json_object_object_get_ex(obj, field, &value))
		return 0;
	if (!json_object_is_type(value, json_type_boolean))
		return err_msg(rd->ctx, -EBADMSG, "%s: not true or false", field);
	*ret = json_object_get_boolean(value);
	return 0;
}

static int get_array(struct reader *rd, struct json_object *obj, const char *field, size_t most,
		     struct json_object **ret)
{
	struct json_object *value;

	if (!json_object_object_get_ex(obj, field, &value) ||
	    !json_object_is_type(value, json_type_array))
		return err_msg(rd->ctx, -EBADMSG, "%s: no such list", field);
	if (json_object_array_length(value) == 0 || json_object_array_length(value) > most)
		return err_msg(rd->ctx, -EBADMSG, "%s: %zu entries, expected 1 to %zu", field,
			       json_object_array_length(value), most);
	*ret = value;
	return 0;
}

static int get_numbers(struct reader *rd, struct json_object *obj, const char *field, size_t n,
		       const int32_t **ret)
{
	struct json_object *list;
	int32_t *numbers;
	int r;

	r = get_array(rd, obj, field, n, &list);
	if (r < 0)
		return r;
	if (json_object_array_length(list) != n)
		return err_msg(rd->ctx, -EBADMSG,
			       "%s: %zu numbers, its PID namespace has %zu levels", field,
			       json_object_array_length(list), n);
	numbers = arena_new_n(rd->arena, int32_t, n);
	if (!numbers)
		return err_oom(rd->ctx);
	for (size_t i = 0; i < n; i++) {
		struct json_object *value = json_object_array_get_idx(list, i);
		int64_t number = json_object_get_int64(value);

		if (!json_object_is_type(value, json_type_int) || number < 0 ||
		    number >= TREE_MAX_PID)
			return err_msg(rd->ctx, -EBADMSG, "%s: not a process number", field);
		numbers[i] = (int32_t)number;
	}
	*ret = numbers;
	return 0;
}

/* The namespace in @by_id that @field names; @ret keeps its value where the field is missing. */
static int get_ns(struct reader *rd, struct json_object *obj, const char *field,
		  const struct idmap *by_id, const char *what, uint32_t *ret)
{
	int64_t id = -1;
	int r;

	r = get_int(rd, obj, field, 0, INT32_MAX - 1, &id);
	if (r < 0)
		return r;
	if (id >= 0)
		*ret = idmap_get(by_id, 0, (int32_t)id + 1);
	if (*ret == IDMAP_NONE)
		return err_msg(rd->ctx, -EBADMSG, "%s: no such %s", field, what);
	return 0;
}

/* null and a missing one: the one outside. */
static int get_user_ns(struct reader *rd, struct json_object *obj, const char *field, uint32_t *ret)
{
	*ret = 0;
	return get_ns(rd, obj, field, &rd->user_by_id, "user namespace", ret);
}

static int read_user_namespace(struct reader *rd, struct json_object *obj, size_t i)
{
	struct tree_user_ns *ns = &rd->tree->user_ns[i];
	int64_t id = -1;
	int r;

	r = get_user_ns(rd, obj, "parent", &ns->parent);
	if (r == 0)
		r = get_int(rd, obj, "id", 0, INT32_MAX - 1, &id);
	if (r < 0)
		return r;
	if (id < 0 || idmap_get(&rd->user_by_id, 0, (int32_t)id + 1) != IDMAP_NONE)
		return err_msg(rd->ctx, -EBADMSG, "id: missing, or given twice");
	ns->id = (uint32_t)i;
	return idmap_set(&rd->user_by_id, 0, (int32_t)id + 1, (uint32_t)i) < 0 ? err_oom(rd->ctx)
									       : 0;
}

/* The list may be missing: then there is the one outside alone. */
static int read_user_namespaces(struct reader *rd, struct json_object *top)
{
	struct json_object *list = NULL;
	size_t n = 0;
	int r = 0;

	if (json_object_object_get_ex(top, "user_namespaces", NULL))
		r = get_array(rd, top, "user_namespaces", TREE_MAX_PROCESSES, &list);
	if (r < 0)
		return r;
	n = list ? json_object_array_length(list) : 0;
	rd->tree->user_ns = arena_new_n(rd->arena, struct tree_user_ns, n + 1);
	if (!rd->tree->user_ns)
		return err_oom(rd->ctx);
	rd->tree->n_user_ns = n + 1;
	rd->tree->user_ns[0].parent = TREE_NONE;
	for (size_t i = 1; i <= n && r == 0; i++) {
		r = read_user_namespace(rd, json_object_array_get_idx(list, i - 1), i);
		if (r < 0)
			return err_while(rd->ctx, r, "user_namespaces, entry %zu", i);
	}
	return r;
}

static int get_state(struct reader *rd, struct json_object *obj, enum tree_ns_state *ret)
{
	static const char *const name[] = {
		[TREE_NS_LIVES] = "lives",
		[TREE_NS_ZOMBIE] = "zombie",
		[TREE_NS_DEAD] = "dead",
		[TREE_NS_UNBORN] = "unborn",
	};
	struct json_object *value;

	if (!json_object_object_get_ex(obj, "state", &value))
		return 0;
	for (unsigned int i = 0; i < ARRAY_SIZE(name); i++)
		if (json_object_is_type(value, json_type_string) &&
		    strcmp(json_object_get_string(value), name[i]) == 0) {
			*ret = (enum tree_ns_state)i;
			return 0;
		}
	return err_msg(rd->ctx, -EBADMSG, "state: not lives, zombie, dead or unborn");
}

static int read_namespace_extras(struct reader *rd, struct json_object *obj, struct tree_pid_ns *ns)
{
	int64_t pid_max = 0, last_pid = 0;
	int r;

	if ((r = get_user_ns(rd, obj, "user_ns", &ns->user_ns)) < 0 ||
	    (r = get_state(rd, obj, &ns->state)) < 0 ||
	    (r = get_int(rd, obj, "pid_max", 0, TREE_MAX_PID, &pid_max)) < 0 ||
	    (r = get_int(rd, obj, "last_pid", 0, TREE_MAX_PID, &last_pid)) < 0)
		return r;
	ns->pid_max = (int32_t)pid_max;
	ns->last_pid = (int32_t)last_pid;
	return 0;
}

static int read_namespace(struct reader *rd, struct json_object *obj, size_t i)
{
	struct tree_pid_ns *ns = &rd->tree->pid_ns[i];
	int64_t id = -1, parent = -1;
	int r;

	r = get_int(rd, obj, "id", 0, INT32_MAX - 1, &id);
	if (r == 0)
		r = get_int(rd, obj, "parent", 0, INT32_MAX - 1, &parent);
	if (r == 0)
		r = read_namespace_extras(rd, obj, ns);
	if (r < 0)
		return r;
	if (id < 0 || idmap_get(&rd->ns_by_id, 0, (int32_t)id + 1) != IDMAP_NONE)
		return err_msg(rd->ctx, -EBADMSG, "id: missing, or given twice");
	if (idmap_set(&rd->ns_by_id, 0, (int32_t)id + 1, (uint32_t)i) < 0)
		return err_oom(rd->ctx);
	ns->parent = parent < 0 ? TREE_NONE : idmap_get(&rd->ns_by_id, 0, (int32_t)parent + 1);
	if ((parent < 0) != (i == 0) || (i > 0 && ns->parent == IDMAP_NONE))
		return err_msg(rd->ctx, -EBADMSG,
			       "parent: the first namespace has none, others one listed before");
	ns->level = i ? rd->tree->pid_ns[ns->parent].level + 1 : 0;
	if (ns->level >= TREE_LEVELS)
		return err_msg(rd->ctx, -EBADMSG, "more than %d levels", TREE_LEVELS);
	return 0;
}

static int read_namespaces(struct reader *rd, struct json_object *top)
{
	struct json_object *list;
	int r;

	r = get_array(rd, top, "pid_namespaces", TREE_MAX_PROCESSES, &list);
	if (r < 0)
		return r;
	rd->tree->n_pid_ns = json_object_array_length(list);
	rd->tree->pid_ns = arena_new_n(rd->arena, struct tree_pid_ns, rd->tree->n_pid_ns);
	if (!rd->tree->pid_ns)
		return err_oom(rd->ctx);
	for (size_t i = 0; i < rd->tree->n_pid_ns; i++) {
		r = read_namespace(rd, json_object_array_get_idx(list, i), i);
		if (r < 0)
			return err_while(rd->ctx, r, "pid_namespaces, entry %zu", i + 1);
	}
	return 0;
}

/* What the common format does not have: all of it optional. */
static int read_extras(struct reader *rd, struct json_object *obj, struct tree_process *p)
{
	int64_t session = 0, group = 0, status = 0, signal = SIGCHLD, tty = 0, tty_pgrp = 0;
	int r;

	if ((r = get_int(rd, obj, "outside_session", 0, INT32_MAX - 1, &session)) < 0 ||
	    (r = get_int(rd, obj, "outside_group", 0, INT32_MAX - 1, &group)) < 0 ||
	    (r = get_int(rd, obj, "exit_status", 0, 0xffff, &status)) < 0 ||
	    (r = get_int(rd, obj, "exit_signal", 0, 64, &signal)) < 0 ||
	    (r = get_int(rd, obj, "tty", 0, INT32_MAX, &tty)) < 0 ||
	    (r = get_int(rd, obj, "tty_pgrp", 0, TREE_MAX_PID - 1, &tty_pgrp)) < 0)
		return r;
	p->outside_session = (uint32_t)session;
	p->outside_group = (uint32_t)group;
	p->exit_status = (int32_t)status;
	p->exit_signal = (int32_t)signal;
	p->tty = (uint32_t)tty;
	p->tty_pgrp = (int32_t)tty_pgrp;
	for (int t = 0; t < TREE_TABLES; t++) {
		int64_t table = 0;

		r = get_int(rd, obj, table_field[t], 0, INT32_MAX, &table);
		if (r < 0)
			return r;
		p->table[t] = (uint32_t)table;
	}
	return 0;
}

/* A PID namespace; @ret keeps its value where the field is missing. */
static int get_pid_ns(struct reader *rd, struct json_object *obj, const char *field, uint32_t *ret)
{
	return get_ns(rd, obj, field, &rd->ns_by_id, "namespace", ret);
}

static int read_namespaces_of(struct reader *rd, struct json_object *obj, struct tree_process *p)
{
	int r;

	p->pid_ns = IDMAP_NONE;
	r = get_pid_ns(rd, obj, "pid_ns", &p->pid_ns);
	if (r < 0)
		return r;
	p->children_ns = p->pid_ns;
	r = get_pid_ns(rd, obj, "pid_ns_for_children", &p->children_ns);
	return r < 0 ? r : get_user_ns(rd, obj, "user_ns", &p->user_ns);
}

static int read_process(struct reader *rd, struct json_object *obj, size_t i)
{
	struct tree_process *p = &rd->tree->processes[i];
	int64_t parent = 0;
	size_t n;
	int r;

	r = read_namespaces_of(rd, obj, p);
	if (r < 0)
		return r;
	p->id = (uint32_t)i + 1;
	n = rd->tree->pid_ns[p->pid_ns].level + 1;
	if ((r = get_numbers(rd, obj, "pid", n, &p->pid)) < 0 ||
	    (r = get_numbers(rd, obj, "sid", n, &p->sid)) < 0 ||
	    (r = get_numbers(rd, obj, "pgid", n, &p->pgid)) < 0 ||
	    (r = get_int(rd, obj, "parent", 1, TREE_MAX_PID - 1, &parent)) < 0 ||
	    (r = get_bool(rd, obj, "subreaper", &p->subreaper)) < 0 ||
	    (r = get_bool(rd, obj, "zombie", &p->zombie)) < 0)
		return r;
	rd->parents[i] = (int32_t)parent;
	if (p->pid[0] == 0 || idmap_get(&rd->by_number, 0, p->pid[0]) != IDMAP_NONE)
		return err_msg(rd->ctx, -EBADMSG, "pid: %d is 0 or given twice", p->pid[0]);
	if (idmap_set(&rd->by_number, 0, p->pid[0], (uint32_t)i) < 0)
		return err_oom(rd->ctx);
	return read_extras(rd, obj, p);
}

/* The root comes first in a tree, wherever it stands in the file. */
static int order_root_first(struct reader *rd, struct json_object *top)
{
	struct tree_process first = rd->tree->processes[0];
	int32_t first_parent = rd->parents[0];
	int64_t number = 0;
	uint32_t root;
	int r;

	r = get_int(rd, top, "root", 1, TREE_MAX_PID - 1, &number);
	if (r < 0)
		return r;
	root = idmap_get(&rd->by_number, 0, (int32_t)number);
	if (root == IDMAP_NONE)
		return err_msg(rd->ctx, -EBADMSG, "root: no such process");
	rd->tree->processes[0] = rd->tree->processes[root];
	rd->parents[0] = rd->parents[root];
	rd->tree->processes[root] = first;
	rd->parents[root] = first_parent;
	rd->tree->container = number == 1;
	if (idmap_set(&rd->by_number, 0, first.pid[0], root) < 0 ||
	    idmap_set(&rd->by_number, 0, (int32_t)number, 0) < 0)
		return err_oom(rd->ctx);
	return 0;
}

static int resolve_parents(struct reader *rd)
{
	for (size_t i = 0; i < rd->tree->n_processes; i++) {
		struct tree_process *p = &rd->tree->processes[i];

		p->parent = idmap_get(&rd->by_number, 0, rd->parents[i]);
		if (rd->parents[i] && p->parent == IDMAP_NONE)
			return err_msg(rd->ctx, -EBADMSG, "process %d: parent: no process %d",
				       p->pid[0], rd->parents[i]);
	}
	return 0;
}

static int read_processes(struct reader *rd, struct json_object *top)
{
	struct json_object *list;
	int r;

	r = get_array(rd, top, "processes", TREE_MAX_PROCESSES, &list);
	if (r < 0)
		return r;
	rd->tree->n_processes = json_object_array_length(list);
	rd->tree->processes = arena_new_n(rd->arena, struct tree_process, rd->tree->n_processes);
	rd->parents = arena_new_n(rd->arena, int32_t, rd->tree->n_processes);
	if (!rd->tree->processes || !rd->parents)
		return err_oom(rd->ctx);
	for (size_t i = 0; i < rd->tree->n_processes; i++) {
		r = read_process(rd, json_object_array_get_idx(list, i), i);
		if (r < 0)
			return err_while(rd->ctx, r, "processes, entry %zu", i + 1);
	}
	r = order_root_first(rd, top);
	if (r < 0)
		return r;
	return resolve_parents(rd);
}

static int read_tree(struct reader *rd, struct json_object *top)
{
	int r;

	if (!json_object_is_type(top, json_type_object))
		return err_msg(rd->ctx, -EBADMSG, "not a JSON object");
	if ((r = get_bool(rd, top, "shell_job", &rd->tree->shell_job)) < 0 ||
	    (r = read_user_namespaces(rd, top)) < 0 || (r = read_namespaces(rd, top)) < 0 ||
	    (r = read_processes(rd, top)) < 0)
		return r;
	return tree_validate(rd->ctx, rd->tree);
}

static int parse(struct context *ctx, const char *text, size_t len, struct json_object **ret)
{
	struct json_tokener *tokener = json_tokener_new();
	enum json_tokener_error e;
	int r = 0;

	if (!tokener)
		return err_oom(ctx);
	if (len > INT32_MAX)
		r = err_msg(ctx, -EBADMSG, "%zu bytes are too many", len);
	if (r == 0) {
		*ret = json_tokener_parse_ex(tokener, text, (int)len);
		e = json_tokener_get_error(tokener);
		if (e == json_tokener_continue)
			r = err_msg(ctx, -EBADMSG, "no JSON: it ends too early");
		else if (e != json_tokener_success)
			r = err_msg(ctx, -EBADMSG, "no JSON at byte %zu: %s",
				    json_tokener_get_parse_end(tokener),
				    json_tokener_error_desc(e));
	}
	json_tokener_free(tokener);
	return r;
}

int tree_from_json(struct context *ctx, struct arena *arena, const char *text, size_t len,
		   struct tree **ret_tree)
{
	struct reader rd = {
		.ctx = ctx,
		.arena = arena,
		.tree = arena_new(arena, struct tree),
		.ns_by_id = {.arena = arena},
		.user_by_id = {.arena = arena},
		.by_number = {.arena = arena},
	};
	struct json_object *top = NULL;
	int r;

	if (!rd.tree)
		return err_oom(ctx);
	r = parse(ctx, text, len, &top);
	if (r == 0)
		r = read_tree(&rd, top);
	json_object_put(top);
	if (r < 0)
		return r;
	*ret_tree = rd.tree;
	return 0;
}
