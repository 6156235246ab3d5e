/* SPDX-License-Identifier: Apache-2.0 */
#include "file/owner.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "file/number.h"
#include "util/macro.h"

#ifndef F_GETOWNER_UIDS
#define F_GETOWNER_UIDS 17 /* linux/fcntl.h; needs CONFIG_CHECKPOINT_RESTORE */
#endif

/* ---- collect ------------------------------------------------------------------------------- */

int owner_collect(struct collect *c, const struct file_probe *probe, Coppice__File *file)
{
	struct f_owner_ex owner = {};
	uid_t uids[2] = {};
	int signal;
	pid_t number;

	if (file->flags & O_PATH)
		return 0;
	if (fcntl(probe->fd, F_GETOWN_EX, &owner) < 0)
		return err_sys(c->ctx, -errno, "fcntl(F_GETOWN_EX)");
	signal = fcntl(probe->fd, F_GETSIG);
	if (signal < 0)
		return err_sys(c->ctx, -errno, "fcntl(F_GETSIG)");
	if (owner.pid == 0 && signal == 0)
		return 0;
	number = owner.pid != 0 ? number_in_tree(c, owner.type, owner.pid) : 0;
	if (owner.pid != 0 && number == 0)
		return collect_refuse(
			c, "clear it with fcntl(F_SETOWN), or dump the owner as well",
			"%s, fd %d (%s): its owner for signals, %d, is outside the tree",
			collect_name(c, probe->process), probe->number, probe->link, owner.pid);
	if (owner.pid != 0 && fcntl(probe->fd, F_GETOWNER_UIDS, uids) < 0)
		return err_sys(c->ctx, -errno, "fcntl(F_GETOWNER_UIDS)");
	file->owner = arena_new(c->arena, Coppice__FileOwner);
	if (!file->owner)
		return err_oom(c->ctx);
	coppice__file_owner__init(file->owner);
	file->owner->type = owner.pid != 0 ? owner.type : F_OWNER_TID;
	file->owner->pid = number;
	file->owner->signal = signal;
	file->owner->uid = uids[0];
	file->owner->euid = uids[1];
	return 0;
}

/* ---- rebuild ------------------------------------------------------------------------------- */

/*
 * The kernel notes the caller's real and effective uid with the owner. The saved uid stays ours, so
 * that both come back; glibc's wrapper is avoided because it is for processes with threads.
 */
static int set_owner_as(struct rebuild *r, int fd, const struct f_owner_ex *owner, uid_t uid,
			uid_t euid)
{
	uid_t real, effective, saved;
	int result;

	if (getresuid(&real, &effective, &saved) < 0)
		return err_sys(r->ctx, -errno, "getresuid()");
	if (uid == real && euid == effective)
		return fcntl(fd, F_SETOWN_EX, owner) < 0 ? -errno : 0;
	if (syscall(SYS_setresuid, uid, euid, effective) < 0)
		return err_sys(r->ctx, -errno, "setresuid(%u, %u)", uid, euid);
	result = fcntl(fd, F_SETOWN_EX, owner) < 0 ? -errno : 0;
	if (syscall(SYS_setresuid, real, effective, saved) < 0)
		return err_sys(r->ctx, -errno, "setresuid() back to %u", effective);
	return result;
}

int owner_rebuild(struct rebuild *r, const Coppice__File *file, int fd)
{
	const Coppice__FileOwner *owner = file->owner;
	struct f_owner_ex ex;
	int result;

	if (!owner)
		return 0;
	if (owner->signal != 0 && fcntl(fd, F_SETSIG, owner->signal) < 0)
		return err_sys(r->ctx, -errno, "fcntl(F_SETSIG, %d)", owner->signal);
	if (owner->pid == 0)
		return 0;
	ex = (struct f_owner_ex){.type = owner->type,
				 .pid = number_here(r, owner->type, owner->pid)};
	if (ex.pid == 0)
		return err_msg(r->ctx, -EBADMSG, "the owner for signals, %d, is not in the tree",
			       owner->pid);
	result = set_owner_as(r, fd, &ex, owner->uid, owner->euid);
	return result < 0 ? err_sys(r->ctx, result, "fcntl(F_SETOWN_EX, %d)", owner->pid) : 0;
}
