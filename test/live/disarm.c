/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disarming: the program holds a robust mutex in a file that a process outside maps, too. While the
 * program is dead in its image, the outsider finds the mutex locked and no dead owner.
 *
 * The outsider is a sibling of the program (CLONE_PARENT): no part of the tree.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "live.h"
#include "util/macro.h"

struct shared {
	pthread_mutex_t mutex;
	_Atomic int looked;	/* how often the outsider found it locked */
	_Atomic int owner_dead; /* how often it found its owner dead */
};

static struct shared *shared;

static struct shared *map_file(void)
{
	int fd = open("mutex", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	void *at;

	if (fd < 0 || ftruncate(fd, 4096))
		return NULL;
	at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	(void)close(fd);
	return at == MAP_FAILED ? NULL : at;
}

static void look_for_ever(void)
{
	for (;;) {
		int r = pthread_mutex_trylock(&shared->mutex);

		if (r == EOWNERDEAD)
			shared->owner_dead++;
		else if (r == EBUSY)
			shared->looked++;
		(void)usleep(1000);
	}
}

static int looked_before;

static bool has_looked(void)
{
	return shared->looked > looked_before + 20;
}

static int make_robust(void)
{
	pthread_mutexattr_t attr;
	pid_t outsider;

	shared = map_file();
	if (!shared || pthread_mutexattr_init(&attr) ||
	    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST) ||
	    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED) ||
	    pthread_mutex_init(&shared->mutex, &attr) || pthread_mutex_lock(&shared->mutex))
		return 1;
	outsider = (pid_t)syscall(SYS_clone, CLONE_PARENT, 0, 0, 0, 0);
	if (!outsider) {
		(void)setsid(); /* or the session would be in the restored one's way */
		look_for_ever();
	}
	return outsider < 0 || live_await(has_looked);
}

static int check_robust(void)
{
	/* The outsider looks once a millisecond. */
	looked_before = shared->looked;
	(void)live_await(has_looked);
	CHECK_EQ(shared->owner_dead, 0);
	CHECK_EQ(pthread_mutex_unlock(&shared->mutex), 0);
	return 0;
}

/* ---- SEM_UNDO ------------------------------------------------------------------------------ */

static int make_undo(void)
{
	struct sembuf up = {0, 1, SEM_UNDO};
	int set = semget(IPC_PRIVATE, 1, 0600);

	if (set < 0 || semop(set, &up, 1))
		return 1;
	return 0;
}

static const struct live_row rows[] = {
	{.name = "robust", .make = make_robust, .check = check_robust},
	{.name = "undo", .make = make_undo, .refused = "SEM_UNDO"},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
