/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "kind/collect.h"

/* Is the process running, stopped by job control, or dead? By what its tasks have told last. */
void process_collect_state(struct collect_process *p);
