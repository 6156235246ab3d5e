/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "kind/collect.h"

/* Is the process running, stopped by job control, or dead? By what its tasks have told last. */
void process_collect_state(struct collect_process *p);

/* Of a stopped process with its parent in the tree: would the parent's wait() still tell of that? */
int process_collect_notice(struct collect *c, struct collect_process *p);
