/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the model kernel share. */
#pragma once

#include "tree/model.h"

enum pid_type {
	PIDTYPE_TGID,
	PIDTYPE_PGID,
	PIDTYPE_SID,
};

/* Refuses: @r, because of @why. */
int model_refuse(struct model *m, int r, const char *why);
/* The task if it is alive; else refuses: -ESRCH through model_refuse, and NULL. */
struct model_task *model_living(struct model *m, uint32_t task);

/* attach_pid() and __change_pid(), kernel/pid.c */
void model_attach(struct model *m, uint32_t pid, enum pid_type type);
void model_detach(struct model *m, uint32_t pid, enum pid_type type);
void model_change_group(struct model *m, struct model_task *t, uint32_t pid);
/* alloc_pid() without its checks */
int model_new_pid(struct model *m, uint32_t ns, const int32_t *number, uint32_t *ret_pid);

/* Is @ns namespace @above, or below it? */
bool model_ns_is_in(const struct model *m, uint32_t ns, uint32_t above);
/* Is @user_ns user namespace @above, or below it? Then whoever is in @above has capabilities in it. */
bool model_user_is_in(const struct model *m, uint32_t user_ns, uint32_t above);

/* Takes terminal @number from all members of @session. */
void model_clear_tty(struct model *m, uint32_t session, uint32_t number);

void model_link_child(struct model *m, uint32_t parent, uint32_t child);
void model_unlink_child(struct model *m, uint32_t child);

static inline bool model_is_leader(const struct model_task *t)
{
	return t->sid == t->pid;
}
