/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions and process groups that began outside the tree. */
#pragma once

#include "kind/collect.h"

/*
 * Writes 0 for numbers of sessions and groups outside the tree, and which of them it is. To be called
 * when all processes are collected: the numbers mean nothing after a restore, which makes sessions of
 * its own for those in them. Returns 0 or -ENOMEM with a chain.
 */
int outside_mark(struct collect *c);
