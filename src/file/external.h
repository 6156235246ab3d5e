/* SPDX-License-Identifier: Apache-2.0 */
/* Open files that belong to the outside; see external.c. */
#pragma once

#include "kind/collect.h"
#include "kind/external.h"
#include "kind/file.h"
#include "kind/rebuild.h"

extern const struct file_kind kind_external;

/* Is it one of those that the user named or, to verify, one that the user gave? */
bool external_matches(const struct collect *c, const struct file_probe *probe);
/* When all descriptors are known: was everything found that the user named? */
int external_collect_late(struct collect *c);
/* Does @resource name what has these? @mnt_id: of its fdinfo. */
bool resource_names(const struct resource *resource, const struct stat *st, uint64_t mnt_id);

/*
 * Before the restore begins: files that the user replaces by their path become external ones. Their
 * inodes go from the checkpoint.
 */
int external_replace(struct context *ctx, struct arena *arena, Coppice__Checkpoint *cp,
		     const struct rebuild_options *opt);
/* Is there everything in the image that the user gives a descriptor for? Uses rebuild_refuse. */
int external_check_all(struct rebuild *r);
