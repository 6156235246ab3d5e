/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting until killed tasks are gone. Private to the puppet layer, and grow's. */
#pragma once

#include <stdbool.h>

#include "puppet/puppet.h"

/*
 * Waits, as tracer and where we are the parent, until all of @tasks, which were sent SIGKILL, have
 * died. The init of a PID namespace does so when all members are gone and their parents have reaped
 * them; so the others of the tree, @all, which may be among those, are looked after, too. False: it
 * is a parent outside that does not reap; it has been waited for long enough.
 */
bool puppet_await_deaths(struct puppet *const *tasks, size_t n, struct puppet *const *all,
			 size_t n_all);
