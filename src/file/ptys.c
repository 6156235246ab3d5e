/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which open files belong to the same pseudo terminal. A slave is known by its node in devpts. A
 * master's node is /dev/ptmx, the same for all; but the kernel opens a slave by its master
 * (TIOCGPTPEER), and with O_PATH nobody notices.
 *
 * The number is part of the state: ptsname() and ttyname() tell it to programs.
 */
#include "file/ptys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "file/state.h"
#include "kernel/scan.h"
#include "util/cleanup.h"

enum { UNIX98_PTY_SLAVE_MAJOR = 136 };

bool pty_is_slave(dev_t rdev)
{
	return major(rdev) == UNIX98_PTY_SLAVE_MAJOR;
}

/* "/dev/pts/3": the directory is 8 characters long, and the number 3. */
static bool split(const char *path, size_t *ret_len, uint32_t *ret_number)
{
	const char *slash = strrchr(path, '/'), *at = slash ? slash + 1 : NULL;
	uint64_t number;

	if (!at || *path != '/' || !scan_u64(&at, 10, &number) || number > INT_MAX ||
	    (*at != '\0' && strcmp(at, " (deleted)") != 0))
		return false;
	*ret_len = (size_t)(slash - path);
	*ret_number = (uint32_t)number;
	return true;
}

static bool is_at(const struct pty_node *node, dev_t dev, const char *path, size_t len,
		  uint32_t number)
{
	const char *directory = node->msg->directory;

	return node->dev == dev && node->msg->number == number && strlen(directory) == len &&
	       strncmp(directory, path, len) == 0;
}

struct pty_node *pty_find(const struct collect *c, dev_t dev, const char *path)
{
	const struct collect_files *files = c->files;
	uint32_t number;
	size_t len;

	if (!split(path, &len, &number))
		return NULL;
	for (size_t i = 0; i < files->n_ptys; i++)
		if (is_at(files->ptys[i], dev, path, len, number))
			return files->ptys[i];
	return NULL;
}

static struct pty_node *new_node(struct collect *c, dev_t dev, const char *path)
{
	struct collect_files *files = c->files;
	struct pty_node *node = arena_new(c->arena, struct pty_node);
	struct pty_node **slot =
		arena_append(c->arena, &files->ptys, &files->n_ptys, sizeof(*slot));
	Coppice__Pty **list = arena_append(c->arena, &c->cp->ptys, &c->cp->n_ptys, sizeof(*list));
	size_t len;

	if (!node || !slot || !list)
		return NULL;
	*slot = node;
	node->dev = dev;
	node->msg = *list = arena_new(c->arena, Coppice__Pty);
	if (!node->msg)
		return NULL;
	coppice__pty__init(node->msg);
	node->msg->id = (uint32_t)c->cp->n_ptys;
	node->msg->directory = arena_strdup(c->arena, path);
	if (!node->msg->directory || !split(path, &len, &node->msg->number))
		return NULL;
	node->msg->directory[len] = '\0';
	return node;
}

int pty_get(struct collect *c, dev_t dev, const char *path, struct pty_node **ret_node)
{
	struct pty_node *node = pty_find(c, dev, path);
	uint32_t number;
	size_t len;

	if (!split(path, &len, &number))
		return err_msg(c->ctx, -EBADMSG, "%s is no name in a devpts", path);
	if (!node)
		node = new_node(c, dev, path);
	if (!node)
		return err_oom(c->ctx);
	*ret_node = node;
	return 0;
}

/* ---- masters --------------------------------------------------------------------------------- */

static int refuse_master(struct collect *c, const struct file_probe *probe, const char *why)
{
	return collect_refuse(c, NULL, "%s, fd %d (%s): %s", collect_name(c, probe->process),
			      probe->number, probe->link, why);
}

static int link_of(struct collect *c, int fd, char *buf, size_t size)
{
	char name[32];
	ssize_t len;

	(void)snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	len = readlink(name, buf, size - 1);
	if (len < 0)
		return err_sys(c->ctx, -errno, "readlink(%s)", name);
	buf[len] = '\0';
	return 0;
}

int pty_get_master(struct collect *c, const struct file_probe *probe, struct pty_node **ret_node)
{
	_cleanup_close_ int peer = ioctl(probe->fd, TIOCGPTPEER, O_PATH | O_CLOEXEC);
	struct pty_node *node;
	char path[PATH_MAX];
	struct stat st;
	pid_t session;
	int r;

	*ret_node = NULL;
	if (peer < 0)
		return refuse_master(
			c, probe, "the devpts of this pseudo terminal is not mounted where it was");
	if (fstat(peer, &st) < 0)
		return err_sys(c->ctx, -errno, "fstat() of the slave of %s", probe->link);
	r = link_of(c, peer, path, sizeof(path));
	if (r == 0)
		r = pty_get(c, st.st_dev, path, &node);
	if (r < 0)
		return r;
	if (node->master)
		return refuse_master(c, probe, "a master that is there twice");
	node->master = probe;
	node->st = st;
	if (ioctl(probe->fd, TIOCGDEV, &node->device) < 0)
		return err_sys(c->ctx, -errno, "ioctl(TIOCGDEV)");
	if (ioctl(probe->fd, TIOCGSID, &session) == 0)
		node->session = session;
	*ret_node = node;
	return 0;
}

const struct pty_node *pty_of_session(const struct collect *c, pid_t session, uint32_t device)
{
	for (size_t i = 0; c->files && i < c->files->n_ptys; i++) {
		const struct pty_node *node = c->files->ptys[i];

		if (node->master && node->session == session && node->device == device)
			return node;
	}
	return NULL;
}
