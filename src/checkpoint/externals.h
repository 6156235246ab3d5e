/* SPDX-License-Identifier: Apache-2.0 */
/* What the user says belongs to the outside (--external). */
#pragma once

struct context;
struct dump_options;

/*
 * Before anything is stopped: has some process of the tree each of them open? -ENOENT with a chain that
 * names the first that nobody has.
 */
int externals_find(struct context *ctx, const struct dump_options *opt);
