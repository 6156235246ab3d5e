/* SPDX-License-Identifier: Apache-2.0 */
#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct worker_board *board;
static bool few;

static void wrong(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void wrong(const char *fmt, ...)
{
	va_list ap;

	if (atomic_fetch_add(&board->wrong, 1) > 0)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(board->text, sizeof(board->text), fmt, ap);
	va_end(ap);
}

#define MUST(cond)                                                                                 \
	do {                                                                                       \
		if (!(cond))                                                                       \
			wrong("%s:%d: %s (errno %d)", __func__, __LINE__, #cond, errno);           \
	} while (0)

static int lane_take(const char *name)
{
	int lane = atomic_fetch_add(&board->lanes, 1);

	board->name[lane] = name;
	return lane;
}

#if defined(__x86_64__)
/* Spins with a pattern in every register that is not needed for spinning; 0 if all keep it. */
static unsigned long hold_registers(unsigned long seed, unsigned long rounds)
{
	unsigned long bad;

	__asm__ volatile("mov %[seed], %%rax\n\t"
			 "lea 1(%%rax), %%rbx\n\t"
			 "lea 2(%%rax), %%rcx\n\t"
			 "lea 3(%%rax), %%rdx\n\t"
			 "lea 4(%%rax), %%r8\n\t"
			 "lea 5(%%rax), %%r9\n\t"
			 "lea 6(%%rax), %%r10\n\t"
			 "lea 7(%%rax), %%r11\n\t"
			 "lea 8(%%rax), %%r12\n\t"
			 "movq %%rax, %%xmm0\n\t"
			 "movq %%rbx, %%xmm7\n\t"
			 "movq %%rcx, %%xmm8\n\t"
			 "movq %%rdx, %%xmm15\n\t"
			 "1:\n\t"
			 "movq %%xmm0, %%r13\n\t"
			 "xor %%rax, %%r13\n\t"
			 "movq %%xmm7, %%r14\n\t"
			 "xor %%rbx, %%r14\n\t"
			 "or %%r14, %%r13\n\t"
			 "movq %%xmm8, %%r14\n\t"
			 "xor %%rcx, %%r14\n\t"
			 "or %%r14, %%r13\n\t"
			 "movq %%xmm15, %%r14\n\t"
			 "xor %%rdx, %%r14\n\t"
			 "or %%r14, %%r13\n\t"
			 "lea 1(%%rax), %%r14\n\t"
			 "xor %%rbx, %%r14\n\t"
			 "or %%r14, %%r13\n\t"
			 "lea 2(%%rax), %%r14\n\t"
			 "xor %%rcx, %%r14\n\t"
			 "or %%r14, %%r13\n\t"
			 "lea 3(%%rax), %%r14\n\t"
			 "xor %%rdx, %%r14\n\t"
			 "or %%r14, %%r13\n\t"
			 "lea 4(%%rax), %%r14\n\t"
			 "xor %%r8, %%r14\n\t"
			 "or %%r14, %%r13\n\t"
			 "lea 5(%%rax), %%r14\n\t"
			 "xor %%r9, %%r14\n\t"
			 "or %%r14, %%r13\n\t"
			 "lea 6(%%rax), %%r14\n\t"
			 "xor %%r10, %%r14\n\t"
			 "or %%r14, %%r13\n\t"
			 "lea 7(%%rax), %%r14\n\t"
			 "xor %%r11, %%r14\n\t"
			 "or %%r14, %%r13\n\t"
			 "lea 8(%%rax), %%r14\n\t"
			 "xor %%r12, %%r14\n\t"
			 "or %%r14, %%r13\n\t"
			 "jnz 2f\n\t"
			 "sub $1, %[rounds]\n\t"
			 "jnz 1b\n"
			 "2:\n\t"
			 "mov %%r13, %[bad]\n\t"
			 : [bad] "=m"(bad), [rounds] "+D"(rounds)
			 : [seed] "S"(seed)
			 : "rax", "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13",
			   "r14", "xmm0", "xmm7", "xmm8", "xmm15", "cc", "memory");
	return bad;
}
#else
static unsigned long hold_registers(unsigned long seed, unsigned long rounds)
{
	volatile unsigned long keep = seed;
	unsigned long x = seed;

	while (rounds-- > 0)
		x = x * 3 - 2 * keep;
	return x != seed;
}
#endif

/* Registers, vector registers, and the flags in between. */
static void *compute(void *unused)
{
	int lane = lane_take("compute");
	double expected = 0;

	(void)unused;
	for (unsigned long n = 0;; n++) {
		double sum = 0;

		MUST(hold_registers(n * 0x9e3779b97f4a7c15UL, 20000) == 0);
		for (int i = 1; i < 2000; i++)
			sum += 1.0 / i;
		if (n == 0)
			expected = sum;
		MUST(sum == expected);
		atomic_fetch_add(&board->beat[lane], 1);
	}
	return NULL;
}

static int ping[2], pong[2];

static void *player(void *start)
{
	int lane = lane_take(start ? "ping" : "pong");
	int in = start ? pong[0] : ping[0], out = start ? ping[1] : pong[1];
	unsigned long n = 0, got;

	while (true) {
		if (start) {
			MUST(write(out, &n, sizeof(n)) == sizeof(n));
			MUST(read(in, &got, sizeof(got)) == sizeof(got) && got == n);
		} else {
			MUST(read(in, &got, sizeof(got)) == sizeof(got) && got == n);
			MUST(write(out, &n, sizeof(n)) == sizeof(n));
		}
		n++;
		atomic_fetch_add(&board->beat[lane], 1);
	}
	return NULL;
}

/*
 * No signal handler runs in this thread: whatever waits must come to its end, not to EINTR. Only
 * epoll_wait gives that up at once when a tracer stops the task: a coordinator which dies before it
 * has put that right leaves it, and it is counted.
 */
static void *sleeper(void *unused)
{
	int lane = lane_take("sleep");
	int ep = epoll_create1(0);
	int word = 0;

	(void)unused;
	MUST(ep >= 0);
	while (true) {
		struct timespec ms = {.tv_nsec = 1000000};
		struct epoll_event event;

		MUST(syscall(SYS_nanosleep, &ms, NULL) == 0);
		MUST(syscall(SYS_poll, NULL, 0, 1) == 0);
		if (epoll_wait(ep, &event, 1, 1) != 0) {
			MUST(errno == EINTR);
			atomic_fetch_add(&board->early_eintr, 1);
		}
		MUST(syscall(SYS_futex, &word, FUTEX_WAIT, 0, &ms, NULL, 0) == -1 &&
		     errno == ETIMEDOUT);
		atomic_fetch_add(&board->beat[lane], 1);
	}
	return NULL;
}

/*
 * The number that the next descriptor gets. A task whose coordinator has died closes the doorbell
 * when it comes to run, which may be after us: then again, for as long as that may take.
 */
static int next_number(int expected)
{
	int fd = -1;

	for (int i = 0; i < 50; i++) {
		fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
		MUST(close(fd) == 0);
		if (expected < 0 || fd == expected)
			break;
		(void)usleep(3000);
	}
	return fd;
}

static void limit_descriptors(int n)
{
	const struct rlimit limit = {(rlim_t)n, (rlim_t)n};

	MUST(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

/* Descriptor numbers must be what they were, the signal mask too. */
static void *bookkeeper(void *unused)
{
	int lane = lane_take("descriptors");
	sigset_t mine, now;
	int first = -1;

	(void)unused;
	sigemptyset(&mine);
	sigaddset(&mine, SIGUSR2);
	sigaddset(&mine, SIGALRM);
	MUST(pthread_sigmask(SIG_SETMASK, &mine, NULL) == 0);
	while (true) {
		int fd = next_number(first);

		if (first < 0) {
			first = fd;
			if (few)
				limit_descriptors(first + 1);
		}
		MUST(fd == first);
		MUST(pthread_sigmask(SIG_SETMASK, NULL, &now) == 0);
		for (int sig = 1; sig < 32; sig++)
			MUST(sigismember(&now, sig) == sigismember(&mine, sig));
		atomic_fetch_add(&board->beat[lane], 1);
		(void)usleep(100);
	}
	return NULL;
}

static _Atomic unsigned long ticks;

static void tick(int sig)
{
	(void)sig;
	atomic_fetch_add(&ticks, 1);
}

/* The main thread takes a timer's signals, and waits for each. */
static void wait_for_signals(void)
{
	struct itimerval every = {{.tv_usec = 700}, {.tv_usec = 700}};
	struct sigaction action = {.sa_handler = tick};
	int lane = lane_take("signals");
	sigset_t block, open;

	sigemptyset(&block);
	sigaddset(&block, SIGALRM);
	MUST(sigprocmask(SIG_BLOCK, &block, &open) == 0);
	MUST(sigaction(SIGALRM, &action, NULL) == 0);
	MUST(setitimer(ITIMER_REAL, &every, NULL) == 0);
	while (true) {
		unsigned long before = atomic_load(&ticks);

		MUST(sigsuspend(&open) == -1 && errno == EINTR);
		MUST(atomic_load(&ticks) != before);
		atomic_fetch_add(&board->beat[lane], 1);
	}
}

static void start_thread(void *(*run)(void *), void *arg)
{
	sigset_t all, old;
	pthread_t thread;

	sigfillset(&all);
	sigdelset(&all, SIGUSR2);
	MUST(pthread_sigmask(SIG_SETMASK, &all, &old) == 0);
	MUST(pthread_create(&thread, NULL, run, arg) == 0);
	MUST(pthread_sigmask(SIG_SETMASK, &old, NULL) == 0);
}

static void run_process(void)
{
	MUST(pipe2(ping, O_CLOEXEC) == 0 && pipe2(pong, O_CLOEXEC) == 0);
	start_thread(compute, NULL);
	start_thread(player, NULL);
	start_thread(player, &board);
	start_thread(sleeper, NULL);
	(void)usleep(20000);
	start_thread(bookkeeper, NULL);
	wait_for_signals();
}

pid_t worker_start(struct worker_board **ret_board, bool few_descriptors)
{
	pid_t pid;

	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	if (board == MAP_FAILED)
		return -1;
	*ret_board = board;
	few = few_descriptors;
	pid = fork();
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (fork() == 0)
			(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		run_process();
	}
	(void)usleep(100000);
	return pid;
}

int worker_check(struct worker_board *b, const char *when)
{
	unsigned long before[WORKER_LANES];
	int lanes = atomic_load(&b->lanes);

	for (int i = 0; i < lanes; i++)
		before[i] = atomic_load(&b->beat[i]);
	for (int i = 0; i < lanes; i++) {
		int patience = 20000;

		while (atomic_load(&b->beat[i]) < before[i] + 2 && --patience > 0)
			(void)usleep(500);
		if (patience > 0)
			continue;
		(void)fprintf(stderr, "%s: lane %d (%s) stands still\n", when, i, b->name[i]);
		return -1;
	}
	if (atomic_load(&b->wrong) == 0)
		return 0;
	(void)fprintf(stderr, "%s: %d times wrong, first: %s\n", when, atomic_load(&b->wrong),
		      b->text);
	return -1;
}

void worker_stop(pid_t pid)
{
	int status;

	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, &status, 0);
}
