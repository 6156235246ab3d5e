/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting for traced tasks.
 *
 * A blocking waitpid() for one task can hang for ever: a thread-group leader that was killed
 * together with its threads is not reported before the tracer has waited for each of those
 * (delay_group_leader), and a task that vanishes in another thread's execve is never reported. So
 * waits are by WNOHANG, and in between the coordinator sleeps until SIGCHLD, for a bounded time,
 * after which it looks at /proc.
 */
#include "puppet/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>

#include "util/cleanup.h"
#include "util/context.h"

enum { DOZE_MS = 20, KERNEL_SIGSET_SIZE = 8 };

int trace_gone(struct context *ctx, struct puppet *p, int status)
{
	p->state = PUPPET_GONE;
	p->wait_status = status;
	return err_msg(ctx, -ESRCH, "task %d has died", p->tid);
}

static void read_stop(struct puppet *p, int status, struct trace_stop *ret_stop)
{
	int event = status >> 16;
	int signal = WSTOPSIG(status);
	unsigned long message = 0;

	*ret_stop = (struct trace_stop){.kind = TRACE_OTHER, .signal = signal};
	switch (event) {
	case 0:
		ret_stop->kind = signal == (SIGTRAP | 0x80) ? TRACE_SYSCALL : TRACE_SIGNAL;
		break;
	case PTRACE_EVENT_STOP:
		ret_stop->kind = TRACE_PARKED;
		/* SIGTRAP: not, or no longer, in a group stop. */
		p->group_stopped = signal != SIGTRAP;
		p->stop_signal = p->group_stopped ? signal : 0;
		break;
	case PTRACE_EVENT_FORK:
	case PTRACE_EVENT_VFORK:
	case PTRACE_EVENT_CLONE:
		/* Fails only if the task was killed this moment; the next wait tells. */
		if (ptrace(PTRACE_GETEVENTMSG, p->tid, NULL, &message) == 0) {
			ret_stop->kind = TRACE_CHILD;
			ret_stop->child = (pid_t)message;
		}
		break;
	default:
		break;
	}
}

int trace_poll(struct context *ctx, struct puppet *p, struct trace_stop *ret_stop)
{
	int status;
	pid_t pid;

	if (p->state == PUPPET_GONE)
		return err_msg(ctx, -ESRCH, "task %d has died", p->tid);
	do
		pid = waitpid(p->tid, &status, __WALL | WNOHANG);
	while (pid < 0 && errno == EINTR);
	if (pid < 0)
		return trace_gone(ctx, p, -1);
	if (pid == 0)
		return 0;
	if (!WIFSTOPPED(status))
		return trace_gone(ctx, p, status);
	read_stop(p, status, ret_stop);
	return 1;
}

bool trace_is_dead(const struct puppet *p)
{
	_cleanup_close_ int fd = -EBADF;
	char path[64], text[512];
	const char *end;
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", p->tgid, p->tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT || errno == ESRCH;
	n = read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return true;
	text[n] = '\0';
	end = strrchr(text, ')');
	return end && (end[2] == 'Z' || end[2] == 'X');
}

static void chld_set(sigset_t *ret_set)
{
	sigemptyset(ret_set);
	sigaddset(ret_set, SIGCHLD);
}

void trace_block_chld(sigset_t *ret_old)
{
	sigset_t chld;

	chld_set(&chld);
	(void)sigprocmask(SIG_BLOCK, &chld, ret_old); /* cannot fail */
}

void trace_unblock_chld(const sigset_t *old)
{
	(void)sigprocmask(SIG_SETMASK, old, NULL); /* cannot fail */
}

bool trace_doze(int ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000L};
	sigset_t chld;

	chld_set(&chld);
	return sigtimedwait(&chld, NULL, &t) == SIGCHLD;
}

int trace_wait(struct context *ctx, struct puppet *p, struct trace_stop *ret_stop)
{
	sigset_t old;
	int r;

	trace_block_chld(&old);
	while ((r = trace_poll(ctx, p, ret_stop)) == 0) {
		if (trace_doze(DOZE_MS) || !trace_is_dead(p))
			continue;
		/* It may have been reported between the two looks. */
		r = trace_poll(ctx, p, ret_stop);
		if (r == 0)
			r = trace_gone(ctx, p, -1);
		break;
	}
	trace_unblock_chld(&old);
	return r < 0 ? r : 0;
}

/* ESRCH from ptrace() means for a task that we know to be stopped: killed this moment. */
static int ptrace_failed(struct context *ctx, struct puppet *p, const char *what)
{
	int r = -errno;

	if (r == -ESRCH)
		return trace_gone(ctx, p, -1);
	return err_sys(ctx, r, "ptrace(%s, %d)", what, p->tid);
}

int trace_go(struct context *ctx, struct puppet *p, int request, int signal)
{
	if (ptrace(request, p->tid, NULL, (void *)(long)signal) < 0)
		return ptrace_failed(ctx, p,
				     request == PTRACE_SYSCALL ? "PTRACE_SYSCALL" : "PTRACE_CONT");
	return 0;
}

int trace_interrupt(struct context *ctx, struct puppet *p)
{
	if (ptrace(PTRACE_INTERRUPT, p->tid, NULL, NULL) < 0)
		return ptrace_failed(ctx, p, "PTRACE_INTERRUPT");
	return 0;
}

int trace_pass(struct context *ctx, struct puppet *p, const struct trace_stop *stop)
{
	int signal = stop->kind == TRACE_SIGNAL ? stop->signal : 0;

	return trace_go(ctx, p, PTRACE_CONT, signal);
}

/* Any stop makes the kernel forget a PTRACE_INTERRUPT that was pending (ptrace_stop()). */
int trace_pass_to_park(struct context *ctx, struct puppet *p, const struct trace_stop *stop)
{
	int r = trace_interrupt(ctx, p);

	return r < 0 ? r : trace_pass(ctx, p, stop);
}

int trace_await_park(struct context *ctx, struct puppet *p)
{
	struct trace_stop stop;
	int r;

	while (true) {
		r = trace_wait(ctx, p, &stop);
		if (r < 0 || stop.kind == TRACE_PARKED)
			return r;
		r = trace_pass_to_park(ctx, p, &stop);
		if (r < 0)
			return r;
	}
}

int trace_park(struct context *ctx, struct puppet *p)
{
	int r = trace_interrupt(ctx, p);

	return r < 0 ? r : trace_await_park(ctx, p);
}

int trace_get_sigmask(struct context *ctx, struct puppet *p, uint64_t *ret_mask)
{
	if (ptrace(PTRACE_GETSIGMASK, p->tid, (void *)(long)KERNEL_SIGSET_SIZE, ret_mask) < 0)
		return ptrace_failed(ctx, p, "PTRACE_GETSIGMASK");
	return 0;
}

int trace_set_sigmask(struct context *ctx, struct puppet *p, uint64_t mask)
{
	if (ptrace(PTRACE_SETSIGMASK, p->tid, (void *)(long)KERNEL_SIGSET_SIZE, &mask) < 0)
		return ptrace_failed(ctx, p, "PTRACE_SETSIGMASK");
	return 0;
}
