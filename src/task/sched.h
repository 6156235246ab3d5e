/* SPDX-License-Identifier: Apache-2.0 */
/* Scheduling attributes as data; the pure half of sched.c. */
#pragma once

#include <stdbool.h>

#include "image/checkpoint.pb-c.h"
#include "puppet/call.h"

/* Appends the calls by which a task with the attributes @have gets @want; none if they are equal. */
void sched_add(struct call_table *t, const Coppice__Sched *have, const Coppice__Sched *want);

/* Does @want need CAP_SYS_NICE of a task that has @have (no rlimits considered)? */
bool sched_needs_privilege(const Coppice__Sched *have, const Coppice__Sched *want);
