/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernel-model [FIRST [COUNT]]: the model kernel against the real one.
 *
 * Random histories of all operations but those on terminals, each done on both. What one refuses the
 * other must refuse, with the same errno; afterwards /proc must show what the model says. Each history
 * has a PID namespace of its own, whose init is the coordinator of src/tree/model.h and does what is
 * done outside; all else that runs in there is a task that does what it is told by shared memory. A
 * failure prints its seed. Needs root: else 77, skipped.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tree/model.h"
#include "util/arena.h"
#include "util/macro.h"

enum { TASKS = 200, OPS = 120, NUMBERS_FROM = 300, DEPTH = 4 };

#define CHILDREN_NS _IO(0xFF, 6) /* PIDFD_GET_PID_FOR_CHILDREN_NAMESPACE */

enum command { CLONE, SETSID, SETPGID, SUBREAPER, EXIT, WAIT, UNSHARE, SETNS };

/* One per task, by its number in the model. */
struct slot {
	int seq, done;
	enum command command;
	long arg[4];
	pid_t tid[TREE_LEVELS]; /* innermost first */
	size_t n_tid;
	int result;
	pid_t pid; /* in the coordinator's namespace */
};

struct world {
	struct model m;
	struct arena arena;
	uint64_t seed, random;
	struct slot *slots;
	int socket[2];	     /* to hand descriptors to whoever is told to take one */
	int32_t next[TASKS]; /* numbers, by namespace */
	char last[200];	     /* what is being done */
};

static struct world *world; /* of this process: there is one */

static _Noreturn void fail(const char *fmt, ...)
{
	va_list ap;

	printf("seed %llu: %s: ", (unsigned long long)world->seed, world->last);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	fflush(stdout);
	_exit(1);
}

static uint32_t pick(uint32_t n)
{
	world->random = world->random * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (uint32_t)((world->random >> 33) % n);
}

/* ---- tasks */

static void futex_wait(int *word, int value)
{
	(void)syscall(SYS_futex, word, FUTEX_WAIT, value, NULL, NULL, 0);
}

static void futex_bump(int *word)
{
	(void)__atomic_add_fetch(word, 1, __ATOMIC_SEQ_CST);
	(void)syscall(SYS_futex, word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

static int take_descriptor(void)
{
	char byte, control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control,
			     .msg_controllen = sizeof(control)};
	int fd;

	if (recvmsg(world->socket[1], &msg, MSG_CMSG_CLOEXEC) < 0)
		return -1;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

static void hand_descriptor(int fd)
{
	char byte = 0, control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control,
			     .msg_controllen = sizeof(control)};

	CMSG_FIRSTHDR(&msg)->cmsg_level = SOL_SOCKET;
	CMSG_FIRSTHDR(&msg)->cmsg_type = SCM_RIGHTS;
	CMSG_FIRSTHDR(&msg)->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(CMSG_FIRSTHDR(&msg)), &fd, sizeof(fd));
	if (sendmsg(world->socket[0], &msg, 0) < 0)
		fail("sendmsg: %s", strerror(errno));
}

static void serve(uint32_t task);

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	(void)!write(fd, text, strlen(text));
	close(fd);
}

/* A new user namespace, so that more can be made in it: create_user_ns() wants its maker mapped. */
static void map_self(void)
{
	write_file("/proc/self/uid_map", "0 0 1");
	write_file("/proc/self/setgroups", "deny");
	write_file("/proc/self/gid_map", "0 0 1");
}

static pid_t own_pid(void)
{
	char text[32] = "";

	return readlink("/proc/self", text, sizeof(text) - 1) < 0 ? -1 : (pid_t)atoi(text);
}

/* The task becomes task @child of the model; returns in the forker alone. */
static int do_clone(struct slot *s, uint32_t child, uint64_t flags, int exit_signal)
{
	struct clone_args args = {
		.flags = flags,
		.exit_signal = (uint64_t)exit_signal,
		.set_tid = s->n_tid ? (uintptr_t)s->tid : 0,
		.set_tid_size = s->n_tid,
	};
	long r = syscall(SYS_clone3, &args, sizeof(args));

	if (r == 0) {
		if (flags & CLONE_NEWUSER)
			map_self();
		world->slots[child].pid = own_pid();
		serve(child);
	}
	return r < 0 ? -errno : 0;
}

static int do_setns(int nstype)
{
	int fd = take_descriptor(), r;

	r = setns(fd, nstype) < 0 ? -errno : 0;
	close(fd);
	return r;
}

static int do_command(struct slot *s)
{
	switch (s->command) {
	case CLONE:
		return do_clone(s, (uint32_t)s->arg[0], (uint64_t)s->arg[1], (int)s->arg[2]);
	case SETSID:
		return setsid() < 0 ? -errno : 0;
	case SETPGID:
		return syscall(SYS_setpgid, s->arg[0], s->arg[1]) < 0 ? -errno : 0;
	case SUBREAPER:
		return prctl(PR_SET_CHILD_SUBREAPER, s->arg[0]) < 0 ? -errno : 0;
	case EXIT:
		_exit((int)s->arg[0]);
	case WAIT:
		return waitpid((pid_t)s->arg[0], NULL, __WALL | WNOHANG) < 0 ? -errno : 0;
	case UNSHARE:
		if (unshare((int)s->arg[0]) < 0)
			return -errno;
		if (s->arg[0] == CLONE_NEWUSER)
			map_self();
		return 0;
	case SETNS:
		return do_setns((int)s->arg[0]);
	}
	return -ENOSYS;
}

static _Noreturn void serve(uint32_t task)
{
	struct slot *s = &world->slots[task];
	int seen = 0;

	prctl(PR_SET_PDEATHSIG, 0);
	futex_bump(&s->done);
	for (;;) {
		while (__atomic_load_n(&s->seq, __ATOMIC_SEQ_CST) == seen)
			futex_wait(&s->seq, seen);
		seen++;
		s->result = do_command(s);
		futex_bump(&s->done);
	}
}

static void await(int *word, int before)
{
	while (__atomic_load_n(word, __ATOMIC_SEQ_CST) == before)
		futex_wait(word, before);
}

/* Has @task do what its slot says; returns what came of it. */
static int order(uint32_t task, enum command command, long a, long b, long c)
{
	struct slot *s = &world->slots[task];
	int before = s->done;

	s->command = command;
	s->arg[0] = a;
	s->arg[1] = b;
	s->arg[2] = c;
	futex_bump(&s->seq);
	if (command == EXIT)
		return 0;
	await(&s->done, before);
	return s->result;
}

static void say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(world->last, sizeof(world->last), fmt, ap);
	va_end(ap);
}

static void agree(int model, int kernel)
{
	if (model != kernel)
		fail("the model says %s (%s), the kernel %s", model ? strerror(-model) : "yes",
		     model ? world->m.why : "", kernel ? strerror(-kernel) : "yes");
}

/* ---- what the kernel shows */

static bool read_field(pid_t pid, const char *field, char *text, size_t size)
{
	char path[64], line[512];
	bool found = false;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "re");
	while (f && !found && fgets(line, sizeof(line), f))
		if (strncmp(line, field, strlen(field)) == 0 && line[strlen(field)] == ':') {
			(void)snprintf(text, size, "%s", line + strlen(field) + 1);
			found = true;
		}
	if (f)
		(void)fclose(f);
	return found;
}

static bool is_zombie(pid_t pid)
{
	char state[64];

	return read_field(pid, "State", state, sizeof(state)) && strchr(state, 'Z');
}

static bool exists(pid_t pid)
{
	char state[64];

	return pid > 0 && read_field(pid, "State", state, sizeof(state));
}

/* The numbers of a field, the tree's levels of them. Returns how many. */
static size_t read_numbers(pid_t pid, const char *field, int32_t *ret)
{
	char text[512], *at = text;
	size_t n = 0;

	if (!read_field(pid, field, text, sizeof(text)))
		return 0;
	for (char *end; n < TREE_LEVELS + 1; at = end) {
		long number = strtol(at, &end, 10);

		if (end == at)
			break;
		ret[n++] = (int32_t)number;
	}
	if (world->m.container && n) {
		n--;
		memmove(ret, ret + 1, n * sizeof(*ret));
	}
	return n;
}

static void compare_numbers(uint32_t task, const char *field, uint32_t pid)
{
	const struct model_task *t = &world->m.tasks[task];
	size_t levels = world->m.namespaces[t->ns].level + 1, n;
	int32_t got[TREE_LEVELS + 2] = {0}, wanted[TREE_LEVELS];

	n = read_numbers(world->slots[task].pid, field, got);
	if (n != levels)
		fail("task %u: %s has %zu levels, the model says %zu", task, field, n, levels);
	model_numbers(&world->m, pid, t->ns, wanted);
	for (size_t i = 0; i < n; i++) {
		/* what is outside shows its number on the outermost level of a host */
		if (world->m.pids[pid].ns == MODEL_NONE)
			got[i] = wanted[i];
		if (got[i] != wanted[i])
			fail("task %u: %s[%zu] is %d, the model says %d", task, field, i, got[i],
			     wanted[i]);
	}
}

static void link_of(pid_t pid, const char *name, char *text, size_t size)
{
	char path[64];
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, name);
	n = readlink(path, text, size - 1);
	text[n < 0 ? 0 : n] = '\0';
}

static void compare_namespaces(uint32_t task)
{
	const struct model_task *t = &world->m.tasks[task];
	const struct model_ns *children = &world->m.namespaces[t->children_ns];
	char own[64], other[64];

	for (uint32_t i = 0; i < task; i++) {
		if (world->m.tasks[i].state != MODEL_LIVING)
			continue;
		link_of(world->slots[task].pid, "user", own, sizeof(own));
		link_of(world->slots[i].pid, "user", other, sizeof(other));
		if ((strcmp(own, other) == 0) != (world->m.tasks[i].user_ns == t->user_ns))
			fail("tasks %u and %u: user namespaces %s and %s", i, task, other, own);
	}
	if (children->init == MODEL_NONE || children->dead)
		return;
	link_of(world->slots[task].pid, "pid_for_children", own, sizeof(own));
	link_of(world->slots[children->init].pid, "pid", other, sizeof(other));
	if (strcmp(own, other) != 0)
		fail("task %u: children in %s, the model says %s", task, own, other);
}

static bool is_used_again(pid_t pid)
{
	for (uint32_t i = 0; i < world->m.n_tasks; i++)
		if (world->m.tasks[i].state != MODEL_GONE && world->slots[i].pid == pid)
			return true;
	return false;
}

static void compare_task(uint32_t task)
{
	const struct model_task *t = &world->m.tasks[task];
	pid_t pid = world->slots[task].pid;
	pid_t parent = t->parent == MODEL_NONE ? 1 : world->slots[t->parent].pid;
	char text[64] = "";

	if (t->state == MODEL_GONE && is_used_again(pid))
		return;
	if ((t->state != MODEL_GONE) != exists(pid))
		fail("task %u (%d) %s", task, pid, exists(pid) ? "is there" : "is gone");
	if (t->state == MODEL_GONE)
		return;
	if ((t->state == MODEL_ZOMBIE) != is_zombie(pid))
		fail("task %u (%d) %s", task, pid, is_zombie(pid) ? "is a zombie" : "is alive");
	if (!read_field(pid, "PPid", text, sizeof(text)) || atoi(text) != parent)
		fail("task %u (%d): its parent is %d, the model says %d", task, pid, atoi(text),
		     parent);
	compare_numbers(task, "NSpid", t->pid);
	compare_numbers(task, "NSsid", t->sid);
	compare_numbers(task, "NSpgid", t->pgid);
	if (t->state == MODEL_LIVING)
		compare_namespaces(task);
}

static void compare_all(void)
{
	for (uint32_t i = 0; i < world->m.n_tasks; i++)
		compare_task(i);
}

/* ---- operations */

/* The root may end, and with the root of a container all do. */
static bool anybody_lives(void)
{
	for (uint32_t t = 0; t < world->m.n_tasks; t++)
		if (world->m.tasks[t].state == MODEL_LIVING)
			return true;
	return false;
}

static uint32_t pick_living(void)
{
	uint32_t t;

	do
		t = pick((uint32_t)world->m.n_tasks);
	while (world->m.tasks[t].state != MODEL_LIVING);
	return t;
}

/* A descriptor of PID namespace @ns: of its init, or of whose children would be born there. */
static int open_ns(uint32_t ns)
{
	struct model *m = &world->m;
	uint32_t init = m->namespaces[ns].init;
	char path[64];

	if (ns == 0 && !m->container)
		return open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
	if (init != MODEL_NONE && m->tasks[init].state == MODEL_LIVING) {
		(void)snprintf(path, sizeof(path), "/proc/%d/ns/pid", world->slots[init].pid);
		return open(path, O_RDONLY | O_CLOEXEC);
	}
	for (uint32_t i = 0; i < m->n_tasks; i++)
		if (m->tasks[i].state == MODEL_LIVING && m->tasks[i].children_ns == ns) {
			int pidfd = (int)syscall(SYS_pidfd_open, world->slots[i].pid, 0);
			int fd = ioctl(pidfd, CHILDREN_NS, 0);

			close(pidfd);
			return fd;
		}
	return -1;
}

/* Numbers for a child in @ns and (@fresh) a new namespace below; innermost first for the slot. */
static void choose_numbers(uint32_t ns, bool fresh, struct slot *s, int32_t *pid,
			   struct model_clone *args)
{
	const struct model *m = &world->m;

	args->n_pid = m->namespaces[ns].level + 1 + fresh;
	args->pid = pid;
	if (fresh)
		pid[args->n_pid - 1] = 1;
	for (size_t level = args->n_pid - fresh; level-- > 0; ns = m->namespaces[ns].parent) {
		bool first = m->namespaces[ns].init == MODEL_NONE && ns;

		pid[level] = first ? 1 : NUMBERS_FROM + world->next[ns]++;
	}
	if (pick(20) == 0)
		pid[0] = NUMBERS_FROM + (int32_t)pick(60); /* it may be in use */
	s->n_tid = args->n_pid;
	for (size_t i = 0; i < s->n_tid; i++)
		s->tid[i] = pid[s->n_tid - 1 - i];
}

/* Where the task may not choose, the kernel does, and tells the model. */
static int clone_as_it_comes(uint32_t actor, struct model_clone *args, int32_t *pid)
{
	uint32_t child = (uint32_t)world->m.n_tasks;
	int r;

	world->slots[actor].n_tid = 0;
	r = order(actor, CLONE, child, (long)args->flags, args->exit_signal);
	if (r < 0)
		return r;
	await(&world->slots[child].done, 0);
	args->n_pid = read_numbers(world->slots[child].pid, "NSpid", pid);
	args->set_tid = false;
	agree(model_clone(&world->m, actor, args, &child), 0);
	return 0;
}

/* The kernel would give an unborn namespace below a dead one an init; the model does not. */
static bool is_below_dead(uint32_t ns)
{
	const struct model_ns *n = &world->m.namespaces[ns];

	return n->init == MODEL_NONE && n->parent != MODEL_NONE &&
	       world->m.namespaces[n->parent].dead;
}

static void op_clone(uint32_t actor)
{
	uint32_t ns = world->m.tasks[actor].children_ns, child = (uint32_t)world->m.n_tasks;
	struct model_clone args = {.set_tid = true};
	int32_t pid[TREE_LEVELS + 2];
	int model, kernel;

	if (is_below_dead(ns))
		return;
	args.flags = (pick(6) ? 0 : CLONE_PARENT) | (pick(8) ? 0 : CLONE_FS) |
		     (pick(8) ? 0 : CLONE_FILES) | (pick(10) ? 0 : CLONE_NEWUSER);
	if (pick(6) == 0 && world->m.namespaces[ns].level < DEPTH)
		args.flags |= CLONE_NEWPID;
	if (actor == 0)
		args.flags &= ~(uint64_t)CLONE_PARENT; /* the model has no siblings of the root */
	args.exit_signal = args.flags & CLONE_PARENT ? 0 : pick(5) ? SIGCHLD : 0;
	choose_numbers(ns, args.flags & CLONE_NEWPID, &world->slots[actor], pid, &args);
	say("task %u: clone(0x%llx) of %u as %d", actor, (unsigned long long)args.flags, child,
	    pid[0]);
	/* the table of descriptors has the socket: that is all that matters */
	model = model_clone(&world->m, actor, &args, &child);
	kernel = order(actor, CLONE, child, (long)args.flags, args.exit_signal);
	agree(model, kernel);
	if (model == 0)
		await(&world->slots[child].done, 0);
	else if (model == -EPERM)
		(void)clone_as_it_comes(actor, &args, pid);
}

static void op_outside(void)
{
	uint32_t ns = pick((uint32_t)world->m.n_namespaces), child = (uint32_t)world->m.n_tasks;
	int own = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC), fd = open_ns(ns), r;
	struct model_clone args = {.exit_signal = SIGCHLD, .set_tid = true};
	struct slot s = {0};
	int32_t pid[TREE_LEVELS + 2];

	if (fd >= 0 && !is_below_dead(ns)) {
		choose_numbers(ns, false, &s, pid, &args);
		if (world->m.container) {
			s.tid[s.n_tid++] = NUMBERS_FROM + 2000 + (int32_t)child;
		}
		say("outside: clone of %u into namespace %u", child, ns);
		if (setns(fd, CLONE_NEWPID) < 0)
			fail("setns: %s", strerror(errno));
		r = do_clone(&s, child, 0, SIGCHLD);
		agree(model_clone_outside(&world->m, 0, ns, &args, &child), r);
		if (r == 0)
			await(&world->slots[child].done, 0);
		(void)setns(own, CLONE_NEWPID);
		close(fd);
	}
	close(own);
}

static void op_setpgid(void)
{
	struct model *m = &world->m;
	uint32_t actor = pick_living(), target = actor, group = m->tasks[pick_living()].pgid;
	int32_t of_target[TREE_LEVELS], of_group[TREE_LEVELS];
	uint32_t ns = m->tasks[actor].ns, level = m->namespaces[ns].level;

	if (pick(3) == 0 && m->tasks[actor].children != MODEL_NONE)
		target = m->tasks[actor].children;
	if (pick(2))
		group = m->tasks[target].pid;
	if (m->tasks[target].state != MODEL_LIVING || m->pids[group].ns == MODEL_NONE)
		return;
	if (m->namespaces[m->tasks[target].ns].init == target && group != m->tasks[target].pid)
		return; /* in a group led from within, init could never die: it would wait for itself */
	model_numbers(m, m->tasks[target].pid, ns, of_target);
	model_numbers(m, group, ns, of_group);
	if (!of_group[level])
		return; /* cannot be named at all */
	say("task %u: setpgid(%u, %d)", actor, target, of_group[0]);
	agree(model_setpgid(m, actor, target, group),
	      order(actor, SETPGID, of_target[level], of_group[level], 0));
}

static void op_setpgid_outside(void)
{
	struct model *m = &world->m;
	uint32_t target = pick_living();
	int r;

	if (m->tasks[target].parent != MODEL_NONE || m->tasks[target].leader != 0)
		return;
	say("outside: setpgid(%u)", target);
	r = setpgid(world->slots[target].pid, getpgid(0)) < 0 ? -errno : 0;
	agree(model_setpgid_outside(m, 0, target, m->outside[0].pgid), r);
}

static bool takes_namespace_along(uint32_t task)
{
	return world->m.namespaces[world->m.tasks[task].ns].init == task;
}

static void op_exit(void)
{
	uint32_t task = pick_living();
	int status = (int)pick(5), r;

	if (takes_namespace_along(task) && pick(3))
		return;
	say("task %u: exit", task);
	r = model_exit(&world->m, task, status << 8);
	if (r < 0)
		return; /* what the kernel would hang in */
	(void)order(task, EXIT, status, 0, 0);
	for (int i = 0; i < 5000 && !is_zombie(world->slots[task].pid); i++)
		usleep(200);
}

static void op_wait(void)
{
	uint32_t child = pick((uint32_t)world->m.n_tasks), parent = world->m.tasks[child].parent;
	int32_t pid[TREE_LEVELS];

	if (world->m.tasks[child].state != MODEL_ZOMBIE)
		return;
	say("wait for task %u", child);
	if (parent == MODEL_NONE) {
		agree(model_wait(&world->m, parent, child),
		      waitpid(world->slots[child].pid, NULL, __WALL) < 0 ? -errno : 0);
		return;
	}
	model_numbers(&world->m, world->m.tasks[child].pid, world->m.tasks[parent].ns, pid);
	agree(model_wait(&world->m, parent, child),
	      order(parent, WAIT, pid[world->m.namespaces[world->m.tasks[parent].ns].level], 0, 0));
}

static void op_enter(void)
{
	uint32_t actor = pick_living(), own = world->m.tasks[actor].ns;
	uint32_t ns = pick(3) ? pick((uint32_t)world->m.n_namespaces) : own;
	int fd = open_ns(ns);

	if (fd < 0)
		return;
	say("task %u: setns to PID namespace %u", actor, ns);
	hand_descriptor(fd);
	close(fd);
	agree(model_enter_pid(&world->m, actor, ns), order(actor, SETNS, CLONE_NEWPID, 0, 0));
}

static void op_user(void)
{
	uint32_t actor = pick_living(), other = pick_living(), ns;
	char path[64];
	int fd;

	if (pick(2)) {
		say("task %u: unshare(CLONE_NEWUSER)", actor);
		agree(model_unshare_user(&world->m, actor, &ns),
		      order(actor, UNSHARE, CLONE_NEWUSER, 0, 0));
		return;
	}
	(void)snprintf(path, sizeof(path), "/proc/%d/ns/user", world->slots[other].pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		fail("open(%s): %s", path, strerror(errno));
	say("task %u: setns to the user namespace of %u", actor, other);
	hand_descriptor(fd);
	close(fd);
	agree(model_join_user(&world->m, actor, world->m.tasks[other].user_ns),
	      order(actor, SETNS, CLONE_NEWUSER, 0, 0));
}

static void op_unshare(void)
{
	uint32_t actor = pick_living(), ns;

	if (world->m.namespaces[world->m.tasks[actor].ns].level >= DEPTH)
		return;
	say("task %u: unshare(CLONE_NEWPID)", actor);
	agree(model_unshare_pid(&world->m, actor, &ns), order(actor, UNSHARE, CLONE_NEWPID, 0, 0));
}

static void random_op(void)
{
	uint32_t dice = pick(100), task;

	if (dice < 40) {
		op_clone(pick_living());
	} else if (dice < 48) {
		task = pick_living();
		say("task %u: setsid", task);
		agree(model_setsid(&world->m, task), order(task, SETSID, 0, 0, 0));
	} else if (dice < 60) {
		op_setpgid();
	} else if (dice < 66) {
		task = pick_living();
		say("task %u: subreaper", task);
		dice = pick(3) != 0;
		agree(model_subreaper(&world->m, task, dice), order(task, SUBREAPER, dice, 0, 0));
	} else if (dice < 78) {
		op_exit();
	} else if (dice < 84) {
		op_wait();
	} else if (dice < 90) {
		op_enter();
	} else if (dice < 92) {
		op_unshare();
	} else if (dice < 95) {
		op_user();
	} else if (dice < 98) {
		op_outside();
	} else {
		op_setpgid_outside();
	}
}

/* ---- the world */

static int make_root(bool container)
{
	struct slot s = {.n_tid = 1, .tid = {1000}};

	if (container) {
		s.n_tid = 2;
		s.tid[0] = 1;
		s.tid[1] = 999;
	}
	if (model_init(&world->m, &world->arena, container ? 1 : 1000, container) < 0)
		return -ENOMEM;
	world->m.outside_adopts = true;
	return do_clone(&s, 0, container ? CLONE_NEWPID : 0, SIGCHLD);
}

static int live(void)
{
	bool container = pick(2);
	int r;

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("proc", "/proc", "proc", 0, NULL) < 0 || setsid() < 0)
		fail("%s", strerror(errno));
	say("the root");
	r = make_root(container);
	if (r < 0)
		fail("%s", strerror(-r));
	await(&world->slots[0].done, 0);
	for (int i = 0; i < OPS && world->m.n_tasks < TASKS - 1 &&
			world->m.n_namespaces < TASKS - 1 && anybody_lives();
	     i++) {
		random_op();
		if (i % 10 == 0)
			compare_all();
	}
	say("the end");
	compare_all();
	return 0;
}

static int one_world(uint64_t seed)
{
	struct clone_args args = {.flags = CLONE_NEWPID | CLONE_NEWNS, .exit_signal = SIGCHLD};
	int status = -1;
	pid_t pid;

	*world = (struct world){.seed = seed, .random = seed * 2654435761u + 1};
	arena_init(&world->arena, NULL);
	world->slots = mmap(NULL, TASKS * sizeof(*world->slots), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (world->slots == MAP_FAILED || socketpair(AF_UNIX, SOCK_DGRAM, 0, world->socket) < 0)
		return 1;
	(void)fflush(stdout);
	pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	if (pid == 0)
		_exit(live());
	if (pid > 0)
		(void)waitpid(pid, &status, 0);
	(void)munmap(world->slots, TASKS * sizeof(*world->slots));
	close(world->socket[0]);
	close(world->socket[1]);
	arena_deinit(&world->arena);
	return status != 0;
}

int main(int argc, char **argv)
{
	uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
	uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 40;
	static struct world the_world;
	unsigned int failed = 0;

	if (geteuid() != 0) {
		printf("skipped: not root\n");
		return 77;
	}
	world = &the_world;
	for (uint64_t seed = first; seed < first + count && failed < 5; seed++)
		failed += (unsigned int)one_world(seed);
	printf("%llu histories of %d operations, %u disagreements\n", (unsigned long long)count,
	       OPS, failed);
	return failed != 0;
}
