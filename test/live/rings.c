/* SPDX-License-Identifier: Apache-2.0 */
/* io_uring where no descriptor shows it: registered rings, and threads of its own. */
#include <dirent.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "live.h"
#include "side.h"
#include "util/macro.h"

#ifndef IORING_SETUP_NO_MMAP
#define IORING_SETUP_NO_MMAP (1u << 14)
#endif

enum { ENTRIES = 4, ROOM = 64 * 1024, REGISTER_RING_FDS = 20 };

/* 0, or 77 where the kernel will not. */
static int set_up(struct io_uring_params *params, int *ret_fd)
{
	*ret_fd = (int)syscall(SYS_io_uring_setup, ENTRIES, params);
	if (*ret_fd >= 0)
		return 0;
	(void)live_fail("io_uring_setup() is not permitted, or not with these flags");
	return 77;
}

static uint64_t own_memory(void)
{
	void *p = mmap(NULL, ROOM, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	return p == MAP_FAILED ? 0 : (uintptr_t)p;
}

/* A ring in memory of our own, registered at @index, without a descriptor. */
static int make_at(uint32_t index, uint32_t flags)
{
	struct io_uring_params params = {.flags = IORING_SETUP_NO_MMAP | flags};
	struct io_uring_rsrc_update update = {.offset = index};
	int fd, r;

	params.cq_off.resv2 = own_memory(); /* user_addr, by its newer name */
	params.sq_off.resv2 = own_memory();
	r = set_up(&params, &fd);
	if (r != 0)
		return r;
	update.data = (uint64_t)fd;
	CHECK_EQ(syscall(SYS_io_uring_register, fd, REGISTER_RING_FDS, &update, 1), 1);
	return close(fd) < 0;
}

static int make_registered(void)
{
	return make_at(0, 0);
}

static int make_registered_last(void)
{
	return make_at(15, 0);
}

static int make_side(void)
{
	return side_run(make_registered);
}

static bool is_named(const char *tid)
{
	char path[64], comm[32] = "";
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/self/task/%.10s/comm", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	(void)!read(fd, comm, sizeof(comm) - 1); /* gone: has no name */
	(void)close(fd);
	return strncmp(comm, "iou-sqp-", 8) == 0;
}

static bool has_named_worker(void)
{
	DIR *tasks = opendir("/proc/self/task");
	const struct dirent *entry;
	bool found = false;

	while (tasks && !found && (entry = readdir(tasks)))
		found = is_named(entry->d_name);
	if (tasks)
		(void)closedir(tasks);
	return found;
}

/* A thread of the kernel's polls the ring. It names itself when it first runs (io_sq_thread()). */
static int make_worker(void)
{
	int r = make_at(0, IORING_SETUP_SQPOLL);

	while (r == 0 && !has_named_worker())
		(void)sched_yield();
	return r;
}

/* Used and closed again: nothing is left that would be in the way. */
static int make_closed(void)
{
	struct io_uring_params params = {0};
	int fd;
	int r = set_up(&params, &fd);

	if (r != 0)
		return r;
	CHECK_EQ(syscall(SYS_io_uring_enter, fd, 0, 0, 0, NULL, 0), 0);
	return close(fd) < 0;
}

static const struct live_row rows[] = {
	{.name = "registered", .make = make_registered, .refused = "has registered an io_uring"},
	{.name = "registered, the last index",
	 .make = make_registered_last,
	 .refused = "has registered an io_uring"},
	{.name = "of one thread", .make = make_side, .refused = "has registered an io_uring"},
	{.name = "worker", .make = make_worker, .refused = "has registered an io_uring"},
	{.name = "closed", .make = make_closed},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
