/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How puppets are told that a table lies in their slot, and how they say that it is done. Two
 * sorts: ring_made (ptrace alone, ring-made.c) and ring_borrowed (a socket that also reports the
 * coordinator's death). Private to the puppet layer.
 */
#pragma once

#include "puppet/puppet.h"

struct puppet_ring {
	/* Has the puppet run the table in its slot; does not wait. */
	int (*start)(struct context *ctx, struct puppet *p);
	/* Waits until the puppet is back in its loop. -ESRCH with p->state PUPPET_GONE: it died. */
	int (*wait)(struct context *ctx, struct puppet *p);
};

extern const struct puppet_ring ring_made;
extern const struct puppet_ring ring_borrowed;

/* The slots fill the end of the area; what lies before them is code. */
static inline puppet_addr area_slot(const struct puppet_area *area, uint32_t slot)
{
	return area->base + area->size - (uint64_t)(area->n_slots - slot) * area->slot_size;
}
