/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the benchmark dumps: a process with much memory, many processes, or many VMAs; and what it
 * is compared with. Each prints one line when it is ready; those that are dumped then wait.
 *
 *	target memory MIB	touches MIB at random
 *	target limited MIB	the same, with a limit on the size of files
 *	target tree N		N child processes; prints the time (ns) of the bare forks
 *	target vmas N		N mappings that the kernel cannot merge
 *	target fds KIND N DIR	N descriptors: "files", "opens" of one file, "deleted" files, "eventfds",
 *				"pipes", "sockets" (unix pairs); files lie in DIR
 *	target plain MIB FILE	prints rates (bytes/s): of a plain pwrite to FILE of memory touched at
 *				random; of a plain pread of FILE into fresh memory; and of
 *				process_vm_readv from another process and write to FILE
 */
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 4 << 20 };

static double now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static char *map_fresh(size_t len)
{
	char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		exit(1);
	return p;
}

/* Every page, in random order, with content that is not zero. */
static void touch_at_random(char *buf, size_t len)
{
	size_t pages = len / 4096;
	uint32_t *order = malloc(pages * sizeof(*order));
	uint64_t state = 88172645463325252U;

	if (!order)
		exit(1);
	for (size_t i = 0; i < pages; i++)
		order[i] = (uint32_t)i;
	for (size_t i = pages - 1; i > 0; i--) {
		size_t k = next_random(&state) % (i + 1);
		uint32_t swap = order[i];

		order[i] = order[k];
		order[k] = swap;
	}
	for (size_t i = 0; i < pages; i++)
		for (size_t w = 0; w < 4096; w += 64)
			memcpy(buf + (size_t)order[i] * 4096 + w,
			       &(uint64_t){next_random(&state) | 1}, 8);
	free(order);
}

static int create(const char *path)
{
	int fd;

	(void)unlink(path);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (fd < 0)
		exit(1);
	return fd;
}

static double rate_of_pwrite(const char *path, const char *buf, size_t len)
{
	int fd = create(path);
	double began = now();

	for (size_t at = 0; at < len; at += CHUNK)
		if (pwrite(fd, buf + at, CHUNK, (off_t)at) != CHUNK)
			exit(1);
	(void)close(fd);
	return (double)len / (now() - began);
}

static double rate_of_pread(const char *path, size_t len)
{
	int fd = open(path, O_RDONLY);
	char *fresh = map_fresh(len);
	double began = now();

	if (fd < 0)
		exit(1);
	for (size_t at = 0; at < len; at += CHUNK)
		if (pread(fd, fresh + at, CHUNK, (off_t)at) != CHUNK)
			exit(1);
	began = now() - began;
	(void)munmap(fresh, len);
	(void)close(fd);
	return (double)len / began;
}

/* A child that has @buf, and nobody else. */
static pid_t start_holder(char *buf, size_t len)
{
	int ready[2];
	pid_t pid;
	char byte;

	if (pipe(ready) < 0)
		exit(1);
	pid = fork();
	if (pid == 0) {
		touch_at_random(buf, len);
		(void)!write(ready[1], "", 1);
		for (;;)
			(void)pause();
	}
	if (pid < 0 || read(ready[0], &byte, 1) != 1)
		exit(1);
	return pid;
}

static double rate_of_readv(const char *path, char *buf, size_t len)
{
	pid_t pid = start_holder(buf, len);
	char *copy = map_fresh(CHUNK);
	int fd = create(path);
	double began = now();

	for (size_t at = 0; at < len; at += CHUNK) {
		struct iovec to = {copy, CHUNK}, from = {buf + at, CHUNK};

		if (process_vm_readv(pid, &to, 1, &from, 1, 0) != CHUNK ||
		    write(fd, copy, CHUNK) != CHUNK)
			exit(1);
	}
	began = now() - began;
	(void)close(fd);
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	return (double)len / began;
}

/* What it leaves behind is memory that was freed this moment: what comes next finds it warm. */
static void plain(size_t mib, const char *path)
{
	size_t len = mib << 20;
	char *buf = map_fresh(len);
	double readv = rate_of_readv(path, buf, len);
	double out, in;

	touch_at_random(buf, len);
	out = rate_of_pwrite(path, buf, len);
	in = rate_of_pread(path, len);
	(void)unlink(path);
	(void)printf("%.0f %.0f %.0f\n", out, in, readv);
	exit(0);
}

static void memory(size_t mib, bool limited)
{
	const struct rlimit limit = {(rlim_t)1 << 50, RLIM_INFINITY};

	touch_at_random(map_fresh(mib << 20), mib << 20);
	if (limited && setrlimit(RLIMIT_FSIZE, &limit) < 0)
		exit(1);
	(void)printf("0\n");
}

static pid_t *fork_all(long n)
{
	pid_t *pids = calloc((size_t)n, sizeof(*pids));

	for (long i = 0; pids && i < n; i++) {
		pids[i] = fork();
		if (pids[i] == 0)
			for (;;)
				(void)pause();
	}
	return pids;
}

static void tree(long n)
{
	double began = now();

	free(fork_all(n));
	(void)printf("%.0f\n", (now() - began) * 1e9);
}

static void vmas(long n)
{
	char *p = map_fresh((size_t)n * 4096);

	/* Every other page has another protection, so that neighbours never merge. */
	for (long i = 0; i < n; i += 2)
		if (mprotect(p + i * 4096, 4096, PROT_READ) < 0)
			exit(1);
	(void)printf("%ld\n", n);
}

/* One descriptor (of a pipe, two); false: it could not be made. */
static bool open_one(const char *kind, const char *dir, long i)
{
	bool deleted = strcmp(kind, "deleted") == 0;
	char path[4096];
	int fds[2];

	if (strcmp(kind, "eventfds") == 0)
		return eventfd((unsigned int)i, 0) >= 0;
	if (strcmp(kind, "pipes") == 0)
		return i % 2 || pipe(fds) == 0;
	if (strcmp(kind, "sockets") == 0)
		return i % 2 || (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0 &&
				 send(fds[0], "waits", 5, 0) == 5);
	(void)snprintf(path, sizeof(path), "%s/%ld", dir, strcmp(kind, "opens") == 0 ? 0 : i);
	return open(path, O_CREAT | O_RDWR, 0600) >= 0 && (!deleted || unlink(path) == 0);
}

static void fds(const char *kind, long n, const char *dir)
{
	struct rlimit limit;

	(void)getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
	for (long i = 0; i < n; i++)
		if (!open_one(kind, dir, i))
			exit(1);
	(void)printf("%ld\n", n);
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "plain") == 0)
		plain((size_t)atol(argv[2]), argv[3]);
	else if (argc == 3 && strcmp(argv[1], "memory") == 0)
		memory((size_t)atol(argv[2]), false);
	else if (argc == 3 && strcmp(argv[1], "limited") == 0)
		memory((size_t)atol(argv[2]), true);
	else if (argc == 3 && strcmp(argv[1], "tree") == 0)
		tree(atol(argv[2]));
	else if (argc == 3 && strcmp(argv[1], "vmas") == 0)
		vmas(atol(argv[2]));
	else if (argc == 5 && strcmp(argv[1], "fds") == 0)
		fds(argv[2], atol(argv[3]), argv[4]);
	else
		return 2;
	(void)fflush(stdout);
	(void)close(0);
	(void)close(1);
	for (;;)
		(void)pause();
}
