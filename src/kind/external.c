/* SPDX-License-Identifier: Apache-2.0 */
#include "kind/external.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "kernel/scan.h"
#include "util/macro.h"

static const struct {
	const char *begin;
	enum resource_type type;
	unsigned int base;
	bool pair;
} forms[] = {
	{"pipe:[", RESOURCE_PIPE, 10, false},	  {"pipe[", RESOURCE_PIPE, 10, false},
	{"socket:[", RESOURCE_SOCKET, 10, false}, {"unix[", RESOURCE_SOCKET, 10, false},
	{"tty[", RESOURCE_TTY, 16, true},	  {"file[", RESOURCE_FILE, 16, true},
};

static bool scan_form(const char **at, size_t form, struct resource *resource)
{
	resource->type = forms[form].type;
	if (forms[form].pair &&
	    (!scan_u64(at, forms[form].base, &resource->first) || !scan_char(at, ':')))
		return false;
	return scan_u64(at, forms[form].base, &resource->inode) && scan_char(at, ']');
}

int resource_parse(const char *text, struct resource *ret)
{
	struct resource resource = {.type = RESOURCE_PATH};
	const char *at = text;

	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		if (!scan_literal(&at, forms[i].begin))
			continue;
		if (!scan_form(&at, i, &resource) || *at != '\0')
			return -EINVAL;
		*ret = resource;
		return 0;
	}
	/* A mistake in one of the forms is not taken for a path. */
	if (strpbrk(text, "[]") && !strchr(text, '/'))
		return -EINVAL;
	resource.path = text + strspn(text, "/");
	if (resource.path[0] == '\0')
		return -EINVAL;
	*ret = resource;
	return 0;
}

int inherited_fd_parse(const char *text, struct inherited_fd *ret)
{
	const char *at = text;
	struct inherited_fd inherited;
	int r;

	if (!scan_literal(&at, "fd[") || !scan_int(&at, &inherited.fd) || inherited.fd < 0 ||
	    !scan_literal(&at, "]:"))
		return -EINVAL;
	inherited.text = at;
	r = resource_parse(at, &inherited.resource);
	if (r == 0)
		*ret = inherited;
	return r;
}

void resource_format(const struct resource *resource, char buf[RESOURCE_TEXT])
{
	switch (resource->type) {
	case RESOURCE_PIPE:
		(void)snprintf(buf, RESOURCE_TEXT, "pipe:[%" PRIu64 "]", resource->inode);
		break;
	case RESOURCE_SOCKET:
		(void)snprintf(buf, RESOURCE_TEXT, "socket:[%" PRIu64 "]", resource->inode);
		break;
	case RESOURCE_TTY:
		(void)snprintf(buf, RESOURCE_TEXT, "tty[%" PRIx64 ":%" PRIx64 "]", resource->first,
			       resource->inode);
		break;
	default:
		(void)snprintf(buf, RESOURCE_TEXT, "file[%" PRIx64 ":%" PRIx64 "]", resource->first,
			       resource->inode);
		break;
	}
}

bool resource_equal(const struct resource *a, const struct resource *b)
{
	if (a->type != b->type)
		return false;
	if (a->type == RESOURCE_PATH)
		return strcmp(a->path, b->path) == 0;
	return a->first == b->first && a->inode == b->inode;
}
