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

/* Adds to @why what a task with @have cannot get of @want; nothing if it can get all. */
void creds_explain(const Coppice__Creds *have, const Coppice__Creds *want, struct strbuf *why);
