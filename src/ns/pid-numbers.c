/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernel.ns_last_pid and kernel.pid_max of a PID namespace: which number the next process gets, and
 * where numbers start again. Files below /proc/sys speak of the namespace of whoever opens them, so
 * its init does, with a lent descriptor of our /proc/sys/kernel. Since 6.14 pid_max is each
 * namespace's own: then the file is another inode than ours. vm.memfd_noexec (6.3) is inherited from the
 * namespace above when one is made.
 */
#include "ns/pid-numbers.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernel/scan.h"
#include "util/cleanup.h"
#include "util/context.h"
#include "util/io.h"
#include "util/macro.h"

static const char directory[] = "/proc/sys/kernel";
static const char last_pid[] = "ns_last_pid";
static const char pid_max[] = "pid_max";
static const char memfd_noexec[] = "../vm/memfd_noexec";

enum { TEXT = 32 };

static int lend_directory(struct context *ctx, struct puppet *init, struct puppet_loan *ret_loan)
{
	_cleanup_close_ int dir = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		return err_sys(ctx, -errno, "open(%s)", directory);
	return puppet_lend(ctx, init, dir, ret_loan);
}

/* One file, as the calls that read or write it. */
struct access {
	uint32_t open;
	uint32_t text; /* space */
};

static struct access add_access(struct call_table *t, int dir, const char *name, const char *write)
{
	uint64_t nr = write ? SYS_write : SYS_read;
	struct access a;

	a.open = call_add(t, name, SYS_openat, CALL_IMM(dir), CALL_DATA(call_string(t, name)),
			  CALL_IMM(O_CLOEXEC | (write ? O_WRONLY : O_RDONLY)));
	a.text = write ? call_string(t, write) : call_space(t, NULL, TEXT);
	call_add(t, name, nr, CALL_RESULT(a.open), CALL_DATA(a.text),
		 CALL_IMM(write ? strlen(write) : TEXT - 1));
	call_add(t, "close", SYS_close, CALL_RESULT(a.open));
	return a;
}

static int parse(struct context *ctx, struct call_table *t, const struct access *a, int32_t *ret)
{
	const char *at = call_bytes(t, a->text);

	return scan_int(&at, ret) ? 0
				  : err_msg(ctx, -EBADMSG, "%s/%s is no number", directory,
					    t->calls[a->open].what);
}

/* The coordinator's; -1: this kernel has no such thing. */
static int32_t own_memfd_noexec(void)
{
	_cleanup_free_ char *text = NULL;
	const char *at;
	int32_t value;

	if (io_read_file(AT_FDCWD, "/proc/sys/vm/memfd_noexec", &text, NULL) < 0)
		return -1;
	at = text;
	return scan_int(&at, &value) ? value : -1;
}

static int read_memfd_noexec(struct context *ctx, struct puppet *init, int dir,
			     struct call_table *t, struct pid_numbers *ret)
{
	int32_t own = own_memfd_noexec(), its = own;
	struct access a;
	int r;

	if (own < 0)
		return 0;
	call_table_reset(t);
	a = add_access(t, dir, memfd_noexec, NULL);
	r = puppet_run(ctx, init, t);
	if (r == 0)
		r = parse(ctx, t, &a, &its);
	ret->own_memfd_noexec = its != own;
	ret->memfd_noexec = its;
	return r;
}

static int read_all(struct context *ctx, struct puppet *init, int dir, struct call_table *t,
		    struct pid_numbers *ret)
{
	uint32_t at = call_space(t, NULL, sizeof(struct stat));
	struct access last, max;
	const struct stat *its;
	struct stat ours;
	int r;

	call_add(t, "newfstatat", SYS_newfstatat, CALL_IMM(dir), CALL_DATA(call_string(t, pid_max)),
		 CALL_DATA(at), CALL_IMM(0));
	last = add_access(t, dir, last_pid, NULL);
	max = add_access(t, dir, pid_max, NULL);
	r = puppet_run(ctx, init, t);
	if (r == 0)
		r = parse(ctx, t, &last, &ret->last_pid);
	if (r == 0)
		r = parse(ctx, t, &max, &ret->pid_max);
	if (r < 0)
		return r;
	/* -1: all numbers were chosen as yet, as growing does. The next is the first free one, too. */
	ret->last_pid = MAX(ret->last_pid, 0);
	its = call_bytes(t, at);
	ret->own_pid_max =
		stat("/proc/sys/kernel/pid_max", &ours) == 0 && ours.st_ino != its->st_ino;
	return read_memfd_noexec(ctx, init, dir, t, ret);
}

int pid_numbers_read(struct context *ctx, struct arena *arena, struct puppet *init,
		     struct pid_numbers *ret)
{
	struct puppet_loan loan;
	struct call_table t;
	int r = lend_directory(ctx, init, &loan);

	*ret = (struct pid_numbers){.last_pid = 0};
	if (r < 0)
		return r;
	call_table_init(&t, arena);
	return puppet_take_back(ctx, &loan, read_all(ctx, init, loan.fd, &t, ret));
}

static int write_one(struct context *ctx, struct arena *arena, struct puppet *init, int dir,
		     const char *name, int32_t value)
{
	struct call_table t;
	char text[TEXT];

	(void)snprintf(text, sizeof(text), "%d", value);
	call_table_init(&t, arena);
	(void)add_access(&t, dir, name, text);
	return puppet_run(ctx, init, &t);
}

int pid_numbers_write(struct context *ctx, struct arena *arena, struct puppet *init,
		      int32_t want_max, int32_t want_last)
{
	struct pid_numbers now;
	struct puppet_loan loan;
	int r = pid_numbers_read(ctx, arena, init, &now);

	if (r < 0)
		return r;
	if (want_max && want_max != now.pid_max && !now.own_pid_max)
		return err_msg(
			ctx, -EOPNOTSUPP,
			"a PID namespace had a pid_max of its own, %d, which this kernel does "
			"not know",
			want_max);
	r = lend_directory(ctx, init, &loan);
	if (r < 0)
		return r;
	if (want_max && want_max != now.pid_max)
		r = write_one(ctx, arena, init, loan.fd, pid_max, want_max);
	if (r == 0 && want_last != now.last_pid)
		r = write_one(ctx, arena, init, loan.fd, last_pid, want_last);
	return puppet_take_back(ctx, &loan, r);
}

int pid_numbers_write_noexec(struct context *ctx, struct arena *arena, struct puppet *init,
			     uint32_t want)
{
	struct puppet_loan loan;
	int r = lend_directory(ctx, init, &loan);

	if (r < 0)
		return r;
	r = write_one(ctx, arena, init, loan.fd, memfd_noexec, (int32_t)want);
	return puppet_take_back(ctx, &loan, r);
}
