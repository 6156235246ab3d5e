/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stubs in PID and user namespaces. What a stub joins comes as a descriptor of ours: whatever /proc
 * it may see is nobody's business.
 *
 * setns() of a PID namespace concerns the children to come alone. It may go to any namespace at or
 * below the caller's own (pidns_install()), so there is always a way back. A namespace without an
 * init has no link below /proc yet; an ioctl of a pidfd tells it all the same
 * (pidfd_ioctl(), 6.11), and whoever enters it makes the init with the numbers that he likes.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernel/sys.h"
#include "puppet/puppet.h"
#include "util/arena.h"
#include "util/cleanup.h"
#include "util/context.h"

static int open_ns(struct context *ctx, const struct puppet *p, const char *name, int *ret_fd)
{
	char path[64];
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/ns/%s", p->tid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(ctx, -errno, "open(%s)", path);
	*ret_fd = fd;
	return 0;
}

static int join(struct context *ctx, struct puppet *p, const char *what, int ns, int type)
{
	_cleanup_(arena_deinit) struct arena arena = {0};
	struct call_table t;
	uint32_t joined;
	int fd, r;

	r = puppet_fds_in(ctx, p, &ns, 1, &fd);
	if (r < 0)
		return r;
	arena_init(&arena, ctx);
	call_table_init(&t, &arena);
	joined = call_add(&t, what, SYS_setns, CALL_IMM(fd), CALL_IMM(type));
	call_expect_any(&t, joined);
	call_add(&t, "close", SYS_close, CALL_IMM(fd));
	r = puppet_run(ctx, p, &t);
	if (r == 0 && call_result(&t, joined) < 0)
		r = call_failed(ctx, &t, joined);
	return r < 0 ? err_while(ctx, r, "task %d", p->tid) : 0;
}

static int unshare_in(struct context *ctx, struct puppet *p, const char *what, int type)
{
	int64_t r =
		puppet_call(ctx, p, what, SYS_unshare, (const struct call_arg[6]){CALL_IMM(type)});

	return r < 0 ? (int)r : 0;
}

int puppet_enter_pid_ns(struct context *ctx, struct puppet *p, int ns, uint32_t depth)
{
	int r = join(ctx, p, "setns(CLONE_NEWPID)", ns, CLONE_NEWPID);

	if (r == 0)
		p->birth_depth = depth;
	return r;
}

int puppet_leave_pid_ns(struct context *ctx, struct puppet *p)
{
	_cleanup_close_ int own = -EBADF;
	int r = open_ns(ctx, p, "pid", &own);

	return r < 0 ? r : puppet_enter_pid_ns(ctx, p, own, p->pid_depth);
}

int puppet_unshare_pid_ns(struct context *ctx, struct puppet *p, int *ret_ns)
{
	_cleanup_close_ int pidfd = -EBADF;
	int r = unshare_in(ctx, p, "unshare(CLONE_NEWPID)", CLONE_NEWPID), fd;

	if (r == 0)
		r = puppet_pidfd(ctx, p, &pidfd);
	if (r < 0)
		return r;
	p->birth_depth = p->pid_depth + 1;
	fd = sys_pidfd_pid_ns_for_children(pidfd);
	if (fd < 0)
		return err_sys(ctx, fd == -ENOTTY ? -EOPNOTSUPP : fd,
			       "ioctl(PIDFD_GET_PID_FOR_CHILDREN_NAMESPACE)");
	*ret_ns = fd;
	return 0;
}

int puppet_join_user_ns(struct context *ctx, struct puppet *p, int ns)
{
	return join(ctx, p, "setns(CLONE_NEWUSER)", ns, CLONE_NEWUSER);
}

int puppet_unshare_user_ns(struct context *ctx, struct puppet *p, int *ret_ns)
{
	int r = unshare_in(ctx, p, "unshare(CLONE_NEWUSER)", CLONE_NEWUSER);

	return r < 0 ? r : open_ns(ctx, p, "user", ret_ns);
}
