/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attaching to one task.
 *
 * PTRACE_SEIZE does not disturb the task and sends no signal; PTRACE_INTERRUPT stops it. Children
 * that it makes before it stops are attached by the kernel (PTRACE_O_TRACEFORK ...), and start
 * stopped. Under a seccomp filter remote calls need PTRACE_O_SUSPEND_SECCOMP, which only a
 * privileged coordinator may ask for.
 *
 * A task in an rseq critical section (rseq(2)) is in code that must not be interrupted and resumed:
 * the kernel would jump to the abort handler when it returns to user space, but it looks where the
 * instruction pointer is *then*, and while the task works for us, that is elsewhere. So the jump is
 * made here.
 */
#include "puppet/attach.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/rseq.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kernel/proc.h"
#include "puppet/trace.h"
#include "util/arena.h"
#include "util/cleanup.h"
#include "util/context.h"

/* Only poll(2) is continued by restart_syscall; newer architectures have ppoll(2) alone. */
#ifdef SYS_poll
#define SYS_POLL_RESTARTED SYS_poll
#else
#define SYS_POLL_RESTARTED SYS_ppoll
#endif

int attach_who(pid_t tgid, pid_t tid, struct arena *arena, struct proc_stat *ret_stat,
	       struct proc_status *ret_status)
{
	_cleanup_close_ int fd = -EBADF;
	char path[64];
	int r;

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d", tgid, tid);
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = proc_read_stat(fd, ret_stat);
	if (r == 0)
		r = proc_read_status(fd, arena, ret_status);
	return r;
}

static void comm_of(pid_t pid, char *comm, size_t size)
{
	struct proc_stat stat;
	int fd;

	(void)snprintf(comm, size, "?");
	if (proc_open(pid, &fd) < 0)
		return;
	if (proc_read_stat(fd, &stat) == 0)
		(void)snprintf(comm, size, "%s", stat.comm);
	(void)close(fd); /* opened for reading only */
}

static int refuse_traced(struct context *ctx, pid_t tid, const struct proc_stat *stat, pid_t tracer)
{
	char comm[PROC_COMM_MAX];
	int r;

	comm_of(tracer, comm, sizeof(comm));
	r = err_msg(ctx, -EBUSY, "task %d (%s) is already traced by process %d (%s)", tid,
		    stat->comm, tracer, comm);
	return err_hint(ctx, r, "detach or end process %d first", tracer);
}

static int refuse_unpermitted(struct context *ctx, pid_t tid, const struct proc_stat *stat,
			      const struct proc_status *status)
{
	int r;

	if (tid == getpid()) {
		r = err_msg(ctx, -EINVAL, "process %d (%s) is coppice itself", tid, stat->comm);
		return err_hint(ctx, r, "run coppice from outside the tree");
	}
	r = err_sys(ctx, -EPERM, "ptrace(PTRACE_SEIZE, %d)", tid);

	if (stat->flags & 0x00200000 /* PF_KTHREAD */)
		return err_while(ctx, r, "task %d (%s) is a kernel thread", tid, stat->comm);
	r = err_while(ctx, r, "task %d (%s) of user %u", tid, stat->comm, status->uid[0]);
	if (status->uid[0] != geteuid() && geteuid() != 0)
		return err_hint(ctx, r, "run as root or as its user");
	return err_hint(ctx, r,
			"it may be undumpable (prctl(2), PR_SET_DUMPABLE), have more capabilities "
			"than we, or be protected by Yama (ptrace_scope)");
}

/* Why was PTRACE_SEIZE refused? 0: it is ours already. 1: dead. */
static int explain_eperm(struct context *ctx, pid_t tgid, pid_t tid)
{
	_cleanup_(arena_deinit) struct arena arena = {0};
	struct proc_status status;
	struct proc_stat stat;
	int r;

	arena_init(&arena, ctx);
	r = attach_who(tgid, tid, &arena, &stat, &status);
	if (r == -ENOENT || r == -ESRCH)
		return 1;
	if (r < 0)
		return err_sys(ctx, r, "/proc/%d/task/%d/status", tgid, tid);
	if (stat.state == 'Z' || stat.state == 'X') {
		/* A thread that died as our tracee stays, and its leader with it, until we waited. */
		if (status.tracer == getpid())
			(void)waitpid(tid, NULL, __WALL | WNOHANG); /* else the next look does */
		return 1;
	}
	if (status.tracer == getpid())
		return 0;
	if (status.tracer != 0)
		return refuse_traced(ctx, tid, &stat, status.tracer);
	return refuse_unpermitted(ctx, tid, &stat, &status);
}

static int seize(pid_t tid, bool *ret_suspended)
{
	*ret_suspended = true;
	if (ptrace(PTRACE_SEIZE, tid, NULL,
		   (void *)(long)(ATTACH_OPTIONS | PTRACE_O_SUSPEND_SECCOMP)) == 0)
		return 0;
	/* Also the kernel's answer where the option is not permitted: then without. */
	if (errno != EPERM && errno != EINVAL)
		return -errno;
	*ret_suspended = false;
	return ptrace(PTRACE_SEIZE, tid, NULL, (void *)(long)ATTACH_OPTIONS) < 0 ? -errno : 0;
}

static struct puppet *puppet_new(pid_t tgid, pid_t tid)
{
	struct puppet *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->tid = tid;
	p->tgid = tgid;
	p->borrowed = true;
	p->state = PUPPET_NONE;
	p->socket = -EBADF;
	p->wait_status = -1;
	return p;
}

int attach(struct context *ctx, pid_t tgid, pid_t tid, struct puppet **ret_puppet)
{
	bool suspended;
	struct puppet *p;
	int r;

	r = seize(tid, &suspended);
	if (r == -ESRCH)
		r = 1;
	else if (r == -EPERM)
		r = explain_eperm(ctx, tgid, tid);
	else if (r < 0)
		return err_sys(ctx, r, "ptrace(PTRACE_SEIZE, %d)", tid);
	else if (ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) < 0 && errno != ESRCH)
		return err_sys(ctx, -errno, "ptrace(PTRACE_INTERRUPT, %d)", tid);
	if (r < 0)
		return r;
	p = puppet_new(tgid, tid);
	if (!p)
		return err_oom(ctx); /* it stays seized until we end: nothing better can be done */
	p->suspended = suspended;
	if (r > 0)
		p->state = PUPPET_GONE;
	*ret_puppet = p;
	return r;
}

/* The kernel function in which a task sleeps, "" if that cannot be told. */
static void read_wchan(const struct puppet *p, char *name, size_t size)
{
	_cleanup_close_ int fd = -EBADF;
	char path[64];
	ssize_t n = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/wchan", p->tgid, p->tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		n = read(fd, name, size - 1);
	name[n > 0 ? n : 0] = '\0';
}

/* Lets the task sleep on for a moment, to see in what. It is stopped again when this returns. */
static int look_where_it_sleeps(struct context *ctx, struct puppet *p, char *name, size_t size)
{
	enum { LOOKS = 2000 };
	struct timespec moment = {.tv_nsec = 50000};
	int r;

	r = trace_go(ctx, p, PTRACE_CONT, 0);
	name[0] = '\0';
	/* It may have to wait for a CPU first. */
	for (int i = 0; i < LOOKS && r == 0 && (name[0] == '\0' || name[0] == '0'); i++) {
		(void)nanosleep(&moment, NULL); /* shorter is fine, too */
		read_wchan(p, name, size);
	}
	if (r == 0)
		r = trace_park(ctx, p);
	return r < 0 ? r : arch_get_regs(ctx, p->tid, &p->regs);
}

/*
 * The task is in restart_syscall(2): the number of the call is lost, with which alone it can be
 * called again by another task (after a restore), or by this one if the coordinator dies.
 */
static int find_lost_call(struct context *ctx, struct puppet *p)
{
	unsigned char code[ARCH_CALL_CODE];
	char where[64];
	uint64_t nr = 0;
	int r;

	if (puppet_read(ctx, p, arch_ip(&p->regs) - sizeof(code), code, sizeof(code)) == 0 &&
	    arch_call_from_code(code, &nr)) {
		arch_set_call(&p->regs, nr);
		return 0;
	}
	r = look_where_it_sleeps(ctx, p, where, sizeof(where));
	if (r < 0 || !arch_call_lost(&p->regs))
		return r;
	if (strstr(where, "nanosleep"))
		arch_set_call(&p->regs, arch_sleep_call(&p->regs));
	else if (strstr(where, "futex"))
		arch_set_call(&p->regs, SYS_futex);
	else if (strstr(where, "poll"))
		arch_set_call(&p->regs, SYS_POLL_RESTARTED);
	else
		log_warn(ctx, "task %d: which call it has continued (in %s) cannot be told", p->tid,
			 where);
	return 0;
}

static void leave_rseq(struct context *ctx, struct puppet *p)
{
	struct __ptrace_rseq_configuration conf;
	uint64_t pointer, ip = arch_ip(&p->regs);
	struct rseq_cs cs;

	/* EINVAL: no such request (before 5.13), then there is nothing to be known. */
	if (ptrace(PTRACE_GET_RSEQ_CONFIGURATION, p->tid, (void *)sizeof(conf), &conf) < 0 ||
	    conf.rseq_abi_pointer == 0)
		return;
	/* What is not readable there, the kernel cannot read either: it kills the task itself. */
	if (puppet_read(ctx, p, conf.rseq_abi_pointer + offsetof(struct rseq, rseq_cs), &pointer,
			sizeof(pointer)) < 0 ||
	    pointer == 0 || puppet_read(ctx, p, pointer, &cs, sizeof(cs)) < 0)
		return;
	if (ip - cs.start_ip < cs.post_commit_offset)
		arch_set_ip(&p->regs, cs.abort_ip);
}

/*
 * Threads of the kernel's within the process, for io_uring: they stop, but never go back to user
 * mode, so that a call that they are to execute is never executed. They have everything blocked.
 */
static int find_worker(struct context *ctx, struct puppet *p)
{
	enum { PF_IO_WORKER = 0x10 }; /* include/linux/sched.h */
	const uint64_t unblockable = UINT64_C(1) << (SIGKILL - 1) | UINT64_C(1) << (SIGSTOP - 1);
	_cleanup_(arena_deinit) struct arena arena = {0};
	struct proc_status status;
	struct proc_stat stat;
	int r;

	if (p->sigmask != ~unblockable)
		return 0;
	arena_init(&arena, ctx);
	r = attach_who(p->tgid, p->tid, &arena, &stat, &status);
	if (r < 0)
		return err_sys(ctx, r, "/proc/%d/task/%d/status", p->tgid, p->tid);
	p->worker = (stat.flags & PF_IO_WORKER) != 0;
	return 0;
}

int attach_stopped(struct context *ctx, struct puppet *p)
{
	struct arch_regs was;
	int r;

	r = arch_get_regs(ctx, p->tid, &p->regs);
	if (r == 0 && arch_call_lost(&p->regs))
		r = find_lost_call(ctx, p);
	if (r == 0)
		r = trace_get_sigmask(ctx, p, &p->sigmask);
	if (r < 0)
		return r == -ESRCH ? trace_gone(ctx, p, -1) : r;
	p->state = PUPPET_STOPPED;
	if (!arch_is_native(&p->regs)) {
		r = err_msg(ctx, -EOPNOTSUPP, "task %d of process %d is a 32-bit one", p->tid,
			    p->tgid);
		return err_hint(ctx, r, "only 64-bit programs can be dumped");
	}
	r = find_worker(ctx, p);
	if (r < 0 || p->worker)
		return r;
	was = p->regs;
	/* A group stop interrupts calls by itself, and the program sees what signal(7) says. */
	if (!p->group_stopped)
		arch_fix_restart(&p->regs, true);
	/* There are no system calls in critical sections. */
	if (!arch_in_call(&p->regs))
		leave_rseq(ctx, p);
	if (memcmp(&was, &p->regs, sizeof(was)) == 0)
		return 0;
	return arch_set_regs(ctx, p->tid, &p->regs);
}

int detach_unstopped(pid_t tid, pid_t *ret_child)
{
	unsigned long child = 0;
	int event, signal, status;
	siginfo_t info;
	bool stopped;
	pid_t pid;

	*ret_child = 0;
	/* Asked before waiting: a stop that is there and not told of was told of before. */
	stopped = ptrace(PTRACE_GETSIGINFO, tid, NULL, &info) == 0 || errno != ESRCH;
	pid = waitpid(tid, &status, __WALL | WNOHANG);
	if (pid == 0 && !stopped)
		return 0;
	if (pid < 0 || (pid > 0 && !WIFSTOPPED(status)))
		return 1;
	event = pid > 0 ? status >> 16 : PTRACE_EVENT_STOP;
	if ((event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK ||
	     event == PTRACE_EVENT_CLONE) &&
	    ptrace(PTRACE_GETEVENTMSG, tid, NULL, &child) == 0)
		*ret_child = (pid_t)child;
	signal = event == 0 ? WSTOPSIG(status) : 0;
	/* ESRCH: killed this moment. */
	(void)ptrace(PTRACE_DETACH, tid, NULL, (void *)(long)signal);
	return 1;
}

void detach(struct puppet *p)
{
	int status;

	if (p->state == PUPPET_GONE) {
		/* A dead thread is kept by the kernel until its tracer has waited for it. */
		if (p->wait_status < 0)
			(void)waitpid(p->tid, &status, __WALL | WNOHANG);
		return;
	}
	/* ESRCH: it was killed meanwhile. */
	if (ptrace(PTRACE_DETACH, p->tid, NULL, NULL) < 0)
		(void)waitpid(p->tid, &status, __WALL | WNOHANG);
	p->state = PUPPET_NONE;
}
