/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plan in the making: the birth tree, where each process is put at its birth, and the steps so
 * far. Private to the planner.
 */
#pragma once

#include "tree/birth.h"
#include "tree/idmap.h"
#include "tree/plan.h"
#include "tree/tree.h"

/* In builder.numbers: needed by a session or group whose leader has no process in the plan yet. */
#define BUILDER_RESERVED (PLAN_NONE - 1)

/* How a process comes to its place; by plan index. Birth nodes come first, in their order. */
struct placement {
	uint32_t forker; /* who clones it */
	uint32_t
		born_under; /* its first parent: the forker or, for a sibling, the forker's first */
	bool sibling;	    /* by CLONE_PARENT */
	bool late;	    /* forked after its forker's own setsid */
	uint32_t heir;	    /* of those who go: who is to adopt the children; PLAN_NONE: nobody */
	uint32_t session;   /* the birth node that leads it; BIRTH_OUTSIDE */
	int32_t exit_signal;
	uint32_t table[TREE_TABLES];
	uint32_t scaffolds;	/* list of scaffolds that it forks, */
	uint32_t next_scaffold; /* linked by this */
	uint32_t children[2];	/* those it forks before (0) and after (1) its setsid: lists, */
	uint32_t last_child[2];
	uint32_t next_child; /* linked by this */
	bool needed;	     /* its forker is the final parent of somebody below it */
};

struct builder {
	struct context *ctx;
	struct arena *arena; /* the plan's */
	const struct tree *tree;
	struct birth *birth;
	struct plan *plan;
	struct placement *place; /* by plan index; as many as plan->n_processes */
	size_t n_place;
	struct idmap numbers; /* in use at any time of the plan, to the plan index that has it */
	int32_t next_number;
	uint32_t subreaper; /* whose flag is set now; PLAN_NONE */
};

/* A further process. @number 0: any that is free. */
int builder_process(struct builder *bu, enum plan_role role, int32_t number, uint32_t *ret_process);

/* A further step, to be filled in; NULL when there is no memory. @fmt says why it is needed. */
struct plan_step *builder_step(struct builder *bu, enum plan_op op, uint32_t process,
			       const char *fmt, ...) _printf_(4, 5);

static inline int32_t builder_number(const struct builder *bu, uint32_t process)
{
	return bu->plan->processes[process].pid[0];
}

/* Takes the birth nodes over as processes of the plan. */
int builder_init(struct builder *bu);

/* growth.c: all steps. 0, -EDOM or -EOPNOTSUPP (see planner_run), or -ENOMEM. */
int growth_plan(struct builder *bu);

/* placement.c: where everybody is born, and the scaffolds that this takes. */
int placement_find(struct builder *bu);

/* groups.c: the process groups and foregrounds, once all processes exist. */
int groups_plan(struct builder *bu);
