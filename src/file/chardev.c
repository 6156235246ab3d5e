/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Character devices. Those whose open files have no state are opened again by path, and checked by
 * number. Of some it can be seen that they have none as yet: /dev/net/tun before it is attached to an
 * interface; /dev/kmsg while it is only written to, since what has been read of it is its reader's position
 * (devkmsg_user.seq), which no call tells or sets. All others are refused by name: a driver's state
 * behind an open device cannot be read. Terminals are a kind of their own (tty.c, ptmx.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "file/open.h"
#include "kind/file.h"
#include "util/cleanup.h"
#include "util/macro.h"

struct device {
	unsigned int major;
	unsigned int minor;
	/* Why this open file cannot be kept, for a sentence that names it, or NULL; of those that never
	 * can, @why says it. */
	int (*look)(struct collect *c, const struct file_probe *probe, const char **ret_why);
	const char *why;
	const char *hint;
};

static int look_at_tun(struct collect *c, const struct file_probe *probe, const char **ret_why)
{
	struct ifreq ifr = {};

	if (ioctl(probe->fd, TUNGETIFF, &ifr) < 0)
		return 0; /* EBADFD: it is attached to none */
	*ret_why =
		arena_printf(c->arena, "is attached to interface %.*s, which is not supported yet",
			     IFNAMSIZ, ifr.ifr_name);
	return *ret_why ? 0 : err_oom(c->ctx);
}

static int look_at_kmsg(struct collect *c, const struct file_probe *probe, const char **ret_why)
{
	(void)c;
	if ((probe->info.flags & O_ACCMODE) != O_WRONLY)
		*ret_why = "is open for reading, and how far it has been read cannot be seen";
	return 0;
}

/* drivers/char/mem.c, kernel/printk/printk.c, and misc devices (major 10) */
static const struct device devices[] = {
	{1, 3}, /* null */
	{1, 5}, /* zero */
	{1, 7}, /* full */
	{1, 8}, /* random */
	{1, 9}, /* urandom */
	{1, 11, .look = look_at_kmsg},
	{10, 183}, /* hwrng */
	{10, 200, .look = look_at_tun, .hint = "detach it, or close it before the dump"},
	{10, 229,
	 .why = "is the kernel's connection to a FUSE file system, whose requests under way cannot "
		"be "
		"seen",
	 .hint = "unmount the file system"},
	{10, 232, .why = "is the way to virtual machines, which live in the kernel",
	 .hint = "end the virtual machine"},
	{10, 235, .why = "controls automounts, whose state cannot be read"},
	{10, 237, .why = "controls loop devices"},
};

static const struct device *find_device(unsigned int major_number, unsigned int minor_number)
{
	for (size_t i = 0; i < ARRAY_SIZE(devices); i++)
		if (devices[i].major == major_number && devices[i].minor == minor_number)
			return &devices[i];
	return NULL;
}

/* All that no other kind has taken. */
static bool matches(const struct file_probe *probe)
{
	return S_ISCHR(probe->st.st_mode) && !(probe->info.flags & O_PATH);
}

static int refuse(struct collect *c, const struct file_probe *probe, const char *hint,
		  const char *why)
{
	return collect_refuse(c, hint, "%s, fd %d (%s): character device %u:%u %s",
			      collect_name(c, probe->process), probe->number, probe->link,
			      major(probe->st.st_rdev), minor(probe->st.st_rdev), why);
}

static int judge(struct collect *c, const struct file_probe *probe)
{
	const struct device *device =
		find_device(major(probe->st.st_rdev), minor(probe->st.st_rdev));
	const char *why;
	int r = 0;

	if (!device)
		return refuse(c, probe, "close it before the dump",
			      "has a driver whose state cannot be read");
	why = device->why;
	if (device->look)
		r = device->look(c, probe, &why);
	return r < 0 || !why ? r : refuse(c, probe, device->hint, why);
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
	return judge(c, probe);
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
	const struct device *known = find_device(device->major, device->minor);
	int result = look(device);

	if (!known || known->why)
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
