/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A view of what the kernel keeps and has no interface for: its own memory, read by a BPF program of
 * a few instructions, in the layout that the kernel itself describes (BTF, /sys/kernel/btf/vmlinux).
 * Needs CAP_BPF and CAP_PERFMON, and a kernel that is not locked down. Nothing is ever changed.
 *
 * For objects where a wrong guess would lose something silently: requests in flight are in no file
 * of /proc. What depends on a member that this kernel lacks is refused, never guessed.
 */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct context;
struct kernel_view;

int kernel_view_open(struct context *ctx, struct kernel_view **ret_view);
void kernel_view_free(struct kernel_view *v);

/* Was it that this kernel has no such thing, or lets us not see it? All else is an error. */
static inline bool view_is_barred(int r)
{
	return r == -ENOENT || r == -EPERM || r == -EACCES || r == -EFAULT;
}

/* All or -EFAULT, with a chain. */
int view_read(struct kernel_view *v, uint64_t address, void *to, size_t len);

/* A member of a struct, or of a nameless one within it. */
struct view_member {
	uint32_t offset; /* bytes */
	uint32_t size;
	uint8_t first_bit; /* of a bit field, */
	uint8_t n_bits;	   /* or 0 */
};
/* -ENOENT, with a chain: the kernel has no such struct or member. Names are static. */
int view_find(struct kernel_view *v, const char *type, const char *member,
	      struct view_member *ret_member);
/* A number, bit field or pointer of at most 8 bytes in the object at @address. */
int view_get(struct kernel_view *v, uint64_t address, const char *type, const char *member,
	     uint64_t *ret_value);

/* struct file of descriptor @fd of the calling process. */
int view_file(struct kernel_view *v, int fd, uint64_t *ret_address);
/* What is added to a per-CPU address for possible CPU @cpu. */
int view_per_cpu(struct kernel_view *v, uint32_t cpu, uint64_t *ret_offset);

/* The number of a task_struct in our own PID namespace; 0: it has none there. */
int view_task_number(struct kernel_view *v, uint64_t task, pid_t *ret_tid);
