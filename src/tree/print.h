/* SPDX-License-Identifier: Apache-2.0 */
/* A tree and its plan in words, as JSON for programs, as a graph for looking at. */
#pragma once

#include "tree/plan.h"
#include "tree/tree.h"
#include "util/strbuf.h"

/* For people: a picture of the tree, and each step with the reason for it. */
void print_plan_text(const struct tree *tree, const struct plan *plan, struct strbuf *out);

/* For programs; docs/TREES.md has the format. */
void print_plan_json(const struct tree *tree, const struct plan *plan, struct strbuf *out);

/* For dot(1): who forked whom, and who ends up whose child. */
void print_plan_dot(const struct tree *tree, const struct plan *plan, struct strbuf *out);

/* "clone", "setsid", ...: the names that JSON and messages use */
const char *plan_op_name(enum plan_op op);
