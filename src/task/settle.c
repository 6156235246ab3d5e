/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A held task does nothing by itself, but something is done to it: timers expire, and others send
 * signals. Pending signals and timers are read at two moments. A timer that expired in between would
 * be lost (its signal was not yet pending, its time is over), or its signal would come twice (it is
 * pending, and the time still runs).
 *
 * So the signals are read once more in the end. If no timer has sent one since, none has expired, and
 * what was read of the timers belongs to what is pending now. Otherwise they are asked again, and so
 * on. That ends: a held task has all signals blocked, and a timer that has expired sends nothing more
 * before its signal is taken (posix_timer_fn() in kernel/time/posix-timers.c, it_real_fn() in
 * kernel/time/itimer.c; ITIMER_VIRTUAL and ITIMER_PROF have one signal pending at most).
 *
 * SIGSTOP cannot be blocked. One that is pending would stop whatever it is restored to, so it is
 * acted upon here, by sending all threads through the kernel's signal handling: the process is
 * stopped, and its parent told. The same with SIGCONT for a stopped process. Somebody who sends them
 * without end has the dump give up.
 *
 * A signal from outside that comes after the last look is as one that is sent to a dying process. One
 * that the kernel has no queue entry for counts as later, unless /proc showed it at first.
 */
#include "task/settle.h"

#include <errno.h>
#include <sys/syscall.h>

#include "kind/task.h"
#include "task/pending.h"
#include "task/process.h"
#include "task/timers.h"

enum { LOOKS_MAX = 100 };

static int ask_timers(struct collect *c, struct collect_process *p)
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

/* Each task passes through the kernel's signal handling when it runs a call. */
static int act_on_job_signal(struct collect *c, struct collect_process *p)
{
	int64_t r = 0;

	for (size_t i = 0; i < p->n_threads && r >= 0; i++)
		r = puppet_call(c->ctx, p->threads[i].puppet, "getpid()", SYS_getpid,
				(const struct call_arg[6]){});
	return r < 0 ? (int)r : 0;
}

/* Positive: something has changed. */
static int heed_stops(struct collect *c, struct collect_process *p)
{
	int r = 0, stops = 0;

	for (size_t i = 0; i < p->n_threads && r >= 0; i++) {
		r = puppet_heed(c->ctx, p->threads[i].puppet);
		stops += r;
	}
	return r < 0 ? r : stops;
}

/* Positive: something has changed, and perhaps for others, too. */
static int look_again(struct collect *c, struct collect_process *p)
{
	int stops = heed_stops(c, p);
	struct pending_news news;
	int r;

	if (stops < 0)
		return stops;
	process_collect_state(p);
	r = pending_collect_again(c, p, &news);
	if (r == 0 && news.job)
		r = act_on_job_signal(c, p);
	if (r == 0 && news.expired)
		r = ask_timers(c, p);
	return r < 0 ? r : stops > 0 || news.job || news.expired;
}

/* Parents are told of their children's stops, so that the last look must have found no change at all. */
static int look_at_all(struct collect *c)
{
	bool changed = false;

	for (size_t i = 0; i < c->n_processes; i++) {
		struct collect_process *p = &c->processes[i];
		int r = p->zombie ? 0 : look_again(c, p);

		if (r < 0)
			return err_while(c->ctx, r, "looking again at the signals of %s",
					 collect_name(c, p));
		changed = changed || r > 0;
	}
	return changed;
}

int settle_tree(struct collect *c)
{
	int r = 1;

	for (int i = 0; i < LOOKS_MAX && r > 0; i++)
		r = look_at_all(c);
	if (r <= 0)
		return r;
	r = err_msg(c->ctx, -EAGAIN, "somebody stops and continues the tree all the time");
	return err_hint(c->ctx, r, "try again when it is left alone");
}
