/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The search for a birth tree (birth.h): what its parts share. The relation "is above" is kept
 * transitively closed; whatever is put into it or decided about a node is in a journal, so that a
 * choice can be taken back.
 */
#pragma once

#include "tree/birth.h"

enum why {
	WHY_ROOT,    /* everything descends from the root */
	WHY_PARENT,  /* above is the parent of below */
	WHY_LEADER,  /* above leads the session that below is in */
	WHY_TABLE,   /* below has a table from above */
	WHY_SESSION, /* of is below above and was born in the session of below, above was not */
	WHY_DIRECT,  /* of was born as a child of below, above was not */
	WHY_LINE,    /* of has the parent above, and descends from one born a child of below */
	WHY_SHARING, /* of has a table from below, above never had it */
	WHY_BORN, /* below stands between of, which was born in the session of above, and above */
	WHY_SIBLING,  /* below stands between of and its parent above */
	WHY_OUTSIDE,  /* of has the parent below, and above has its own in another namespace */
	WHY_HOLDS,    /* below stands between of, which has a table from above, and above */
	WHY_CHOICE,   /* tried */
	WHY_OPPOSITE, /* the other order was tried and led nowhere */
};

/* Something that was put into the relation, for explanations. */
struct edge {
	uint32_t above;
	uint32_t below;
	enum why why;
	uint32_t of; /* the process that made it necessary */
};

/* A node as it was before something was decided about it. */
struct saved {
	uint32_t node;
	struct birth_node was;
};

/* A stack: unlike a vector of the arena's it may shrink and grow again at no cost. */
struct stack {
	void *items;
	size_t n;
	size_t room;
};

struct search {
	struct birth *b;
	struct context *ctx;
	struct stack edges;   /* struct edge */
	struct stack saved;   /* struct saved */
	struct stack choices; /* struct choice */
	uint32_t *queue;      /* nodes of which something was decided, each once */
	size_t n_queue;
	bool *queued;	 /* by node */
	bool *is_origin; /* by node: somebody has a session, signal or table from it */
	size_t done;	 /* pairs of the relation that were looked at */
	bool failed;	 /* a contradiction; conflict says which */
	char conflict[ERR_TEXT];
	char first_conflict[ERR_TEXT];
};

/* Room for one more item of @size bytes, or NULL. */
void *search_push(struct search *s, struct stack *stack, size_t size);

/* birth-infer.c: 0 or -ENOMEM; contradictions set search.failed. */

int search_init(struct search *s);
/* @x is above @y, because of @why and @of (BIRTH_NONE where nobody else is involved). */
int search_put(struct search *s, uint32_t x, uint32_t y, enum why why, uint32_t of);
/* To be called before a node changes; it is looked at again afterwards. 0 or -ENOMEM. */
int search_touch(struct search *s, uint32_t x);
/* Until nothing follows any more, or a contradiction, or the limit. */
int search_infer(struct search *s);

/* birth-why.c: records a contradiction, in words. */

/* @e cannot be: the reverse is known. */
void search_conflict(struct search *s, const struct edge *e);
/* @x is above @y, but @why not. */
void search_refute(struct search *s, uint32_t x, uint32_t y, const char *why);

/*
 * birth-place.c: what namespaces, parents and groups say of @x above @y (birth.h, 5 to 9). 0 or
 * -ENOMEM.
 */
int search_check_place(struct search *s, uint32_t x, uint32_t y);

/* birth-settle.c: what the search has left open. 0 or -ENOMEM. */
int birth_settle(struct birth *b);
