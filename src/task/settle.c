/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A held task does not change anything, but something is done to it: timers expire, and others send
 * signals. Signals and timers are read at two moments. A timer that expired in between would be lost
 * (its signal not yet pending, its time over), or a signal would come twice (pending, and the time
 * still running).
 *
 * So the signals are read once more in the end. If there is none from a timer that was not there
 * before, no timer expired since: what was read of the timers belongs to what is pending now.
 * Otherwise the timers are asked again, and so on. That ends: a held task has all signals blocked,
 * and a timer that has expired sends nothing more before its signal is taken (posix_timer_fn(),
 * it_real_fn(); of ITIMER_VIRTUAL and ITIMER_PROF one signal at most is pending).
 *
 * A signal from outside that came before this look is in the checkpoint; one that comes later is
 * as one that is sent to a dying process. A signal for which the kernel had no queue entry, and that
 * came after the first look, counts as later.
 *
 * SIGSTOP cannot be blocked: a task that works for us takes it, and the process is stopped.
 */
#include "task/settle.h"

#include "kind/task.h"
#include "task/pending.h"
#include "task/process.h"
#include "task/timers.h"

static int ask_again(struct collect *c, struct collect_process *p)
{
	struct call_table t;
	uint32_t posix;
	int r;

	call_table_init(&t, c->arena);
	aspect_itimers.ask(c, p, &t);
	posix = (uint32_t)t.n_calls;
	aspect_timers.ask(c, p, &t);
	r = puppet_run(c->ctx, p->puppet, &t);
	if (r == 0)
		r = aspect_itimers.reply(c, p, &t, 0);
	return r < 0 ? r : aspect_timers.reply(c, p, &t, posix);
}

static int settle(struct collect *c, struct collect_process *p)
{
	bool expired;
	int r = pending_collect_again(c, p, &expired);

	while (r == 0 && expired) {
		r = ask_again(c, p);
		if (r == 0)
			r = pending_collect_again(c, p, &expired);
	}
	process_collect_state(p);
	return r;
}

int settle_tree(struct collect *c)
{
	for (size_t i = 0; i < c->n_processes; i++) {
		struct collect_process *p = &c->processes[i];
		int r = p->zombie ? 0 : settle(c, p);

		if (r < 0)
			return err_while(c->ctx, r, "looking again at the signals of %s",
					 collect_name(c, p));
	}
	return 0;
}
