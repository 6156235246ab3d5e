/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cgroup freezers. A task frozen by the first version (freezer.state) does not come to a ptrace
 * stop; one frozen by the second (cgroup.freeze) does, but a remote call in it never returns. So
 * when every task has been asked to stop, its cgroups are thawed: it comes to its stop without
 * executing a single instruction of its own. At release they are frozen again before the tasks are
 * let go. If the coordinator is killed in between, the tree is left thawed.
 *
 * The cgroup that freezes may be an ancestor of the task's. All that is in it must belong to the
 * tree: otherwise others would start to run.
 */
#include "puppet/freezer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernel/proc.h"
#include "util/cleanup.h"
#include "util/context.h"
#include "util/io.h"

/* How one version of the freezer is told about and told what to do. */
struct freezer {
	const char *type;	 /* of the mount */
	const char *option;	 /* in its super options, or NULL */
	const char *line;	 /* how its line in /proc/PID/cgroup goes on after the number */
	const char *is_freezing; /* file: "1" */
	const char *control;	 /* file to write to */
	const char *thaw;
	const char *freeze;
};

enum { N_FREEZERS = 2 };

static const struct freezer freezers[N_FREEZERS] = {
	{"cgroup", "freezer", ":freezer:", "freezer.self_freezing", "freezer.state", "THAWED",
	 "FROZEN"},
	{"cgroup2", NULL, "::", "cgroup.freeze", "cgroup.freeze", "0", "1"},
};

struct thawed {
	const struct freezer *freezer;
	char *path; /* of the cgroup's directory; owned */
};

static int write_control(const struct thawed *t, const char *value)
{
	_cleanup_close_ int fd = -EBADF;
	char path[4300];

	(void)snprintf(path, sizeof(path), "%s/%s", t->path, t->freezer->control);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return io_write_all(fd, value, strlen(value));
}

static bool has_option(const char *options, const char *wanted)
{
	size_t len = strlen(wanted);

	for (const char *at = options; (at = strstr(at, wanted)); at += len)
		if ((at == options || at[-1] == ',') && (at[len] == ',' || at[len] == '\0'))
			return true;
	return false;
}

static const struct proc_mount *find_mount(const struct freezer *f, const struct proc_mount *mounts,
					   size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(mounts[i].type, f->type) == 0 &&
		    (!f->option || has_option(mounts[i].super_options, f->option)))
			return &mounts[i];
	return NULL;
}

/* The path in the line of /proc/PID/cgroup that is the freezer's, and its length. NULL: there is none. */
static const char *cgroup_path(const struct freezer *f, const char *text, size_t *ret_len)
{
	for (const char *line = text; line && *line; line = strchr(line, '\n')) {
		line += *line == '\n';
		line += strspn(line, "0123456789");
		if (strncmp(line, f->line, strlen(f->line)) == 0) {
			line += strlen(f->line);
			*ret_len = strcspn(line, "\n");
			return line;
		}
	}
	return NULL;
}

/* Is @pid the tree's root, or a descendant? */
static bool belongs(struct seizure *s, pid_t pid)
{
	while (pid > 1 && pid != s->root && !seizure_find(s, pid)) {
		_cleanup_close_ int fd = -EBADF;
		struct proc_stat stat;

		if (proc_open(pid, &fd) < 0 || proc_read_stat(fd, &stat) < 0)
			return true; /* it is gone */
		pid = stat.ppid;
	}
	return pid > 1;
}

static int refuse_outsider(struct seizure *s, const char *cgroup, pid_t pid)
{
	struct proc_stat stat = {.comm = "?"};
	_cleanup_close_ int fd = -EBADF;
	int r;

	if (pid > 0 && proc_open(pid, &fd) == 0)
		(void)proc_read_stat(fd, &stat); /* else it stays "?" */
	r = err_msg(s->ctx, -EBUSY,
		    "the tree is frozen by cgroup %s, which also holds process %d (%s) outside it",
		    cgroup, pid, stat.comm);
	return err_hint(s->ctx, r, "thaw the cgroup first");
}

static int check_processes(struct seizure *s, const char *cgroup, int dir)
{
	_cleanup_free_ char *text = NULL;
	pid_t *pids;
	size_t n;
	int r;

	r = io_read_file(dir, "cgroup.procs", &text, NULL);
	if (r == 0)
		r = parse_pids(text, &s->scratch, &pids, &n);
	if (r < 0)
		return err_sys(s->ctx, r, "%s/cgroup.procs", cgroup);
	for (size_t i = 0; i < n; i++)
		if (!belongs(s, pids[i]))
			return refuse_outsider(s, cgroup, pids[i]);
	return 0;
}

/* Takes the descriptor. Checks the cgroup and all below it. */
static int check_members(struct seizure *s, const char *cgroup, int fd)
{
	DIR *dir = fdopendir(fd);
	struct dirent *entry;
	int r;

	if (!dir) {
		r = err_sys(s->ctx, -errno, "fdopendir(%s)", cgroup);
		(void)close(fd); /* r is the error to tell */
		return r;
	}
	r = check_processes(s, cgroup, fd);
	while (r == 0 && (entry = readdir(dir))) {
		int below;

		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		below = openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (below >= 0) /* else it has been removed: nothing is in it */
			r = check_members(s, cgroup, below);
	}
	(void)closedir(dir);
	return r;
}

static int thaw(struct seizure *s, const struct freezer *f, const char *path)
{
	struct thawed *list, *t;
	int fd, r;

	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(s->ctx, -errno, "open(%s)", path);
	r = check_members(s, path, fd);
	if (r < 0)
		return r;
	list = realloc(s->thawed, (s->n_thawed + 1) * sizeof(*list));
	if (!list)
		return err_oom(s->ctx);
	s->thawed = list;
	t = &list[s->n_thawed];
	*t = (struct thawed){.freezer = f, .path = strdup(path)};
	if (!t->path)
		return err_oom(s->ctx);
	s->n_thawed++;
	r = write_control(t, f->thaw);
	if (r < 0)
		return err_sys(s->ctx, r, "write(%s/%s)", path, f->control);
	return 0;
}

static bool is_freezing(const struct freezer *f, const char *path)
{
	_cleanup_close_ int dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_free_ char *text = NULL;

	/* The root has no such file. */
	return dir >= 0 && io_read_file(dir, f->is_freezing, &text, NULL) == 0 && text[0] == '1';
}

/* Looks at cgroup @path (@len bytes) and all above it. */
static int thaw_above(struct seizure *s, const struct freezer *f, const struct proc_mount *mount,
		      const char *path, size_t len)
{
	size_t outside = strcmp(mount->root, "/") == 0 ? 0 : strlen(mount->root);
	char full[4200];
	size_t base;

	/* A mount may show a part of the hierarchy; what is above it cannot be seen. */
	if (outside > len || strncmp(path, mount->root, outside) != 0)
		return 0;
	base = (size_t)snprintf(full, sizeof(full), "%s", mount->point);
	(void)snprintf(full + base, sizeof(full) - base, "%.*s", (int)(len - outside),
		       path + outside);
	while (strlen(full) > base) {
		int r = is_freezing(f, full) ? thaw(s, f, full) : 0;

		if (r < 0)
			return r;
		*strrchr(full, '/') = '\0';
	}
	return 0;
}

/* @text is what a process has in /proc/PID/cgroup. */
static int thaw_process(struct seizure *s, const struct proc_mount *const mounts[N_FREEZERS],
			const char *text)
{
	for (size_t i = 0; i < N_FREEZERS; i++) {
		size_t len;
		const char *path = mounts[i] ? cgroup_path(&freezers[i], text, &len) : NULL;
		int r = path ? thaw_above(s, &freezers[i], mounts[i], path, len) : 0;

		if (r < 0)
			return r;
	}
	return 0;
}

static int thaw_processes(struct seizure *s, const struct proc_mount *const mounts[N_FREEZERS])
{
	_cleanup_free_ char *last = NULL;

	for (size_t i = 0; i < s->n_processes; i++) {
		_cleanup_free_ char *text = NULL;
		char path[32];
		int r;

		(void)snprintf(path, sizeof(path), "/proc/%d/cgroup", s->processes[i].pid);
		/* What has died meanwhile need not be thawed. */
		if (s->processes[i].n_tasks == 0 || io_read_file(AT_FDCWD, path, &text, NULL) < 0)
			continue;
		/* Most processes are where the one before was. */
		if (last && strcmp(text, last) == 0)
			continue;
		r = thaw_process(s, mounts, text);
		if (r < 0)
			return r;
		free(last);
		last = TAKE_PTR(text);
	}
	return 0;
}

int freezer_thaw(struct seizure *s)
{
	const struct proc_mount *seen[N_FREEZERS];
	struct proc_mount *mounts;
	int proc_fd, r;
	size_t n;

	r = proc_open(getpid(), &proc_fd);
	if (r == 0) {
		r = proc_read_mounts(proc_fd, &s->scratch, &mounts, &n);
		(void)close(proc_fd);
	}
	if (r < 0)
		return err_sys(s->ctx, r, "/proc/self/mountinfo");
	for (size_t i = 0; i < N_FREEZERS; i++)
		seen[i] = find_mount(&freezers[i], mounts, n);
	return thaw_processes(s, seen);
}

void freezer_freeze_again(struct context *ctx, struct thawed **thawed, size_t *n_thawed)
{
	/* The inner ones were thawed first. */
	while (*n_thawed > 0) {
		struct thawed *t = &(*thawed)[--*n_thawed];
		int r = write_control(t, t->freezer->freeze);

		if (r < 0 && r != -ENOENT)
			log_warn(ctx, "cgroup %s cannot be frozen again: %s", t->path, err_name(r));
		free(t->path);
	}
	free(*thawed);
	*thawed = NULL;
}
