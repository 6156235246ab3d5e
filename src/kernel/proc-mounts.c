/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /proc/PID/mountinfo: the mounts that a process can reach from its root, one a line:
 *
 *	36 35 98:0 /root /mount/point rw,noatime shared:1 master:2 - ext4 /dev/sda1 rw,errors=continue
 *
 * Blanks, newlines and backslashes in names are written in octal.
 */
#include "kernel/proc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/proc-read.h"
#include "kernel/scan.h"
#include "util/cleanup.h"

/* A field up to the next blank, unescaped. Returns NULL for an empty one or without memory. */
static char *take_word(const char **at, struct arena *arena, int *error)
{
	size_t len = strcspn(*at, " \n");
	char *word = len > 0 ? arena_alloc(arena, len + 1) : NULL;
	char *to = word;

	if (!word) {
		*error = len > 0 ? -ENOMEM : -EBADMSG;
		return NULL;
	}
	for (size_t i = 0; i < len; to++) {
		const char *p = *at + i;

		if (p[0] == '\\' && len - i >= 4 && scan_digit(p[1]) < 4 && scan_digit(p[2]) < 8 &&
		    scan_digit(p[3]) < 8) {
			*to = (char)(scan_digit(p[1]) << 6 | scan_digit(p[2]) << 3 |
				     scan_digit(p[3]));
			i += 4;
		} else {
			*to = *p;
			i++;
		}
	}
	*to = '\0';
	*at += len;
	return word;
}

/* Moves behind the optional fields ("shared:1") and the dash that ends them. */
static bool skip_optional(const char **at)
{
	for (;;) {
		if (!scan_char(at, ' '))
			return false;
		if ((*at)[0] == '-' && (*at)[1] == ' ') {
			*at += 2;
			return true;
		}
		*at += strcspn(*at, " \n");
	}
}

static int parse_mount(const char **at, struct arena *arena, struct proc_mount *mount)
{
	int r = -EBADMSG;

	if (!scan_int(at, &mount->id) || !scan_char(at, ' ') || !scan_int(at, &mount->parent) ||
	    !scan_char(at, ' ') || !scan_u32(at, 10, &mount->dev_major) || !scan_char(at, ':') ||
	    !scan_u32(at, 10, &mount->dev_minor) || !scan_char(at, ' '))
		return -EBADMSG;
	mount->root = take_word(at, arena, &r);
	if (!mount->root || !scan_char(at, ' '))
		return r;
	mount->point = take_word(at, arena, &r);
	if (!mount->point || !scan_char(at, ' '))
		return r;
	mount->options = take_word(at, arena, &r);
	if (!mount->options || !skip_optional(at))
		return r;
	mount->type = take_word(at, arena, &r);
	if (!mount->type || !scan_char(at, ' '))
		return r;
	/* A source may be the empty string. */
	mount->source = **at == ' ' ? arena_strdup(arena, "") : take_word(at, arena, &r);
	if (!mount->source || !scan_char(at, ' '))
		return r;
	mount->super_options = take_word(at, arena, &r);
	return mount->super_options ? 0 : r;
}

int parse_mounts(const char *text, struct arena *arena, struct proc_mount **ret, size_t *ret_n)
{
	struct proc_mount *mounts = NULL;
	size_t n = 0;

	for (const char *at = text; *at != '\0';) {
		struct proc_mount mount;
		struct proc_mount *slot;
		int r = parse_mount(&at, arena, &mount);

		if (r < 0)
			return r;
		if (!scan_char(&at, '\n') && *at != '\0')
			return -EBADMSG;
		slot = arena_append(arena, &mounts, &n, sizeof(*slot));
		if (!slot)
			return -ENOMEM;
		*slot = mount;
	}
	*ret = mounts;
	*ret_n = n;
	return 0;
}

int proc_read_mounts(int proc_fd, struct arena *arena, struct proc_mount **ret, size_t *ret_n)
{
	_cleanup_free_ char *text = NULL;
	int r;

	r = proc_read_file(proc_fd, "mountinfo", &text, NULL);
	if (r < 0)
		return r;
	return parse_mounts(text, arena, ret, ret_n);
}
