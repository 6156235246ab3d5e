/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /proc/PID/limits: readable also where prlimit(2) is not permitted (another user's process without
 * CAP_SYS_RESOURCE). The names are the kernel's (lnames[] in fs/proc/base.c).
 */
#include "kernel/proc.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "kernel/proc-read.h"
#include "kernel/scan.h"
#include "util/cleanup.h"
#include "util/macro.h"

static const char *const limit_names[RLIM_NLIMITS] = {
	[RLIMIT_CPU] = "Max cpu time",
	[RLIMIT_FSIZE] = "Max file size",
	[RLIMIT_DATA] = "Max data size",
	[RLIMIT_STACK] = "Max stack size",
	[RLIMIT_CORE] = "Max core file size",
	[RLIMIT_RSS] = "Max resident set",
	[RLIMIT_NPROC] = "Max processes",
	[RLIMIT_NOFILE] = "Max open files",
	[RLIMIT_MEMLOCK] = "Max locked memory",
	[RLIMIT_AS] = "Max address space",
	[RLIMIT_LOCKS] = "Max file locks",
	[RLIMIT_SIGPENDING] = "Max pending signals",
	[RLIMIT_MSGQUEUE] = "Max msgqueue size",
	[RLIMIT_NICE] = "Max nice priority",
	[RLIMIT_RTPRIO] = "Max realtime priority",
	[RLIMIT_RTTIME] = "Max realtime timeout",
};

static bool scan_limit(const char **at, uint64_t *ret)
{
	scan_blanks(at);
	if (scan_literal(at, "unlimited")) {
		*ret = ~UINT64_C(0);
		return true;
	}
	return scan_u64(at, 10, ret);
}

static bool find_limit(const char *text, const char *name, struct proc_limit *ret)
{
	for (const char *line = text; *line != '\0'; line = scan_next_line(line)) {
		const char *at = line;

		if (scan_literal(&at, name) && *at == ' ')
			return scan_limit(&at, &ret->soft) && scan_limit(&at, &ret->hard);
	}
	return false;
}

int parse_limits(const char *text, struct proc_limit *ret, size_t n)
{
	struct proc_limit limits[RLIM_NLIMITS];

	if (n > RLIM_NLIMITS)
		return -EINVAL;
	for (size_t i = 0; i < n; i++)
		if (!find_limit(text, limit_names[i], &limits[i]))
			return -EBADMSG;
	for (size_t i = 0; i < n; i++)
		ret[i] = limits[i];
	return 0;
}

int proc_read_limits(int proc_fd, struct proc_limit *ret, size_t n)
{
	_cleanup_free_ char *text = NULL;
	int r;

	r = proc_read_file(proc_fd, "limits", &text, NULL);
	if (r < 0)
		return r;
	return parse_limits(text, ret, n);
}
