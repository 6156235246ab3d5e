/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stubs start with; see stub.h. The securebits have no line in /proc: they are the
 * coordinator's, less SECBIT_KEEP_CAPS, which execve clears.
 */
#include <linux/securebits.h>
#include <sys/prctl.h>

#include "task/creds.h"
#include "task/stub.h"
#include "util/cleanup.h"

static pid_t first_stub(const struct rebuild *r)
{
	for (size_t i = 0; i < r->n_processes; i++)
		if (r->processes[i].puppet)
			return r->processes[i].puppet->tid;
	return 0;
}

static int read_origin(struct rebuild *r, pid_t stub, struct stub_origin *origin)
{
	_cleanup_close_ int proc_fd = -EBADF;
	int securebits = prctl(PR_GET_SECUREBITS);
	pid_t pid = stub ? stub : getpid();
	int res;

	res = proc_open(pid, &proc_fd);
	if (!res)
		res = proc_read_status(proc_fd, r->arena, &origin->status);
	if (!res)
		res = proc_read_limits(proc_fd, origin->limits, RLIM_NLIMITS);
	if (res)
		return err_sys(r->ctx, res, "reading /proc/%d/status and limits", pid);
	origin->from_stub = stub != 0;
	creds_from_status(&origin->status, &origin->creds);
	if (securebits > 0)
		origin->creds.securebits = (uint32_t)securebits & ~(uint32_t)SECBIT_KEEP_CAPS;
	return 0;
}

int stub_origin(struct rebuild *r, const struct stub_origin **ret_origin)
{
	pid_t stub = first_stub(r);
	struct stub_origin *origin;
	int res;

	if (!r->stub_origin || r->stub_origin->from_stub != (stub != 0)) {
		origin = arena_new(r->arena, struct stub_origin);
		if (!origin)
			return err_oom(r->ctx);
		res = read_origin(r, stub, origin);
		if (res)
			return res;
		r->stub_origin = origin;
	}
	*ret_origin = r->stub_origin;
	return 0;
}
