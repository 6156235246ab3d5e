/* SPDX-License-Identifier: Apache-2.0 */
/* What the two halves of reading an io_uring share: uring-read.c, uring-registered.c. */
#pragma once

#include <sys/types.h>

#include "file/uring.h"

struct kernel_view;

/* A ring being read. */
struct uring_reading {
	struct collect *c;
	const struct file_probe *probe;
	Coppice__IoUring *ring;
	struct kernel_view *v;
	uint64_t file; /* struct file */
	uint64_t ctx;  /* struct io_ring_ctx */
};

/* A member of io_ring_ctx: its value; where it lies. */
int uring_get(struct uring_reading *s, const char *member, uint64_t *ret);
int uring_get32(struct uring_reading *s, const char *member, uint32_t *ret);
int uring_place(struct uring_reading *s, const char *member, uint64_t *ret);

/* Says why the ring is not kept. 1, or -ENOMEM. */
int uring_refuse(struct uring_reading *s, const char *hint, const char *what);

enum { URING_WAIT_MS = 3000 }; /* for requests in flight */
int uring_in_flight(struct uring_reading *s, uint32_t *ret);

/* Finds the ring in the kernel. */
int uring_begin(struct uring_reading *s);
/* What the view does not show is refused, what else fails is an error: @r is how reading ended. */
int uring_settle(struct collect *c, const struct file_probe *probe, int r);

/* The thread of the tree with this number, or NULL; and which of its process's it is. */
struct collect_thread *uring_find_thread(struct collect *c, pid_t tid);
uint32_t uring_index_of(const struct collect_thread *th);
