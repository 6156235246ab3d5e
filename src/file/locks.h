/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File locks, as /proc/PID/fdinfo/N lists those that were set through a descriptor.
 *
 * POSIX locks belong to a descriptor table, OFD locks and flock() to an open file description. A
 * lock that a thread is still waiting for is not there: its system call is restarted. Leases belong to
 * a description, too; what is special about them is in leases.c.
 *
 * Between the dump's kill and the restore others may take the lock or change what it guards; a
 * lock that cannot be had again is an error that names who holds it.
 */
#pragma once

#include "kind/collect.h"
#include "kind/rebuild.h"

struct call_table;
struct file_node;

/* Has the table take @lock through descriptor @number. The index of the call. */
uint32_t lock_ask(struct call_table *t, const Coppice__FileLock *lock, int number);

/* Collects the locks set through descriptor @number, which is in the table of @p. */
int locks_collect(struct collect *c, struct collect_process *p, int number,
		  const struct file_node *node, const struct proc_fdinfo *info);

/*
 * Has each owner take its locks again. The tables must be final: closing any descriptor of a file
 * drops all POSIX locks that the table's owner has on it.
 */
int locks_rebuild(struct rebuild *r);
