/* SPDX-License-Identifier: Apache-2.0 */
#include "task/surroundings.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernel/feature.h"
#include "kernel/proc-ahead.h"
#include "kernel/proc.h"
#include "kernel/scan.h"
#include "kernel/sys.h"
#include "task/keyring.h"
#include "task/landlock.h"
#include "util/arena.h"
#include "util/cleanup.h"
#include "util/context.h"
#include "util/io.h"

int parse_cpu_list(const char *text, uint8_t *ret_mask, size_t size)
{
	const char *at = text;

	memset(ret_mask, 0, size);
	while (*at != '\0' && *at != '\n') {
		uint32_t first;
		uint32_t last;

		if (!scan_u32(&at, 10, &first))
			return -EBADMSG;
		last = first;
		if (scan_char(&at, '-') && !scan_u32(&at, 10, &last))
			return -EBADMSG;
		if (last < first || last / 8 >= size)
			return -EBADMSG;
		for (uint32_t cpu = first; cpu <= last; cpu++)
			ret_mask[cpu / 8] |= (uint8_t)(1 << cpu % 8);
		if (!scan_char(&at, ',') && *at != '\0' && *at != '\n')
			return -EBADMSG;
	}
	return 0;
}

static int read_online(struct context *ctx, struct surroundings *s)
{
	static const char path[] = "/sys/devices/system/cpu/online";
	_cleanup_free_ char *text = NULL;
	int r;

	r = io_read_file(AT_FDCWD, path, &text, NULL);
	if (r >= 0)
		r = parse_cpu_list(text, s->online, sizeof(s->online));
	return r < 0 ? err_sys(ctx, r, "reading %s", path) : 0;
}

/* What a fair task without a slice of its own has depends on the machine; we have none. */
static void read_slice(struct surroundings *s)
{
	struct sys_sched_attr attr;

	if (sys_sched_getattr(0, &attr) >= 0 &&
	    (attr.policy == SCHED_OTHER || attr.policy == SCHED_BATCH || attr.policy == SCHED_IDLE))
		s->slice_ns = attr.runtime;
}

static int read_all(struct context *ctx, struct arena *arena, struct surroundings *s)
{
	_cleanup_close_ int proc_fd = -EBADF;
	struct proc_dir dir;
	int r;

	r = proc_open(getpid(), &proc_fd);
	dir = (struct proc_dir){.fd = proc_fd};
	if (r >= 0)
		r = namespaces_read(&dir, "", s->namespaces);
	if (r >= 0)
		r = cgroups_read(&dir, "", arena, &s->cgroups, &s->n_cgroups);
	if (r >= 0)
		r = labels_read(proc_fd, "", arena, &s->labels);
	if (r >= 0)
		r = audit_read_login(&dir, "", &s->login);
	if (r < 0)
		return err_sys(ctx, r,
			       "reading coppice's own namespaces, cgroups, labels and login");
	read_slice(s);
	s->guard_flag = feature_probe(FEATURE_SMAPS_GUARD) == 1;
	s->util_clamp = feature_probe(FEATURE_UTIL_CLAMP) == 1;
	s->landlock = feature_probe(FEATURE_LANDLOCK) == 1;
	r = read_online(ctx, s);
	if (r >= 0 && s->landlock)
		r = landlock_own_layers(ctx, &s->landlock_layers);
	return r < 0 ? r : keyring_own_session(ctx, &s->session_keyring);
}

int surroundings_get(struct context *ctx, struct arena *arena, const struct surroundings **cache,
		     const struct surroundings **ret)
{
	struct surroundings *s;
	int r;

	if (!*cache) {
		s = arena_new(arena, struct surroundings);
		if (!s)
			return err_oom(ctx);
		r = read_all(ctx, arena, s);
		if (r < 0)
			return r;
		*cache = s;
	}
	*ret = *cache;
	return 0;
}
