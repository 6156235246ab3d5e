/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The three interval timers of a process (setitimer(2), alarm(2)).
 *
 * What is kept is the time that remained when they were asked, and what was pending then (settle.c).
 * They are armed as the last
 * thing before the program goes on (phase resume), so that none runs while the tree is rebuilt.
 */
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include "kind/task.h"
#include "task/timers.h"

enum { N_ITIMERS = 3, NS_PER_US = 1000 };

static int64_t to_ns(const struct timeval *tv)
{
	return ((int64_t)tv->tv_sec * 1000000 + tv->tv_usec) * NS_PER_US;
}

static struct timeval to_timeval(int64_t ns)
{
	return (struct timeval){
		.tv_sec = ns / NS_PER_US / 1000000,
		.tv_usec = ns / NS_PER_US % 1000000,
	};
}

static void ask(struct collect *c _unused_, struct collect_process *p _unused_,
		struct call_table *t)
{
	for (int which = 0; which < N_ITIMERS; which++) {
		uint32_t at = call_space(t, NULL, sizeof(struct itimerval));

		call_add(t, "getitimer()", SYS_getitimer, CALL_IMM(which), CALL_DATA(at));
	}
}

static int reply(struct collect *c, struct collect_process *p, struct call_table *t, uint32_t first)
{
	Coppice__Itimer *msgs = arena_new_n(c->arena, Coppice__Itimer, N_ITIMERS);

	p->msg->n_itimers = 0;
	p->msg->itimers = arena_new_n(c->arena, Coppice__Itimer *, N_ITIMERS);
	if (!msgs || !p->msg->itimers)
		return err_oom(c->ctx);
	for (uint32_t which = 0; which < N_ITIMERS; which++) {
		const struct itimerval *from = call_arg_bytes(t, first + which, 1);

		coppice__itimer__init(&msgs[which]);
		msgs[which].value_ns = to_ns(&from->it_value);
		msgs[which].interval_ns = to_ns(&from->it_interval);
		p->msg->itimers[p->msg->n_itimers++] = &msgs[which];
	}
	return 0;
}

/*
 * A periodic ITIMER_REAL that has expired stands still until its SIGALRM is taken, and reads as
 * zero with an interval (it_real_fn() in kernel/time/itimer.c). It gets there again by expiring: the
 * SIGALRM is pending already, so no second one is queued, or it is ignored.
 */
static bool waits_for_signal(size_t which, const Coppice__Itimer *msg)
{
	return which == ITIMER_REAL && !msg->value_ns && msg->interval_ns;
}

static bool is_pending(const Coppice__Process *msg, int signal)
{
	for (size_t i = 0; i < msg->n_pending; i++) {
		siginfo_t info = {0};

		memcpy(&info, msg->pending[i]->raw.data,
		       MIN(msg->pending[i]->raw.len, sizeof(info)));
		if (info.si_signo == signal)
			return true;
	}
	return false;
}

static bool is_ignored(const Coppice__Sighand *sighand, uint32_t signal)
{
	for (size_t i = 0; i < sighand->n_actions; i++)
		if (sighand->actions[i]->signal == signal)
			return sighand->actions[i]->handler == (uintptr_t)SIG_IGN;
	return false;
}

/* Expiring again must not send a signal that the program did not have. */
static int check(struct rebuild *r, const struct rebuild_process *p)
{
	const Coppice__Process *msg = p->msg;

	if (msg->n_itimers == 0 || !waits_for_signal(ITIMER_REAL, msg->itimers[ITIMER_REAL]) ||
	    is_pending(msg, SIGALRM) || is_ignored(r->cp->sighands[msg->sighand - 1], SIGALRM))
		return 0;
	return rebuild_refuse(r, NULL, "%s: its ITIMER_REAL has expired, but no SIGALRM is pending",
			      rebuild_name(r, p));
}

static int resume(struct rebuild *r _unused_, struct rebuild_process *p, struct call_table *t)
{
	for (size_t which = 0; which < p->msg->n_itimers && which < N_ITIMERS; which++) {
		const Coppice__Itimer *msg = p->msg->itimers[which];
		struct itimerval timer = {
			.it_value = to_timeval(msg->value_ns),
			.it_interval = to_timeval(msg->interval_ns),
		};

		if (!msg->value_ns && !msg->interval_ns)
			continue;
		if (waits_for_signal(which, msg))
			timer.it_value.tv_usec = 1;
		call_add(t, "setitimer()", SYS_setitimer, CALL_IMM(which),
			 CALL_DATA(call_space(t, &timer, sizeof(timer))), CALL_IMM(0));
	}
	return 0;
}

const struct task_aspect aspect_itimers = {
	.name = "itimers",
	.ask = ask,
	.reply = reply,
	.check = check,
	.resume = resume,
};
