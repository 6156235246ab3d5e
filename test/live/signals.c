/* SPDX-License-Identifier: Apache-2.0 */
/* Signal actions, masks, alternate stacks. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "live.h"
#include "util/macro.h"

/* ---- actions ------------------------------------------------------------------------------- */

static volatile sig_atomic_t handled;

static void handle(int sig, siginfo_t *info, void *context)
{
	(void)info;
	(void)context;
	handled = sig;
}

static struct sigaction before[65];

static int is_ours(int sig)
{
	return sig != SIGKILL && sig != SIGSTOP && sig != 32 && sig != 33;
}

static int set_actions(void)
{
	for (int sig = 1; sig <= 64; sig++) {
		struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO};

		if (!is_ours(sig) || sig == SIGTRAP)
			continue;
		if (sig % 3 == 0)
			action.sa_flags |= SA_RESTART | SA_NODEFER;
		if (sig % 4 == 0) {
			action.sa_flags = sig == SIGCHLD ? SA_NOCLDWAIT : 0;
			action.sa_handler = SIG_IGN;
		}
		(void)sigemptyset(&action.sa_mask);
		(void)sigaddset(&action.sa_mask, 1 + sig % 31);
		if (sigaction(sig, &action, NULL))
			return 1;
	}
	/* The default, yet with flags. */
	return sigaction(SIGCHLD, &(struct sigaction){.sa_flags = SA_NOCLDSTOP}, NULL);
}

static int make_actions(void)
{
	if (set_actions())
		return 1;
	for (int sig = 1; sig <= 64; sig++)
		if (is_ours(sig) && sigaction(sig, NULL, &before[sig]))
			return 1;
	return 0;
}

static int check_actions(void)
{
	for (int sig = 1; sig <= 64; sig++) {
		struct sigaction now;

		if (!is_ours(sig))
			continue;
		CHECK_EQ(sigaction(sig, NULL, &now), 0);
		CHECK(now.sa_sigaction == before[sig].sa_sigaction);
		CHECK_EQ(now.sa_flags, before[sig].sa_flags);
		CHECK(!memcmp(&now.sa_mask, &before[sig].sa_mask, 8));
	}
	CHECK_EQ(raise(SIGUSR2), 0);
	CHECK_EQ(handled, SIGUSR2 % 4 ? SIGUSR2 : 0);
	CHECK_EQ(raise(SIGHUP), 0);
	CHECK_EQ(handled, SIGHUP);
	return 0;
}

static int make_trap(void (*handler)(int))
{
	return signal(SIGTRAP, handler) == SIG_ERR;
}

static int make_trap_ignored(void)
{
	return make_trap(SIG_IGN);
}

static int check_trap_ignored(void)
{
	struct sigaction now;

	CHECK_EQ(sigaction(SIGTRAP, NULL, &now), 0);
	CHECK(now.sa_handler == SIG_IGN);
	return 0;
}

static void handle_trap(int sig)
{
	handled = sig;
}

static int make_trap_handled(void)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTRAP);
	return make_trap(handle_trap) || sigprocmask(SIG_BLOCK, &set, NULL);
}

static int check_trap_handled(void)
{
	sigset_t set;

	CHECK_EQ(sigprocmask(SIG_BLOCK, NULL, &set), 0);
	CHECK_EQ(sigismember(&set, SIGTRAP), 1);
	CHECK_EQ(raise(SIGTRAP), 0);
	CHECK_EQ(handled, 0);
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTRAP);
	CHECK_EQ(sigprocmask(SIG_UNBLOCK, &set, NULL), 0);
	CHECK_EQ(handled, SIGTRAP);
	return 0;
}

/* ---- masks and stacks, of several threads -------------------------------------------------- */

enum { THREADS = 4, STACK = 65536 };

struct worker {
	pthread_t thread;
	int number;
	int failed;
	stack_t stack;
	volatile int on_stack;
};

static struct worker workers[THREADS];
static pthread_barrier_t ready, asked;

static void worker_mask(const struct worker *w, sigset_t *set)
{
	(void)sigemptyset(set);
	for (int sig = SIGRTMIN; sig <= SIGRTMAX; sig++)
		if (sig % THREADS == w->number)
			(void)sigaddset(set, sig);
}

static int worker_check(struct worker *w)
{
	sigset_t want, now;
	stack_t stack;

	worker_mask(w, &want);
	if (pthread_sigmask(SIG_BLOCK, NULL, &now) || memcmp(&want, &now, 8))
		return 1;
	if (sigaltstack(NULL, &stack))
		return 1;
	if (w->on_stack && !(stack.ss_flags & SS_ONSTACK))
		return 1;
	return stack.ss_sp != w->stack.ss_sp || stack.ss_size != w->stack.ss_size ||
	       (stack.ss_flags & ~SS_ONSTACK) != w->stack.ss_flags;
}

/* Worker 1 is inside a handler on its stack while it is dumped. */
static void wait_in_handler(int sig)
{
	(void)sig;
	workers[1].on_stack = 1;
	(void)pthread_barrier_wait(&ready);
	(void)pthread_barrier_wait(&asked);
	workers[1].failed |= worker_check(&workers[1]);
}

static void *be_worker(void *data)
{
	struct worker *w = data;
	sigset_t set;

	if (w->number) {
		w->stack.ss_sp = malloc(STACK);
		w->stack.ss_size = STACK;
		w->stack.ss_flags = w->number == 2 ? (int)(1U << 31) /* SS_AUTODISARM */ : 0;
		w->failed = sigaltstack(&w->stack, NULL);
	} else {
		w->stack.ss_flags = SS_DISABLE;
	}
	worker_mask(w, &set);
	w->failed |= pthread_sigmask(SIG_SETMASK, &set, NULL);
	if (w->number == 1) {
		(void)raise(SIGPWR);
		return NULL;
	}
	(void)pthread_barrier_wait(&ready);
	(void)pthread_barrier_wait(&asked);
	w->failed |= worker_check(w);
	return NULL;
}

static int make_threads(void)
{
	struct sigaction action = {.sa_handler = wait_in_handler,
				   .sa_flags = SA_ONSTACK | SA_NODEFER};

	(void)pthread_barrier_init(&ready, NULL, THREADS + 1);
	(void)pthread_barrier_init(&asked, NULL, THREADS + 1);
	if (sigaction(SIGPWR, &action, NULL))
		return 1;
	for (int i = 0; i < THREADS; i++) {
		workers[i].number = i;
		if (pthread_create(&workers[i].thread, NULL, be_worker, &workers[i]))
			return 1;
	}
	(void)pthread_barrier_wait(&ready);
	return 0;
}

static int check_threads(void)
{
	(void)pthread_barrier_wait(&asked);
	for (int i = 0; i < THREADS; i++) {
		(void)pthread_join(workers[i].thread, NULL);
		CHECK_EQ(workers[i].failed, 0);
	}
	CHECK_EQ(workers[1].on_stack, 1);
	return 0;
}

static const struct live_row rows[] = {
	{.name = "actions", .make = make_actions, .check = check_actions},
	{.name = "threads", .make = make_threads, .check = check_threads},
	{.name = "trap-handled", .make = make_trap_handled, .check = check_trap_handled},
	{.name = "trap-ignored", .make = make_trap_ignored, .check = check_trap_ignored},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
