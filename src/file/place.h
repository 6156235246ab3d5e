/* SPDX-License-Identifier: Apache-2.0 */
/* Putting descriptors of ours into a puppet at given numbers. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct arena;
struct call_table;
struct context;
struct puppet;

struct fd_place {
	int fd;	    /* here */
	int number; /* there */
	bool cloexec;
};

/*
 * Sends every places[i].fd and moves it to its number. @places is sorted by number; those numbers,
 * and all below them that are not among them, must be free. Any number of descriptors.
 */
int fds_place(struct context *ctx, struct arena *arena, struct puppet *puppet,
	      const struct fd_place *places, size_t n);

/*
 * The pure half: the calls that move what arrived at @got (n numbers) to its places. -EINVAL when
 * the kernel did not give the lowest free numbers in ascending order, i.e. a place may be taken.
 */
int fds_move(struct call_table *t, const int *got, const struct fd_place *places, size_t n);
