/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

#include "kind/collect.h"

/*
 * Replaces the pending signals of a living process, and of its threads, by those that are pending
 * now. *@ret_expired: among them is a signal of a timer's that was not there before.
 */
int pending_collect_again(struct collect *c, struct collect_process *p, bool *ret_expired);
