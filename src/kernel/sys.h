/* SPDX-License-Identifier: Apache-2.0 */
/* Thin wrappers of system calls that glibc 2.36 has none for. 0 or a value, or -errno. */
#pragma once

#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

int sys_pidfd_open(pid_t pid, unsigned int flags);
int sys_pidfd_getfd(int pidfd, int fd);
int sys_pidfd_send_signal(int pidfd, int sig);
/*
 * Namespaces, given by descriptors (ioctl_ns(2)); what is returned is a descriptor, too. -EPERM: it is
 * outside our own.
 */
int sys_ns_parent(int ns);
int sys_ns_user_ns(int ns); /* the owner */
int sys_ns_owner_uid(int user_ns, uid_t *ret);
/*
 * The PID namespace that the next child of the process is born into, also one without an init as yet
 * (PIDFD_GET_PID_FOR_CHILDREN_NAMESPACE, 6.11). -ENOTTY: this kernel cannot tell.
 */
int sys_pidfd_pid_ns_for_children(int pidfd);
/* A namespace of the process by its name below /proc/PID/ns, as above. -EINVAL: there is no such name. */
int sys_pidfd_namespace(int pidfd, const char *name);
/* kcmp(2): 0 equal, 1 less, 2 greater, 3 unordered, or -errno. */
int sys_kcmp(pid_t a, pid_t b, int type, unsigned long index_a, unsigned long index_b);
int sys_get_robust_list(pid_t tid, uint64_t *ret_head, uint64_t *ret_len);

/* struct sched_attr, as of sched_setattr(2); named apart from newer headers' own. */
struct sys_sched_attr {
	uint32_t size;
	uint32_t policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime;
	uint64_t deadline;
	uint64_t period;
	uint32_t util_min;
	uint32_t util_max;
};
int sys_sched_getattr(pid_t tid, struct sys_sched_attr *ret);
/* @attr->size is filled in. */
int sys_sched_setattr(pid_t tid, struct sys_sched_attr *attr);
/* The I/O priority of one thread. */
int sys_ioprio_get(pid_t tid);
