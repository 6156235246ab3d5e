/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every stub starts with: credentials, limits, ignored signals and so on, which the first
 * one got from the coordinator and all others from it. Aspects set only what differs.
 */
#pragma once

#include <sys/resource.h>

#include "kernel/proc.h"
#include "kind/rebuild.h"

struct stub_origin {
	bool from_stub; /* false: there is no stub yet; what the coordinator would give it */
	struct proc_status status;
	Coppice__Creds creds; /* the same as a message; its groups belong to the status */
	struct proc_limit limits[RLIM_NLIMITS];
};

/*
 * Read once, from the first stub or, in the check phase, from the coordinator. To be called in
 * the install phase before the process's table is run.
 */
int stub_origin(struct rebuild *r, const struct stub_origin **ret_origin);
