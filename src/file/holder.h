/* SPDX-License-Identifier: Apache-2.0 */
/* Who has something open that the tree is connected to: for messages. */
#pragma once

#include "kind/collect.h"

/*
 * ": process 812 (nginx) has it as fd 7" for the first process that has @kind:[@ino] open, outside
 * the tree or in it; "" where none is found. From the arena, never NULL.
 */
const char *holder_find(struct collect *c, const char *kind, uint64_t ino);
