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
/* As an heir: the coordinator, out of a tree that is no container. */
#define BUILDER_OUTSIDE (PLAN_NONE - 2)

/*
 * How a process comes to its place; by plan index. Birth nodes come first, in their order. The
 * forker and the parent may be PLAN_NONE: the outside.
 */
struct placement {
	uint32_t forker; /* who clones it */
	uint32_t
		born_under; /* its first parent: the forker or, for a sibling, the forker's first */
	bool sibling;	    /* by CLONE_PARENT */
	bool late;	    /* forked after its forker's own setsid */
	bool strict;	    /* must be forked before its forker starts a session or a group */
	bool under_leader;  /* by the outside: a child of the leader there, who sets its group */
	uint32_t leader;    /* born under the outside: that leader, in plan.outside */
	uint32_t heir;	    /* of those who go: who is to adopt the children; PLAN_NONE: nobody */
	uint32_t session;   /* the birth node that leads it; BIRTH_OUTSIDE plus i */
	uint32_t birth;	    /* the session it is born in */
	uint32_t ns;
	uint32_t joins; /* scaffolds: the group that they enter at once; BIRTH_NONE: none */
	bool moved;	/* scaffolds: into that, by a move of their forker before their birth */
	uint32_t group; /* birth.groups: the one it is in at present; at placement, at its birth */
	int32_t exit_signal;
	uint32_t table[TREE_TABLES];
	uint32_t scaffolds;	/* list of scaffolds that it forks, */
	uint32_t next_scaffold; /* linked by this */
	uint32_t children[2];	/* those it forks before (0) and after (1) its setsid: lists, */
	uint32_t last_child[2];
	uint32_t next_child; /* linked by this */
	uint32_t founds;     /* the group, not of a session, that has its number; BIRTH_NONE */
	bool needed;	     /* its forker is the final parent of somebody below it */
	bool leads_to_set;   /* the parent that it is born under sets the group of siblings */
	bool born;
	bool moves;    /* into groups that children are born into, by its parent */
	bool changed;  /* has started its session, or founded its group */
	bool joined;   /* its user namespace */
	bool has_lost; /* the foreground group of its terminal; see birth_node.lost */
};

/* A process group while the plan grows; by index of birth.groups. */
struct builder_group {
	uint32_t
		founder; /* plan process that has the number; PLAN_NONE: not known yet, or outside */
	uint32_t outside; /* plan.outside, for those outside; PLAN_NONE */
	bool early;	  /* somebody must be born into it */
	bool founded;
};

/* RESERVED_PIDS, kernel/pid.c: pid_max is above it */
enum { RESERVED_PIDS = 300 };

struct builder {
	struct context *ctx;
	struct arena *arena; /* the plan's */
	const struct tree *tree;
	struct birth *birth;
	struct plan *plan;
	struct placement *place; /* by plan index; as many as plan->n_processes */
	size_t n_place;
	struct placement outside; /* whom the outside forks */
	struct builder_group *groups;
	uint32_t *outside_group;   /* by plan.outside: the group of the pair; BIRTH_NONE: any */
	uint32_t *outside_session; /* by plan.outside: the session of the pair */
	size_t n_pairs;
	struct idmap numbers; /* in use at any time of the plan, to the plan index that has it */
	int32_t *next_number; /* by PID namespace */
	uint32_t *ns_init;    /* by PID namespace: plan process, PLAN_NONE: none in the tree */
	uint32_t *order;      /* processes in the order of their births */
	size_t n_order;
	uint32_t subreaper; /* whose flag is set now; PLAN_NONE; BUILDER_OUTSIDE */
	/* scaffolds that are there for a group's sake, and go first */
	uint32_t *keepers;
	size_t n_keepers;
	uint32_t ns_helper;   /* of the init that is being made */
	uint32_t *ns_helpers; /* by PID namespace: who has made one that stays empty */
};

/* A further process of namespace @ns. @numbers NULL: any that are free; a 0 in it, likewise. */
int builder_process(struct builder *bu, enum plan_role role, uint32_t ns, const int32_t *numbers,
		    uint32_t *ret_process);

/* A further step, to be filled in; NULL when there is no memory. @fmt says why it is needed. */
struct plan_step *builder_step(struct builder *bu, enum plan_op op, uint32_t process,
			       const char *fmt, ...) _printf_(4, 5);

/* The outermost number; 0 for the outside. */
static inline int32_t builder_number(const struct builder *bu, uint32_t process)
{
	return process < bu->plan->n_processes ? bu->plan->processes[process].pid[0] : 0;
}

static inline bool builder_in_tree(const struct builder *bu, uint32_t process)
{
	return process < bu->tree->n_processes;
}

static inline struct placement *builder_place(struct builder *bu, uint32_t process)
{
	return process == PLAN_NONE ? &bu->outside : &bu->place[process];
}

/* Where a process lives, or the outside does. */
static inline uint32_t builder_ns(const struct builder *bu, uint32_t process)
{
	return process == PLAN_NONE ? bu->birth->outer : bu->place[process].ns;
}

/* Must @process be put into a group by its parent, for a while or in the end? */
bool builder_group_is_set(const struct builder *bu, uint32_t process);

/* Takes the birth nodes over as processes of the plan. */
int builder_init(struct builder *bu);

/* outside.c: the pair of session and group outside (@group BIRTH_NONE: any), by plan.outside. */
int outside_pair(struct builder *bu, uint32_t session, uint32_t group, uint32_t *ret_pair);

/* placement.c: where everybody is born, and the scaffolds that this takes. */
int placement_find(struct builder *bu);
/* @child is forked by @forker: puts it on its list. */
void placement_link(struct builder *bu, uint32_t forker, uint32_t child);

/* births.c: everybody is born, in an order that works. */
int births_plan(struct builder *bu);
/* @process, of which all is known, is cloned. */
int births_clone(struct builder *bu, uint32_t process);
/*
 * A scaffold in @ns, child of @forker (PLAN_NONE: the outside, in @session), that is cloned at once and
 * goes by itself (births_dismiss).
 */
int births_helper(struct builder *bu, uint32_t forker, uint32_t ns, const int32_t *numbers,
		  enum plan_role role, uint32_t session, const char *why, uint32_t *ret_helper);
int births_dismiss(struct builder *bu, uint32_t helper, const char *why);

/* groups.c: the process groups and foregrounds. */
/* @process, in the session, founds @group if that is not there; 0 or -ENOMEM. */
int groups_ensure(struct builder *bu, uint32_t group, uint32_t process);
/* @process joins @group itself, because of @why (with the number). */
int groups_join(struct builder *bu, uint32_t process, uint32_t group, const char *why);
/* The parent of @process puts it into @group. */
int groups_move(struct builder *bu, uint32_t process, uint32_t group);
/* Once all processes exist: everybody goes where they belong. */
int groups_plan(struct builder *bu);

/* foreground.c */
int foregrounds_set(struct builder *bu);
/* @leader has a terminal with the foreground group birth_node.lost, which is empty from then on. */
int foreground_lose(struct builder *bu, uint32_t leader);
/* Is somebody yet to do that with a group of that number? */
bool foreground_needs(const struct builder *bu, int32_t number);

/* finish.c: those who are not of the tree go, and the others get what is left to do. */
int finish_plan(struct builder *bu);

/* namespaces.c */
/* User namespaces, before everything else. */
int namespaces_begin(struct builder *bu);
/*
 * Before @init, first process of a PID namespace, is cloned: where another user namespace owns that, a
 * helper makes it (@ret_prepared), and goes when the clone is done (namespaces_prepared).
 */
int namespaces_prepare(struct builder *bu, uint32_t init, bool *ret_prepared);
int namespaces_prepared(struct builder *bu, uint32_t init);
/* Where children are born, and the user namespaces that processes join in the end. */
int namespaces_end(struct builder *bu);
