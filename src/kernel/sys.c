/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/sys.h"

#include <errno.h>
#include <linux/ioprio.h>
#include <linux/nsfs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util/macro.h"

/* syscall(2)'s -1 and errno as one value. */
static int result(long r)
{
	return r < 0 ? -errno : (int)r;
}

int sys_pidfd_open(pid_t pid, unsigned int flags)
{
	return result(syscall(__NR_pidfd_open, pid, flags));
}

int sys_pidfd_getfd(int pidfd, int fd)
{
	return result(syscall(__NR_pidfd_getfd, pidfd, fd, 0));
}

int sys_pidfd_send_signal(int pidfd, int sig)
{
	return result(syscall(__NR_pidfd_send_signal, pidfd, sig, NULL, 0));
}

int sys_ns_parent(int ns)
{
	return result(ioctl(ns, NS_GET_PARENT));
}

int sys_ns_user_ns(int ns)
{
	return result(ioctl(ns, NS_GET_USERNS));
}

int sys_ns_owner_uid(int user_ns, uid_t *ret)
{
	return result(ioctl(user_ns, NS_GET_OWNER_UID, ret));
}

#ifndef PIDFD_GET_PID_FOR_CHILDREN_NAMESPACE
#define PIDFD_GET_PID_FOR_CHILDREN_NAMESPACE _IO(0xFF, 6) /* linux/pidfd.h */
#endif

int sys_pidfd_pid_ns_for_children(int pidfd)
{
	return result(ioctl(pidfd, PIDFD_GET_PID_FOR_CHILDREN_NAMESPACE, 0));
}

int sys_pidfd_namespace(int pidfd, const char *name)
{
	/* linux/pidfd.h: PIDFD_GET_CGROUP_NAMESPACE and those that follow it */
	static const char *const names[] = {
		"cgroup", "ipc",
		"mnt",	  "net",
		"pid",	  "pid_for_children",
		"time",	  "time_for_children",
		"user",	  "uts",
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(names[i], name) == 0)
			return result(ioctl(pidfd, _IO(0xFF, i + 1), 0));
	return -EINVAL;
}

int sys_kcmp(pid_t a, pid_t b, int type, unsigned long index_a, unsigned long index_b)
{
	return result(syscall(__NR_kcmp, a, b, type, index_a, index_b));
}

int sys_get_robust_list(pid_t tid, uint64_t *ret_head, uint64_t *ret_len)
{
	void *head;
	size_t len;

	if (syscall(__NR_get_robust_list, tid, &head, &len) < 0)
		return -errno;
	*ret_head = (uint64_t)(uintptr_t)head;
	*ret_len = len;
	return 0;
}

int sys_sched_getattr(pid_t tid, struct sys_sched_attr *ret)
{
	return result(syscall(__NR_sched_getattr, tid, ret, sizeof(*ret), 0));
}

int sys_sched_setattr(pid_t tid, struct sys_sched_attr *attr)
{
	attr->size = sizeof(*attr);
	return result(syscall(__NR_sched_setattr, tid, attr, 0));
}

int sys_ioprio_get(pid_t tid)
{
	return result(syscall(__NR_ioprio_get, IOPRIO_WHO_PROCESS, tid));
}
