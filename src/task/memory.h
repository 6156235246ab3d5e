/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Address spaces and what they hold, as the two flows see them (checkpoint/dump.c, restore.c).
 *
 * Dump: aspect_mm (mm.c) collects each Mm message with its VMAs; memory_save() writes the pages
 * once everything else is known and nothing was refused.
 *
 * Restore, in this order:
 *	memory_check() ........... what this machine cannot give; uses rebuild_refuse
 *	memory_choose_area() ..... where the stubs' own area goes
 *	memory_fill_one() ........ grow's callback: an ancestor, before it forks those that share
 *				   pages with it copy-on-write
 *	memory_load_inodes() ..... content of shared memory, memfds and deleted files
 *	memory_fill() ............ every other process
 *	memory_name_executables()  those that were made here
 *	aspect_mm ................ protections, advice, locks, names, seals: when all forks are done
 *
 * A filled stub's mappings are writable and plain: what a fork would act upon (MADV_DONTFORK), or
 * what would stand in the way of a child that is to replace a few pages of what it inherited
 * (mprotect, mseal), is set last. See memory-fill.c.
 */
#pragma once

#include "kind/collect.h"
#include "kind/rebuild.h"

struct image_writer;

/* ---- dump --------------------------------------------------------------------------------- */

/* How the pages came out; for messages and the benchmark. */
struct memory_stats {
	uint64_t written;     /* bytes */
	uint64_t by_puppet;   /* of these, by the processes themselves */
	uint64_t zero;	      /* bytes present but zero, left out */
	uint64_t shared;      /* bytes shared copy-on-write with another process, stored once */
	unsigned int hazards; /* address spaces which could not write their own pages */
};

/*
 * Writes the pages of every address space, and the content of every inode that has no path, into
 * page files, and describes them in Mm.pages, Inode.content, Process.cow_parent. The processes
 * are stopped or in their loops and stay so.
 */
int memory_save(struct collect *c, struct image_writer *image, struct memory_stats *ret_stats);

/*
 * verify: compares the pages of the collected tree @c with what @wanted says, address by address.
 * Presence costs one scan of the page tables (about 15 ms per GiB of 4 KiB pages); with @content
 * the pages of both are read as well (about 0.5 s per GiB). Differences are reported one by one
 * through @differs; the result is 0 whether there are some or not.
 */
struct image_reader;
int memory_compare(struct collect *c, const Coppice__Checkpoint *wanted,
		   struct image_reader *images, bool content,
		   void (*differs)(void *data, const char *text), void *data);

/* ---- restore ------------------------------------------------------------------------------ */

int memory_check(struct rebuild *r);

/* The lowest address (a multiple of @size's page) of a range that no Mm of the image uses. */
int memory_choose_area(struct context *ctx, const Coppice__Checkpoint *cp, uint64_t size,
		       uint64_t *ret_base);

/* Builds the address space of one process in its stub; rebuild_process.filled says it was done. */
int memory_fill_one(struct rebuild *r, struct rebuild_process *p);
/* The same for all that own their address space and are not filled; several work at a time. */
int memory_fill(struct rebuild *r);
/* Content of all inodes that were made empty (rebuild_inode.needs_content). */
int memory_load_inodes(struct rebuild *r);
/* /proc/PID/exe where the executable is one of those: when nobody has it open for writing any more. */
int memory_name_executables(struct rebuild *r);
