/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs in all sorts of states are held, used and let go: what /proc tells of them is the same
 * before and after, and they still answer. Programs that cannot be held are refused by name, and
 * still answer, too.
 *
 * unchanged [ROW]
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/prctl.h>
#include <linux/rseq.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hold.h"
#include "util/macro.h"

enum { TABLES = 60, HOLDS = 5 };

static int question[2], reply[2];

/* What every program ends up doing: it answers. */
static _Noreturn void serve(void)
{
	char c;

	while (true) {
		long n = read(question[0], &c, 1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n != 1)
			(void)syscall(SYS_exit, 1);
		c++;
		(void)!write(reply[1], &c, 1);
	}
}

static void no_handler(int sig)
{
	(void)sig;
}

static void plain(void)
{
}

static void trap_blocked(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTRAP);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
}

static void trap_ignored(void)
{
	(void)signal(SIGTRAP, SIG_IGN);
}

static void trap_handled(void)
{
	(void)signal(SIGTRAP, no_handler);
}

static void everything_blocked(void)
{
	sigset_t set;

	sigfillset(&set);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	(void)raise(SIGUSR1);
	(void)kill(getpid(), SIGTRAP);
}

static void alt_stack(void)
{
	static char stack[65536];
	const stack_t s = {.ss_sp = stack, .ss_size = sizeof(stack)};

	(void)sigaltstack(&s, NULL);
}

static void *sleep_on(void *unused)
{
	(void)unused;
	while (true)
		(void)pause();
	return NULL;
}

static void threads(void)
{
	pthread_t t;

	for (int i = 0; i < 20; i++)
		(void)pthread_create(&t, NULL, sleep_on, NULL);
}

static void *serve_on(void *unused)
{
	(void)unused;
	serve();
	return NULL;
}

static void dead_leader(void)
{
	pthread_t t;

	(void)pthread_create(&t, NULL, serve_on, NULL);
	(void)pthread_create(&t, NULL, sleep_on, NULL);
	(void)syscall(SYS_exit, 0);
}

static void zombie_child(void)
{
	if (fork() == 0)
		_exit(3);
}

static void children(void)
{
	for (int i = 0; i < 10; i++) {
		if (fork() != 0)
			continue;
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		while (true)
			(void)pause();
	}
}

static void no_descriptors(void)
{
	const struct rlimit none = {0, 0};

	(void)setrlimit(RLIMIT_NOFILE, &none);
}

static void locked_future(void)
{
	(void)mlockall(MCL_FUTURE);
}

static void no_writable_code(void)
{
	(void)prctl(65 /* PR_SET_MDWE */, 1, 0, 0, 0);
}

/* The end of the mapping is told by its neighbour in /proc text; two pages are enough here. */
static void no_vdso(void)
{
	void *vdso = (void *)getauxval(AT_SYSINFO_EHDR);

	(void)munmap(vdso, 8192);
}

static void strict(void)
{
	(void)prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
}

/* Kills on everything but what the program does, and rt_sigreturn. */
static void filtered(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_read, 4, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigreturn, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_restart_syscall, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {ARRAY_SIZE(code), code};

	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
		_exit(9);
}

static volatile char selector = SYSCALL_DISPATCH_FILTER_ALLOW;

static void dispatch_on(void)
{
	if (prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, 0, 0, &selector) < 0)
		_exit(9);
}

/* Answers once, computes for a while with its calls caught, and serves again. */
static void dispatch_caught(void)
{
	char c;

	dispatch_on();
	(void)!read(question[0], &c, 1);
	c++;
	(void)!write(reply[1], &c, 1);
	selector = SYSCALL_DISPATCH_FILTER_BLOCK;
	for (volatile unsigned long i = 0; i < 1000000000; i++)
		;
	selector = SYSCALL_DISPATCH_FILTER_ALLOW;
}

static char share_stack[65536];

static int share_memory_only(void *unused)
{
	(void)unused;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (true)
		(void)pause();
	return 0;
}

/* A process that shares the address space, but neither descriptors nor signal handlers. */
static void shared_memory(void)
{
	if (clone(share_memory_only, share_stack + sizeof(share_stack), CLONE_VM | SIGCHLD, NULL) <
	    0)
		_exit(9);
}

static int sleep_in_vfork(void *unused)
{
	(void)unused;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	serve();
	return 0;
}

static void vfork_parent(void)
{
	(void)clone(sleep_in_vfork, share_stack + sizeof(share_stack),
		    CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);
	_exit(0);
}

static void job_stop(void)
{
	(void)raise(SIGSTOP);
}

static void terminal_stop(void)
{
	(void)raise(SIGTSTP);
}

#if defined(__x86_64__)
/*
 * A spinning rseq critical section: reads the epoch at its start and again at its end, and commits
 * the difference. The epoch changes only while the program is held: a difference means that the
 * section went on after it had been interrupted.
 */
static struct epoch {
	_Atomic unsigned long now;
	_Atomic unsigned long commits, aborts, broken;
} * epoch;

static void spin_in_rseq(void)
{
	extern const ptrdiff_t __rseq_offset;
	struct rseq *area = (void *)((char *)__builtin_thread_pointer() + __rseq_offset);
	unsigned long difference, aborted;

	while (true) {
		difference = 0;
		aborted = 0;
		__asm__ volatile(".pushsection __rseq_cs, \"aw\"\n\t"
				 ".balign 32\n\t"
				 "3: .long 0, 0\n\t"
				 ".quad 1f, 2f - 1f, 4f\n\t"
				 ".popsection\n\t"
				 "lea 3b(%%rip), %%rax\n\t"
				 "mov %%rax, %[cs]\n\t"
				 "1: mov %[now], %%rcx\n\t"
				 "mov $20000, %%edx\n\t"
				 "5: sub $1, %%edx\n\t"
				 "jnz 5b\n\t"
				 "mov %[now], %%rax\n\t"
				 "sub %%rcx, %%rax\n\t"
				 "mov %%rax, %[difference]\n\t"
				 "2: jmp 6f\n\t"
				 ".long 0x53053053\n\t"
				 "4: movq $1, %[aborted]\n\t"
				 "6:\n\t"
				 : [difference] "=m"(difference), [aborted] "+m"(aborted),
				   [cs] "=m"(area->rseq_cs)
				 : [now] "m"(epoch->now)
				 : "rax", "rcx", "rdx", "cc", "memory");
		if (aborted)
			atomic_fetch_add(&epoch->aborts, 1);
		else
			atomic_fetch_add(&epoch->commits, 1);
		if (difference != 0)
			atomic_fetch_add(&epoch->broken, 1);
	}
}
#endif

struct row {
	const char *name;
	void (*make)(void);
	bool refused;
	bool stopped;
};

static const struct row rows[] = {
	{"plain", plain, false, false},
	{"SIGTRAP blocked", trap_blocked, false, false},
	{"SIGTRAP ignored", trap_ignored, false, false},
	{"SIGTRAP handled", trap_handled, false, false},
	{"everything blocked, some pending", everything_blocked, false, false},
	{"alternate stack", alt_stack, false, false},
	{"threads", threads, false, false},
	{"dead leader", dead_leader, false, false},
	{"zombie child", zombie_child, false, false},
	{"children", children, false, false},
	{"no descriptors to be had", no_descriptors, false, false},
	{"mlockall(MCL_FUTURE)", locked_future, false, false},
	{"MDWE", no_writable_code, false, false},
	{"no vdso", no_vdso, false, false},
	{"seccomp strict", strict, false, false},
	{"seccomp filter", filtered, false, false},
	{"shared memory", shared_memory, false, false},
	{"syscall user dispatch", dispatch_on, false, false},
	{"syscall user dispatch, caught", dispatch_caught, true, false},
	{"vfork parent", vfork_parent, true, false},
	{"SIGSTOP", job_stop, false, true},
	{"SIGTSTP", terminal_stop, false, true},
};

/* ---- what /proc tells ---------------------------------------------------------------------- */

struct text {
	char bytes[256 * 1024];
	size_t len;
};

static void add_file(struct text *t, const char *path, const char *only)
{
	FILE *f = fopen(path, "re");
	char line[4096];

	while (f && fgets(line, sizeof(line), f)) {
		char name[64] = ",";
		size_t n = strcspn(line, ":");

		if (only) {
			(void)snprintf(name + 1, sizeof(name) - 2, "%.*s,", (int)n, line);
			if (!strstr(only, name))
				continue;
		}
		t->len +=
			(size_t)snprintf(t->bytes + t->len, sizeof(t->bytes) - t->len, "%s", line);
	}
	if (f)
		(void)fclose(f);
}

/* Descriptors, threads, mappings, signals of one process. */
static void add_process(struct text *t, pid_t pid)
{
	static const char *const wanted =
		",State,Tgid,PPid,TracerPid,Threads,SigPnd,ShdPnd,SigBlk,SigIgn,SigCgt,Seccomp,"
		"Seccomp_filters,FDSize,VmLck,";
	char path[512];
	struct dirent *e;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	add_file(t, path, NULL);
	(void)snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	while (dir && (e = readdir(dir))) {
		if (e->d_name[0] == '.')
			continue;
		(void)snprintf(path, sizeof(path), "/proc/%d/task/%s/status", pid, e->d_name);
		add_file(t, path, wanted);
		(void)snprintf(path, sizeof(path), "/proc/%d/task/%s/maps", pid, e->d_name);
		add_file(t, path, NULL);
	}
	if (dir)
		(void)closedir(dir);
	(void)snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	while (dir && (e = readdir(dir)))
		t->len += (size_t)snprintf(t->bytes + t->len, sizeof(t->bytes) - t->len, "fd %s\n",
					   e->d_name);
	if (dir)
		(void)closedir(dir);
}

static bool answers(void)
{
	char c = 'a', back = 0;

	return write(question[1], &c, 1) == 1 && read(reply[0], &back, 1) == 1 && back == 'b';
}

static void wait_until_ready(const struct row *row, pid_t pid)
{
	int status;

	if (row->stopped)
		(void)waitpid(pid, &status, WUNTRACED);
	else if (!answers())
		(void)fprintf(stderr, "%s: not ready\n", row->name);
	(void)usleep(20000);
}

/* By a process of its own: what could not be stopped is let go of when that ends. */
static int hold_apart(pid_t pid)
{
	int status;
	pid_t holder = fork();

	if (holder == 0)
		_exit(hold(pid, TABLES, NULL, NULL) < 0);
	(void)waitpid(holder, &status, 0);
	return WEXITSTATUS(status) ? -1 : 0;
}

static int run_row(const struct row *row)
{
	static struct text before, after;
	int failed = 0, status;
	pid_t pid;

	if (pipe(question) < 0 || pipe(reply) < 0)
		return 1;
	pid = fork();
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)setpgid(0, 0); /* in an orphaned group SIGTSTP would not stop it */
		(void)close(question[1]);
		(void)close(reply[0]);
		row->make();
		serve();
	}
	(void)close(question[0]);
	(void)close(reply[1]);
	wait_until_ready(row, pid);
	before.len = after.len = 0;
	add_process(&before, pid);
	for (int i = 0; i < (row->refused ? 1 : HOLDS) && !failed; i++) {
		int r = row->refused ? hold_apart(pid) : hold(pid, TABLES, NULL, NULL);

		if ((r < 0) != row->refused) {
			(void)fprintf(stderr, "%s: hold gave %d\n", row->name, r);
			failed = 1;
		}
		/* Until what runs has come to rest again. */
		(void)usleep(2000);
	}
	add_process(&after, pid);
	if (!failed && strcmp(before.bytes, after.bytes) != 0) {
		(void)fprintf(stderr, "%s: before\n%s\nafter\n%s\n", row->name, before.bytes,
			      after.bytes);
		failed = 1;
	}
	if (row->stopped && !failed) {
		/* Stopping is not told a second time. */
		if (waitpid(pid, &status, WUNTRACED | WNOHANG) != 0) {
			(void)fprintf(stderr, "%s: told again\n", row->name);
			failed = 1;
		}
		(void)kill(pid, SIGCONT);
	}
	if (!failed && !answers()) {
		(void)fprintf(stderr, "%s: no answer\n", row->name);
		failed = 1;
	}
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, &status, 0);
	(void)close(question[1]);
	(void)close(reply[0]);
	(void)printf("%s %s\n", failed ? "FAILED" : "ok", row->name);
	return failed;
}

#if defined(__x86_64__)
static void next_epoch(void *unused)
{
	(void)unused;
	atomic_fetch_add(&epoch->now, 1);
}

static int run_rseq(void)
{
	int status, failed;
	pid_t pid;

	epoch = mmap(NULL, sizeof(*epoch), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	pid = fork();
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		spin_in_rseq();
	}
	(void)usleep(20000);
	failed = 0;
	for (int i = 0; i < 200 && !failed; i++)
		failed = hold(pid, 2, next_epoch, NULL) < 0;
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, &status, 0);
	failed |= atomic_load(&epoch->broken) != 0 || atomic_load(&epoch->aborts) == 0 ||
		  atomic_load(&epoch->commits) == 0;
	(void)printf("%s rseq: %lu commits, %lu aborts, %lu broken\n", failed ? "FAILED" : "ok",
		     atomic_load(&epoch->commits), atomic_load(&epoch->aborts),
		     atomic_load(&epoch->broken));
	return failed;
}
#endif

int main(int argc, char **argv)
{
	int failed = 0;

	(void)signal(SIGPIPE, SIG_IGN);
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (argc < 2 || strcmp(argv[1], rows[i].name) == 0)
			failed += run_row(&rows[i]);
#if defined(__x86_64__)
	if (argc < 2 || strcmp(argv[1], "rseq") == 0)
		failed += run_rseq();
#endif
	return failed != 0;
}
