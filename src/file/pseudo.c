/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files and directories of /proc, /sys and control groups: opened again by path and put to their offset.
 * What they show is not state of theirs, but of what they stand for.
 *
 * Below /proc/PID the number is that of a process of the tree, which may have another one for
 * coppice. An open file stays with its process: when that is gone, reads fail with ESRCH, also when
 * its number has been given away again. Then the path leads elsewhere or nowhere, and a process is
 * made for the moment that has the number and is gone.
 *
 * Files that show memory (maps, mem, ...) stay with the address space that the process had when they
 * were opened; execve() leaves it. Whether it is still that one, a second opening tells.
 *
 * Refused: what shows or allows more to one who opens it than to another (f_cred): coppice opens them
 * as root; /proc/PID/fdinfo/N, which cannot be opened before the number is; a trigger of
 * /proc/pressure. Not seen: whether poll() of a list of mounts or of an attribute in /sys has something new
 * to tell.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "file/number.h"
#include "file/open.h"
#include "file/state.h"
#include "kernel/scan.h"
#include "util/cleanup.h"
#include "util/macro.h"

enum { SAMPLE = 4096 };

static bool matches(const struct file_probe *probe)
{
	return probe->fs_type == PROC_SUPER_MAGIC || probe->fs_type == SYSFS_MAGIC ||
	       probe->fs_type == CGROUP2_SUPER_MAGIC || probe->fs_type == CGROUP_SUPER_MAGIC;
}

/*
 * A look at the file, or lseek(), has filled its buffer with what there is to see now, of a process that is
 * held or half restored. A read from elsewhere has the next one from the offset look again
 * (seq_read_iter()).
 */
static void set_aside(int fd, int64_t offset)
{
	char bytes[2];

	(void)!pread(fd, bytes, offset == 1 ? 2 : 1, 0); /* fails for what has no buffer */
}

/* ---- collect ------------------------------------------------------------------------------- */

static int refuse(struct collect *c, const struct file_probe *probe, const char *hint,
		  const char *why)
{
	return collect_refuse(c, hint, "%s, fd %d (%s): %s", collect_name(c, probe->process),
			      probe->number, probe->link, why);
}

/* "12/rest" or "12": the number, and *@text behind it and the slash. */
static bool take_number(const char **text, pid_t *ret)
{
	const char *at = *text;
	uint64_t number;

	if (!scan_u64(&at, 10, &number) || (*at != '\0' && *at != '/') || number > INT32_MAX)
		return false;
	*ret = (pid_t)number;
	*text = *at == '/' ? at + 1 : at;
	return true;
}

static bool begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

static bool ends(const char *text, const char *with)
{
	size_t len = strlen(text), tail = strlen(with);

	return len >= tail && strcmp(text + len - tail, with) == 0;
}

/* As coppice numbers them: the process, and below task/ the thread. False: of no process. */
static bool take_process(const char **text, pid_t *ret_pid, pid_t *ret_tid)
{
	const char *task = "task/";

	*ret_tid = 0;
	if (!begins(*text, "/proc/"))
		return false;
	*text += strlen("/proc/");
	if (!take_number(text, ret_pid))
		return false;
	if (begins(*text, task)) {
		const char *rest = *text + strlen(task);

		if (take_number(&rest, ret_tid))
			*text = rest;
	}
	return true;
}

/* Does the path still lead to the file that is open? */
static bool is_at(const struct file_probe *probe, const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && st.st_dev == probe->st.st_dev &&
	       st.st_ino == probe->st.st_ino;
}

/* Why it cannot be kept, whatever it is of; @path: of a process below its directory. */
static const char *why_not(const struct collect *c, const char *path,
			   const struct file_probe *probe)
{
	static const char *const by_opener[] = {
		"/proc/kallsyms",
		"/proc/modules",
		"/proc/kmsg",
		"/proc/keys",
	};
	/* cgroup_attach_permissions(), with the opener's credentials */
	static const char *const moves_processes[] = {
		"/cgroup.procs",
		"/cgroup.threads",
		"/tasks",
	};
	static const char *const below_process[] = {
		"uid_map",
		"gid_map",
		"projid_map",
		"setgroups",
	};

	for (size_t i = 0; i < ARRAY_SIZE(by_opener); i++)
		if (strcmp(path, by_opener[i]) == 0)
			return "shows what the one may see who opened it, which cannot be found "
			       "out";
	for (size_t i = 0; i < ARRAY_SIZE(below_process); i++)
		if (strcmp(path, below_process[i]) == 0 &&
		    ((probe->info.flags & O_ACCMODE) != O_RDONLY || c->cp->n_user_namespaces > 0))
			return "shows or allows what the one may who opened it, which cannot be "
			       "found out";
	for (size_t i = 0; i < ARRAY_SIZE(moves_processes); i++)
		if ((probe->info.flags & O_ACCMODE) != O_RDONLY && ends(path, moves_processes[i]))
			return "allows what the one may who opened it, which cannot be found out";
	if ((begins(path, "/proc/pressure/") || strstr(path, ".pressure")) &&
	    (probe->info.flags & O_ACCMODE) != O_RDONLY)
		return "may have a trigger, which cannot be read";
	if (begins(path, "fdinfo/"))
		return "is of a descriptor that is not there before it is restored";
	return NULL;
}

/* ---- address spaces */

static bool shows_memory(const char *name)
{
	static const char *const names[] = {
		"maps", "smaps", "smaps_rollup", "numa_maps", "pagemap", "environ", "auxv", "mem",
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

/* Where something can be read: in mem at some address of the process. */
static off_t sample_offset(const struct collect *c, const char *name, pid_t pid)
{
	for (size_t i = 0; i < c->n_processes && strcmp(name, "mem") == 0; i++) {
		const struct collect_process *p = &c->processes[i];

		if (p->pid == pid && p->mm_owner->n_maps > 0)
			return (off_t)p->mm_owner->maps[0].start;
	}
	return 0;
}

static int judge_memory(struct collect *c, const struct file_probe *probe, const char *name,
			pid_t pid)
{
	_cleanup_close_ int again = open_again(probe->fd, O_RDONLY);
	char before[SAMPLE], now[SAMPLE];
	off_t at = sample_offset(c, name, pid);
	ssize_t n, m;

	if ((probe->info.flags & O_ACCMODE) == O_WRONLY)
		return refuse(c, probe, "close it before the dump",
			      "whose memory it writes to cannot be found out");
	if (again < 0)
		return err_sys(c->ctx, again, "open(%s)", probe->link);
	n = pread(probe->fd, before, sizeof(before), at);
	m = pread(again, now, sizeof(now), at);
	set_aside(probe->fd, probe->info.pos);
	if (n == m && (n <= 0 || memcmp(before, now, (size_t)n) == 0))
		return 0;
	return refuse(c, probe, "close it before the dump",
		      "is of memory that the process had before it executed another program");
}

/* ---- what it is of */

static int collect_gone(struct collect *c, const struct file_probe *probe, pid_t pid, pid_t tid,
			Coppice__PseudoFile *msg)
{
	if (tid != 0 && tid != pid)
		return refuse(c, probe, "close it before the dump", "is of a thread that is gone");
	if (c->processes[0].status.ns_pid.n > 1)
		return refuse(c, probe, "close it before the dump",
			      "is of a process that is gone, and its number in another PID "
			      "namespace cannot be found out");
	if (number_in_tree(c, F_OWNER_TID, pid) != 0 || number_in_tree(c, F_OWNER_PID, pid) != 0)
		return refuse(c, probe, "close it before the dump",
			      "is of a process that is gone, and whose number another one has now");
	msg->dead = true;
	msg->pid = pid;
	msg->tid = tid;
	return 0;
}

static int collect_of_process(struct collect *c, const struct file_probe *probe, const char *path,
			      pid_t pid, pid_t tid, Coppice__PseudoFile *msg)
{
	if (!is_at(probe, path))
		return collect_gone(c, probe, pid, tid, msg);
	msg->pid = number_in_tree(c, F_OWNER_PID, pid);
	if (tid != 0)
		msg->tid = number_in_tree(c, F_OWNER_TID, tid);
	if (msg->pid == 0 || (tid != 0 && msg->tid == 0))
		return refuse(c, probe, "dump that process as well, or close it before the dump",
			      "is of a process outside the tree");
	return shows_memory(msg->path) && !(probe->info.flags & O_PATH)
		       ? judge_memory(c, probe, msg->path, pid)
		       : 0;
}

/* Only our own /proc numbers processes as we do. */
static bool is_foreign_proc(const struct file_probe *probe)
{
	struct stat st;

	return probe->fs_type == PROC_SUPER_MAGIC &&
	       (stat("/proc", &st) < 0 || st.st_dev != probe->st.st_dev);
}

/* Its path without what the kernel appends for one that is gone. */
static char *path_of(struct collect *c, const struct file_probe *probe)
{
	static const char suffix[] = " (deleted)";
	char *path = arena_strdup(c->arena, probe->link);
	size_t len = strlen(probe->link), tail = sizeof(suffix) - 1;

	if (path && len > tail && strcmp(path + len - tail, suffix) == 0)
		path[len - tail] = '\0';
	return path;
}

/*
 * An offset that is none moves nothing, but in mem and pagemap (mem_lseek()), which are seekable. To
 * ask for the present one would have the file look again (seq_lseek()).
 */
static bool is_seekable(int fd, const char *name)
{
	return shows_memory(name) || lseek(fd, -1, SEEK_SET) >= 0 || errno != ESPIPE;
}

static int collect(struct collect *c, const struct file_probe *probe, Coppice__File *file)
{
	Coppice__PseudoFile *msg = arena_new(c->arena, Coppice__PseudoFile);
	const char *path = path_of(c, probe), *rest = path, *why;
	pid_t pid, tid;
	bool of_process;

	if (!msg || !path)
		return err_oom(c->ctx);
	coppice__pseudo_file__init(msg);
	file->pseudo = msg;
	if (is_foreign_proc(probe))
		return refuse(c, probe, "close it before the dump",
			      "is of another /proc than coppice's");
	of_process = take_process(&rest, &pid, &tid);
	msg->path = arena_strdup(c->arena, of_process ? rest : path);
	if (!msg->path)
		return err_oom(c->ctx);
	why = why_not(c, msg->path, probe);
	if (why && !(file->flags & O_PATH))
		return refuse(c, probe, "close it before the dump", why);
	if (file->offset != 0 && !is_seekable(probe->fd, msg->path))
		return refuse(c, probe, "close it before the dump",
			      "has an offset that nobody can set");
	if (of_process)
		return collect_of_process(c, probe, path, pid, tid, msg);
	return is_at(probe, path) ? 0
				  : refuse(c, probe, "close it before the dump",
					   "its path no longer leads to it");
}

/* ---- rebuild ------------------------------------------------------------------------------- */

static int check_gone(struct rebuild *r, const Coppice__PseudoFile *msg)
{
	_cleanup_close_ int fd = -EBADF;

	if (proc_open(msg->pid, &fd) < 0)
		return 0;
	return rebuild_refuse(r, "wait until it has ended",
			      "PID %d, which the image needs for a process that is gone and has a "
			      "file in /proc open, is in use",
			      msg->pid);
}

static int check(struct rebuild *r, const Coppice__File *file)
{
	const Coppice__PseudoFile *msg = file->pseudo;
	struct stat st;

	if (msg->dead)
		return check_gone(r, msg);
	if (msg->pid == 0 && lstat(msg->path, &st) < 0)
		return rebuild_refuse(r, NULL, "%s is missing (%s)", msg->path, err_name(-errno));
	return 0;
}

/* The number is chosen; it lives until it is killed. */
static int make_process(struct rebuild *r, pid_t pid)
{
	struct clone_args args = {
		.exit_signal = SIGCHLD,
		.set_tid = (uintptr_t)&pid,
		.set_tid_size = 1,
	};
	long child = syscall(SYS_clone3, &args, sizeof(args));

	if (child == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* it has our descriptors */
		for (;;)
			(void)pause();
	}
	return child < 0 ? err_sys(r->ctx, -errno, "clone3(set_tid %d)", pid) : 0;
}

static void end_process(pid_t pid)
{
	(void)kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static const char *path_here(struct rebuild *r, const Coppice__PseudoFile *msg)
{
	pid_t pid = msg->dead ? msg->pid : number_here(r, F_OWNER_PID, msg->pid);
	pid_t tid = msg->dead ? msg->tid : number_here(r, F_OWNER_TID, msg->tid);
	const char *slash = msg->path[0] ? "/" : "";

	if (msg->pid == 0)
		return msg->path;
	if (msg->tid == 0)
		return arena_printf(r->arena, "/proc/%d%s%s", pid, slash, msg->path);
	return arena_printf(r->arena, "/proc/%d/task/%d%s%s", pid, tid, slash, msg->path);
}

static int open_pseudo(struct rebuild *r, const Coppice__File *file, int *ret_fd)
{
	const char *path = path_here(r, file->pseudo);
	_cleanup_close_ int fd = -EBADF;

	if (!path)
		return err_oom(r->ctx);
	fd = open_path(path, file->flags);
	if (fd < 0)
		return err_sys(r->ctx, fd, "open(%s)", path);
	if (file->offset != 0 && lseek(fd, file->offset, SEEK_SET) < 0)
		return err_sys(r->ctx, -errno, "lseek(%s, %ld)", path, file->offset);
	if (file->offset != 0)
		set_aside(fd, file->offset);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int create(struct rebuild *r, const Coppice__File *file, int *ret_fd)
{
	const Coppice__PseudoFile *msg = file->pseudo;
	int result = msg->dead ? make_process(r, msg->pid) : 0;

	if (result < 0)
		return result;
	result = open_pseudo(r, file, ret_fd);
	if (msg->dead)
		end_process(msg->pid);
	return result;
}

static void describe(const Coppice__File *file, char *buf, size_t size)
{
	const Coppice__PseudoFile *msg = file->pseudo;

	if (msg->pid == 0)
		(void)snprintf(buf, size, "%s", msg->path);
	else
		(void)snprintf(buf, size, "/proc/%d/%s%s", msg->pid, msg->path,
			       msg->dead ? ", gone" : "");
}

const struct file_kind kind_pseudo = {
	.name = "file of /proc or /sys",
	.which = COPPICE__FILE__KIND_PSEUDO,
	.poll_has_effects = true,
	.matches = matches,
	.collect = collect,
	.check = check,
	.create = create,
	.describe = describe,
};
