/* SPDX-License-Identifier: Apache-2.0 */
/* Verify: the restored tree is collected again and compared with the image. */
#pragma once

#include "kind/rebuild.h"

/*
 * In three steps, as nothing may take long between the arming of timers and the moment that the
 * tree is let go: reading everything that stubs have, by their interpreter; comparing it; and, when
 * every task has its own registers (puppet_become), reading and comparing these. -EUCLEAN: the
 * restored tree is not what the image says; the chain names the first difference with its field
 * path, the log has all.
 */
struct verify;
int verify_collect(struct rebuild *r, struct verify **ret_verify);
int verify_compare(struct verify *v);
int verify_compare_registers(struct verify *v);
void verify_free(struct verify *v);

/*
 * Compares two checkpoints of one tree (message_diff; the result is the number of differences, or
 * -errno), leaving out what verification has to leave out. @found as in struct diff.
 */
struct difference;
int verify_diff(struct context *ctx, const Coppice__Checkpoint *image,
		const Coppice__Checkpoint *restored,
		int (*found)(void *data, const struct difference *d), void *data);
