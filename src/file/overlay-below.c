/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A mapping of a file on overlayfs is one of the real file, in the layer where it was when it was mapped.
 * Once somebody writes to the file it is copied up, and its path, its links below /proc and a
 * descriptor of it lead to the copy; the mapping stays where it is (ovl_mmap()), with the old
 * content. Nothing says so but the pages: a fresh mapping through the path has others. So one page of
 * either is faulted in, and their frame numbers are compared (/proc/PID/pagemap, CAP_SYS_ADMIN).
 */
#include "file/overlay-below.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "util/cleanup.h"

#define FRAME_MASK ((1UL << 55) - 1)
#define IS_FILE	   (1UL << 61)
#define IS_PRESENT (1UL << 63)

/* The frame of a page that is the file's own; 0: not there, a private copy, or not for us to know. */
static uint64_t frame_of(int proc_fd, uint64_t address)
{
	_cleanup_close_ int fd = openat(proc_fd, "pagemap", O_RDONLY | O_CLOEXEC);
	long page_size = sysconf(_SC_PAGESIZE);
	uint64_t entry;

	if (fd < 0 ||
	    pread(fd, &entry, sizeof(entry),
		  (off_t)(address / (uint64_t)page_size * sizeof(entry))) != sizeof(entry))
		return 0;
	return (entry & IS_PRESENT) && (entry & IS_FILE) ? entry & FRAME_MASK : 0;
}

static uint64_t frame_by_path(const char *magic, uint64_t offset)
{
	_cleanup_close_ int fd = open(magic, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	_cleanup_close_ int self = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	long page_size = sysconf(_SC_PAGESIZE);
	uint64_t frame = 0;
	char *at;

	if (fd < 0 || self < 0)
		return 0;
	at = mmap(NULL, (size_t)page_size, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, (off_t)offset);
	if (at == MAP_FAILED)
		return 0;
	frame = frame_of(self, (uint64_t)(uintptr_t)at);
	(void)munmap(at, (size_t)page_size); /* our own mapping */
	return frame;
}

int overlay_shows_below(struct collect *c, const struct collect_process *p,
			const struct proc_map *map, const char *magic)
{
	uint64_t page_size = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t there = 0;
	uint64_t at;
	char byte;

	for (at = map->start; at < map->end && there == 0; at += page_size) {
		const struct iovec near = {.iov_base = &byte, .iov_len = 1};
		const struct iovec far = {.iov_base = (void *)(uintptr_t)at, .iov_len = 1};
		int r = cancel_point(c->ctx);

		if (r < 0)
			return r;
		/* What cannot be read is not there: behind the end, or unreadable as a whole. */
		if (process_vm_readv(p->pid, &near, 1, &far, 1, 0) != 1)
			return 0;
		there = frame_of(p->proc_fd, at);
	}
	return there != 0 &&
	       there != frame_by_path(magic, map->offset + (at - page_size - map->start));
}
