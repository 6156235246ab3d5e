/* SPDX-License-Identifier: Apache-2.0 */
/*
 * epoll(7), struct eventpoll: entries (struct epitem), each a description, a number, events and
 * data; and how it polls network devices (EPIOCSPARAMS). Instances may watch each other.
 *
 * What else there is to an entry is whether it stands in the list of those that may be ready:
 *	level-triggered . it does as soon as it is ready, so that follows from the file
 *	EPOLLONESHOT .... once it has fired only its options are left (epoll_is_disarmed). Nothing but
 *			  firing brings that about: EPOLL_CTL_ADD and _MOD add EPOLLERR and EPOLLHUP
 *	EPOLLET ......... what it is ready for may have been reported already. Where nothing in the
 *			  instance is ready, but the file is, that is so. Where something is, nobody can tell
 *			  whether it is this entry (epoll_wait() would, by taking it away), and the
 *			  restored program is told once more: a spurious event, never a lost one
 * Asking the instance or a file whether it is ready has an effect, or an answer, that depends on who
 * asks for a few kinds (file_kind.poll_has_effects). These are not asked.
 */
#include "file/epoll.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "file/anon.h"
#include "kernel/uapi.h"
#include "util/cleanup.h"

enum { NESTED_MAX = 8 }; /* the kernel allows less: EP_MAX_NESTS */

static bool matches(const struct file_probe *probe)
{
	return file_is_anon(probe, "[eventpoll]");
}

/* ---- collect ------------------------------------------------------------------------------- */

static int collect(struct collect *c, const struct file_probe *probe, Coppice__File *file)
{
	struct epoll_node *epoll = arena_new(c->arena, struct epoll_node);
	struct uapi_epoll_params params = {};

	if (!epoll)
		return err_oom(c->ctx);
	coppice__epoll__init(&epoll->msg);
	file->epoll = &epoll->msg;
	/* since 6.9, and where the kernel has it */
	if (ioctl(probe->fd, UAPI_EPIOCGPARAMS, &params) < 0)
		return 0;
	epoll->msg.busy_poll_us = params.busy_poll_usecs;
	epoll->msg.busy_poll_budget = params.busy_poll_budget;
	epoll->msg.prefer_busy_poll = params.prefer_busy_poll;
	return 0;
}

static struct epoll_node *epoll_of(const struct file_node *node)
{
	return (struct epoll_node *)node->msg->epoll;
}

/* 1: may be asked whether it is ready; an instance asks those that it watches. */
static int may_ask(struct collect *c, const struct file_node *node, unsigned int depth)
{
	struct epoll_node *epoll;
	int r;

	if (node->kind->poll_has_effects || depth > NESTED_MAX)
		return 0;
	if (node->kind->which != COPPICE__FILE__KIND_EPOLL)
		return 1;
	epoll = epoll_of(node);
	r = epoll_resolve(c, &node->probe, epoll);
	if (r < 0)
		return r;
	r = 1;
	for (size_t i = 0; r > 0 && i < epoll->msg.n_entries; i++)
		r = may_ask(c, epoll->targets[i], depth + 1);
	return r;
}

static int ask(struct collect *c, const struct file_probe *probe, uint32_t events,
	       uint32_t *ret_events)
{
	_cleanup_close_ int fd = -EBADF;
	struct pollfd poll_fd = {.events = (short)events};
	int r = file_probe_dup(c, probe, &fd);

	if (r < 0)
		return r;
	poll_fd.fd = fd;
	if (poll(&poll_fd, 1, 0) < 0)
		return err_sys(c->ctx, -errno, "poll(%s)", probe->link);
	*ret_events = (uint16_t)poll_fd.revents & events;
	return 0;
}

/* An entry that has fired is made by firing: can its file be made ready? */
static int check_disarmed(struct collect *c, const struct file_probe *probe,
			  const struct file_node *target, uint32_t number)
{
	uint32_t events = 0;
	int r = may_ask(c, target, 0);

	if (r > 0)
		r = ask(c, &target->probe, EPOLL_ANYTHING, &events);
	if (r < 0 || events != 0)
		return r;
	if (target->kind->rouse && (target->msg->flags & O_ACCMODE) != O_WRONLY)
		return 0;
	return collect_refuse(c, "try again when it is armed, or has something to report",
			      "%s, fd %d (%s): its entry for %u (%s) has fired (EPOLLONESHOT), "
			      "which can only be had again by a file that is ready",
			      collect_name(c, probe->process), probe->number, probe->link, number,
			      target->kind->name);
}

static bool is_edge(const Coppice__EpollEntry *entry)
{
	return (entry->events & EPOLLET) && !(entry->events & EPOLLEXCLUSIVE) &&
	       !epoll_is_disarmed(entry);
}

static int collect_reported(struct collect *c, const struct epoll_node *epoll)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < epoll->msg.n_entries; i++) {
		Coppice__EpollEntry *entry = epoll->msg.entries[i];

		if (is_edge(entry))
			r = ask(c, &epoll->targets[i]->probe, entry->events & EPOLL_ANYTHING,
				&entry->reported);
	}
	return r;
}

static bool has_edges(const struct epoll_node *epoll)
{
	for (size_t i = 0; i < epoll->msg.n_entries; i++)
		if (is_edge(epoll->msg.entries[i]))
			return true;
	return false;
}

static int collect_late(struct collect *c, const struct file_probe *probe, Coppice__File *file)
{
	struct epoll_node *epoll = (struct epoll_node *)file->epoll;
	uint32_t ready = 0;
	int r = epoll_resolve(c, probe, epoll);

	for (size_t i = 0; r >= 0 && i < epoll->msg.n_entries; i++)
		if (epoll_is_disarmed(epoll->msg.entries[i]))
			r = check_disarmed(c, probe, epoll->targets[i],
					   epoll->msg.entries[i]->number);
	if (r < 0 || !has_edges(epoll))
		return r;
	r = may_ask(c, c->files->nodes[file->id - 1], 0);
	if (r <= 0)
		return r;
	r = ask(c, probe, EPOLLIN, &ready);
	return r < 0 || ready ? r : collect_reported(c, epoll);
}

/* ---- rebuild ------------------------------------------------------------------------------- */

static int set_params(struct rebuild *r, const Coppice__Epoll *msg, int fd)
{
	const struct uapi_epoll_params params = {
		.busy_poll_usecs = msg->busy_poll_us,
		.busy_poll_budget = (uint16_t)msg->busy_poll_budget,
		.prefer_busy_poll = msg->prefer_busy_poll,
	};

	if (!msg->busy_poll_us && !msg->busy_poll_budget && !msg->prefer_busy_poll)
		return 0;
	if (ioctl(fd, UAPI_EPIOCSPARAMS, &params) < 0)
		return err_hint(r->ctx, err_sys(r->ctx, -errno, "ioctl(EPIOCSPARAMS)"),
				"use Linux 6.9 or newer with CONFIG_NET_RX_BUSY_POLL");
	return 0;
}

static int create(struct rebuild *r, const Coppice__File *file, int *ret_fd)
{
	_cleanup_close_ int fd = epoll_create1(EPOLL_CLOEXEC);
	int result;

	if (fd < 0)
		return err_sys(r->ctx, -errno, "epoll_create1()");
	result = set_params(r, file->epoll, fd);
	if (result < 0)
		return result;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static void describe(const Coppice__File *file, char *buf, size_t size)
{
	(void)snprintf(buf, size, "epoll, %zu entries", file->epoll->n_entries);
}

const struct file_kind kind_epoll = {
	.name = "epoll",
	.which = COPPICE__FILE__KIND_EPOLL,
	.matches = matches,
	.collect = collect,
	.collect_late = collect_late,
	.create = create,
	.watch = epoll_watch,
	.describe = describe,
};
