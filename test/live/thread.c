/* SPDX-License-Identifier: Apache-2.0 */
/* Threads: names, robust lists, tid addresses, rseq areas; joined after the restore. */
#include <errno.h>
#include <linux/rseq.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "live.h"
#include "util/macro.h"

enum { THREADS = 8 };

struct worker {
	pthread_t thread;
	int number;
	int failed;
	char name[16];
	void *robust;
	uint64_t tid_address;
};

static struct worker workers[THREADS];
static pthread_barrier_t ready, asked;

static int read_state(struct worker *w)
{
	size_t len;

	return prctl(PR_GET_NAME, w->name) || syscall(SYS_get_robust_list, 0, &w->robust, &len) ||
	       prctl(40 /* PR_GET_TID_ADDRESS */, &w->tid_address);
}

/* Is the area registered that glibc believes in? Registering it again says EBUSY. */
static int has_rseq(void)
{
	struct rseq *area = (void *)((char *)__builtin_thread_pointer() + __rseq_offset);

	return !__rseq_size || (syscall(SYS_rseq, area, 32, 0, RSEQ_SIG) == -1 && errno == EBUSY);
}

/* The kernel keeps the area up to date. */
static int rseq_lives(void)
{
	struct rseq *area = (void *)((char *)__builtin_thread_pointer() + __rseq_offset);
	unsigned int cpu;

	if (!__rseq_size)
		return 1;
	for (int i = 0; i < 100; i++) {
		(void)syscall(SYS_getcpu, &cpu, NULL, NULL);
		if (*(volatile unsigned int *)&area->cpu_id == cpu)
			return 1;
	}
	return 0;
}

static void *be_worker(void *data)
{
	struct worker *w = data, now = {0};
	char name[16];

	(void)snprintf(name, sizeof(name), "w(%d)\n x", w->number);
	(void)prctl(PR_SET_NAME, name);
	w->failed = read_state(w);
	(void)pthread_barrier_wait(&ready);
	(void)pthread_barrier_wait(&asked);
	w->failed |= read_state(&now) || strcmp(now.name, w->name) || now.robust != w->robust ||
		     now.tid_address != w->tid_address || !has_rseq() || !rseq_lives();
	return NULL;
}

static int make(void)
{
	(void)pthread_barrier_init(&ready, NULL, THREADS + 1);
	(void)pthread_barrier_init(&asked, NULL, THREADS + 1);
	for (int i = 0; i < THREADS; i++) {
		workers[i].number = i;
		if (pthread_create(&workers[i].thread, NULL, be_worker, &workers[i]))
			return 1;
	}
	(void)pthread_barrier_wait(&ready);
	return 0;
}

static int check(void)
{
	(void)pthread_barrier_wait(&asked);
	for (int i = 0; i < THREADS; i++) {
		CHECK_EQ(pthread_join(workers[i].thread, NULL), 0);
		CHECK_EQ(workers[i].failed, 0);
	}
	CHECK(has_rseq());
	return 0;
}

/* ---- a robust mutex whose owner dies after the restore ------------------------------------- */

static pthread_mutex_t robust;
static pthread_t owner;

static void *own(void *unused)
{
	(void)unused;
	(void)pthread_mutex_lock(&robust);
	(void)pthread_barrier_wait(&ready);
	(void)pthread_barrier_wait(&asked);
	return NULL; /* without unlocking */
}

static int make_robust(void)
{
	pthread_mutexattr_t attr;

	(void)pthread_barrier_init(&ready, NULL, 2);
	(void)pthread_barrier_init(&asked, NULL, 2);
	if (pthread_mutexattr_init(&attr) ||
	    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST) ||
	    pthread_mutex_init(&robust, &attr) || pthread_create(&owner, NULL, own, NULL))
		return 1;
	(void)pthread_barrier_wait(&ready);
	return 0;
}

static int check_robust(void)
{
	CHECK_EQ(pthread_mutex_trylock(&robust), EBUSY);
	(void)pthread_barrier_wait(&asked);
	CHECK_EQ(pthread_join(owner, NULL), 0);
	CHECK_EQ(pthread_mutex_lock(&robust), EOWNERDEAD);
	return 0;
}

static const struct live_row rows[] = {
	{.name = "eight", .make = make, .check = check},
	{.name = "robust", .make = make_robust, .check = check_robust},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
