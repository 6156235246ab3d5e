/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why there is no birth tree, in words. A contradiction is an order that must hold and whose reverse
 * is known; the reverse follows from the edges that were put in, so that a way down along them
 * explains it.
 */
#include <stdio.h>
#include <string.h>

#include "tree/birth-search.h"

static void say_why(const struct search *s, const struct edge *e, char *buf, size_t size)
{
	char a[40], c[40], of[40];

	birth_name(s->b, e->above, a, sizeof(a));
	birth_name(s->b, e->below, c, sizeof(c));
	if (e->of != BIRTH_NONE)
		birth_name(s->b, e->of, of, sizeof(of));
	switch (e->why) {
	case WHY_ROOT:
		(void)snprintf(buf, size, "%s is the root", a);
		break;
	case WHY_PARENT:
		(void)snprintf(buf, size, "%s is the parent of %s", a, c);
		break;
	case WHY_LEADER:
		(void)snprintf(buf, size, "%s leads the session of %s", a, c);
		break;
	case WHY_TABLE:
		(void)snprintf(buf, size, "%s got a shared table from %s", c, a);
		break;
	case WHY_SESSION:
		(void)snprintf(
			buf, size,
			"%s descends from %s and was born in the session of %s, but %s was not", of,
			a, c, a);
		break;
	case WHY_DIRECT:
		(void)snprintf(
			buf, size,
			"%s descends from %s and, by its exit signal, was born a child of %s, "
			"but %s was not",
			of, a, c, a);
		break;
	case WHY_LINE:
		(void)snprintf(
			buf, size,
			"%s is the parent of %s, which descends from one that was born a child "
			"of %s",
			a, of, c);
		break;
	case WHY_SHARING:
		(void)snprintf(buf, size,
			       "%s descends from %s and shares a table with %s that %s has not", of,
			       a, c, a);
		break;
	case WHY_BORN:
		(void)snprintf(buf, size, "%s was born between %s and %s of its session", c, a, of);
		break;
	case WHY_OUTSIDE:
		(void)snprintf(buf, size,
			       "%s is the parent of %s, which descends from %s, whose parent is in "
			       "another "
			       "PID namespace",
			       c, of, a);
		break;
	case WHY_SIBLING:
	case WHY_HOLDS:
		(void)snprintf(buf, size, "%s stands between %s and %s", c, a, of);
		break;
	case WHY_CHOICE:
		(void)snprintf(buf, size, "assume that");
		break;
	case WHY_OPPOSITE:
		(void)snprintf(buf, size, "the other way round is impossible");
		break;
	}
}

/* The edges that lead from @x down to @y, in words: breadth first, so the shortest way. */
static void say_path(struct search *s, uint32_t x, uint32_t y, char *buf, size_t size)
{
	const struct relation *above = &s->b->above;
	size_t len = 0;

	buf[0] = '\0';
	while (x != y && len < size) {
		const struct edge *step = NULL;
		char why[ERR_TEXT];

		for (size_t i = 0; i < s->edges.n; i++) {
			const struct edge *e = (const struct edge *)s->edges.items + i;

			if (e->above != x || (e->below != y && !relation_has(above, e->below, y)))
				continue;
			if (!step || e->below == y || step->why == WHY_ROOT)
				step = e;
		}
		if (!step)
			return; /* not reached: the relation holds nothing but its edges' closure */
		say_why(s, step, why, sizeof(why));
		len += (size_t)snprintf(buf + len, size - len, "%s%s", len ? ", and " : "", why);
		x = step->below;
	}
}

void search_conflict(struct search *s, const struct edge *e)
{
	char a[40], c[40], why[ERR_TEXT / 2], path[ERR_TEXT];

	if (s->choices.n && s->first_conflict[0])
		goto out; /* nobody will read it */
	say_why(s, e, why, sizeof(why));
	birth_name(s->b, e->above, a, sizeof(a));
	birth_name(s->b, e->below, c, sizeof(c));
	say_path(s, e->below, e->above, path, sizeof(path));
	(void)snprintf(s->conflict, sizeof(s->conflict),
		       "%.60s must descend from %.60s (%.160s), but the reverse is true (%.200s)",
		       c, a, why, path);
	if (!s->first_conflict[0])
		memcpy(s->first_conflict, s->conflict, sizeof(s->conflict));
out:
	s->failed = true;
}

void search_refute(struct search *s, uint32_t x, uint32_t y, const char *why)
{
	char a[40], c[40], path[ERR_TEXT];

	if (!s->choices.n || !s->first_conflict[0]) {
		say_path(s, x, y, path, sizeof(path));
		(void)snprintf(s->conflict, sizeof(s->conflict),
			       "%.60s must be an ancestor of %.60s by birth (%.140s), but %.180s",
			       birth_name(s->b, x, a, sizeof(a)), birth_name(s->b, y, c, sizeof(c)),
			       path, why);
		if (!s->first_conflict[0])
			memcpy(s->first_conflict, s->conflict, sizeof(s->conflict));
	}
	s->failed = true;
}
