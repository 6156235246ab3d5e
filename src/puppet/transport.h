/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Carries call tables into puppets' slots and their results back. A table that is larger than a
 * slot goes in batches; results that a later batch refers to are carried as literals. Private to
 * the puppet layer: puppet_start and puppet_finish are the front doors.
 */
#pragma once

#include "puppet/interp.h"
#include "puppet/ring.h"

/* One batch: calls [first, first + n) of a table, laid out for a slot at a known address. */
struct batch {
	size_t first;
	size_t n;
	size_t len;	      /* bytes to carry, both ways */
	unsigned char *bytes; /* struct interp_slot, calls, data; owned, reused for later batches */
	size_t room;	      /* allocated */
	uint32_t *
		place; /* by index of call_table.spaces: offset in the batch's data, or ~0; owned */
	uint32_t *placed; /* the spaces that travel, in the order of their places; owned */
	size_t n_placed;
	size_t n_spaces; /* what place and placed have room for */
};

void batch_deinit(struct batch *b);
/*
 * Lays out the calls from @first on, as many as @slot_room bytes hold, together with the data that
 * they refer to. -E2BIG: not even one call fits.
 */
int batch_encode(struct context *ctx, struct batch *b, const struct call_table *t, size_t first,
		 puppet_addr slot, size_t slot_room);
/* Takes results and data from @b->bytes into the table. 0, or the failed call's -errno. */
int batch_decode(struct context *ctx, const struct batch *b, struct call_table *t);

/*
 * Runs table @t on a puppet that waits in its loop, in two halves. The slot's last area->reserve
 * bytes are not touched.
 */
int transport_start(struct context *ctx, struct puppet *p, struct call_table *t);
int transport_finish(struct context *ctx, struct puppet *p, struct call_table *t);
/* After an error elsewhere: waits for the batch under way, if any, whose results nobody wants. */
void transport_settle(struct context *ctx, struct puppet *p);
void transport_free(struct puppet *p);
