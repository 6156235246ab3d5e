/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials as plain data: reading them, and the calls that lead from one set to another. */
#pragma once

#include "image/checkpoint.pb-c.h"
#include "kernel/proc.h"
#include "puppet/call.h"

struct strbuf;

/* All but securebits, which /proc does not show. The groups stay the status's. */
void creds_from_status(const struct proc_status *status, Coppice__Creds *ret);

bool creds_equal(const Coppice__Creds *a, const Coppice__Creds *b);

/* Appends the calls by which a task with the credentials @have gets @want; none if they equal. */
void creds_add(struct call_table *t, const Coppice__Creds *have, const Coppice__Creds *want);

/* @have with the ids of @want, and nothing else of it. */
void creds_with_ids(const Coppice__Creds *have, const Coppice__Creds *want, Coppice__Creds *ret);
/* What becomes of @ids when their task joins a user namespace (set_cred_user_ns()). Ids stay what
 * they are, in the numbers of the coordinator's namespace, in which all of ours are. */
void creds_joined(const Coppice__Creds *ids, uint64_t all_caps, Coppice__Creds *ret);

struct puppet;
struct rebuild;
struct rebuild_process;
/*
 * Appends the calls by which a stub of process @p gets the credentials @want, in its user namespace;
 * the descriptor that it takes for that is sent at once. 0, or -errno with a chain.
 */
int creds_enter(struct rebuild *r, const struct rebuild_process *p, struct puppet *puppet,
		const Coppice__Creds *want, struct call_table *t);

/* Adds to @why what a task with @have cannot get of @want; nothing if it can get all. */
void creds_explain(const Coppice__Creds *have, const Coppice__Creds *want, struct strbuf *why);
