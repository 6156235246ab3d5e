/* SPDX-License-Identifier: Apache-2.0 */
/* Verify: the restored tree is collected again and compared with the image. */
#pragma once

#include "kind/rebuild.h"

/*
 * Two halves. The first collects everything that needs the stubs' interpreter; the second, after
 * every task has its own registers (puppet_become), adds those and compares. -EUCLEAN: the restored tree is not what
 * the image says; the chain names the first difference with its field path, the log has all.
 */
struct verify;
int verify_collect(struct rebuild *r, struct verify **ret_verify);
int verify_compare(struct verify *v);
void verify_free(struct verify *v);

/*
 * Compares two checkpoints of one tree (message_diff; the result is the number of differences, or
 * -errno), leaving out what verification has to leave out. @found as in struct diff.
 */
struct difference;
int verify_diff(struct context *ctx, const Coppice__Checkpoint *image,
		const Coppice__Checkpoint *restored,
		int (*found)(void *data, const struct difference *d), void *data);
