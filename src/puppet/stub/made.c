/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop of made puppets. Whoever enters it has a table in its slot already: the tracer wrote it
 * while the task was stopped, at its birth or in the bell of the table before.
 */
#include "puppet/stub/stub.h"

void made_loop(struct interp_slot *slot)
{
	for (;;) {
		interp_run(slot);
		if (slot->bell == INTERP_BELL_CALL)
			(void)raw_syscall(INTERP_BELL_NR, slot->call[0].arg);
		else
			raw_break();
	}
}
