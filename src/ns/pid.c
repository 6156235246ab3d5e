/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PID namespaces: where they are nested, who owns them, what became of their init. The tree root's
 * own comes first; the coordinator's, or one that the root is init of. Every other one is below.
 *
 * A namespace whose init is dead has no other trace than somebody's pid_for_children: /proc still
 * has the link (pid_namespace.child_reaper is never cleared), but nothing can be born there any
 * more. That nobody at all lives in it tells it from a foreign one.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "kernel/sys.h"
#include "ns/ns.h"
#include "util/cleanup.h"

static int add(struct collect *c, uint64_t ino, uint32_t parent, uint32_t owner, uint32_t *ret_id)
{
	struct collect_namespaces *all = c->namespaces;
	struct known_ns *known = arena_append(c->arena, &all->pid, &all->n_pid, sizeof(*known));
	Coppice__PidNs **slot = arena_append(c->arena, &c->cp->pid_namespaces,
					     &c->cp->n_pid_namespaces, sizeof(Coppice__PidNs *));
	Coppice__PidNs *msg = arena_new(c->arena, Coppice__PidNs);

	if (!known || !slot || !msg)
		return err_oom(c->ctx);
	*known = (struct known_ns){.ino = ino};
	*slot = msg;
	coppice__pid_ns__init(msg);
	msg->id = (uint32_t)c->cp->n_pid_namespaces;
	msg->parent = parent;
	msg->user_ns = owner;
	*ret_id = msg->id;
	return 0;
}

static int find_owner(struct collect *c, const struct collect_process *p, int fd, uint32_t *ret)
{
	_cleanup_close_ int owner = sys_ns_user_ns(fd);

	if (owner == -EPERM)
		return collect_refuse(c, NULL,
				      "%s: its PID namespace is owned by a user namespace outside "
				      "coppice's own",
				      collect_name(c, p));
	if (owner < 0)
		return err_sys(c->ctx, owner, "ioctl(NS_GET_USERNS)");
	return user_ns_find(c, p, owner, ret);
}

/* The first: where others live, too, owner and all are not ours to make again. */
static int add_root(struct collect *c, const struct collect_process *root, int fd, uint64_t ino,
		    uint32_t *ret_id)
{
	const struct proc_ns_ids *numbers = &root->status.ns_tgid;
	uint32_t owner = 0;
	int r = 0;

	if (numbers->n > 1 && numbers->id[numbers->n - 1] != 1)
		r = collect_refuse(c, "dump the namespace's init, or run coppice inside",
				   "%s: is in another PID namespace than coppice, and not its init",
				   collect_name(c, root));
	else if (numbers->n > 1)
		r = find_owner(c, root, fd, &owner);
	return r < 0 ? r : add(c, ino, 0, owner, ret_id);
}

static int add_below(struct collect *c, const struct collect_process *p, int fd, uint64_t ino,
		     uint32_t *ret_id)
{
	_cleanup_close_ int above = sys_ns_parent(fd);
	uint32_t parent = 0, owner = 0;
	int r;

	if (above == -EPERM) /* above our own there is none of the tree's */
		return collect_refuse(c, NULL,
				      "%s: uses a PID namespace that is not below the tree root's",
				      collect_name(c, p));
	if (above < 0)
		return err_sys(c->ctx, above, "ioctl(NS_GET_PARENT)");
	r = pid_ns_find(c, p, above, &parent);
	if (r < 0 || parent == 0)
		return r;
	r = find_owner(c, p, fd, &owner);
	return r < 0 ? r : add(c, ino, parent, owner, ret_id);
}

int pid_ns_find(struct collect *c, const struct collect_process *p, int fd, uint32_t *ret_id)
{
	const struct collect_namespaces *all = ns_of(c);
	uint64_t ino;
	int r;

	if (!all)
		return err_oom(c->ctx);
	r = ns_identify(c->ctx, fd, &ino);
	if (r < 0)
		return r;
	*ret_id = ns_known(all->pid, all->n_pid, ino);
	if (*ret_id)
		return 0;
	return all->n_pid ? add_below(c, p, fd, ino, ret_id) : add_root(c, p, fd, ino, ret_id);
}

/* ---- what became of the inits ---------------------------------------------------------------- */

static bool is_init(const struct collect_process *p)
{
	return p->msg->n_pid > 0 && p->msg->pid[p->msg->n_pid - 1] == 1;
}

/* Somebody who lives in the namespace; none of the tree does. */
static int find_inhabitant(struct collect *c, uint64_t ino, pid_t *ret)
{
	_cleanup_closedir_ DIR *dir = opendir("/proc");
	struct dirent *entry;

	if (!dir)
		return err_sys(c->ctx, -errno, "opendir(/proc)");
	*ret = 0;
	while (*ret == 0 && (entry = readdir(dir))) {
		char path[32];
		struct stat st;

		(void)snprintf(path, sizeof(path), "%.16s/ns/pid", entry->d_name);
		if (isdigit((unsigned char)entry->d_name[0]) &&
		    fstatat(dirfd(dir), path, &st, 0) == 0 && st.st_ino == ino)
			*ret = (pid_t)atoi(entry->d_name);
	}
	return 0;
}

static int refuse_foreign(struct collect *c, const struct collect_process *p, pid_t inhabitant)
{
	return collect_refuse(
		c, "dump the tree that both are in",
		"%s: has its children born into a PID namespace whose init is outside "
		"the tree (process %d is in it)",
		collect_name(c, p), inhabitant);
}

/* One that only some pid_for_children refers to: has it had an init, or is it to get one? */
static int judge_uninhabited(struct collect *c, const struct collect_process *p)
{
	uint32_t index = p->msg->pid_ns_for_children - 1;
	Coppice__PidNs *msg = c->cp->pid_namespaces[index];
	pid_t inhabitant = 0;
	struct stat st;
	int r;

	if (fstatat(p->proc_fd, "ns/pid_for_children", &st, 0) < 0) {
		msg->state = COPPICE__PID_NS_STATE__PID_NS_UNBORN;
		return 0;
	}
	r = find_inhabitant(c, c->namespaces->pid[index].ino, &inhabitant);
	return r < 0 || inhabitant == 0 ? r : refuse_foreign(c, p, inhabitant);
}

/*
 * A signal for an init that it does not handle is dropped, but SIGKILL, while somebody traces it
 * (force_sig_info_to_task(), get_signal() in kernel/signal.c). And a zombie whose parent is outside
 * would be reaped there, at once or never.
 */
static int refuse_death(struct collect *c, const struct collect_process *p)
{
	int status = p->msg->exit_status;

	if (!p->zombie)
		return 0;
	if (is_init(p) && WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
		return collect_refuse(
			c, "wait until its parent has reaped it",
			"%s: is a dead init of a PID namespace, killed by a signal that "
			"no init can be killed by again",
			collect_name(c, p));
	if (p->parent)
		return 0;
	return collect_refuse(c, "wait until its parent has reaped it",
			      "%s: is a zombie whose parent is outside the tree",
			      collect_name(c, p));
}

int ns_collect_late(struct collect *c)
{
	struct collect_namespaces *all = ns_of(c);
	int r = 0;

	if (!all)
		return err_oom(c->ctx);
	/* Of the root's own nothing but that it lives can be the case. */
	for (size_t i = 1; i < all->n_pid; i++)
		c->cp->pid_namespaces[i]->state = COPPICE__PID_NS_STATE__PID_NS_DEAD;
	for (size_t i = 0; i < c->n_processes; i++) {
		const struct collect_process *p = &c->processes[i];

		if (!is_init(p) || p->msg->pid_ns == 0)
			continue;
		all->pid[p->msg->pid_ns - 1].inhabited = true;
		c->cp->pid_namespaces[p->msg->pid_ns - 1]->state =
			p->zombie ? COPPICE__PID_NS_STATE__PID_NS_ZOMBIE
				  : COPPICE__PID_NS_STATE__PID_NS_LIVES;
	}
	for (size_t i = 0; r == 0 && i < c->n_processes; i++)
		r = refuse_death(c, &c->processes[i]);
	for (size_t i = 0; r == 0 && i < c->n_processes; i++) {
		const struct collect_process *p = &c->processes[i];
		uint32_t id = p->msg->pid_ns_for_children;

		if (id > 1 && !all->pid[id - 1].inhabited)
			r = judge_uninhabited(c, p);
	}
	return r;
}
