/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Namespaces. PID and user namespaces are saved (src/ns). Of the others every one of every thread has
 * to be the coordinator's, which stubs inherit; also the time namespace for children to come. A
 * namespace that one thread has unshared is named with that thread.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "kernel/scan.h"
#include "kind/task.h"
#include "ns/ns.h"
#include "task/surroundings.h"
#include "util/cleanup.h"

const struct namespace_kind namespace_kinds[NAMESPACE_KINDS] = {
	[NAMESPACE_CGROUP] = {"cgroup", "cgroup", false},
	[NAMESPACE_IPC] = {"ipc", "IPC", false},
	[NAMESPACE_MNT] = {"mnt", "mount", false},
	[NAMESPACE_NET] = {"net", "network", false},
	[NAMESPACE_PID] = {"pid", "PID", true},
	[NAMESPACE_PID_FOR_CHILDREN] = {"pid_for_children", "PID (for its children)", true},
	[NAMESPACE_TIME] = {"time", "time", false},
	[NAMESPACE_TIME_FOR_CHILDREN] = {"time_for_children", "time (for its children)", false},
	[NAMESPACE_USER] = {"user", "user", true},
	[NAMESPACE_UTS] = {"uts", "UTS", false},
};

/*
 * A link that is not there reads as zero: the kernel has no such kind, or, of PID namespaces for
 * children, it has no init yet.
 */
int namespaces_read(const struct proc_dir *dir, const char *prefix,
		    uint64_t ret_ino[NAMESPACE_KINDS])
{
	for (size_t i = 0; i < NAMESPACE_KINDS; i++) {
		_cleanup_free_ char *target = NULL;
		const char *at;
		char path[64];
		int r;

		(void)snprintf(path, sizeof(path), "%sns/%s", prefix, namespace_kinds[i].link);
		/* Half the cost of fstat(), which has to make an inode: "net:[4026531840]". */
		r = proc_dir_link(dir, path, &target);
		if (r < 0 && r != -ENOENT)
			return r;
		ret_ino[i] = 0;
		if (r < 0)
			continue;
		at = strchr(target, '[');
		if (!at++ || !scan_u64(&at, 10, &ret_ino[i]))
			return -EBADMSG;
	}
	return 0;
}

static int refuse(struct collect *c, const struct collect_thread *th, const char *kind)
{
	const struct collect_process *p = th->process;

	if (p->n_threads > 1)
		return collect_refuse(
			c, NULL,
			"%s, thread %d: is in another %s namespace than coppice; this "
			"is not supported yet",
			collect_name(c, p), th->tid, kind);
	return collect_refuse(c, NULL,
			      "%s: is in another %s namespace than coppice; this is not supported "
			      "yet",
			      collect_name(c, p), kind);
}

static int collect_thread(struct collect *c, struct collect_thread *th)
{
	const struct proc_dir dir = collect_dir(c, th->process);
	uint64_t inodes[NAMESPACE_KINDS];
	const struct surroundings *s;
	char prefix[COLLECT_PREFIX];
	int r;

	r = surroundings_get(c->ctx, c->arena, &c->surroundings, &s);
	if (r < 0)
		return r;
	r = namespaces_read(&dir, collect_prefix(th, prefix), inodes);
	if (r < 0)
		return err_sys(c->ctx, r, "reading /proc/%d/ns", th->tid);
	th->user_ns = inodes[NAMESPACE_USER];
	for (size_t i = 0; i < NAMESPACE_KINDS && r >= 0; i++)
		if (!namespace_kinds[i].saved && inodes[i] != s->namespaces[i])
			r = refuse(c, th, namespace_kinds[i].name);
	return r < 0 ? r : ns_collect(c, th, inodes);
}

const struct task_aspect aspect_namespaces = {
	.name = "namespaces",
	.collect = ns_collect_zombie,
	.reply = ns_reply,
	.collect_thread = collect_thread,
};
