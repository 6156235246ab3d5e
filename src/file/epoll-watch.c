/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Adding the entries of an epoll instance again.
 *
 * A process does it that has the instance open, by the first thread's call table: a signalfd wakes
 * whoever watches it by the signals of the process that added it (signalfd_poll()). The number that an entry
 * was added by is part of it; where the process has something else by that number, or nothing, the
 * watched file gets the number for the moment.
 *
 * First those that have fired (EPOLLONESHOT): each is added for anything, and epoll_wait() takes its
 * event; a file that is not ready is roused before, and calmed afterwards. Then those that have
 * reported what they are ready for (EPOLLET): the same, but if there is more to report than at the
 * dump, because others have written meanwhile, they are armed again. Then all others.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/syscall.h>

#include "file/epoll.h"
#include "file/fdtable.h"
#include "image/lookup.h"

struct watcher {
	struct rebuild *r;
	const Coppice__Epoll *epoll;
	const struct rebuild_process *process;
	struct puppet *puppet;
	struct call_table t;
	int *number_of; /* there, by File.id - 1; -1: it has none */
	int epfd;	/* there, away from all numbers of the image */
	int *sent;	/* what was sent for the purpose */
	size_t n_sent;
};

uint32_t epoll_highest_number(const Coppice__Checkpoint *cp)
{
	uint32_t highest = 0;

	for (size_t i = 0; i < cp->n_files; i++) {
		const Coppice__Epoll *epoll = cp->files[i]->epoll;

		if (cp->files[i]->kind_case != COPPICE__FILE__KIND_EPOLL)
			continue;
		for (size_t k = 0; k < epoll->n_entries; k++)
			highest = MAX(highest, epoll->entries[k]->number);
	}
	return highest;
}

/* ---- who does it --------------------------------------------------------------------------- */

static const Coppice__Fd *fd_of(const Coppice__FdTable *table, uint32_t file)
{
	for (size_t i = 0; table && i < table->n_fds; i++)
		if (table->fds[i]->file == file)
			return table->fds[i];
	return NULL;
}

/* The first process that has it; for one that is in flight only, the root. */
static const struct rebuild_process *find_process(const struct rebuild *r, uint32_t file)
{
	for (size_t i = 0; i < r->n_processes; i++) {
		const struct rebuild_process *p = &r->processes[i];

		if (p->owns_files && fd_of(p->fd_table, file))
			return p;
	}
	return &r->processes[0];
}

/* A copy of one of its descriptors, away from all numbers of the image. */
static int copy_away(struct watcher *w, int number)
{
	return (int)puppet_call(w->r->ctx, w->puppet, "fcntl(F_DUPFD_CLOEXEC)", SYS_fcntl,
				(const struct call_arg[6]){CALL_IMM(number),
							   CALL_IMM(F_DUPFD_CLOEXEC),
							   CALL_IMM(w->r->fd_base)});
}

static int send_file(struct watcher *w, uint32_t file, int *ret_number)
{
	int *slot = arena_append(w->r->arena, &w->sent, &w->n_sent, sizeof(*slot));
	int low, r, closed;

	if (!slot)
		return err_oom(w->r->ctx);
	w->n_sent--;
	r = puppet_fds_in(w->r->ctx, w->puppet, &w->r->files[file - 1].fd, 1, &low);
	if (r < 0)
		return r;
	r = copy_away(w, low);
	closed = (int)puppet_call(w->r->ctx, w->puppet, "close()", SYS_close,
				  (const struct call_arg[6]){CALL_IMM(low)});
	if (r < 0 || closed < 0)
		return r < 0 ? r : closed;
	w->sent[w->n_sent++] = r;
	*ret_number = r;
	return 0;
}

/* Its number there; a file that the process has not is sent. */
static int number_of(struct watcher *w, uint32_t file, int *ret)
{
	int *number = &w->number_of[file - 1];
	int r = *number < 0 ? send_file(w, file, number) : 0;

	*ret = *number;
	return r;
}

static int watcher_init(struct watcher *w, struct rebuild *r, const Coppice__File *file)
{
	const Coppice__FdTable *table;
	int number = -1, result;

	*w = (struct watcher){.r = r, .epoll = file->epoll, .epfd = -1};
	w->process = find_process(r, file->id);
	w->puppet = w->process->threads[0].puppet;
	call_table_init(&w->t, r->arena);
	w->number_of = arena_new_n(r->arena, int, r->n_files);
	if (!w->number_of)
		return err_oom(r->ctx);
	memset(w->number_of, 0xff, r->n_files * sizeof(int));
	table = w->process->fd_table;
	for (size_t i = 0; i < table->n_fds; i++)
		w->number_of[table->fds[i]->file - 1] = (int)table->fds[i]->number;
	result = number_of(w, file->id, &number);
	if (result < 0)
		return result;
	w->epfd = copy_away(w, number);
	return MIN(w->epfd, 0);
}

/* ---- one entry ----------------------------------------------------------------------------- */

static void add_ctl(struct watcher *w, int op, const Coppice__EpollEntry *entry, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.u64 = entry->data};

	(void)call_add(&w->t, op == EPOLL_CTL_ADD ? "epoll_ctl(ADD)" : "epoll_ctl(MOD)",
		       SYS_epoll_ctl, CALL_IMM(w->epfd), CALL_IMM(op), CALL_IMM(entry->number),
		       CALL_DATA(call_space(&w->t, &event, sizeof(event))));
}

/* The number is the file's for the moment; what has it otherwise waits elsewhere. */
static void add_ctl_by_loan(struct watcher *w, int op, const Coppice__EpollEntry *entry,
			    uint32_t events, int number)
{
	const Coppice__Fd *fd = lookup_fd(w->process->fd_table, entry->number);
	struct call_arg there = CALL_IMM(entry->number);
	uint32_t kept = 0;

	if (fd)
		kept = call_add(&w->t, "fcntl(F_DUPFD_CLOEXEC)", SYS_fcntl, there,
				CALL_IMM(F_DUPFD_CLOEXEC), CALL_IMM(w->r->fd_base));
	(void)call_add(&w->t, "dup3()", SYS_dup3, CALL_IMM(number), there, CALL_IMM(O_CLOEXEC));
	add_ctl(w, op, entry, events);
	if (!fd) {
		(void)call_add(&w->t, "close()", SYS_close, there);
		return;
	}
	(void)call_add(&w->t, "dup3()", SYS_dup3, CALL_RESULT(kept), there,
		       CALL_IMM(fd->cloexec ? O_CLOEXEC : 0));
	(void)call_add(&w->t, "close()", SYS_close, CALL_RESULT(kept));
}

static int add_entry(struct watcher *w, int op, const Coppice__EpollEntry *entry, uint32_t events)
{
	const Coppice__Fd *fd = NULL;
	int number = -1;
	int r = number_of(w, entry->file, &number);

	if (r < 0)
		return r;
	/* the file may have several numbers, this one among them */
	if (number != (int)entry->number)
		fd = lookup_fd(w->process->fd_table, entry->number);
	if (number == (int)entry->number || (fd && fd->file == entry->file))
		add_ctl(w, op, entry, events);
	else
		add_ctl_by_loan(w, op, entry, events, number);
	return 0;
}

/* Takes one event, and returns where it will be. */
static uint32_t add_wait(struct watcher *w)
{
	uint32_t at = call_space(&w->t, NULL, sizeof(struct epoll_event));

	(void)call_add(&w->t, "epoll_pwait()", SYS_epoll_pwait, CALL_IMM(w->epfd), CALL_DATA(at),
		       CALL_IMM(1), CALL_IMM(0));
	return at;
}

static int run(struct watcher *w)
{
	int r = 0;

	if (w->t.n_calls > 0 || w->t.failed)
		r = puppet_run(w->r->ctx, w->puppet, &w->t);
	call_table_reset(&w->t);
	if (r == -EBADF || r == -EMFILE)
		return err_hint(w->r->ctx, r, "raise RLIMIT_NOFILE");
	return r;
}

/* ---- those that have fired ----------------------------------------------------------------- */

static int rouse(struct watcher *w, const Coppice__EpollEntry *entry, bool on)
{
	const struct rebuild_file *file = &w->r->files[entry->file - 1];
	const struct file_kind *kind = file_kind_of(file->msg);

	return kind->rouse ? kind->rouse(w->r, file->msg, file->fd, on) : 0;
}

static int is_ready(struct watcher *w, const Coppice__EpollEntry *entry)
{
	struct pollfd poll_fd = {
		.fd = w->r->files[entry->file - 1].fd,
		.events = (short)EPOLL_ANYTHING,
	};

	return poll(&poll_fd, 1, 0) < 0 ? err_sys(w->r->ctx, -errno, "poll()")
					: poll_fd.revents != 0;
}

static int fire(struct watcher *w, const Coppice__EpollEntry *entry)
{
	int ready = is_ready(w, entry);
	int r = ready == 0 ? rouse(w, entry, true) : ready;

	if (r >= 0)
		r = add_entry(w, EPOLL_CTL_ADD, entry, entry->events | EPOLL_ANYTHING);
	if (r < 0)
		return r;
	(void)add_wait(w);
	call_expect_exact(&w->t, (uint32_t)w->t.n_calls - 1, 1);
	r = run(w);
	if (r < 0)
		return err_while(w->r->ctx, r, "having the entry for %u fire", entry->number);
	return ready == 0 ? rouse(w, entry, false) : 0;
}

static int fire_all(struct watcher *w)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < w->epoll->n_entries; i++)
		if (epoll_is_disarmed(w->epoll->entries[i]))
			r = fire(w, w->epoll->entries[i]);
	return r;
}

/* ---- those that have reported -------------------------------------------------------------- */

/* Positive: each has taken what it was to take, and no more. */
static int took_as_expected(struct watcher *w, const uint32_t *places)
{
	size_t k = 0;

	for (size_t i = 0; i < w->epoll->n_entries; i++) {
		const Coppice__EpollEntry *entry = w->epoll->entries[i];
		const struct epoll_event *event;

		if (!entry->reported)
			continue;
		event = call_bytes(&w->t, places[k++]);
		if (event->data.u64 != entry->data || (event->events & ~entry->reported))
			return 0;
	}
	return 1;
}

static int add_reported(struct watcher *w, int op)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < w->epoll->n_entries; i++)
		if (w->epoll->entries[i]->reported)
			r = add_entry(w, op, w->epoll->entries[i], w->epoll->entries[i]->events);
	return r;
}

static int report_all(struct watcher *w)
{
	uint32_t *places = NULL;
	size_t n = 0;
	int r;

	for (size_t i = 0; i < w->epoll->n_entries; i++) {
		const Coppice__EpollEntry *entry = w->epoll->entries[i];
		uint32_t *slot;

		if (!entry->reported)
			continue;
		slot = arena_append(w->r->arena, &places, &n, sizeof(*slot));
		if (!slot)
			return err_oom(w->r->ctx);
		r = add_entry(w, EPOLL_CTL_ADD, entry, entry->events);
		if (r < 0)
			return r;
		*slot = add_wait(w);
	}
	if (n == 0)
		return 0;
	r = puppet_run(w->r->ctx, w->puppet, &w->t);
	if (r >= 0)
		r = took_as_expected(w, places);
	call_table_reset(&w->t);
	if (r != 0)
		return r < 0 ? r : 0;
	r = add_reported(w, EPOLL_CTL_MOD);
	return r < 0 ? r : run(w);
}

/* ---- all ----------------------------------------------------------------------------------- */

static int add_others(struct watcher *w)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < w->epoll->n_entries; i++) {
		const Coppice__EpollEntry *entry = w->epoll->entries[i];

		if (!entry->reported && !epoll_is_disarmed(entry))
			r = add_entry(w, EPOLL_CTL_ADD, entry, entry->events);
	}
	return r < 0 ? r : run(w);
}

static int close_own(struct watcher *w)
{
	if (w->epfd >= 0)
		(void)call_add(&w->t, "close()", SYS_close, CALL_IMM(w->epfd));
	for (size_t i = 0; i < w->n_sent; i++)
		(void)call_add(&w->t, "close()", SYS_close, CALL_IMM(w->sent[i]));
	return run(w);
}

int epoll_watch(struct rebuild *r, const Coppice__File *file, int fd _unused_)
{
	struct watcher w;
	int result;

	if (file->epoll->n_entries == 0)
		return 0;
	result = watcher_init(&w, r, file);
	if (result >= 0)
		result = fire_all(&w);
	if (result >= 0)
		result = report_all(&w);
	if (result >= 0)
		result = add_others(&w);
	return result < 0 ? result : close_own(&w);
}
