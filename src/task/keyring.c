/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keyrings of the thread and of the process (keyrings(7)). They and the keys in them live as long as
 * the task, so a process that has one is refused. Asking for one that is not there is harmless.
 */
#include <errno.h>
#include <linux/keyctl.h>
#include <sys/syscall.h>

#include "kind/task.h"

static const struct {
	int32_t id;
	const char *name;
} keyrings[] = {
	{KEY_SPEC_THREAD_KEYRING, "thread"},
	{KEY_SPEC_PROCESS_KEYRING, "process"},
};

static void ask_thread(struct collect *c _unused_, struct collect_thread *th _unused_,
		       struct call_table *t)
{
	for (size_t i = 0; i < ARRAY_SIZE(keyrings); i++)
		call_expect_any(t, call_add(t, "keyctl(KEYCTL_GET_KEYRING_ID)", SYS_keyctl,
					    CALL_IMM(KEYCTL_GET_KEYRING_ID),
					    CALL_IMM((int64_t)keyrings[i].id), CALL_IMM(0)));
}

/* -ENOKEY: it has none. -ENOSYS: nobody has. */
static int reply_thread(struct collect *c, struct collect_thread *th, struct call_table *t,
			uint32_t first)
{
	int r = 0;

	for (uint32_t i = 0; i < ARRAY_SIZE(keyrings) && r >= 0; i++) {
		int64_t result = call_result(t, first + i);

		if (result != -ENOKEY && result != -ENOSYS)
			r = collect_refuse(c, NULL,
					   "%s, thread %d: has a %s keyring, which would be lost",
					   collect_name(c, th->process), th->tid, keyrings[i].name);
	}
	return r;
}

const struct task_aspect aspect_keyring = {
	.name = "keyrings",
	.ask_thread = ask_thread,
	.reply_thread = reply_thread,
};
