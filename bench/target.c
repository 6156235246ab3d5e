/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the benchmark dumps: a process with much memory, many processes, or many VMAs. It prints one line when it is ready and
 * then waits.
 *
 *	target memory MIB FILE	touches MIB at random; first prints the best rates (bytes/s) of three of a plain
 *				pwrite of the buffer to FILE and of a plain pread of FILE into fresh memory
 *	target tree N		N child processes; prints the time (ns) of the bare forks
 *	target vmas N		N mappings that the kernel cannot merge
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

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

static double rate_of_pwrite(const char *path, const char *buf, size_t len)
{
	double began;
	int fd;

	(void)unlink(path);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (fd < 0)
		exit(1);
	began = now();
	for (size_t at = 0; at < len; at += 4 << 20)
		if (pwrite(fd, buf + at, 4 << 20, (off_t)at) != 4 << 20)
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
	for (size_t at = 0; at < len; at += 4 << 20)
		if (pread(fd, fresh + at, 4 << 20, (off_t)at) != 4 << 20)
			exit(1);
	began = now() - began;
	(void)munmap(fresh, len);
	(void)close(fd);
	return (double)len / began;
}

static void memory(size_t mib, const char *path)
{
	size_t len = mib << 20;
	char *buf = map_fresh(len);
	double out = 0;
	double in = 0;

	touch_at_random(buf, len);
	for (int i = 0; i < 3; i++) {
		double rate = rate_of_pwrite(path, buf, len);

		out = rate > out ? rate : out;
		rate = rate_of_pread(path, len);
		in = rate > in ? rate : in;
	}
	(void)unlink(path);
	(void)printf("%.0f %.0f\n", out, in);
}

static void tree(long n)
{
	double began = now();

	for (long i = 0; i < n; i++)
		if (fork() == 0)
			for (;;)
				(void)pause();
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

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "memory") == 0)
		memory((size_t)atol(argv[2]), argv[3]);
	else if (argc == 3 && strcmp(argv[1], "tree") == 0)
		tree(atol(argv[2]));
	else if (argc == 3 && strcmp(argv[1], "vmas") == 0)
		vmas(atol(argv[2]));
	else
		return 2;
	(void)fflush(stdout);
	(void)close(0);
	(void)close(1);
	for (;;)
		(void)pause();
}
