/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests of io_uring in flight are those that were allocated and are not on the list of free ones: no
 * file of /proc counts them, and the counters of the rings do not (one request may complete many times
 * or silently). They are waited for. What completes through the submitting thread (task work) needs
 * it to run, so the threads are made to look for completions meanwhile, as they would have done.
 *
 * A request that completes changes what is open besides: it counts up an eventfd, moves an offset, takes
 * from a pipe. So all rings are waited for before any open file is read.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "file/uring-read.h"
#include "kernel/proc.h"
#include "kernel/view.h"
#include "util/cleanup.h"

static const char uring_link[] = "anon_inode:[io_uring]";

static int count_free(struct uring_reading *s, uint32_t most, uint32_t *ret)
{
	struct view_member list;
	uint64_t at = 0, node = 0;
	uint32_t n = 0;
	int r = uring_place(s, "submit_state", &at);

	if (r == 0)
		r = view_find(s->v, "io_submit_state", "free_list", &list);
	if (r == 0)
		r = view_read(s->v, at + list.offset, &node, sizeof(node));
	while (r == 0 && node != 0 && n < most) {
		r = view_get(s->v, node, "io_wq_work_node", "next", &node);
		n++;
	}
	*ret = n;
	return r;
}

int uring_in_flight(struct uring_reading *s, uint32_t *ret)
{
	uint32_t allocated = 0;
	uint32_t spare = 0;
	int r = uring_get32(s, "nr_req_allocated", &allocated);

	if (r == 0)
		r = count_free(s, allocated, &spare);
	*ret = allocated - spare;
	return r;
}

/* Has every thread of the process look for completions: most have nothing to do with the ring. */
static int let_complete(struct uring_reading *s)
{
	struct collect_process *p = s->probe->process;
	const struct timespec moment = {.tv_nsec = 1000000};
	int r = cancel_point(s->c->ctx);

	for (size_t i = 0; r == 0 && i < p->n_threads; i++) {
		struct call_table t;

		call_table_init(&t, s->c->arena);
		call_expect_any(&t,
				call_add(&t, "io_uring_enter(IORING_ENTER_GETEVENTS)",
					 SYS_io_uring_enter, CALL_IMM(s->probe->number),
					 CALL_IMM(0), CALL_IMM(0), CALL_IMM(IORING_ENTER_GETEVENTS),
					 CALL_IMM(0), CALL_IMM(0)));
		r = puppet_run(s->c->ctx, p->threads[i].puppet, &t);
	}
	if (r == 0)
		(void)nanosleep(&moment, NULL); /* shorter, after a signal, does no harm */
	return r;
}

/* 1: they do not end. */
static int await_idle(struct uring_reading *s)
{
	uint32_t n = 0;
	int r = 0;

	for (int round = 0; r == 0 && round < URING_WAIT_MS; round++) {
		r = uring_in_flight(s, &n);
		if (r < 0 || n == 0)
			return r;
		r = let_complete(s);
	}
	return r < 0 ? r : 1;
}

/* ---- all rings ------------------------------------------------------------------------------ */

static bool is_mapped(const struct collect *c)
{
	for (size_t i = 0; i < c->n_processes; i++)
		for (size_t k = 0; k < c->processes[i].n_maps; k++)
			if (strcmp(c->processes[i].maps[k].name, uring_link) == 0)
				return true;
	return false;
}

/* One that cannot be looked into, or is not kept, is refused when it is read. */
static int await_number(struct collect *c, struct collect_process *p, int number)
{
	_cleanup_close_ int fd = -EBADF;
	struct file_probe probe = {.process = p, .number = number, .link = uring_link};
	struct uring_reading s = {.c = c, .probe = &probe};
	uint32_t flags = 0;
	int r = puppet_fd_out(c->ctx, p->puppet, number, &fd);

	if (r < 0)
		return r;
	probe.fd = fd;
	r = uring_begin(&s);
	if (r == 0)
		r = uring_get32(&s, "flags", &flags);
	if (r == 0 && !(flags & ~(uint32_t)URING_SETUP_KEPT))
		r = await_idle(&s);
	if (view_is_barred(r)) {
		err_clear(c->ctx);
		r = 0;
	}
	return r < 0 ? err_while(c->ctx, r, "waiting for fd %d (%s) of %s", number, uring_link,
				 collect_name(c, p))
		     : r;
}

static int await_process(struct collect *c, struct collect_process *p)
{
	int *numbers;
	size_t n;
	int r = proc_read_numbers(p->proc_fd, "fd", c->arena, &numbers, &n);

	if (r < 0)
		return err_sys(c->ctx, r, "reading /proc/%d/fd", p->pid);
	for (size_t i = 0; r == 0 && i < n; i++) {
		char name[32], target[sizeof(uring_link)];
		ssize_t len;

		(void)snprintf(name, sizeof(name), "fd/%d", numbers[i]);
		len = readlinkat(p->proc_fd, name, target, sizeof(target));
		if (len == (ssize_t)sizeof(uring_link) - 1 &&
		    memcmp(target, uring_link, (size_t)len) == 0)
			r = await_number(c, p, numbers[i]);
	}
	return r;
}

int uring_await(struct collect *c)
{
	int r = 0;

	if (!is_mapped(c))
		return 0;
	for (size_t i = 0; r == 0 && i < c->n_processes; i++) {
		struct collect_process *p = &c->processes[i];

		if (!p->zombie && p->files_owner == p)
			r = await_process(c, p);
	}
	/* After one that is to be refused it is of no use to wait for others. */
	return r < 0 ? r : 0;
}
