/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/origin.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "file/fdtable.h"
#include "task/registers.h"
#include "util/cleanup.h"
#include "util/io.h"

static int64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	(void)clock_gettime(clock, &t); /* cannot fail for these clocks */
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* The kernel's random id of this boot; arena. */
static int read_boot_id(struct context *ctx, struct arena *arena, char **ret)
{
	static const char path[] = "/proc/sys/kernel/random/boot_id";
	_cleanup_free_ char *text = NULL;
	int r = io_read_file(AT_FDCWD, path, &text, NULL);

	if (r < 0)
		return err_sys(ctx, r, "reading %s", path);
	text[strcspn(text, "\n")] = '\0';
	*ret = arena_strdup(arena, text);
	return *ret ? 0 : err_oom(ctx);
}

int origin_collect(struct collect *c)
{
	Coppice__Origin *o = arena_new(c->arena, Coppice__Origin);
	struct utsname name;
	int r;

	if (!o)
		return err_oom(c->ctx);
	coppice__origin__init(o);
	c->cp->origin = o;
	if (uname(&name) < 0)
		return err_sys(c->ctx, -errno, "uname");
	o->arch = arena_strdup(c->arena, name.machine);
	o->kernel = arena_strdup(c->arena, name.release);
	o->hostname = arena_strdup(c->arena, name.nodename);
	if (!o->arch || !o->kernel || !o->hostname)
		return err_oom(c->ctx);
	r = read_boot_id(c->ctx, c->arena, &o->boot_id);
	if (r < 0)
		return r;
	o->page_size = (uint32_t)sysconf(_SC_PAGESIZE);
	o->realtime_ns = clock_ns(CLOCK_REALTIME);
	o->monotonic_ns = clock_ns(CLOCK_MONOTONIC);
	o->boottime_ns = clock_ns(CLOCK_BOOTTIME);
	o->root = 1;
	o->shell_job = c->opt.shell_job;
	if (files_hold_id(c)) {
		o->hold = arena_strdup(c->arena, files_hold_id(c));
		if (!o->hold)
			return err_oom(c->ctx);
	}
	return registers_describe(c, o);
}

static int check_clocks(struct rebuild *r)
{
	const Coppice__Origin *o = r->cp->origin;
	char *boot_id;
	int rc = read_boot_id(r->ctx, r->arena, &boot_id);

	if (rc < 0)
		return rc;
	r->other_boot = strcmp(boot_id, o->boot_id) != 0;
	if (!r->other_boot || r->opt.keep_clocks)
		return 0;
	return rebuild_refuse(
		r, "--keep-clocks restores it all the same",
		"the machine was rebooted or is another one (%s): CLOCK_MONOTONIC would jump by "
		"%+lld s for the restored programs",
		o->hostname,
		(long long)((clock_ns(CLOCK_MONOTONIC) - o->monotonic_ns) / 1000000000));
}

int origin_check(struct rebuild *r)
{
	const Coppice__Origin *o = r->cp->origin;
	struct utsname name;
	int rc = 0;

	if (uname(&name) < 0)
		return err_sys(r->ctx, -errno, "uname");
	if (strcmp(name.machine, o->arch) != 0)
		rc = rebuild_refuse(r, NULL, "the image is of a %s machine, this is a %s", o->arch,
				    name.machine);
	if (rc >= 0 && o->page_size != (uint32_t)sysconf(_SC_PAGESIZE))
		rc = rebuild_refuse(r, NULL, "the image has pages of %u bytes, this kernel of %ld",
				    o->page_size, sysconf(_SC_PAGESIZE));
	if (rc >= 0 && o->shell_job && !r->opt.shell_job)
		rc = rebuild_refuse(r, "--shell-job puts it into this shell's session",
				    "the image is a shell job: its session belongs to the outside");
	if (rc < 0)
		return rc;
	return check_clocks(r);
}
