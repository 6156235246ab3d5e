/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the epoll kind; private to src/file. */
#pragma once

#include <sys/epoll.h>

#include "file/state.h"

/* The options of an entry; without one of the others it has fired and is disarmed (EPOLLONESHOT). */
#define EPOLL_OPTIONS ((uint32_t)(EPOLLET | EPOLLONESHOT | EPOLLWAKEUP | EPOLLEXCLUSIVE))
/* All that a file can be ready for. */
#define EPOLL_ANYTHING                                                                             \
	((uint32_t)(EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLRDNORM |            \
		    EPOLLRDBAND | EPOLLWRNORM | EPOLLWRBAND | EPOLLMSG | EPOLLRDHUP))

static inline bool epoll_is_disarmed(const Coppice__EpollEntry *entry)
{
	return !(entry->events & ~EPOLL_OPTIONS);
}

/* An instance while it is being collected: the message is its first member. */
struct epoll_node {
	Coppice__Epoll msg;
	bool resolved;		    /* msg.entries is complete */
	struct file_node **targets; /* [msg.entries] as they are ordered */
};

/*
 * Which description each entry watches (epoll-targets.c). An entry whose description is not among
 * those of the tree is refused. Once for each instance.
 */
int epoll_resolve(struct collect *c, const struct file_probe *probe, struct epoll_node *epoll);

/* An entry in the kernel's memory. */
struct epoll_seen {
	uint64_t file; /* address of the struct file */
	uint32_t number;
};
/* The first @n entries in the order of fdinfo (epoll-view.c). As reading from a kernel_view. */
int epoll_view(struct collect *c, const struct file_probe *probe, struct epoll_seen *ret, size_t n);

/* Restore (epoll-watch.c): adds the entries, when everything that is watched is as it was. */
int epoll_watch(struct rebuild *r, const Coppice__File *file, int fd);
