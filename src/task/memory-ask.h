/* SPDX-License-Identifier: Apache-2.0 */
/* What only the process itself can be asked about its address space. See memory-ask.c. */
#pragma once

#include "kind/collect.h"

void memory_ask(struct collect *c, const Coppice__Mm *mm, struct call_table *t);
int memory_reply(struct collect *c, struct collect_process *p, Coppice__Mm *mm,
		 struct call_table *t, uint32_t first);
