/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Character devices that have no state of their own: opened again by path, checked by number. All
 * others are refused by name: a driver's state behind an open device cannot be read.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "file/open.h"
#include "kind/file.h"
#include "util/cleanup.h"
#include "util/macro.h"

/* drivers/char/mem.c */
static const struct {
	unsigned int major;
	unsigned int minor;
	const char *name;
} stateless[] = {
	{1, 3, "null"}, {1, 5, "zero"}, {1, 7, "full"}, {1, 8, "random"}, {1, 9, "urandom"},
};

static bool is_stateless(unsigned int major_number, unsigned int minor_number)
{
	for (size_t i = 0; i < ARRAY_SIZE(stateless); i++)
		if (stateless[i].major == major_number && stateless[i].minor == minor_number)
			return true;
	return false;
}

static bool matches(const struct file_probe *probe)
{
	return S_ISCHR(probe->st.st_mode) && !(probe->info.flags & O_PATH) &&
	       is_stateless(major(probe->st.st_rdev), minor(probe->st.st_rdev));
}

static int collect(struct collect *c, const struct file_probe *probe, Coppice__File *file)
{
	Coppice__CharDevice *device = arena_new(c->arena, Coppice__CharDevice);
	struct stat st;

	if (!device)
		return err_oom(c->ctx);
	coppice__char_device__init(device);
	file->chardev = device;
	device->major = major(probe->st.st_rdev);
	device->minor = minor(probe->st.st_rdev);
	device->path = arena_strdup(c->arena, probe->link);
	if (!device->path)
		return err_oom(c->ctx);
	if (lstat(probe->link, &st) < 0 || st.st_rdev != probe->st.st_rdev || !S_ISCHR(st.st_mode))
		return collect_refuse(c, NULL, "%s, fd %d (%s): no such device is at this path now",
				      collect_name(c, probe->process), probe->number, probe->link);
	return 0;
}

/* What stands at the path must be the device before it is opened: opening others may do things. */
static int look(const Coppice__CharDevice *device)
{
	_cleanup_close_ int fd = open_path(device->path, O_PATH);
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	return S_ISCHR(st.st_mode) && major(st.st_rdev) == device->major &&
			       minor(st.st_rdev) == device->minor
		       ? 0
		       : -ENXIO;
}

static int check(struct rebuild *r, const Coppice__File *file)
{
	const Coppice__CharDevice *device = file->chardev;
	int result = look(device);

	if (!is_stateless(device->major, device->minor))
		return rebuild_refuse(r, NULL, "device %u:%u (%s) is none that can be restored",
				      device->major, device->minor, device->path);
	if (result < 0)
		return rebuild_refuse(r, NULL, "%s: not there as character device %u:%u (%s)",
				      device->path, device->major, device->minor, err_name(result));
	return 0;
}

static int create(struct rebuild *r, const Coppice__File *file, int *ret_fd)
{
	const Coppice__CharDevice *device = file->chardev;
	_cleanup_close_ int fd = -EBADF;
	int result = look(device);

	if (result < 0)
		return err_sys(r->ctx, result, "%s as character device %u:%u", device->path,
			       device->major, device->minor);
	fd = open_path(device->path, file->flags);
	if (fd < 0)
		return err_sys(r->ctx, fd, "open(%s)", device->path);
	/* /dev/null and the like take any offset, and some count what was written */
	if (file->offset != 0 && lseek(fd, file->offset, SEEK_SET) < 0)
		return err_sys(r->ctx, -errno, "lseek(%s, %ld)", device->path, file->offset);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static void describe(const Coppice__File *file, char *buf, size_t size)
{
	(void)snprintf(buf, size, "%s", file->chardev->path);
}

const struct file_kind kind_chardev = {
	.name = "character device",
	.which = COPPICE__FILE__KIND_CHARDEV,
	.matches = matches,
	.collect = collect,
	.check = check,
	.create = create,
	.describe = describe,
};
