/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree of an epoll instance as it is in the kernel's memory (kernel/view.h): each entry with the
 * address of the struct file that it watches. One walk tells of all entries what kcmp() tells of one.
 */
#include <errno.h>
#include <string.h>

#include "file/epoll.h"
#include "kernel/view.h"
#include "util/cleanup.h"

enum {
	DEPTH_MAX = 64,	  /* of a red-black tree, far beyond what memory has room for */
	ENTRY_READ = 128, /* what holds both the node and the pair that an entry is known by */
};

struct walk {
	struct collect *c;
	struct kernel_view *v;
	struct view_member node, left, right, pair, file, number;
	uint64_t above[DEPTH_MAX]; /* whose left side is done or being walked */
	size_t depth;
};

static int find_members(struct walk *w)
{
	int r = view_find(w->v, "epitem", "rbn", &w->node);

	if (r == 0)
		r = view_find(w->v, "epitem", "ffd", &w->pair);
	if (r == 0)
		r = view_find(w->v, "rb_node", "rb_left", &w->left);
	if (r == 0)
		r = view_find(w->v, "rb_node", "rb_right", &w->right);
	if (r == 0)
		r = view_find(w->v, "epoll_filefd", "file", &w->file);
	if (r == 0)
		r = view_find(w->v, "epoll_filefd", "fd", &w->number);
	/* as ep_insert() and fdinfo have it: a file is followed by its number */
	if (r == 0 && (w->node.offset + sizeof(uint64_t[3]) > ENTRY_READ ||
		       w->pair.offset + sizeof(uint64_t) + sizeof(uint32_t) > ENTRY_READ ||
		       w->file.size != sizeof(uint64_t) || w->number.size != sizeof(uint32_t) ||
		       w->file.offset > sizeof(uint64_t) || w->number.offset > sizeof(uint64_t)))
		return err_msg(w->c->ctx, -ENOENT, "entries of epoll have another form here");
	return r;
}

/* Down to the first entry at or below @at. */
static int descend(struct walk *w, uint64_t at)
{
	int r = 0;

	while (r == 0 && at != 0) {
		if (w->depth == DEPTH_MAX)
			return err_msg(w->c->ctx, -ENOENT, "the entries of an epoll are no tree");
		w->above[w->depth++] = at;
		r = view_read(w->v, at + w->left.offset, &at, sizeof(at));
	}
	return r;
}

static int next_entry(struct walk *w, struct epoll_seen *ret)
{
	unsigned char entry[ENTRY_READ];
	uint64_t right, at;
	int r;

	if (w->depth == 0)
		return err_msg(w->c->ctx, -ENOENT, "an epoll has fewer entries than it shows");
	at = w->above[--w->depth] - w->node.offset;
	r = view_read(w->v, at, entry, sizeof(entry));
	if (r < 0)
		return r;
	memcpy(&ret->file, entry + w->pair.offset + w->file.offset, sizeof(ret->file));
	memcpy(&ret->number, entry + w->pair.offset + w->number.offset, sizeof(ret->number));
	memcpy(&right, entry + w->node.offset + w->right.offset, sizeof(right));
	return descend(w, right);
}

static int find_root(struct walk *w, int fd, uint64_t *ret)
{
	struct view_member cached, plain;
	uint64_t file, instance;
	int r = view_file(w->v, fd, &file);

	if (r == 0)
		r = view_get(w->v, file, "file", "private_data", &instance);
	if (r == 0)
		r = view_find(w->v, "eventpoll", "rbr", &cached);
	if (r == 0)
		r = view_find(w->v, "rb_root_cached", "rb_root", &plain);
	return r < 0 ? r
		     : view_get(w->v, instance + cached.offset + plain.offset, "rb_root", "rb_node",
				ret);
}

int epoll_view(struct collect *c, const struct file_probe *probe, struct epoll_seen *ret, size_t n)
{
	_cleanup_close_ int fd = -EBADF;
	struct walk w = {.c = c};
	uint64_t root = 0;
	int r = collect_view(c, &w.v);

	if (r == 0)
		r = file_probe_dup(c, probe, &fd);
	if (r == 0)
		r = find_members(&w);
	if (r == 0)
		r = find_root(&w, fd, &root);
	if (r == 0)
		r = descend(&w, root);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = next_entry(&w, &ret[i]);
	return r;
}
