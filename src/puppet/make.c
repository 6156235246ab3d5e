/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first stub: a process that has nothing of the coordinator's in it. It is a child that execs a
 * memfd whose whole content is an ELF header and the interpreter's code, so that the kernel clears
 * what an exec clears (rseq, robust list, tid address, alternate stack, handlers, memory). Driven
 * by ptrace it maps its area and unmaps all else but the kernel's own mappings; /proc/PID/exe can
 * then be changed, as no mapping of the memfd is left.
 *
 * What an exec keeps (credentials, limits, nice, personality, cwd, session ...) is the
 * coordinator's, for the registries to change.
 */
#include <assert.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/proc.h"
#include "puppet/blob.h"
#include "puppet/interp.h"
#include "puppet/made.h"
#include "puppet/ring.h"
#include "puppet/trace.h"
#include "util/arena.h"
#include "util/cleanup.h"
#include "util/context.h"
#include "util/io.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x10U
#endif

/* Attempts, as the kernel may place its own mappings where the area is to be. */
enum { PLACE_TRIES = 8, IMAGE_CODE = 0x1000 };

/* ---- the image ------------------------------------------------------------------------- */

static uint64_t page_size(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Where the image is loaded: away from the area, in the first or second 4 GiB. */
static puppet_addr image_base(const struct puppet_make *how)
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
				.e_entry = base + IMAGE_CODE + INTERP_ENTRY_BREAK,
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
				.p_filesz = IMAGE_CODE + stub_blob_len,
				.p_memsz = IMAGE_CODE + stub_blob_len,
				.p_align = 0x10000,
			},
	};
}

static int image_create(struct context *ctx, puppet_addr base, int *ret_fd)
{
	struct image_head head = image_head(base);
	_cleanup_close_ int fd = -EBADF;
	int r;

	fd = memfd_create("stub", MFD_CLOEXEC | MFD_EXEC);
	if (fd < 0 && errno == EINVAL) /* before 6.3 all memfds were executable */
		fd = memfd_create("stub", MFD_CLOEXEC);
	if (fd < 0)
		return err_sys(ctx, -errno, "memfd_create(stub)");
	r = io_pwrite_all(fd, &head, sizeof(head), 0);
	if (r == 0)
		r = io_pwrite_all(fd, stub_blob, stub_blob_len, IMAGE_CODE);
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

/* Lets the child exec; it stops at the breakpoint the image starts with. */
static int child_exec(struct context *ctx, struct puppet *p, int control)
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

/* ---- from image to area ------------------------------------------------------------------ */

int made_call(struct context *ctx, struct puppet *p, puppet_addr ip, uint64_t nr,
	      const uint64_t arg[6], int64_t *ret_result)
{
	struct trace_stop stop;
	struct arch_regs regs;
	int r;

	r = arch_get_regs(ctx, p->tid, &regs);
	if (r < 0)
		return r;
	arch_call_regs(&regs, &regs, ip, nr, arg);
	r = arch_set_regs(ctx, p->tid, &regs);
	for (int stops = 0; r == 0 && stops < 2;) {
		r = trace_go(ctx, p, PTRACE_SYSCALL, 0);
		if (r == 0)
			r = trace_wait(ctx, p, &stop);
		stops += stop.kind == TRACE_SYSCALL;
	}
	if (r == 0)
		r = arch_get_regs(ctx, p->tid, &regs);
	if (r < 0)
		return r;
	*ret_result = arch_call_result(&regs);
	return 0;
}

static int map(struct context *ctx, struct puppet *p, puppet_addr ip, puppet_addr at, uint64_t len,
	       int prot)
{
	const uint64_t arg[6] = {
		at,
		len,
		(uint64_t)prot,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
		(uint64_t)-1,
		0,
	};
	int64_t result;
	int r;

	r = made_call(ctx, p, ip, SYS_mmap, arg, &result);
	if (r < 0)
		return r;
	if (result < 0)
		return err_sys(ctx, (int)result, "mmap(%#llx, %llu) in the first stub",
			       (unsigned long long)at, (unsigned long long)len);
	return 0;
}

static int map_area(struct context *ctx, struct puppet *p, puppet_addr ip)
{
	const struct puppet_area *area = p->area;
	uint64_t slots = (uint64_t)area->n_slots * area->slot_size;
	uint64_t code = area->size - slots;
	int r;

	r = map(ctx, p, ip, area->base, code, PROT_READ | PROT_EXEC);
	if (r == 0)
		r = map(ctx, p, ip, area->base + code, slots, PROT_READ | PROT_WRITE);
	if (r == 0)
		r = puppet_write(ctx, p, area->code, stub_blob, stub_blob_len);
	return r;
}

static int enter_loop(struct context *ctx, struct puppet *p)
{
	puppet_addr slot = area_slot(p->area, p->slot);
	struct arch_regs regs;
	int r;

	r = arch_get_regs(ctx, p->tid, &regs);
	if (r < 0)
		return r;
	arch_enter_regs(&regs, &regs, p->area->code + INTERP_ENTRY_MADE, slot);
	arch_set_sp(&regs, slot + p->area->slot_size);
	r = arch_set_regs(ctx, p->tid, &regs);
	if (r == 0)
		p->state = PUPPET_LOOP;
	return r;
}

static bool is_kept(const struct puppet_area *area, const struct proc_map *map)
{
	return (map->start >= area->base && map->end <= area->base + area->size) ||
	       strncmp(map->name, "[v", 2) == 0; /* [vdso], [vvar], [vvar_vclock], [vsyscall] */
}

/* Unmaps the image and the stack that exec made. */
static int unmap_rest(struct context *ctx, struct puppet *p)
{
	_cleanup_(arena_deinit) struct arena arena = {0};
	_cleanup_close_ int proc = -EBADF;
	struct call_table t;
	struct proc_map *maps;
	size_t n;
	int r;

	arena_init(&arena, ctx);
	r = proc_open(p->tid, &proc);
	if (r == 0)
		r = proc_read_maps(proc, &arena, false, &maps, &n);
	if (r < 0)
		return err_sys(ctx, r, "reading /proc/%d/maps", p->tid);
	call_table_init(&t, &arena);
	for (size_t i = 0; i < n; i++)
		if (!is_kept(p->area, &maps[i]))
			call_add(&t, "munmap", SYS_munmap, CALL_IMM(maps[i].start),
				 CALL_IMM(maps[i].end - maps[i].start));
	return puppet_run(ctx, p, &t);
}

/* ---- putting it together ----------------------------------------------------------------- */

struct puppet *made_new(pid_t tid, pid_t tgid, struct puppet_area *area, uint32_t slot)
{
	struct puppet *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->tid = tid;
	p->tgid = tgid;
	p->area = area;
	p->slot = slot;
	p->socket = -EBADF;
	p->sigmask = MADE_SIGMASK;
	p->wait_status = -1;
	area->users++;
	return p;
}

static struct puppet_area *area_new(const struct puppet_make *how)
{
	struct puppet_area *area = calloc(1, sizeof(*area));

	if (!area)
		return NULL;
	area->base = how->base;
	area->code = how->base;
	area->n_slots = how->slots;
	area->slot_size = how->slot_size;
	area->reserve = INTERP_STACK;
	area->size = puppet_area_size(how->slots, how->slot_size);
	area->far_socket = how->doorbell;
	area->mapped = true;
	area->next_slot = 1;
	return area;
}

uint64_t puppet_area_size(uint32_t slots, uint32_t slot_size)
{
	return ALIGN_UP((uint64_t)stub_blob_len, page_size()) + (uint64_t)slots * slot_size;
}

static void kill_child(pid_t pid)
{
	(void)kill(pid, SIGKILL); /* ours, not yet waited for */
	while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
		;
}

static int start_child(struct context *ctx, const struct puppet_make *how, int image, int doorbell,
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
		kill_child(pid);
		return r;
	}
	*ret_control = TAKE_FD(control);
	*ret_pid = pid;
	return 0;
}

/* The new puppet owns @area and our end of the doorbell from here on, whatever happens. */
static int settle(struct context *ctx, struct puppet *p, const struct puppet_make *how, int control)
{
	int r;

	r = child_exec(ctx, p, control);
	if (r == 0)
		r = map_area(ctx, p, image_base(how) + IMAGE_CODE + INTERP_ENTRY_SYSCALL);
	if (r == 0)
		r = enter_loop(ctx, p);
	if (r == 0)
		r = unmap_rest(ctx, p);
	return r;
}

static int make_once(struct context *ctx, const struct puppet_make *how, int image,
		     struct puppet **ret_puppet)
{
	_cleanup_close_ int control = -EBADF, ours = -EBADF, theirs = -EBADF;
	_cleanup_free_ struct puppet_area *area = area_new(how);
	struct puppet *p;
	int pair[2], r;
	pid_t pid = 0;

	if (!area)
		return err_oom(ctx);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(ctx, -errno, "socketpair");
	ours = pair[0];
	theirs = pair[1];
	r = start_child(ctx, how, image, theirs, &control, &pid);
	if (r < 0)
		return r;
	p = made_new(pid, pid, area, 0);
	if (!p) {
		kill_child(pid);
		return err_oom(ctx);
	}
	TAKE_PTR(area);
	p->socket = TAKE_FD(ours);
	p->pid_depth = how->clone_flags & CLONE_NEWPID ? 1 : 0;
	r = settle(ctx, p, how, control);
	if (r < 0) {
		puppet_kill(p);
		puppet_free(p);
		return r;
	}
	*ret_puppet = p;
	return 0;
}

int puppet_make_first(struct context *ctx, const struct puppet_make *how,
		      struct puppet **ret_puppet)
{
	_cleanup_close_ int image = -EBADF;
	int r;

	assert(how->slots > 0 && how->slot_size % page_size() == 0 && how->base % page_size() == 0);
	r = image_create(ctx, image_base(how), &image);
	for (int i = 0; r == 0 && i < PLACE_TRIES; i++) {
		r = make_once(ctx, how, image, ret_puppet);
		if (r != -EEXIST || ctx->err.hint[0] != '\0')
			return r;
		r = 0;
	}
	return r < 0 ? r : -EEXIST;
}
