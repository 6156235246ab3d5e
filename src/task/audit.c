/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The login that the audit log names for what a thread does (loginuid), whatever it may become
 * later. A stub has coppice's own; where the program's is another, it sets that, as pam_loginuid does.
 *
 * The number of the login session (sessionid) cannot be kept: the kernel gives a new one to each
 * login that is set (audit_set_loginuid() in kernel/auditsc.c); where none has to be set it is
 * coppice's.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include "kernel/proc.h"
#include "kernel/scan.h"
#include "kind/task.h"
#include "task/stub.h"
#include "task/surroundings.h"
#include "util/cleanup.h"

int audit_read_login(const struct proc_dir *dir, const char *prefix, uint32_t *ret)
{
	_cleanup_free_ char *text = NULL;
	char path[48];
	const char *at;
	uint32_t uid;
	int r;

	(void)snprintf(path, sizeof(path), "%sloginuid", prefix);
	r = proc_dir_read(dir, path, &text, NULL);
	if (r < 0 && r != -ENOENT)
		return r;
	uid = UINT32_MAX; /* (uid_t)-1 is: none */
	at = text;
	if (r == 0 && !scan_u32(&at, 10, &uid))
		return -EBADMSG;
	*ret = uid + 1;
	return 0;
}

static int collect_thread(struct collect *c, struct collect_thread *th)
{
	const struct proc_dir dir = collect_dir(c, th->process);
	char prefix[COLLECT_PREFIX];
	int r = audit_read_login(&dir, collect_prefix(th, prefix), &th->msg->login);

	return r < 0 ? err_sys(c->ctx, r, "reading /proc/%d/loginuid", th->tid) : 0;
}

/* Whoever has no login may set one. */
static int check_thread(struct rebuild *r, const struct rebuild_process *p,
			const Coppice__Thread *th)
{
	const struct surroundings *s;
	const struct stub_origin *origin;
	int rc = surroundings_get(r->ctx, r->arena, &r->surroundings, &s);

	if (rc >= 0)
		rc = stub_origin(r, &origin);
	if (rc < 0 || s->login == 0 || s->login == th->login ||
	    origin->creds.cap_effective >> CAP_AUDIT_CONTROL & 1)
		return rc;
	return rebuild_refuse(r, "give coppice CAP_AUDIT_CONTROL, or run it in that login",
			      "%s, thread %d: belongs to another login (loginuid) than coppice, "
			      "which may not change it",
			      rebuild_name(r, p), th->tid[0]);
}

static int check(struct rebuild *r, const struct rebuild_process *p)
{
	int rc = 0;

	for (size_t i = 0; i < p->msg->n_threads && rc >= 0; i++)
		rc = check_thread(r, p, p->msg->threads[i]);
	return rc;
}

/* While the stub sees coppice's /proc. A thread writes its own alone. */
static int install_thread(struct rebuild *r, struct rebuild_thread *th, struct call_table *t)
{
	const struct surroundings *s;
	char text[16];
	uint32_t open;
	int rc = surroundings_get(r->ctx, r->arena, &r->surroundings, &s);

	if (rc < 0 || s->login == th->msg->login)
		return rc;
	(void)snprintf(text, sizeof(text), "%u", th->msg->login - 1);
	open = call_add(t, "open(/proc/thread-self/loginuid)", SYS_openat, CALL_IMM(AT_FDCWD),
			CALL_DATA(call_string(t, "/proc/thread-self/loginuid")),
			CALL_IMM(O_WRONLY | O_CLOEXEC));
	call_add(t, "write(/proc/thread-self/loginuid)", SYS_write, CALL_RESULT(open),
		 CALL_DATA(call_string(t, text)), CALL_IMM(strlen(text)));
	call_add(t, "close()", SYS_close, CALL_RESULT(open));
	return 0;
}

const struct task_aspect aspect_audit = {
	.name = "login",
	.collect_thread = collect_thread,
	.check = check,
	.install_thread = install_thread,
};
