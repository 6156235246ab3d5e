/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Made puppets on the real kernel: made-puppets TEST runs one test 20 times, in a PID namespace of
 * its own, whose init the test is: whatever it leaves over is found as a child, and dies with it.
 */
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kernel/proc.h"
#include "puppet/puppet.h"
#include "util/arena.h"
#include "util/cleanup.h"
#include "util/context.h"
#include "util/macro.h"

enum { ROUNDS = 20, SLOT = 32768, DOORBELL = 20 };
#define BASE UINT64_C(0x7000000000)
#define PAGE UINT64_C(0x10000000)

static struct context ctx;

/* ---- helpers --------------------------------------------------------------------------------- */

_noreturn_ static void fail_at(int line, const char *what)
{
	fprintf(stderr, "made.c:%d: %s\n", line, what);
	for (unsigned int i = 0; i < ctx.err.frames; i++)
		fprintf(stderr, "  %s\n", ctx.err.frame[i]);
	exit(1);
}

#define check(condition)                                                                           \
	do {                                                                                       \
		if (!(condition))                                                                  \
			fail_at(__LINE__, #condition);                                             \
	} while (0)

static struct puppet *first(uint32_t slots)
{
	const struct puppet_make how = {
		.base = BASE,
		.slots = slots,
		.slot_size = SLOT,
		.exit_signal = SIGCHLD,
		.doorbell = DOORBELL,
	};
	struct puppet *p;

	check(puppet_make_first(&ctx, &how, &p) == 0);
	return p;
}

static struct puppet *clone_one(struct puppet *parent, uint64_t flags, int exit_signal, pid_t tid)
{
	const struct puppet_clone how = {
		.flags = flags,
		.exit_signal = exit_signal,
		.set_tid = &tid,
		.n_set_tid = 1,
	};
	struct puppet *p;

	check(puppet_clone(&ctx, parent, &how, &p) == 0);
	check(p->tid == tid);
	return p;
}

static void end(struct puppet *p)
{
	puppet_kill(p);
	puppet_free(p);
}

#define CALL(p, nr, ...) puppet_call(&ctx, (p), #nr, (nr), (const struct call_arg[6]){__VA_ARGS__})

static struct proc_status status_of(pid_t pid, struct arena *arena)
{
	_cleanup_close_ int fd = -EBADF;
	struct proc_status status;

	check(proc_open(pid, &fd) == 0);
	check(proc_read_status(fd, arena, &status) == 0);
	return status;
}

static char state_of(pid_t pid)
{
	_cleanup_close_ int fd = -EBADF;
	struct proc_stat stat;

	check(proc_open(pid, &fd) == 0);
	check(proc_read_stat(fd, &stat) == 0);
	return stat.state;
}

static void doze(void)
{
	(void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

#define await(condition)                                                                           \
	do {                                                                                       \
		int _ms = 0;                                                                       \
		while (!(condition)) {                                                             \
			check(_ms++ < 5000);                                                       \
			doze();                                                                    \
		}                                                                                  \
	} while (0)

/* ---- tables ---------------------------------------------------------------------------------- */

/* More calls than a slot holds; each adds to what an earlier batch has given. */
static void long_table(struct puppet *p, struct arena *arena)
{
	enum { CALLS = 3000 };
	struct call_table t;

	call_table_init(&t, arena);
	call_add(&t, "nop", CALL_OP_NOP, CALL_IMM(42));
	for (uint32_t i = 1; i < CALLS; i++)
		call_add(&t, "nop", CALL_OP_NOP, CALL_RESULT(i - 1 - i % 2 * (i / 2)));
	check(puppet_run(&ctx, p, &t) == 0);
	for (uint32_t i = 0; i < CALLS; i++)
		check(call_result(&t, i) == 42);
}

static void stops_at_failure(struct puppet *p, struct arena *arena)
{
	struct call_table t;

	call_table_init(&t, arena);
	call_add(&t, "getpid", SYS_getpid, CALL_IMM(0));
	call_add(&t, "close(-1)", SYS_close, CALL_IMM(-1));
	call_add(&t, "getpid", SYS_getpid, CALL_IMM(0));
	check(puppet_run(&ctx, p, &t) == -EBADF);
	check(t.calls[1].done && !t.calls[2].done && call_result(&t, 0) == p->tid);
	check(strstr(ctx.err.frame[0], "close(-1)"));
}

/* write_full, read_full, zero_map, copy on a file and a page of the puppet. */
static void own_operations(struct puppet *p, struct arena *arena)
{
	struct call_table t;
	uint32_t fd, map, bytes, len = 8 * 4096;
	uint64_t bitmap;

	call_table_init(&t, arena);
	map = call_add(&t, "mmap", SYS_mmap, CALL_IMM(PAGE), CALL_IMM(len),
		       CALL_IMM(PROT_READ | PROT_WRITE),
		       CALL_IMM(MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED), CALL_IMM(-1));
	bytes = call_string(&t, "text");
	call_add(&t, "copy", CALL_OP_COPY, CALL_IMM(PAGE + 3 * 4096 + 4000), CALL_DATA(bytes),
		 CALL_IMM(4));
	fd = call_add(&t, "memfd_create", SYS_memfd_create, CALL_DATA(bytes), CALL_IMM(0));
	call_expect_exact(&t,
			  call_add(&t, "write_full", CALL_OP_WRITE_FULL, CALL_RESULT(fd),
				   CALL_RESULT(map), CALL_IMM(len), CALL_IMM(4096)),
			  len);
	call_add(&t, "read_full", CALL_OP_READ_FULL, CALL_RESULT(fd), CALL_IMM(PAGE + 2 * 4096),
		 CALL_IMM(4096), CALL_IMM(4 * 4096));
	bytes = call_space(&t, NULL, 8);
	call_expect_exact(&t,
			  call_add(&t, "zero_map", CALL_OP_ZERO_MAP, CALL_IMM(PAGE), CALL_IMM(8),
				   CALL_IMM(4096), CALL_DATA(bytes)),
			  6);
	call_add(&t, "read_full", CALL_OP_READ_FULL, CALL_RESULT(fd), CALL_IMM(PAGE),
		 CALL_IMM(4096), CALL_IMM(9 * 4096));
	check(puppet_run(&ctx, p, &t) == -ENODATA);
	memcpy(&bitmap, call_bytes(&t, bytes), 8);
	check(bitmap == (0xff & ~0x0c));
	check(CALL(p, SYS_close, CALL_IMM(call_result(&t, fd))) == 0);
}

static void bad_memory(struct puppet *p)
{
	check(CALL(p, CALL_OP_COPY, CALL_IMM(0), CALL_IMM(0), CALL_IMM(8)) == -EFAULT);
	check(strstr(ctx.err.frame[0], "SIGSEGV"));
}

static void test_tables(void)
{
	_cleanup_(arena_deinit) struct arena arena;
	struct puppet *p = first(1);

	arena_init(&arena, NULL);
	long_table(p, &arena);
	stops_at_failure(p, &arena);
	own_operations(p, &arena);
	bad_memory(p);
	end(p);
}

/* ---- many children --------------------------------------------------------------------------- */

static void test_fanout(void)
{
	enum { N = 1000, NUMBER = 20000 };
	static struct puppet_clone how[N];
	static struct puppet *children[N];
	static pid_t numbers[N];
	struct puppet *p = first(1);

	for (int i = 0; i < N; i++) {
		numbers[i] = NUMBER + i;
		how[i] = (struct puppet_clone){
			.exit_signal = SIGCHLD, .set_tid = &numbers[i], .n_set_tid = 1};
	}
	check(puppet_clone_many(&ctx, p, how, N, children) == 0);
	for (int i = 0; i < N; i++) {
		check(CALL(children[i], SYS_getpid) == NUMBER + i);
		check(CALL(children[i], SYS_getppid) == p->tid);
	}
	for (int i = 0; i < N; i++)
		end(children[i]);
	end(p);
}

/* ---- becoming -------------------------------------------------------------------------------- */

extern const unsigned char page[], page_end[], page_report[], page_after_call[], page_handler[],
	page_restorer[], page_gprs[], page_flags[], page_done[], page_result[], page_handled[],
	page_xsave[];

/* Where a symbol of the page lies in the copy with number @copy. */
static uint64_t at(const unsigned char *symbol, int copy)
{
	uint64_t size = ALIGN_UP((uint64_t)(page_end - page), UINT64_C(4096));

	return PAGE + (uint64_t)copy * size + (uint64_t)(symbol - page);
}

static void map_page(struct puppet *p, int copy)
{
	size_t len = (size_t)(page_end - page);

	check(CALL(p, SYS_mmap, CALL_IMM(at(page, copy)), CALL_IMM(len),
		   CALL_IMM(PROT_READ | PROT_WRITE | PROT_EXEC),
		   CALL_IMM(MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE),
		   CALL_IMM(-1)) == (int64_t)at(page, copy));
	check(puppet_write(&ctx, p, at(page, copy), page, len) == 0);
}

static uint64_t word(struct puppet *p, uint64_t address)
{
	uint64_t value;

	check(puppet_read(&ctx, p, address, &value, sizeof(value)) == 0);
	return value;
}

static struct user_regs_struct *user(struct puppet *p)
{
	return (void *)p->regs.bytes;
}

static void start_regs(struct puppet *p, const unsigned char *ip, int copy)
{
	check(arch_get_regs(&ctx, p->tid, &p->regs) == 0);
	user(p)->rip = at(ip, copy);
	user(p)->rsp = at(page_xsave, copy) + 12288 + 2048;
	user(p)->orig_rax = (uint64_t)-1;
	p->sigmask = 0;
}

enum { GPRS = 16, XMM_AT = 160, XMM_LEN = 256, XSTATE_BV_AT = 512, XSTATE_MAX = 12288 };

static void random_gprs(struct puppet *p, uint64_t gprs[GPRS])
{
	struct user_regs_struct *u = user(p);

	for (int i = 0; i < GPRS; i++)
		gprs[i] = (uint64_t)random() << 33 ^ (uint64_t)random();
	u->rax = gprs[0], u->rbx = gprs[1], u->rcx = gprs[2], u->rdx = gprs[3];
	u->rsi = gprs[4], u->rdi = gprs[5], u->rbp = gprs[6], u->rsp = gprs[7];
	u->r8 = gprs[8], u->r9 = gprs[9], u->r10 = gprs[10], u->r11 = gprs[11];
	u->r12 = gprs[12], u->r13 = gprs[13], u->r14 = gprs[14], u->r15 = gprs[15];
	u->eflags = 0x200 | (random() & 1 ? 0x8d5 : 0x400);
}

/* Random bytes in XMM and in the upper halves of YMM and ZMM, as far as the CPU has them. */
static int random_xstate(struct puppet *p, unsigned char *xstate)
{
	int len = arch_get_xstate(&ctx, p->tid, xstate, XSTATE_MAX);
	uint64_t enabled, in_use = 3;

	check(len > 0);
	memcpy(&enabled, xstate + 464, 8);
	for (int i = 0; i < XMM_LEN; i++)
		xstate[XMM_AT + i] = (unsigned char)random();
	for (unsigned int f = 2; f <= 7; f++) {
		uint32_t size, offset, c, d;

		if ((f != 2 && f < 5) || !(enabled >> f & 1))
			continue;
		__cpuid_count(0xd, f, size, offset, c, d);
		for (uint32_t i = 0; i < size; i++)
			xstate[offset + i] = (unsigned char)random();
		in_use |= UINT64_C(1) << f;
	}
	memcpy(xstate + XSTATE_BV_AT, &in_use, 8);
	return len;
}

static void check_report(struct puppet *p, int copy, const uint64_t gprs[GPRS],
			 const unsigned char *xstate, uint64_t flags)
{
	unsigned char saved[XSTATE_MAX];
	uint64_t seen[GPRS], in_use;

	await(word(p, at(page_done, copy)) == 1);
	check(puppet_read(&ctx, p, at(page_gprs, copy), seen, sizeof(seen)) == 0);
	check(memcmp(seen, gprs, sizeof(seen)) == 0);
	check((word(p, at(page_flags, copy)) & 0xcd5) == (flags & 0xcd5));
	check(puppet_read(&ctx, p, at(page_xsave, copy), saved, sizeof(saved)) == 0);
	memcpy(&in_use, xstate + XSTATE_BV_AT, 8);
	check(memcmp(saved + XMM_AT, xstate + XMM_AT, XMM_LEN) == 0);
	for (unsigned int f = 2; f <= 7; f++) {
		uint32_t size, offset, c, d;

		__cpuid_count(0xd, f, size, offset, c, d);
		if (in_use >> f & 1)
			check(memcmp(saved + offset, xstate + offset, size) == 0);
	}
}

static int become(struct puppet *p, const void *xstate, size_t len, bool unmap)
{
	const struct puppet_become one = {p, xstate, len, unmap};
	size_t which;

	return puppet_become(&ctx, &one, 1, &which);
}

/* Threads of a process, each with registers of its own, all let go at once. */
static void test_registers(void)
{
	enum { N = 8 };
	static unsigned char xstate[N][XSTATE_MAX];
	static uint64_t gprs[N][GPRS];
	uint64_t flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;
	struct puppet *p[N];
	char maps[64];

	p[0] = first(N);
	for (int i = 1; i < N; i++)
		p[i] = clone_one(p[0], flags, 0, 500 + i);
	for (int i = 0; i < N; i++)
		map_page(p[0], i);
	for (int i = 0; i < N; i++) {
		int len = random_xstate(p[i], xstate[i]);

		start_regs(p[i], page_report, i);
		random_gprs(p[i], gprs[i]);
		check(become(p[i], xstate[i], (size_t)len, i == N - 1) == 0);
		check(puppet_keep(&ctx, p[i]) == 0);
	}
	for (int i = 0; i < N; i++)
		check(puppet_let_go(&ctx, p[i]) == 0);
	for (int i = 0; i < N; i++)
		check_report(p[0], i, gprs[i], xstate[i], user(p[i])->eflags);
	(void)snprintf(maps, sizeof(maps), "! grep -q 7000000000- /proc/%d/maps", p[0]->tid);
	check(system(maps) == 0);
	check(kill(p[0]->tid, SIGKILL) == 0);
	check(waitpid(p[0]->tid, NULL, 0) == p[0]->tid);
	for (int i = 0; i < N; i++)
		puppet_free(p[i]);
}

/* ---- interrupted system calls ---------------------------------------------------------------- */

enum { ERESTARTNOHAND = 514 };

/* A puppet that is about to be let go where it was interrupted in read() of a pipe. */
static struct puppet *in_read(int *ret_write_end)
{
	struct puppet *p = first(1);
	int pipes[2], number;

	check(pipe2(pipes, O_CLOEXEC) == 0);
	map_page(p, 0);
	check(puppet_fds_in(&ctx, p, &pipes[0], 1, &number) == 0);
	(void)close(pipes[0]);
	start_regs(p, page_after_call, 0);
	user(p)->orig_rax = SYS_read;
	user(p)->rax = (uint64_t)-ERESTARTNOHAND;
	user(p)->rdi = (uint64_t)number;
	user(p)->rsi = at(page_gprs, 0);
	user(p)->rdx = 1;
	*ret_write_end = pipes[1];
	return p;
}

static void finish_read(struct puppet *p, int write_end)
{
	(void)close(write_end);
	check(kill(p->tid, SIGKILL) == 0);
	check(waitpid(p->tid, NULL, 0) == p->tid);
	puppet_free(p);
}

static void test_restart(void)
{
	int write_end;
	struct puppet *p = in_read(&write_end);

	check(become(p, NULL, 0, true) == 0);
	check(puppet_let_go(&ctx, p) == 0);
	await(state_of(p->tid) == 'S');
	check(word(p, at(page_done, 0)) == 0);
	check(write(write_end, "x", 1) == 1);
	await(word(p, at(page_done, 0)) == 1);
	check(word(p, at(page_result, 0)) == 1 && (word(p, at(page_gprs, 0)) & 0xff) == 'x');
	finish_read(p, write_end);
}

/* A handled signal was pending: the handler runs, and the call gives EINTR. */
static void test_eintr(void)
{
	const uint64_t action[4] = {at(page_handler, 0), 0x04000000 /* SA_RESTORER */,
				    at(page_restorer, 0)};
	int write_end;
	struct puppet *p = in_read(&write_end);

	check(puppet_write(&ctx, p, at(page_gprs, 0), action, sizeof(action)) == 0);
	check(CALL(p, SYS_rt_sigaction, CALL_IMM(SIGUSR1), CALL_IMM(at(page_gprs, 0)), CALL_IMM(0),
		   CALL_IMM(8)) == 0);
	check(kill(p->tid, SIGUSR1) == 0);
	check(become(p, NULL, 0, true) == 0);
	check(puppet_let_go(&ctx, p) == 0);
	await(word(p, at(page_done, 0)) == 1);
	check(word(p, at(page_handled, 0)) == 1);
	check((int64_t)word(p, at(page_result, 0)) == -EINTR);
	finish_read(p, write_end);
}

/* ---- job control ----------------------------------------------------------------------------- */

static void test_job_stop(void)
{
	static const int signals[] = {SIGSTOP, SIGTSTP, SIGTTIN};
	uint64_t flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;
	/* The kernel frees a dead thread's number a moment after its process can be reaped. */
	static pid_t pid = 600;
	struct puppet *parent = first(2);

	check(CALL(parent, SYS_setsid) == parent->tid);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++, pid += 2) {
		struct puppet *p[2];
		int64_t status = 0;

		p[0] = clone_one(parent, 0, SIGCHLD, pid);
		check(CALL(p[0], SYS_setpgid) == 0); /* so that the group is no orphaned one */
		p[1] = clone_one(p[0], flags, 0, pid + 1);
		map_page(p[0], 0);
		map_page(p[0], 1);
		check(puppet_job_stop(&ctx, p, 2, signals[i]) == 0);
		/* Its real parent sees the stop, with the signal. */
		map_page(parent, 10 + (int)i);
		check(CALL(parent, SYS_wait4, CALL_IMM(pid), CALL_IMM(at(page_gprs, 10 + (int)i)),
			   CALL_IMM(WUNTRACED | WNOHANG)) == pid);
		check(puppet_read(&ctx, parent, at(page_gprs, 10 + (int)i), &status, 4) == 0);
		check(WIFSTOPPED((int)status) && WSTOPSIG((int)status) == signals[i]);
		/* It can still be used. */
		check(CALL(p[0], SYS_getpid) == pid && CALL(p[1], SYS_gettid) == pid + 1);
		for (int k = 0; k < 2; k++) {
			start_regs(p[k], page_report, k);
			check(become(p[k], NULL, 0, k == 1) == 0);
		}
		check(puppet_let_go(&ctx, p[0]) == 0 && puppet_let_go(&ctx, p[1]) == 0);
		await(state_of(pid) == 'T' && state_of(pid + 1) == 'T');
		check(word(p[0], at(page_done, 0)) == 0 && word(p[0], at(page_done, 1)) == 0);
		check(kill(pid, SIGCONT) == 0);
		await(word(p[0], at(page_done, 0)) == 1 && word(p[0], at(page_done, 1)) == 1);
		check(kill(pid, SIGKILL) == 0);
		check(CALL(parent, SYS_wait4, CALL_IMM(pid)) == pid);
		puppet_free(p[1]);
		puppet_free(p[0]);
	}
	end(parent);
}

/* ---- deaths ---------------------------------------------------------------------------------- */

static void test_deaths(void)
{
	const int statuses[] = {0,	 0x700,	  SIGKILL,  SIGTERM,
				SIGSEGV, SIGQUIT, SIGRTMIN, SIGSEGV | WCOREFLAG};
	struct puppet *parent = first(1);

	map_page(parent, 0);
	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
		struct puppet *p = clone_one(parent, 0, SIGUSR1, 700);
		int64_t status = 0;

		check(puppet_die(&ctx, p, statuses[i]) == 0);
		check(state_of(700) == 'Z');
		check(CALL(parent, SYS_wait4, CALL_IMM(700), CALL_IMM(at(page_gprs, 0)),
			   CALL_IMM(__WALL | WNOHANG)) == 700);
		check(puppet_read(&ctx, parent, at(page_gprs, 0), &status, 4) == 0);
		check((int)status == statuses[i]);
		puppet_free(p);
	}
	check(system("! ls -d /tmp/coppice-core-* 2>/dev/null") == 0);
	end(parent);
}

/* ---- SIGTRAP of the program ------------------------------------------------------------------ */

static void ignore_trap(struct puppet *p, struct arena *arena)
{
	const uint64_t ignore[4] = {1};
	struct call_table t;

	call_table_init(&t, arena);
	call_add(&t, "rt_sigaction", SYS_rt_sigaction, CALL_IMM(SIGTRAP),
		 CALL_DATA(call_space(&t, ignore, sizeof(ignore))), CALL_IMM(0), CALL_IMM(8));
	check(puppet_run(&ctx, p, &t) == 0);
}

static void test_sigtrap(void)
{
	uint64_t bit = UINT64_C(1) << (SIGTRAP - 1), all = ~UINT64_C(0);
	_cleanup_(arena_deinit) struct arena arena;
	struct puppet *p = first(1);
	struct call_table t;

	arena_init(&arena, NULL);
	ignore_trap(p, &arena);
	for (int i = 0; i < 3; i++)
		check(CALL(p, SYS_getpid) == p->tid);
	check(status_of(p->tid, &arena).sig_ignored & bit);

	call_table_init(&t, &arena);
	call_add(&t, "rt_sigprocmask", SYS_rt_sigprocmask, CALL_IMM(SIG_SETMASK),
		 CALL_DATA(call_space(&t, &all, sizeof(all))), CALL_IMM(0), CALL_IMM(8));
	call_add(&t, "tgkill", SYS_tgkill, CALL_IMM(p->tid), CALL_IMM(p->tid), CALL_IMM(SIGTRAP));
	check(puppet_run(&ctx, p, &t) == 0);
	for (int i = 0; i < 3; i++)
		check(CALL(p, SYS_getpid) == p->tid);
	check(status_of(p->tid, &arena).sig_pending & bit);
	check(status_of(p->tid, &arena).sig_ignored & bit);

	map_page(p, 0);
	start_regs(p, page_report, 0);
	p->sigmask = all;
	check(become(p, NULL, 0, true) == 0);
	check(puppet_let_go(&ctx, p) == 0);
	await(word(p, at(page_done, 0)) == 1);
	check(status_of(p->tid, &arena).sig_pending & bit);
	check(kill(p->tid, SIGKILL) == 0 && waitpid(p->tid, NULL, 0) == p->tid);
	puppet_free(p);
}

/* ---- numbers --------------------------------------------------------------------------------- */

static void test_pid_in_use(void)
{
	pid_t number = 800;
	const struct puppet_clone how = {
		.exit_signal = SIGCHLD, .set_tid = &number, .n_set_tid = 1};
	struct puppet *p = first(1), *a = clone_one(p, 0, SIGCHLD, number), *b;

	check(puppet_clone(&ctx, p, &how, &b) == -EEXIST && !b);
	check(strstr(ctx.err.frame[0], "PID 800 is in use by process") && ctx.err.hint[0]);
	/* The leader of a group dies, a member keeps the number in use. */
	check(CALL(a, SYS_setpgid) == 0);
	b = clone_one(a, 0, SIGCHLD, 801);
	check(puppet_die(&ctx, a, 0) == 0);
	check(CALL(p, SYS_wait4, CALL_IMM(number)) == number);
	puppet_free(a);
	check(puppet_clone(&ctx, p, &how, &a) == -EEXIST && !a);
	check(strstr(ctx.err.frame[0], "in use as process group of process 801"));
	end(b);
	end(p);
}

/* A first stub that is init of a PID namespace. */
static struct puppet *init_stub(void)
{
	const pid_t one = 1;
	const struct puppet_make how = {
		.base = BASE,
		.slots = 2,
		.slot_size = SLOT,
		.exit_signal = SIGCHLD,
		.doorbell = DOORBELL,
		.clone_flags = CLONE_NEWPID,
		.set_tid = &one,
		.n_set_tid = 1,
	};
	struct puppet *p;

	check(puppet_make_first(&ctx, &how, &p) == 0);
	return p;
}

/* In a nested namespace only ptrace tells the coordinator the children's numbers. */
static void test_pid_namespace(void)
{
	const pid_t other = 3000;
	const struct puppet_clone child = {
		.exit_signal = SIGCHLD, .set_tid = &other, .n_set_tid = 1};
	struct puppet *p = init_stub(), *c;

	check(CALL(p, SYS_getpid) == 1);
	check(puppet_clone(&ctx, p, &child, &c) == 0);
	check(CALL(c, SYS_getpid) == other && c->tid != other);
	end(c);
	end(p);
}

static struct proc_ns_ids numbers_of(const struct puppet *p, struct arena *arena)
{
	return status_of(p->tid, arena).ns_tgid;
}

static int ns_of(const struct puppet *p, const char *name)
{
	char path[64];
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/ns/%s", p->tid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	check(fd >= 0);
	return fd;
}

/* Many at once, whose numbers here nobody has chosen. */
static void test_nested_fanout(void)
{
	enum { N = 40 };
	struct puppet *p = init_stub(), *c[N];
	struct puppet_clone how[N];
	pid_t numbers[N];

	for (int i = 0; i < N; i++) {
		numbers[i] = 3000 + i;
		how[i] = (struct puppet_clone){
			.exit_signal = SIGCHLD, .set_tid = &numbers[i], .n_set_tid = 1};
	}
	check(puppet_clone_many(&ctx, p, how, N, c) == 0);
	for (int i = 0; i < N; i++)
		check(CALL(c[i], SYS_getpid) == numbers[i]);
	for (int i = 0; i < N; i++)
		end(c[i]);
	end(p);
}

/* From outside into a namespace two levels below, with all numbers, as a sibling. */
static void test_entered(void)
{
	_cleanup_(arena_deinit) struct arena arena = {0};
	const pid_t inner[] = {1, 50}, entered[] = {7, 60, 900}, mine = 901;
	const struct puppet_clone nested = {
		.flags = CLONE_NEWPID, .exit_signal = SIGCHLD, .set_tid = inner, .n_set_tid = 2};
	const struct puppet_clone from_outside = {
		.flags = CLONE_PARENT, .set_tid = entered, .n_set_tid = 3};
	struct puppet *outside = first(1), *init = init_stub(), *deep, *guest, *child;
	_cleanup_close_ int ns = -EBADF;
	struct proc_ns_ids ids;

	arena_init(&arena, &ctx);
	check(puppet_clone(&ctx, init, &nested, &deep) == 0);
	ns = ns_of(deep, "pid");
	check(puppet_enter_pid_ns(&ctx, outside, ns, 2) == 0);
	check(puppet_clone(&ctx, outside, &from_outside, &guest) == 0);
	ids = numbers_of(guest, &arena);
	check(guest->tid == 900 && ids.n == 3 && ids.id[1] == 60 && ids.id[2] == 7);
	check(CALL(guest, SYS_getppid) == 0);
	check(puppet_leave_pid_ns(&ctx, outside) == 0);
	child = clone_one(outside, 0, SIGCHLD, mine);
	end(child);
	end(guest);
	end(deep);
	end(init);
	end(outside);
}

/* A namespace is made by one and gets its init from another. */
static void test_unborn(void)
{
	_cleanup_(arena_deinit) struct arena arena = {0};
	const pid_t numbers[] = {1, 910};
	const struct puppet_clone how = {
		.exit_signal = SIGCHLD, .set_tid = numbers, .n_set_tid = 2};
	struct puppet *p = first(1), *maker = clone_one(p, 0, SIGCHLD, 905), *init;
	_cleanup_close_ int ns = -EBADF;
	int r;

	arena_init(&arena, &ctx);
	r = puppet_unshare_pid_ns(&ctx, maker, &ns);
	if (r == -EOPNOTSUPP) {
		err_clear(&ctx);
	} else {
		check(r == 0);
		check(puppet_enter_pid_ns(&ctx, p, ns, 1) == 0);
		check(puppet_clone(&ctx, p, &how, &init) == 0);
		check(init->tid == 910 && numbers_of(init, &arena).id[1] == 1);
		end(init);
	}
	end(maker);
	end(p);
}

/* All capabilities in a user namespace, none outside; ids stay what they are. */
static void test_user_namespace(void)
{
	_cleanup_(arena_deinit) struct arena arena = {0};
	struct puppet *p = first(1), *maker = clone_one(p, 0, SIGCHLD, 920),
		      *member = clone_one(p, 0, SIGCHLD, 921);
	_cleanup_close_ int ns = -EBADF, joined = -EBADF;
	struct stat a, b;

	arena_init(&arena, &ctx);
	check(puppet_unshare_user_ns(&ctx, maker, &ns) == 0);
	check(puppet_join_user_ns(&ctx, member, ns) == 0);
	joined = ns_of(member, "user");
	check(fstat(ns, &a) == 0 && fstat(joined, &b) == 0 && a.st_ino == b.st_ino);
	check(status_of(member->tid, &arena).uid[0] == getuid());
	check(puppet_join_user_ns(&ctx, member, ns) == -EINVAL);
	err_clear(&ctx);
	end(member);
	end(maker);
	end(p);
}

/* ---- the coordinator's death ----------------------------------------------------------------- */

_noreturn_ static void doomed_coordinator(int ready)
{
	uint64_t flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;
	struct puppet *p = first(4), *c;

	for (int i = 0; i < 20; i++) {
		c = clone_one(p, 0, SIGCHLD, 900 + 10 * i);
		for (int k = 1; k < 4; k++)
			(void)clone_one(c, flags, 0, 900 + 10 * i + k);
	}
	check(write(ready, "x", 1) == 1);
	while (true)
		(void)CALL(c, SYS_getpid);
}

static void test_exitkill(void)
{
	int ready[2];
	char byte;
	pid_t pid;

	check(pipe2(ready, O_CLOEXEC) == 0);
	pid = fork();
	check(pid >= 0);
	if (pid == 0)
		doomed_coordinator(ready[1]);
	check(read(ready[0], &byte, 1) == 1);
	(void)usleep((useconds_t)(random() % 2000));
	check(kill(pid, SIGKILL) == 0);
	/* Orphans come to us, the init. */
	for (int left = 22; left > 0; left--)
		check(waitpid(-1, NULL, __WALL) > 0);
	(void)close(ready[0]);
	(void)close(ready[1]);
}

/* ---- main ------------------------------------------------------------------------------------ */

static const struct {
	const char *name;
	void (*run)(void);
} tests[] = {
	{"tables", test_tables},
	{"fanout", test_fanout},
	{"registers", test_registers},
	{"restart", test_restart},
	{"eintr", test_eintr},
	{"job_stop", test_job_stop},
	{"deaths", test_deaths},
	{"sigtrap", test_sigtrap},
	{"pid_in_use", test_pid_in_use},
	{"pid_namespace", test_pid_namespace},
	{"nested_fanout", test_nested_fanout},
	{"entered", test_entered},
	{"unborn", test_unborn},
	{"user_namespace", test_user_namespace},
	{"exitkill", test_exitkill},
};

static int run_in_namespace(void (*run)(void), const char *name)
{
	check(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	check(mount("proc", "/proc", "proc", 0, NULL) == 0);
	for (int i = 0; i < ROUNDS; i++) {
		run();
		/* Orphans come to us: zombies they may be, but nothing may be alive. */
		do
			errno = 0;
		while (waitpid(-1, NULL, __WALL | WNOHANG) > 0);
		check(errno == ECHILD);
	}
	printf("%s: %d rounds\n", name, ROUNDS);
	return 0;
}

int main(int argc, char **argv)
{
	int status;
	pid_t pid;

	for (size_t i = 0; argc == 2 && i < ARRAY_SIZE(tests); i++) {
		if (strcmp(argv[1], tests[i].name) != 0)
			continue;
		check(unshare(CLONE_NEWPID | CLONE_NEWNS) == 0);
		pid = fork();
		check(pid >= 0);
		if (pid == 0)
			exit(run_in_namespace(tests[i].run, tests[i].name));
		check(waitpid(pid, &status, 0) == pid);
		if (status != 0)
			fprintf(stderr, "%s: status %#x\n", argv[1], (unsigned int)status);
		return status == 0 ? 0 : 1;
	}
	fprintf(stderr, "usage: %s TEST\n", argv[0]);
	return 2;
}
