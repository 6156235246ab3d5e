/* SPDX-License-Identifier: Apache-2.0 */
/* Rules for descriptor tables, open file descriptions and locks. */
#include <inttypes.h>
#include <signal.h>
#include <sys/wait.h>

#include "image/lookup.h"
#include "image/validate-internal.h"

enum {
	FD_MAX = 1 << 30,	      /* the highest value of fs.nr_open */
	PIPE_CAPACITY_MAX = 1U << 31, /* round_pipe_size(), fs/pipe.c */
	TERMIOS_MAX = 128,	      /* struct termios2 has 44 */
	EPOLL_ALWAYS = 0x18,	      /* EPOLLERR | EPOLLHUP, which every entry has */
	EPOLL_ONESHOT = 1 << 30,      /* but one that has fired */
	SIGNAL_MAX = 64,
	TIMER_FLAGS = 3, /* TFD_TIMER_ABSTIME, TFD_TIMER_CANCEL_ON_SET */
};

int validate_fd_table(const struct validation *v, const ProtobufCMessage *msg)
{
	const Coppice__FdTable *t = (const Coppice__FdTable *)msg;

	for (size_t i = 0; i < t->n_fds; i++) {
		uint32_t number = t->fds[i]->number;

		if (number > FD_MAX || (i > 0 && number <= t->fds[i - 1]->number))
			return invalid(v, "fds[%zu].number: %u is not in order", i, number);
	}
	return 0;
}

static int check_content(const struct validation *v, const char *kind,
			 const Coppice__PipeContent *c)
{
	uint64_t sum = 0;

	if (!c)
		return 0;
	if (c->capacity > PIPE_CAPACITY_MAX)
		return invalid(v, "%s.content.capacity: %u bytes are no pipe", kind, c->capacity);
	if (c->data.len > c->capacity)
		return invalid(v, "%s.content.data: %zu bytes in a pipe of %u", kind, c->data.len,
			       c->capacity);
	for (size_t i = 0; i < c->n_packets; i++)
		sum += c->packets[i];
	if (c->n_packets > 0 && sum != c->data.len)
		return invalid(v, "%s.content.packets: %" PRIu64 " bytes in all, data has %zu",
			       kind, sum, c->data.len);
	return 0;
}

static int check_epoll(const struct validation *v, const Coppice__Epoll *epoll)
{
	for (size_t i = 0; i < epoll->n_entries; i++) {
		const Coppice__EpollEntry *entry = epoll->entries[i];

		if (entry->number > FD_MAX)
			return invalid(v, "epoll.entries[%zu].number: %u", i, entry->number);
		if (!(entry->events & EPOLL_ALWAYS) && !(entry->events & EPOLL_ONESHOT))
			return invalid(v, "epoll.entries[%zu].events: %#x can never be", i,
				       entry->events);
	}
	if (epoll->busy_poll_budget > UINT16_MAX)
		return invalid(v, "epoll.busy_poll_budget: %u", epoll->busy_poll_budget);
	return 0;
}

static int check_timer(const struct validation *v, const Coppice__TimerFd *t)
{
	if (t->flags & ~TIMER_FLAGS)
		return invalid(v, "timerfd.flags: %#x", t->flags);
	if (t->value_ns < 0)
		return invalid(v, "timerfd.value_ns: %" PRId64, t->value_ns);
	if (t->interval_ns < 0)
		return invalid(v, "timerfd.interval_ns: %" PRId64, t->interval_ns);
	return 0;
}

static int check_inotify(const struct validation *v, const Coppice__Inotify *inotify)
{
	if (inotify->next_wd < 0)
		return invalid(v, "inotify.next_wd: %d", inotify->next_wd);
	for (size_t i = 0; i < inotify->n_watches; i++) {
		const Coppice__InotifyWatch *watch = inotify->watches[i];

		if (watch->wd < 1 || (i > 0 && watch->wd <= inotify->watches[i - 1]->wd))
			return invalid(v, "inotify.watches[%zu].wd: %d is not in order", i,
				       watch->wd);
		if (!watch->target)
			return invalid(v, "inotify.watches[%zu].target: missing", i);
	}
	return 0;
}

/* A process is made that ends so: by a signal that ends processes, without a core. */
static int check_pidfd(const struct validation *v, const Coppice__PidFd *pidfd)
{
	const uint64_t others = 1ULL << SIGCHLD | 1ULL << SIGCONT | 1ULL << SIGSTOP |
				1ULL << SIGTSTP | 1ULL << SIGTTIN | 1ULL << SIGTTOU |
				1ULL << SIGURG | 1ULL << SIGWINCH;
	int32_t status = pidfd->exit_status;

	if (pidfd->dead > v->cp->n_files)
		return invalid(v, "pidfd.dead: %u", pidfd->dead);
	if (WIFEXITED(status) ? status != W_EXITCODE(WEXITSTATUS(status), 0)
			      : status < 0 || status > SIGNAL_MAX ||
					(status < SIGNAL_MAX && (others >> status & 1)))
		return invalid(v, "pidfd.exit_status: %#x", status);
	return 0;
}

int validate_file(const struct validation *v, const ProtobufCMessage *msg)
{
	const Coppice__File *file = (const Coppice__File *)msg;

	if (file->offset < 0)
		return invalid(v, "offset: %" PRId64, file->offset);
	switch (file->kind_case) {
	case COPPICE__FILE__KIND__NOT_SET:
		return invalid(v, "kind: missing");
	case COPPICE__FILE__KIND_PIPE:
		if (file->pipe->pipe == 0)
			return invalid(v, "pipe.pipe: missing");
		return check_content(v, "pipe", file->pipe->content);
	case COPPICE__FILE__KIND_FIFO:
		return check_content(v, "fifo", file->fifo->content);
	case COPPICE__FILE__KIND_EPOLL:
		return check_epoll(v, file->epoll);
	case COPPICE__FILE__KIND_FANOTIFY:
		for (size_t i = 0; i < file->fanotify->n_marks; i++)
			if (!file->fanotify->marks[i]->target)
				return invalid(v, "fanotify.marks[%zu].target: missing", i);
		return 0;
	case COPPICE__FILE__KIND_INOTIFY:
		return check_inotify(v, file->inotify);
	case COPPICE__FILE__KIND_PIDFD:
		return check_pidfd(v, file->pidfd);
	case COPPICE__FILE__KIND_TIMERFD:
		return check_timer(v, file->timerfd);
	case COPPICE__FILE__KIND_IO_URING:
		return validate_io_uring(v, file->io_uring);
	case COPPICE__FILE__KIND_BPF_MAP:
		return validate_bpf_map(v, file);
	case COPPICE__FILE__KIND_EXTERNAL:
		if (file->external->resource[0] == '\0')
			return invalid(v, "external.resource: missing");
		return 0;
	case COPPICE__FILE__KIND_TCP:
		return validate_tcp(v, file->tcp);
	case COPPICE__FILE__KIND_PSEUDO:
		if (file->pseudo->pid < 0 || file->pseudo->tid < 0)
			return invalid(v, "pseudo.pid: %d", file->pseudo->pid);
		if ((file->pseudo->path[0] == '/') != (file->pseudo->pid == 0))
			return invalid(v, "pseudo.path: \"%s\"", file->pseudo->path);
		return 0;
	case COPPICE__FILE__KIND_UDP:
		return validate_udp(v, file->udp);
	case COPPICE__FILE__KIND_NETLINK:
		return validate_netlink(v, file->netlink);
	case COPPICE__FILE__KIND_TTY:
		if (file->tty->termios.len > TERMIOS_MAX)
			return invalid(v, "tty.termios: %zu bytes", file->tty->termios.len);
		return 0;
	case COPPICE__FILE__KIND_UNIX_SOCKET:
		return validate_unix_socket(v, file->unix_socket);
	default:
		return 0;
	}
}

/* A lock is taken by a process, through a descriptor that leads to the file. */
static int check_owner(const struct validation *v, const Coppice__FileLock *lock)
{
	uint32_t id;

	if (lock->process == 0)
		return invalid(v, "process: missing");
	id = v->cp->processes[lock->process - 1]->fd_table;
	if (id == 0)
		return invalid(v, "process: %u has no descriptors", lock->process);
	if (!lookup_fd(v->cp->fd_tables[id - 1], lock->fd_number))
		return invalid(v, "fd_number: %u is not open in process %u", lock->fd_number,
			       lock->process);
	return 0;
}

/* Only files that are found or made as an inode can be leased. */
static int check_lease(const struct validation *v, const Coppice__FileLock *lock)
{
	const Coppice__File *file = v->cp->files[lock->file - 1];

	if (file->kind_case == COPPICE__FILE__KIND_REGULAR ||
	    file->kind_case == COPPICE__FILE__KIND_MEMFD)
		return 0;
	return invalid(v, "file: %u is none that can have a lease", lock->file);
}

/* A lock that a mapping of a living process holds. */
static int check_mapped(const struct validation *v, const Coppice__FileLock *lock)
{
	if (lock->process == 0 || v->cp->processes[lock->process - 1]->mm == 0)
		return invalid(v, "process: %u has no mappings", lock->process);
	if (lock->file != 0 || (lock->kind != COPPICE__FILE_LOCK__KIND__FLOCK &&
				lock->kind != COPPICE__FILE_LOCK__KIND__OFD))
		return invalid(v, "kind: %d is none that a mapping holds", (int)lock->kind);
	return 0;
}

int validate_file_lock(const struct validation *v, const ProtobufCMessage *msg)
{
	const Coppice__FileLock *lock = (const Coppice__FileLock *)msg;
	int r;

	if (lock->start < 0 || lock->length < 0)
		return invalid(v, "start: %" PRId64 ", %" PRId64 " bytes", lock->start,
			       lock->length);
	if (lock->inode != 0)
		return check_mapped(v, lock);
	if (lock->file == 0)
		return invalid(v, "file: missing");
	r = check_owner(v, lock);
	return r == 0 && lock->kind == COPPICE__FILE_LOCK__KIND__LEASE ? check_lease(v, lock) : r;
}
