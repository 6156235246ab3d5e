/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Speculation controls of each thread (PR_SET_SPECULATION_CTRL): store bypass, indirect branches,
 * L1D flush. Kept where the thread itself decided against speculation; what the machine decides for
 * all of them is the machine's. "Force" cannot be taken back, by us neither.
 */
#include <errno.h>
#include <linux/prctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "kind/task.h"

static const struct {
	uint32_t feature;
	const char *name;
} features[] = {
	{PR_SPEC_STORE_BYPASS, "store bypass"},
	{PR_SPEC_INDIRECT_BRANCH, "indirect branches"},
	{PR_SPEC_L1D_FLUSH, "L1D flush"},
};

/*
 * What of a PR_GET_SPECULATION_CTRL value is the thread's own: 0 if it has no say or has left the
 * default. For the L1D flush the default is DISABLE: "enabled" means that it is flushed.
 */
static uint32_t own_control(uint32_t feature, int64_t value)
{
	uint32_t left_alone = feature == PR_SPEC_L1D_FLUSH ? PR_SPEC_DISABLE : PR_SPEC_ENABLE;
	uint32_t control;

	if (value < 0 || !(value & PR_SPEC_PRCTL))
		return 0;
	control = (uint32_t)value & ~(uint32_t)PR_SPEC_PRCTL;
	return control == left_alone ? 0 : control;
}

/* Errors: a kernel or a CPU without that control. */
static void ask_thread(struct collect *c _unused_, struct collect_thread *th _unused_,
		       struct call_table *t)
{
	for (size_t i = 0; i < ARRAY_SIZE(features); i++)
		call_expect_any(t, call_add(t, "prctl(PR_GET_SPECULATION_CTRL)", SYS_prctl,
					    CALL_IMM(PR_GET_SPECULATION_CTRL),
					    CALL_IMM(features[i].feature)));
}

static int reply_thread(struct collect *c, struct collect_thread *th, struct call_table *t,
			uint32_t first)
{
	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		uint32_t feature = features[i].feature;
		uint32_t control = own_control(feature, call_result(t, first + (uint32_t)i));
		Coppice__Speculation **slot;

		if (control == 0)
			continue;
		slot = arena_append(c->arena, &th->msg->speculation, &th->msg->n_speculation,
				    sizeof(*slot));
		if (!slot)
			return err_oom(c->ctx);
		*slot = arena_new(c->arena, Coppice__Speculation);
		if (!*slot)
			return err_oom(c->ctx);
		coppice__speculation__init(*slot);
		(*slot)->feature = feature;
		(*slot)->control = control;
	}
	return 0;
}

static const char *feature_text(uint32_t feature)
{
	for (size_t i = 0; i < ARRAY_SIZE(features); i++)
		if (features[i].feature == feature)
			return features[i].name;
	return "an unknown feature";
}

static uint32_t wanted(const Coppice__Thread *th, uint32_t feature)
{
	for (size_t i = 0; i < th->n_speculation; i++)
		if (th->speculation[i]->feature == feature)
			return th->speculation[i]->control;
	return 0;
}

static int64_t own_value(uint32_t feature)
{
	return prctl(PR_GET_SPECULATION_CTRL, feature, 0, 0, 0);
}

static int check_thread(struct rebuild *r, const struct rebuild_process *p,
			const Coppice__Thread *th)
{
	int rc = 0;

	for (size_t i = 0; i < th->n_speculation && rc >= 0; i++) {
		uint32_t feature = th->speculation[i]->feature;
		int64_t value = own_value(feature);

		if (value < 0 || !(value & PR_SPEC_PRCTL))
			rc = rebuild_refuse(
				r, NULL,
				"%s, thread %d: has a speculation control of its own for "
				"%s, which this machine does not offer",
				rebuild_name(r, p), th->tid[0], feature_text(feature));
	}
	for (size_t i = 0; i < ARRAY_SIZE(features) && rc >= 0; i++) {
		uint32_t own = own_control(features[i].feature, own_value(features[i].feature));

		if (own == PR_SPEC_FORCE_DISABLE && wanted(th, features[i].feature) != own)
			rc = rebuild_refuse(r, "run coppice without it",
					    "%s, thread %d: would inherit coppice's own forced "
					    "speculation control for %s",
					    rebuild_name(r, p), th->tid[0], features[i].name);
	}
	return rc;
}

static int check(struct rebuild *r, const struct rebuild_process *p)
{
	int rc = 0;

	for (size_t i = 0; i < p->msg->n_threads && rc >= 0; i++)
		rc = check_thread(r, p, p->msg->threads[i]);
	return rc;
}

/* Stubs inherit the coordinator's. */
static int last_thread(struct rebuild *r _unused_, struct rebuild_thread *th, struct call_table *t)
{
	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		uint32_t feature = features[i].feature;
		uint32_t want = wanted(th->msg, feature);
		uint32_t none = feature == PR_SPEC_L1D_FLUSH ? PR_SPEC_DISABLE : PR_SPEC_ENABLE;

		if (own_control(feature, own_value(feature)) != want)
			call_add(t, "prctl(PR_SET_SPECULATION_CTRL)", SYS_prctl,
				 CALL_IMM(PR_SET_SPECULATION_CTRL), CALL_IMM(feature),
				 CALL_IMM(want ? want : none));
	}
	return 0;
}

const struct task_aspect aspect_speculation = {
	.name = "speculation controls",
	.ask_thread = ask_thread,
	.reply_thread = reply_thread,
	.check = check,
	.last_thread = last_thread,
};
