/* SPDX-License-Identifier: Apache-2.0 */
#include "file/notify-view.h"

#include <errno.h>

#include "kernel/view.h"

/* The group's own part, a member of the union in it. */
static int find_part(struct collect *c, int fd, const char *member, struct kernel_view **ret_view,
		     uint64_t *ret_address)
{
	struct view_member part;
	uint64_t file, group;
	int r = collect_view(c, ret_view);

	if (r == 0)
		r = view_file(*ret_view, fd, &file);
	if (r == 0)
		r = view_get(*ret_view, file, "file", "private_data", &group);
	if (r == 0)
		r = view_find(*ret_view, "fsnotify_group", member, &part);
	if (r == 0)
		*ret_address = group + part.offset;
	return r;
}

/* What cannot be viewed is not known; all else that fails is an error. */
static int settle(struct collect *c, int r)
{
	if (r == 0)
		return 1;
	if (!view_is_barred(r))
		return r;
	err_clear(c->ctx);
	return 0;
}

int notify_view_next(struct collect *c, int fd, uint64_t *ret)
{
	struct kernel_view *v;
	struct view_member idr;
	uint64_t part = 0;
	int r = find_part(c, fd, "inotify_data", &v, &part);

	if (r == 0)
		r = view_find(v, "inotify_group_private_data", "idr", &idr);
	if (r == 0)
		r = view_get(v, part + idr.offset, "idr", "idr_next", ret);
	return settle(c, r);
}

int notify_view_flags(struct collect *c, int fd, uint64_t *ret)
{
	struct kernel_view *v;
	uint64_t part = 0;
	int r = find_part(c, fd, "fanotify_data", &v, &part);

	if (r == 0)
		r = view_get(v, part, "fanotify_group_private_data", "flags", ret);
	return settle(c, r);
}
