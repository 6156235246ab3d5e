/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The slow way to run a table: where a program's descriptor table is full (or RLIMIT_NOFILE is 0)
 * there is no socket for the loop, and the coordinator walks the table in the slot itself, each
 * call one of a boot session. Same semantics as the interpreter (stub/interp.c), forty times
 * slower per call.
 */
#include "puppet/slow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "puppet/boot.h"
#include "puppet/interp.h"
#include "puppet/ring.h"
#include "util/cleanup.h"
#include "util/context.h"
#include "util/macro.h"

enum { CHUNK = 64 * 1024 };

/* zero_map(addr, pages, page_size, bitmap) */
static int zero_map(struct context *ctx, struct puppet *p, const uint64_t arg[6],
		    int64_t *ret_result)
{
	_cleanup_free_ unsigned char *page = malloc(arg[2]);
	size_t words = (arg[1] + 63) / 64;
	_cleanup_free_ uint64_t *bitmap = calloc(words, sizeof(*bitmap));
	int64_t zeros = 0;

	if (!page || !bitmap)
		return err_oom(ctx);
	for (uint64_t i = 0; i < arg[1]; i++) {
		int r = puppet_read(ctx, p, arg[0] + i * arg[2], page, arg[2]);

		if (r < 0)
			return r;
		if (page[0] != 0 || memcmp(page, page + 1, arg[2] - 1) != 0)
			continue;
		bitmap[i / 64] |= UINT64_C(1) << (i % 64);
		zeros++;
	}
	*ret_result = zeros;
	return puppet_write(ctx, p, arg[3], bitmap, words * sizeof(*bitmap));
}

/* read_full(fd, addr, len, offset), write_full(...) */
static int transfer_full(struct context *ctx, struct boot *b, uint64_t nr, const uint64_t arg[6],
			 int64_t *ret_result)
{
	uint64_t done = 0;

	while (done < arg[2]) {
		int64_t n;
		int r = boot_call(
			ctx, b, nr,
			(uint64_t[6]){arg[0], arg[1] + done, arg[2] - done, arg[3] + done}, &n);

		if (r < 0)
			return r;
		if (n == -EINTR)
			continue;
		if (n <= 0) {
			*ret_result = n < 0 ? n : nr == SYS_pread64 ? -ENODATA : -EIO;
			return 0;
		}
		done += (uint64_t)n;
	}
	*ret_result = (int64_t)arg[2];
	return 0;
}

/* copy(dst, src, len) */
static int copy(struct context *ctx, struct puppet *p, const uint64_t arg[6], int64_t *ret_result)
{
	_cleanup_free_ unsigned char *bytes = malloc(CHUNK);

	if (!bytes)
		return err_oom(ctx);
	for (uint64_t done = 0; done < arg[2];) {
		size_t n = MIN(arg[2] - done, (uint64_t)CHUNK);
		int r = puppet_read(ctx, p, arg[1] + done, bytes, n);

		if (r == 0)
			r = puppet_write(ctx, p, arg[0] + done, bytes, n);
		if (r < 0)
			return r;
		done += n;
	}
	*ret_result = 0;
	return 0;
}

static int run_call(struct context *ctx, struct boot *b, uint32_t nr, const uint64_t arg[6],
		    int64_t *ret_result)
{
	switch (nr) {
	case CALL_OP_ZERO_MAP:
		return zero_map(ctx, b->p, arg, ret_result);
	case CALL_OP_READ_FULL:
		return transfer_full(ctx, b, SYS_pread64, arg, ret_result);
	case CALL_OP_WRITE_FULL:
		return transfer_full(ctx, b, SYS_pwrite64, arg, ret_result);
	case CALL_OP_COPY:
		return copy(ctx, b->p, arg, ret_result);
	case CALL_OP_NOP:
		*ret_result = (int64_t)arg[0];
		return 0;
	default:
		return boot_call(ctx, b, nr, arg, ret_result);
	}
}

static bool met(const struct interp_call *call)
{
	const struct call as_kept = {
		.expect = (enum call_expect)call->expect,
		.want = call->want,
		.result = call->result,
		.done = true,
	};

	return call_met(&as_kept);
}

static int run_calls(struct context *ctx, struct boot *b, struct interp_slot *head,
		     struct interp_call *calls)
{
	for (uint32_t i = 0; i < head->n_calls; i++) {
		uint64_t arg[6];
		int r;

		for (int k = 0; k < 6; k++)
			arg[k] = calls[i].result_arg >> k & 1
					 ? (uint64_t)calls[calls[i].arg[k]].result
					 : calls[i].arg[k];
		r = run_call(ctx, b, calls[i].nr, arg, &calls[i].result);
		if (r < 0)
			return r;
		head->done = i + 1;
		if (!met(&calls[i])) {
			head->missed = 1;
			break;
		}
	}
	return 0;
}

int slow_run(struct context *ctx, struct puppet *p)
{
	puppet_addr slot = area_slot(p->area, p->slot);
	_cleanup_free_ struct interp_call *calls = NULL;
	struct interp_slot head;
	struct boot b;
	size_t len;
	int r;

	r = puppet_read(ctx, p, slot, &head, sizeof(head));
	if (r < 0)
		return r;
	len = head.n_calls * sizeof(*calls);
	calls = malloc(MAX(len, (size_t)1));
	if (!calls)
		return err_oom(ctx);
	r = puppet_read(ctx, p, slot + sizeof(head), calls, len);
	if (r == 0)
		r = boot_begin(ctx, p, &b);
	if (r < 0)
		return r;
	r = run_calls(ctx, &b, &head, calls);
	r = boot_end_after(ctx, &b, r);
	if (r == 0)
		r = puppet_write(ctx, p, slot, &head, sizeof(head));
	if (r == 0)
		r = puppet_write(ctx, p, slot + sizeof(head), calls, len);
	return r;
}
