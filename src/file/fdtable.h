/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptor tables and the open file descriptions they refer to: what the kinds of src/file have
 * in common. See fdtable.c (collect) and install.c (restore).
 */
#pragma once

#include "kind/collect.h"
#include "kind/rebuild.h"

/*
 * Collects the descriptor table of @p, which must be the owner of its table and have an FdTable
 * message (p->msg->fd_table). Each open file description gets one File message, at first sight.
 */
int files_collect(struct collect *c, struct collect_process *p);
/* When all tables are known: what needs the others (pipes, locks). */
int files_collect_late(struct collect *c);
/* Closes what collecting keeps open; c->files stays in the arena. */
void files_collect_deinit(struct collect *c);

/*
 * The packets of the tree's connections are held back from files_collect_late until files_unhold or
 * this process's death. (tcp-hold.c)
 */
void files_unhold(struct collect *c);
/* What names them in the image; NULL: none are. */
const char *files_hold_id(const struct collect *c);
/*
 * The image is complete and the tree about to be killed: packets are held back also after this process
 * has ended, and no file's end is told to others.
 */
int files_disarm(struct collect *c);

/* Restore: is everything there that the files need? Reports with rebuild_refuse. */
int rebuild_files_check(struct rebuild *r);
/* The highest number that an epoll entry was added by: it may be in no table any more. */
uint32_t epoll_highest_number(const Coppice__Checkpoint *cp);
/* Makes every open file description, here; then what connects them (content of pipes, ...). */
int rebuild_files_create(struct rebuild *r);
/* Sends the descriptors of one table into the process that owns it (rebuild_process.owns_files). */
int rebuild_files_install(struct rebuild *r, struct rebuild_process *p);
/*
 * When all processes have their descriptors and their memory: owners (F_SETOWN), status flags, late
 * seals.
 */
int rebuild_files_last(struct rebuild *r);
/*
 * Locks. Closes the coordinator's copies, but for those of kinds with a resume phase, and, in processes with locks, those of mapped files: nothing
 * can be done with them any more.
 */
int rebuild_files_lock(struct rebuild *r);
/* What begins to run with the program (timers), after verification. Then nothing is open here. */
int rebuild_files_resume(struct rebuild *r);
/* Closes what is still open here; may be called more than once. */
void rebuild_files_deinit(struct rebuild *r);
/*
 * The tree is about to run: what the dump left behind to hold back packets is removed. They still are,
 * by this process, until rebuild_files_unhold.
 */
int rebuild_files_forget_held(struct rebuild *r);
/* Lets packets through. Where the tree does not run, nobody hears of the end of its connections. */
void rebuild_files_unhold(struct rebuild *r, bool runs);
