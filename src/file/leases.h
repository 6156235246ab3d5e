/* SPDX-License-Identifier: Apache-2.0 */
/* What leases (F_SETLEASE) need beyond what all file locks do; private to src/file. */
#pragma once

#include "kind/collect.h"
#include "kind/rebuild.h"

/* When all mappings are known: is there a lease that could not be taken again? */
int leases_collect_late(struct collect *c);

/* Before they are taken: a write lease bears no other open description. */
int leases_prepare(struct rebuild *r);
/* When they are taken: those that were being broken are so again; owners are as they were. */
int leases_settle(struct rebuild *r);
