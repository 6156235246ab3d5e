/* SPDX-License-Identifier: Apache-2.0 */
/* The sessions and groups outside the tree that processes of it are born into. */
#include <errno.h>

#include "tree/builder.h"

static int new_pair(struct builder *bu, uint32_t session, uint32_t group, uint32_t *ret_pair)
{
	struct plan *plan = bu->plan;
	struct plan_outside *pair;
	uint32_t *sessions, *groups;
	size_t n = bu->n_pairs, again = n;

	pair = arena_append(bu->arena, &plan->outside, &plan->n_outside, sizeof(*pair));
	sessions = arena_append(bu->birth->arena, &bu->outside_session, &bu->n_pairs,
				sizeof(*sessions));
	groups = arena_append(bu->birth->arena, &bu->outside_group, &again, sizeof(*groups));
	if (!pair || !sessions || !groups)
		return -ENOMEM;
	*sessions = session;
	*groups = group;
	pair->session = (uint32_t)n;
	for (uint32_t i = (uint32_t)n; i-- > 0;)
		if (bu->outside_session[i] == session)
			pair->session = bu->plan->outside[i].session;
	*ret_pair = (uint32_t)n;
	return 0;
}

int outside_pair(struct builder *bu, uint32_t session, uint32_t group, uint32_t *ret_pair)
{
	uint32_t pair = PLAN_NONE;

	for (uint32_t i = 0; i < bu->n_pairs && pair == PLAN_NONE; i++) {
		if (bu->outside_session[i] != session)
			continue;
		if (bu->outside_group[i] == BIRTH_NONE)
			bu->outside_group[i] = group;
		if (group == BIRTH_NONE || bu->outside_group[i] == group)
			pair = i;
	}
	if (pair == PLAN_NONE && new_pair(bu, session, group, &pair) < 0)
		return -ENOMEM;
	if (group != BIRTH_NONE) {
		bu->groups[group].outside = pair;
		bu->groups[group].founded = true;
	}
	*ret_pair = pair;
	return 0;
}
