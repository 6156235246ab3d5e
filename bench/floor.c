/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel alone takes for dumping and restoring N small processes, whoever asks it: nothing is
 * decided, parsed, encoded or compared here, no process is entered, asked, or given anything.
 *
 *	floor N FILE	prints microseconds for each process:
 *		reads	CPU time to read once, of a stopped process, the files of /proc that nothing
 *			else tells the content of; by one thread
 *		dump	time to stop it, to read the same by two threads at a time, to copy PAGES of its
 *			pages to FILE, to kill it and to wait for it
 *		restore	time to fork it, to have it read PAGES from FILE, to stop it, to read the same of
 *			/proc again, and to let it go
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A process that forked and did nothing else has about as many pages of its own. */
enum { PAGE = 4096, PAGES = 30, THREADS = 2 };

static char own[PAGES * PAGE];

struct group {
	pid_t *pids;
	long n;
	int file; /* N times PAGES pages */
};

static double clock_now(clockid_t clock)
{
	struct timespec t;

	(void)clock_gettime(clock, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static double now(void)
{
	return clock_now(CLOCK_MONOTONIC);
}

/* ---- reading ------------------------------------------------------------------------------- */

/* clang-format off */
static const char *const files[] = {
	"stat", "status", "smaps", "auxv", "coredump_filter", "cgroup", "loginuid", "autogroup",
	"timers", "fdinfo/2", "oom_score_adj", NULL,
};
static const char *const links[] = {
	"exe", "cwd", "root", "fd/2", "ns/cgroup", "ns/ipc", "ns/mnt", "ns/net", "ns/pid",
	"ns/pid_for_children", "ns/time", "ns/time_for_children", "ns/user", "ns/uts", NULL,
};
/* clang-format on */

static void read_whole(int dir, const char *name)
{
	static _Thread_local char text[65536];
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);

	while (fd >= 0 && read(fd, text, sizeof(text)) > 0)
		;
	if (fd >= 0)
		(void)close(fd);
}

static void read_process(pid_t pid)
{
	char path[64], target[4096];
	int dir;

	(void)snprintf(path, sizeof(path), "/proc/%d", pid);
	dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	for (const char *const *file = files; *file; file++)
		read_whole(dir, *file);
	for (const char *const *link = links; *link; link++)
		(void)!readlinkat(dir, *link, target, sizeof(target));
	(void)snprintf(path, sizeof(path), "task/%d/children", pid);
	read_whole(dir, path);
	(void)close(dir);
}

/* ---- two threads, each with every other process ---------------------------------------------- */

struct share {
	const struct group *group;
	long first;
	void (*work)(pid_t pid);
};

static void *work_share(void *arg)
{
	const struct share *s = arg;

	for (long i = s->first; i < s->group->n; i += THREADS)
		s->work(s->group->pids[i]);
	return NULL;
}

static void work_on_all(const struct group *g, void (*work)(pid_t pid))
{
	struct share shares[THREADS];
	pthread_t threads[THREADS];

	for (long i = 0; i < THREADS; i++) {
		shares[i] = (struct share){g, i, work};
		if (pthread_create(&threads[i], NULL, work_share, &shares[i]) != 0)
			exit(1);
	}
	for (long i = 0; i < THREADS; i++)
		(void)pthread_join(threads[i], NULL);
}

/* ---- processes ----------------------------------------------------------------------------- */

/* Child @i reads its pages and waits; or has those it was born with. */
static void fork_all(struct group *g, int fill)
{
	for (long i = 0; i < g->n; i++) {
		g->pids[i] = fork();
		if (g->pids[i] < 0)
			exit(1);
		if (g->pids[i] > 0)
			continue;
		if (fill && pread(g->file, own, sizeof(own), (off_t)i * (off_t)sizeof(own)) < 0)
			_exit(1);
		for (;;)
			(void)pause();
	}
}

static void stop_all(const struct group *g)
{
	for (long i = 0; i < g->n; i++)
		if (ptrace(PTRACE_SEIZE, g->pids[i], NULL, NULL) < 0 ||
		    ptrace(PTRACE_INTERRUPT, g->pids[i], NULL, NULL) < 0)
			exit(1);
	for (long i = 0; i < g->n; i++)
		(void)waitpid(g->pids[i], NULL, __WALL);
}

static void let_all_go(const struct group *g)
{
	for (long i = 0; i < g->n; i++)
		(void)ptrace(PTRACE_DETACH, g->pids[i], NULL, NULL);
}

static void copy_pages(const struct group *g)
{
	static char copy[sizeof(own)];
	const struct iovec from = {own, sizeof(own)}, to = {copy, sizeof(copy)};

	for (long i = 0; i < g->n; i++)
		if (process_vm_readv(g->pids[i], &to, 1, &from, 1, 0) != sizeof(own) ||
		    pwrite(g->file, copy, sizeof(copy), (off_t)i * (off_t)sizeof(copy)) < 0)
			exit(1);
}

static void reap(pid_t pid)
{
	while (waitpid(pid, NULL, __WALL) == pid)
		;
}

static void end_all(const struct group *g)
{
	for (long i = 0; i < g->n; i++)
		(void)kill(g->pids[i], SIGKILL);
	work_on_all(g, reap);
}

int main(int argc, char **argv)
{
	struct group g = {.n = argc == 3 ? atol(argv[1]) : 0};
	double began, reads, dump, restore;

	if (g.n <= 0)
		return 2;
	g.pids = calloc((size_t)g.n, sizeof(*g.pids));
	g.file = open(argv[2], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (!g.pids || g.file < 0)
		return 1;
	for (size_t i = 0; i < sizeof(own); i += PAGE)
		own[i] = 1;

	fork_all(&g, 0);
	began = now();
	stop_all(&g);
	work_on_all(&g, read_process);
	copy_pages(&g);
	end_all(&g);
	dump = now() - began;

	began = now();
	fork_all(&g, 1);
	stop_all(&g);
	work_on_all(&g, read_process);
	let_all_go(&g);
	restore = now() - began;

	began = clock_now(CLOCK_PROCESS_CPUTIME_ID);
	for (long i = 0; i < g.n; i++)
		read_process(g.pids[i]);
	reads = clock_now(CLOCK_PROCESS_CPUTIME_ID) - began;
	end_all(&g);
	(void)unlink(argv[2]);
	(void)printf("%.0f %.0f %.0f\n", reads / (double)g.n, dump / (double)g.n,
		     restore / (double)g.n);
	return 0;
}
