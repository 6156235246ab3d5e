/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory of puppets. process_vm_readv() is fastest and heeds page protections; /proc/PID/mem
 * overrides them for a tracer (FOLL_FORCE), as reading execute-only and writing read-only pages
 * needs.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/uio.h>

#include "puppet/boot.h"
#include "puppet/puppet.h"
#include "util/cleanup.h"
#include "util/context.h"
#include "util/io.h"

static int mem_open(struct context *ctx, struct puppet *p, int flags)
{
	char path[64];
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/mem", p->tid);
	fd = open(path, flags | O_CLOEXEC);
	if (fd < 0)
		return err_sys(ctx, -errno, "open(%s)", path);
	return fd;
}

static int mem_failed(struct context *ctx, int r, struct puppet *p, const char *what,
		      puppet_addr at, size_t len)
{
	/* The file gives EIO for what is not mapped, and no bytes at all for a dead address
	 * space (io.c's -ENODATA). */
	if (r == -EIO)
		r = -EFAULT;
	if (r == -ENODATA)
		r = -ESRCH;
	return err_sys(ctx, r, "%s(%d, %#llx, %zu)", what, p->tid, (unsigned long long)at, len);
}

int puppet_read(struct context *ctx, struct puppet *p, puppet_addr from, void *to, size_t len)
{
	struct iovec local = {to, len};
	struct iovec remote = {(void *)(uintptr_t)from, len};
	_cleanup_close_ int fd = -EBADF;
	int r;

	if (process_vm_readv(p->tid, &local, 1, &remote, 1, 0) == (ssize_t)len)
		return 0;
	fd = mem_open(ctx, p, O_RDONLY);
	if (fd < 0)
		return fd;
	r = io_pread_exact(fd, to, len, (off_t)from);
	return r < 0 ? mem_failed(ctx, r, p, "read memory", from, len) : 0;
}

int puppet_write(struct context *ctx, struct puppet *p, puppet_addr to, const void *from,
		 size_t len)
{
	struct iovec local = {(void *)from, len};
	struct iovec remote = {(void *)(uintptr_t)to, len};
	_cleanup_close_ int fd = -EBADF;
	int r;

	if (process_vm_writev(p->tid, &local, 1, &remote, 1, 0) == (ssize_t)len)
		return 0;
	fd = mem_open(ctx, p, O_RDWR);
	if (fd < 0)
		return fd;
	r = io_pwrite_all(fd, from, len, (off_t)to);
	return r < 0 ? mem_failed(ctx, r, p, "write memory", to, len) : 0;
}

int puppet_write_code(struct context *ctx, struct puppet *p, puppet_addr to, const void *from,
		      size_t len)
{
	struct puppet_area *area = p->area;
	int r;

	if (area->code_mem < 0) {
		r = mem_open(ctx, p, O_RDWR);
		if (r < 0)
			return r;
		area->code_mem = r;
	}
	r = io_pwrite_all(area->code_mem, from, len, (off_t)to);
	return r < 0 ? mem_failed(ctx, r, p, "write memory", to, len) : 0;
}

void puppet_code_written(struct puppet_area *area)
{
	close_guard(&area->code_mem);
	area->code_mem = -EBADF;
}
