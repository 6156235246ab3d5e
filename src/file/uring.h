/* SPDX-License-Identifier: Apache-2.0 */
/* io_uring: what its three files share. Numbers that Debian 12's headers lack are ABI. */
#pragma once

#include <linux/io_uring.h>
#include <stdint.h>

#include "kind/collect.h"
#include "kind/file.h"
#include "kind/rebuild.h"

#ifndef IORING_SETUP_NO_MMAP
#define IORING_SETUP_NO_MMAP	(1U << 14)
#define IORING_SETUP_NO_SQARRAY (1U << 16)
#endif

enum {
	URING_SETUP_KEPT = IORING_SETUP_IOPOLL | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP |
			   IORING_SETUP_R_DISABLED | IORING_SETUP_SUBMIT_ALL |
			   IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
			   IORING_SETUP_SQE128 | IORING_SETUP_CQE32 | IORING_SETUP_SINGLE_ISSUER |
			   IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_NO_SQARRAY,
	/*
	 * The kernel counts submissions and completions from zero on, and nothing sets these
	 * counters but submitting and completing: about 7 million a second.
	 */
	URING_STEPS_MAX = 1 << 29,
};

/* Offsets in the pages that both rings share (struct io_rings; io_sqring_offsets tells them). */
enum {
	URING_SQ_HEAD = 0,
	URING_SQ_TAIL = 4,
	URING_CQ_HEAD = 8,
	URING_CQ_TAIL = 12,
	URING_CQES = 64,
};

static inline uint32_t uring_word(const void *rings, size_t offset)
{
	return *(const volatile uint32_t *)((const unsigned char *)rings + offset);
}

/*
 * What it takes to bring both counters of a new ring to where they were: requests that complete,
 * requests that complete silently, entries that name no request, and messages from nowhere.
 */
struct uring_steps {
	uint32_t plain;
	uint32_t silent;
	uint32_t dropped;
	uint32_t messages;
};
void uring_steps(const Coppice__IoUring *ring, struct uring_steps *ret);

/* Waits for the requests in flight of all rings of the tree, before any of its open files is read. */
int uring_await(struct collect *c);
/* Reads everything of the ring that @probe is a descriptor of; what cannot be kept is refused. */
int uring_read(struct collect *c, const struct file_probe *probe, Coppice__IoUring *ring);
/* When all files are known: those that are registered with it, and who else uses it. */
int uring_read_late(struct collect *c, const struct file_probe *probe, Coppice__File *file);

/* A ring with the same counters and content; the coordinator's descriptor of it is in *@ret_fd. */
int uring_make(struct rebuild *r, const Coppice__IoUring *ring, int *ret_fd);
