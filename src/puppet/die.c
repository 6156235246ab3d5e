/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deaths of made puppets, for zombies that a tree needs and for scaffolds.
 *
 * The status that a parent sees has no other source than an exit_group or a fatal signal. A dump
 * of core, too, is only noted in it when one has really been written (vfs_coredump): where
 * core_pattern is a relative path the task is moved into a directory that is removed afterwards;
 * an absolute one would leave a file behind, and is refused.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/proc.h"
#include "puppet/interp.h"
#include "puppet/made.h"
#include "puppet/trace.h"
#include "util/arena.h"
#include "util/cleanup.h"
#include "util/context.h"
#include "util/io.h"

/* ---- where a core goes ------------------------------------------------------------------- */

static int check_core_pattern(struct context *ctx)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r;

	r = io_read_file(AT_FDCWD, "/proc/sys/kernel/core_pattern", &text, &len);
	if (r < 0)
		return err_sys(ctx, r, "reading /proc/sys/kernel/core_pattern");
	if (text[0] != '/')
		return 0;
	(void)err_msg(ctx, -EOPNOTSUPP,
		      "it died with a core dump, and making one again would leave %s behind",
		      strtok(text, "\n"));
	return err_hint(ctx, -EOPNOTSUPP, "set /proc/sys/kernel/core_pattern to \"core\"");
}

/* Removes the directory and the files in it: the core, under whatever name. */
static void remove_core(const char *dir)
{
	_cleanup_closedir_ DIR *entries = opendir(dir);
	struct dirent *entry;

	/* Failing to remove a stray file is no reason to fail the restore. */
	while (entries && (entry = readdir(entries)))
		(void)unlinkat(dirfd(entries), entry->d_name, 0);
	(void)rmdir(dir);
}

/* By the task itself, whose user may be another than ours. */
static int allow_core(struct context *ctx, struct puppet *p)
{
	_cleanup_(arena_deinit) struct arena arena = {0};
	struct call_table t;
	struct rlimit limit;
	uint32_t at;
	int r;

	arena_init(&arena, ctx);
	call_table_init(&t, &arena);
	at = call_space(&t, NULL, sizeof(limit));
	call_add(&t, "prlimit(RLIMIT_CORE)", SYS_prlimit64, CALL_IMM(0), CALL_IMM(RLIMIT_CORE),
		 CALL_IMM(0), CALL_DATA(at));
	r = puppet_run(ctx, p, &t);
	if (r < 0)
		return r;
	memcpy(&limit, call_bytes(&t, at), sizeof(limit));
	limit.rlim_cur = limit.rlim_max;
	call_table_reset(&t);
	call_add(&t, "prlimit(RLIMIT_CORE)", SYS_prlimit64, CALL_IMM(0), CALL_IMM(RLIMIT_CORE),
		 CALL_DATA(call_space(&t, &limit, sizeof(limit))), CALL_IMM(0));
	return puppet_run(ctx, p, &t);
}

/* The task may write into the directory. */
static int give_directory(struct context *ctx, const struct puppet *p, const char *dir)
{
	_cleanup_(arena_deinit) struct arena arena = {0};
	_cleanup_close_ int fd = -EBADF;
	struct proc_status status;
	int r;

	arena_init(&arena, ctx);
	r = proc_open(p->tid, &fd);
	if (r == 0)
		r = proc_read_status(fd, &arena, &status);
	if (r < 0)
		return err_sys(ctx, r, "reading /proc/%d/status", p->tid);
	return chown(dir, status.uid[3], (gid_t)-1) < 0 ? err_sys(ctx, -errno, "chown(%s)", dir)
							: 0;
}

/* ---- deaths ------------------------------------------------------------------------------ */

/* Sends a dying task on until it is dead. */
static int await_death(struct context *ctx, struct puppet *p, int signal)
{
	struct trace_stop stop;
	int r;

	r = trace_go(ctx, p, PTRACE_CONT, signal);
	while (r == 0) {
		r = trace_wait(ctx, p, &stop);
		if (r == 0)
			r = trace_go(ctx, p, PTRACE_CONT, 0);
	}
	return r == -ESRCH ? 0 : r;
}

static int exit_group(struct context *ctx, struct puppet *p, int code)
{
	_cleanup_(arena_deinit) struct arena arena = {0};
	struct call_table t;
	int r;

	arena_init(&arena, ctx);
	call_table_init(&t, &arena);
	call_add(&t, "exit_group", SYS_exit_group, CALL_IMM(code));
	r = puppet_run(ctx, p, &t);
	return r == -ESRCH ? 0 : r;
}

/* Makes the task ready to die by a signal, in @core_dir if it is to leave a core. */
static int prepare(struct context *ctx, struct puppet *p, const char *core_dir)
{
	_cleanup_(arena_deinit) struct arena arena = {0};
	struct call_table t;

	arena_init(&arena, ctx);
	call_table_init(&t, &arena);
	if (core_dir)
		call_add(&t, "chdir", SYS_chdir, CALL_DATA(call_string(&t, core_dir)));
	call_add(&t, "prctl(PR_SET_DUMPABLE)", SYS_prctl, CALL_IMM(PR_SET_DUMPABLE),
		 CALL_IMM(core_dir ? 1 : 0));
	return puppet_run(ctx, p, &t);
}

/* The task is in its bell, the delivery of a signal, in whose place another may be delivered. */
static int die_by(struct context *ctx, struct puppet *p, int signal)
{
	int r;

	if (signal == SIGKILL) {
		puppet_kill(p);
		return 0;
	}
	r = trace_set_sigmask(ctx, p, ~(UINT64_C(1) << (signal - 1)));
	return r < 0 ? r : await_death(ctx, p, signal);
}

static int die_with_core(struct context *ctx, struct puppet *p, int signal)
{
	char dir[] = "/tmp/coppice-core-XXXXXX";
	int r;

	r = check_core_pattern(ctx);
	if (r < 0)
		return r;
	if (!mkdtemp(dir))
		return err_sys(ctx, -errno, "mkdtemp(%s)", dir);
	r = give_directory(ctx, p, dir);
	if (r == 0)
		r = allow_core(ctx, p);
	if (r == 0)
		r = prepare(ctx, p, dir);
	if (r == 0)
		r = die_by(ctx, p, signal);
	remove_core(dir);
	return r;
}

static int check_status(struct context *ctx, const struct puppet *p, int status)
{
	if (p->wait_status == status)
		return 0;
	if (p->wait_status == (status & ~WCOREFLAG))
		return err_msg(ctx, -EOPNOTSUPP,
			       "it died with a core dump, which this machine makes none of");
	return err_msg(ctx, -EPROTO, "task %d died with status %#x instead of %#x", p->tid,
		       p->wait_status, status);
}

int puppet_die(struct context *ctx, struct puppet *p, int status)
{
	int r;

	if (WIFEXITED(status)) {
		r = exit_group(ctx, p, WEXITSTATUS(status));
	} else if (!WIFSIGNALED(status)) {
		return err_msg(ctx, -EINVAL, "%#x is no status of a dead process", status);
	} else if (WCOREDUMP(status)) {
		r = die_with_core(ctx, p, WTERMSIG(status));
	} else {
		r = prepare(ctx, p, NULL);
		if (r == 0)
			r = die_by(ctx, p, WTERMSIG(status));
	}
	return r < 0 ? r : check_status(ctx, p, status);
}

int puppet_exit_task(struct context *ctx, struct puppet *p, int code)
{
	const uint64_t arg[6] = {(uint64_t)code};
	struct arch_regs regs;
	int r;

	r = arch_get_regs(ctx, p->tid, &regs);
	if (r < 0)
		return r;
	arch_call_regs(&regs, &regs, p->area->code + INTERP_ENTRY_SYSCALL, SYS_exit, arg);
	r = arch_set_regs(ctx, p->tid, &regs);
	return r < 0 ? r : puppet_let_go(ctx, p);
}

int puppet_discard_thread(struct context *ctx, struct puppet *p)
{
	struct puppet_area *area = p->area;
	int r = puppet_exit_task(ctx, p, 0);

	/* It touches no memory any more. */
	if (r == 0 && area->next_slot == p->slot + 1)
		area->next_slot--;
	return r;
}
