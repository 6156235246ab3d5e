/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process that has nothing of the coordinator's in it: a child that execs a memfd whose whole
 * content is an ELF header and the interpreter's code, so that the kernel clears what an exec
 * clears (rseq, robust list, tid address, alternate stack, handlers, memory). It is traced before
 * it execs, and exits by itself should the coordinator die before that.
 */
#include "puppet/spawn.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "puppet/blob.h"
#include "puppet/interp.h"
#include "puppet/made.h"
#include "puppet/trace.h"
#include "util/cleanup.h"
#include "util/context.h"
#include "util/io.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x10U
#endif

/* ---- the image ------------------------------------------------------------------------- */

puppet_addr spawn_base(const struct puppet_make *how)
{
	return how->base < (UINT64_C(1) << 32) ? UINT64_C(1) << 32 : UINT64_C(1) << 24;
}

struct image_head {
	Elf64_Ehdr ehdr;
	Elf64_Phdr phdr;
};

static struct image_head image_head(puppet_addr base)
{
	return (struct image_head){
		.ehdr =
			{
				.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64,
					    ELFDATA2LSB, EV_CURRENT},
				.e_type = ET_EXEC,
#if defined(__aarch64__)
				.e_machine = EM_AARCH64,
#else
				.e_machine = EM_X86_64,
#endif
				.e_version = EV_CURRENT,
				.e_entry = base + SPAWN_CODE + INTERP_ENTRY_BREAK,
				.e_phoff = offsetof(struct image_head, phdr),
				.e_ehsize = sizeof(Elf64_Ehdr),
				.e_phentsize = sizeof(Elf64_Phdr),
				.e_phnum = 1,
			},
		.phdr =
			{
				.p_type = PT_LOAD,
				.p_flags = PF_R | PF_X,
				.p_vaddr = base,
				.p_paddr = base,
				.p_filesz = SPAWN_CODE + stub_blob_len,
				.p_memsz = SPAWN_CODE + stub_blob_len,
				.p_align = 0x10000,
			},
	};
}

int spawn_image(struct context *ctx, const struct puppet_make *how, int *ret_fd)
{
	struct image_head head = image_head(spawn_base(how));
	_cleanup_close_ int fd = -EBADF;
	int r;

	fd = memfd_create("stub", MFD_CLOEXEC | MFD_EXEC);
	if (fd < 0 && errno == EINVAL) /* before 6.3 all memfds were executable */
		fd = memfd_create("stub", MFD_CLOEXEC);
	if (fd < 0)
		return err_sys(ctx, -errno, "memfd_create(stub)");
	r = io_pwrite_all(fd, &head, sizeof(head), 0);
	if (r == 0)
		r = io_pwrite_all(fd, stub_blob, stub_blob_len, SPAWN_CODE);
	if (r < 0)
		return err_sys(ctx, r, "writing the stub's image");
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* ---- the child up to its exec ------------------------------------------------------------ */

/* What the child says when it cannot become a stub. */
struct child_failure {
	int error;
	char what[60];
};

struct child {
	int control; /* reading: go; writing: struct child_failure */
	int image;
	int doorbell;
	int doorbell_number;
};

_noreturn_ static void child_fail(const struct child *child, const char *what)
{
	struct child_failure failure = {.error = errno};

	(void)snprintf(failure.what, sizeof(failure.what), "%s", what);
	/* If this fails, too, the coordinator still sees that the stub has died. */
	(void)!write(child->control, &failure, sizeof(failure));
	_exit(1);
}

/* Exec resets handlers, but keeps what is ignored. */
static void child_reset_signals(void)
{
	uint64_t mask = MADE_SIGMASK;

	for (int i = 1; i < NSIG; i++)
		(void)signal(i, SIG_DFL); /* SIGKILL, SIGSTOP and libc's own refuse */
	(void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof(mask));
}

_noreturn_ static void child_main(const struct child *child)
{
	char *const argv[] = {(char[]){"stub"}, NULL};
	char *const envp[] = {NULL};
	int image;
	char go;

	child_reset_signals();
	/* The coordinator traces us first, so that we cannot outlive it. */
	if (read(child->control, &go, 1) != 1)
		_exit(1);
	image = fcntl(child->image, F_DUPFD_CLOEXEC, child->doorbell_number + 1);
	if (image < 0)
		child_fail(child, "fcntl(F_DUPFD_CLOEXEC) above the image's descriptors");
	if (syscall(SYS_close_range, 0, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
		child_fail(child, "close_range(CLOSE_RANGE_CLOEXEC)");
	if (child->doorbell != child->doorbell_number) {
		if (dup2(child->doorbell, child->doorbell_number) < 0)
			child_fail(child, "dup2(doorbell)");
	} else if (fcntl(child->doorbell, F_SETFD, 0) < 0) {
		child_fail(child, "fcntl(F_SETFD)");
	}
	(void)syscall(SYS_execveat, image, "", argv, envp, AT_EMPTY_PATH);
	child_fail(child, "execveat(stub)");
}

/* clone3 as fork: the child goes on in a copy of the coordinator. */
static int fork_child(struct context *ctx, const struct puppet_make *how, pid_t *ret_pid)
{
	struct clone_args args = {
		.flags = how->clone_flags,
		.exit_signal = (uint64_t)how->exit_signal,
		.set_tid = (uint64_t)(uintptr_t)how->set_tid,
		.set_tid_size = how->n_set_tid,
	};
	long pid = syscall(SYS_clone3, &args, sizeof(args));

	if (pid >= 0) {
		*ret_pid = (pid_t)pid;
		return 0;
	}
	if (errno == EEXIST && how->n_set_tid > 0)
		return made_pid_in_use(ctx, how->set_tid[how->n_set_tid - 1]);
	return err_sys(ctx, -errno, "clone3");
}

static int trace_child(struct context *ctx, pid_t pid)
{
	unsigned long options = PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD;

	/* Filters of the image are installed before all is done; not everybody may suspend them. */
	if (ptrace(PTRACE_SEIZE, pid, NULL, options | PTRACE_O_SUSPEND_SECCOMP) == 0 ||
	    ptrace(PTRACE_SEIZE, pid, NULL, options) == 0)
		return 0;
	return err_sys(ctx, -errno, "ptrace(PTRACE_SEIZE, %d)", pid);
}

static int child_died(struct context *ctx, int control)
{
	struct child_failure failure = {};

	if (recv(control, &failure, sizeof(failure), MSG_DONTWAIT) == (ssize_t)sizeof(failure) &&
	    failure.error > 0) {
		failure.what[sizeof(failure.what) - 1] = '\0';
		return err_sys(ctx, -failure.error, "%s", failure.what);
	}
	return err_msg(ctx, -ESRCH, "the first stub has died");
}

int spawn_exec(struct context *ctx, struct puppet *p, int control)
{
	struct trace_stop stop;
	int r;

	if (send(control, "", 1, MSG_NOSIGNAL) != 1)
		return child_died(ctx, control);
	do {
		r = trace_wait(ctx, p, &stop);
		if (r == -ESRCH)
			return child_died(ctx, control);
		if (r < 0)
			return r;
		if (stop.kind == TRACE_SIGNAL && stop.signal == SIGTRAP)
			return 0;
		r = trace_go(ctx, p, PTRACE_CONT, 0);
	} while (r == 0);
	return r;
}

void spawn_kill(pid_t pid)
{
	(void)kill(pid, SIGKILL); /* ours, not yet waited for */
	while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
		;
}

int spawn_child(struct context *ctx, const struct puppet_make *how, int image, int doorbell,
		int *ret_control, pid_t *ret_pid)
{
	_cleanup_close_ int control = -EBADF, theirs = -EBADF;
	int pair[2], r;
	pid_t pid = 0;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(ctx, -errno, "socketpair");
	control = pair[0];
	theirs = pair[1];
	r = fork_child(ctx, how, &pid);
	if (r < 0)
		return r;
	if (pid == 0) {
		(void)close(control); /* so that its end is seen when the coordinator dies */
		child_main(&(struct child){theirs, image, doorbell, how->doorbell});
	}
	r = trace_child(ctx, pid);
	if (r < 0) {
		spawn_kill(pid);
		return r;
	}
	*ret_control = TAKE_FD(control);
	*ret_pid = pid;
	return 0;
}
