/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A restored program that is subtly wrong is the worst outcome there is. So before anything runs,
 * the restored tree is read back by the code that dump uses and compared with the image, field by
 * field. What may differ is listed here, each entry with its reason; docs/STATE.md has the same
 * list for users.
 */
#include "checkpoint/verify.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "checkpoint/collect.h"
#include "image/diff.h"
#include "image/walk.h"
#include "task/memory.h"
#include "task/registers.h"
#include "util/cleanup.h"

struct verify {
	struct rebuild *rebuild;
	struct arena arena;
	struct collect collect;
	size_t n_differences;
	char first[ERR_TEXT];
};

/* Field paths (walk_path_matches) in which the restored tree may differ from the image. */
static const struct {
	const char *path;
	const char *reason;
} unpreservable[] = {
	{"origin", "where and when each of the two was collected"},
	{"origin.*", "where and when each of the two was collected"},
	{"page_files", "page content is no part of collecting"},
	{"page_files[].*", "page content is no part of collecting"},
	{"inodes[].dev", "on another machine the same file lies elsewhere"},
	{"inodes[].ino", "on another machine the same file lies elsewhere"},
	{"inodes[].fs_type", "on another machine the same file lies elsewhere"},
	{"mms[].pages", "compared by memory_compare, not field by field"},
	{"mms[].pages[].*", "compared by memory_compare, not field by field"},
	{"inodes[].content_xxh3", "compared before the restore (--check-content)"},
	{"inodes[].content", "page content is no part of collecting"},
	{"inodes[].content[].*", "page content is no part of collecting"},
	{"processes[].cow_parent", "found by comparing pages when content is written"},
	{"processes[].itimers[].value_ns", "armed after verification, so that no time is lost"},
	{"processes[].itimers[].interval_ns", "armed after verification, so that no time is lost"},
	{"processes[].threads[].dispatch", "set when the thread has made its last call for us"},
	{"processes[].threads[].dispatch.*", "set when the thread has made its last call for us"},
	{"files[].epoll.entries[].reported", "others may have sent something meanwhile"},
	{"files[].inotify.next_wd", "the kernel shows it to few, and perhaps not here"},
	{"files[].timerfd.value_ns", "armed after verification"},
	{"processes[].posix_timers[].value_ns", "armed after verification"},
	{"processes[].posix_timers[].interval_ns", "armed after verification"},
	{"processes[].no_exec_since_fork", "only execve clears PF_FORKNOEXEC, and a stub that is "
					   "forked does not exec; setpgid of the "
					   "process by its parent is all that asks for it"},
	{"processes[].stop_unnoticed", "asked when a dump settles; nothing changes it here"},
	{"files[].tcp.tcp.quick_ack",
	 "set, but the kernel leaves the mode when a confirmation was late"},
	{"files[].tcp.connection.timestamp", "a clock, which goes on"},
	{"processes[].posix_timers[].overrun", "the kernel lets nobody set it"},
};

struct comparison {
	const Coppice__Checkpoint *image;
	int (*found)(void *data, const struct difference *d);
	void *data;
	bool stubs; /* what is compared with are stubs */
};

/* A deleted file whose name somebody else has now, or whose directory is gone, gets another. */
static bool is_deleted_name(const Coppice__Checkpoint *image, const struct walk_path *path)
{
	const struct walk_path *inode = path->up;

	if (!walk_path_matches(path, "inodes[].path") || inode->index >= image->n_inodes)
		return false;
	return image->inodes[inode->index]->storage ==
		       COPPICE__INODE_STORAGE__INODE_STORAGE_DELETED ||
	       image->inodes[inode->index]->unlinked;
}

/*
 * What a TCP connection's peer may send can have grown since, as a new socket has more room for it, and a
 * late confirmation or a look at the queue tells so; it never shrinks (tcp_select_window()).
 */
static bool is_larger_window(const struct difference *d)
{
	return d->a && d->b &&
	       walk_path_matches(d->path, "files[].tcp.connection.receive_window") &&
	       *(const uint32_t *)d->b > *(const uint32_t *)d->a;
}

/*
 * What others have sent since the socket has its name again. To a connection nobody can, but coppice: its
 * packets are held back, or both ends are in the tree.
 */
static bool has_come_since(const Coppice__Checkpoint *image, const struct difference *d)
{
	const struct walk_path *file;

	if (d->a || !d->b)
		return false;
	if (walk_path_matches(d->path, "files[].udp.queue[]"))
		return true;
	if (!walk_path_matches(d->path, "files[].unix_socket.queue[]"))
		return false;
	file = d->path->up->up;
	return file->index < image->n_files &&
	       image->files[file->index]->kind_case == COPPICE__FILE__KIND_UNIX_SOCKET &&
	       image->files[file->index]->unix_socket->type == SOCK_DGRAM;
}

/* What a stub has none of yet. */
static bool is_register(const struct walk_path *path)
{
	return walk_path_matches(path, "processes[].threads[].regs") ||
	       walk_path_matches(path, "processes[].threads[].xstate") ||
	       walk_path_matches(path, "processes[].threads[].sigmask");
}

static bool may_differ(void *data, const struct difference *d)
{
	const struct comparison *comparison = data;

	if (comparison->stubs && is_register(d->path))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(unpreservable); i++)
		if (walk_path_matches(d->path, unpreservable[i].path))
			return true;
	return is_larger_window(d) || has_come_since(comparison->image, d) ||
	       is_deleted_name(comparison->image, d->path);
}

static int pass_on(void *data, const struct difference *d)
{
	const struct comparison *comparison = data;

	return comparison->found ? comparison->found(comparison->data, d) : 0;
}

int verify_diff(struct context *ctx, const Coppice__Checkpoint *image,
		const Coppice__Checkpoint *restored,
		int (*found)(void *data, const struct difference *d), void *data)
{
	struct comparison comparison = {.image = image, .found = found, .data = data};
	const struct diff diff = {.ignore = may_differ, .found = pass_on, .data = &comparison};

	return message_diff(ctx, &diff, &image->base, &restored->base);
}

static void note_text(void *data, const char *text)
{
	struct verify *v = data;

	if (v->n_differences++ == 0)
		(void)snprintf(v->first, sizeof(v->first), "%s", text);
	log_info(v->rebuild->ctx, "the restored tree differs: %s", text);
}

static int note(void *data, const struct difference *d)
{
	note_text(data, d->text);
	return 0;
}

/* The rebuilt processes as what a seize would have found. */
static int as_puppet_tree(struct verify *v, struct puppet_tree *ret)
{
	struct rebuild *r = v->rebuild;

	ret->n_processes = r->n_processes;
	ret->processes = arena_new_n(&v->arena, struct puppet_process, r->n_processes);
	if (!ret->processes)
		return err_oom(r->ctx);
	for (size_t i = 0; i < r->n_processes; i++) {
		const struct rebuild_process *p = &r->processes[i];
		struct puppet_process *held = &ret->processes[i];

		held->pid = p->pid;
		held->zombie = p->n_threads == 0;
		held->n_tasks = p->n_threads;
		held->tasks = arena_new_n(&v->arena, struct puppet *, p->n_threads);
		if (!held->tasks)
			return err_oom(r->ctx);
		for (size_t k = 0; k < p->n_threads; k++)
			held->tasks[k] = p->threads[k].puppet;
	}
	return 0;
}

void verify_free(struct verify *v)
{
	if (!v)
		return;
	collect_deinit(&v->collect);
	arena_deinit(&v->arena);
	free(v);
}

static void verify_freep(struct verify **v)
{
	verify_free(*v);
}

int verify_collect(struct rebuild *r, struct verify **ret_verify)
{
	_cleanup_(verify_freep) struct verify *v = calloc(1, sizeof(*v));
	/* the image has what dump allowed; who connects to it meanwhile it will accept */
	const struct collect_options opt = {
		.shell_job = r->opt.shell_job,
		.ext_unix = true,
		.tcp_established = true,
		.skip_in_flight = true,
	};
	struct puppet_tree tree = {0};
	int rc;

	if (!v)
		return err_oom(r->ctx);
	v->rebuild = r;
	arena_init(&v->arena, r->ctx);
	collect_init(&v->collect, r->ctx, &v->arena, &opt);
	v->collect.stubs = true;
	v->collect.rebuilt = r;
	v->collect.hide_start = r->stub_base;
	v->collect.hide_end = r->stub_base + r->stub_size;
	v->collect.hide_fd_from = r->fd_base;
	rc = as_puppet_tree(v, &tree);
	if (rc < 0)
		return rc;
	rc = collect_tree(&v->collect, &tree);
	if (rc < 0)
		return err_while(r->ctx, rc, "collecting the restored tree to verify it");
	if (v->collect.n_refusals > 0) {
		rc = refusals_error(r->ctx, v->collect.refusals, v->collect.n_refusals,
				    "coppice check -t");
		return err_while(r->ctx, rc, "collecting the restored tree to verify it");
	}
	*ret_verify = TAKE_PTR(v);
	return 0;
}

/* The error that the differences found so far amount to, or 0. */
static int verdict(struct verify *v)
{
	struct rebuild *r = v->rebuild;

	if (v->n_differences == 0)
		return 0;
	(void)err_msg(r->ctx, -EUCLEAN, "%s", v->first);
	(void)err_while(
		r->ctx, -EUCLEAN,
		"comparing the restored tree with the image: %zu difference%s (image != restored)",
		v->n_differences, v->n_differences > 1 ? "s" : "");
	return err_hint(r->ctx, -EUCLEAN, "-v lists every difference");
}

int verify_compare(struct verify *v)
{
	struct rebuild *r = v->rebuild;
	struct comparison comparison = {.image = r->cp, .found = note, .data = v, .stubs = true};
	const struct diff diff = {.ignore = may_differ, .found = pass_on, .data = &comparison};
	int rc = message_diff(r->ctx, &diff, &r->cp->base, &v->collect.cp->base);

	/* Which pages are there; what is in them if page files are to be checked, too. */
	if (rc >= 0)
		rc = memory_compare(&v->collect, r->cp, r->images, r->opt.check_pages, note_text,
				    v);
	return rc < 0 ? rc : verdict(v);
}

static bool same_bytes(const ProtobufCBinaryData *a, const ProtobufCBinaryData *b)
{
	return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}

static void compare_thread(struct verify *v, const Coppice__Thread *image,
			   const Coppice__Thread *restored)
{
	const char *what = !same_bytes(&image->regs, &restored->regs)	    ? "regs"
			   : !same_bytes(&image->xstate, &restored->xstate) ? "xstate"
			   : image->sigmask != restored->sigmask	    ? "sigmask"
									    : NULL;
	char text[64];

	if (!what)
		return;
	(void)snprintf(text, sizeof(text), "thread %d: %s", image->tid[0], what);
	note_text(v, text);
}

int verify_compare_registers(struct verify *v)
{
	struct collect *c = &v->collect;

	for (size_t i = 0; i < c->n_processes; i++)
		for (size_t k = 0; k < c->processes[i].n_threads; k++) {
			struct collect_thread *th = &c->processes[i].threads[k];
			int rc = puppet_look(c->ctx, th->puppet);

			if (rc >= 0)
				rc = registers_collect(c, th);
			if (rc < 0)
				return err_while(c->ctx, rc, "reading the registers of thread %d",
						 th->tid);
			compare_thread(v, v->rebuild->cp->processes[i]->threads[k], th->msg);
		}
	return verdict(v);
}
