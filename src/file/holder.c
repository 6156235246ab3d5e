/* SPDX-License-Identifier: Apache-2.0 */
#include "file/holder.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/cleanup.h"

/* Processes that come and go, or that may not be looked into, are passed over. */
static const char *look_into(struct collect *c, pid_t pid, const char *wanted)
{
	_cleanup_close_ int fd = -EBADF;
	struct proc_stat stat;
	int *numbers;
	size_t n;

	if (pid == getpid() || proc_open(pid, &fd) < 0 ||
	    proc_read_numbers(fd, "fd", c->arena, &numbers, &n) < 0)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		char name[32], *link;

		(void)snprintf(name, sizeof(name), "fd/%d", numbers[i]);
		if (proc_read_link(fd, name, c->arena, &link) < 0 || strcmp(link, wanted) != 0 ||
		    proc_read_stat(fd, &stat) < 0)
			continue;
		return arena_printf(c->arena, ": process %d (%s) has it as fd %d", pid, stat.comm,
				    numbers[i]);
	}
	return NULL;
}

const char *holder_find(struct collect *c, const char *kind, uint64_t ino)
{
	_cleanup_closedir_ DIR *proc = opendir("/proc");
	const struct dirent *entry;
	const char *found = NULL;
	char wanted[64];

	(void)snprintf(wanted, sizeof(wanted), "%s:[%" PRIu64 "]", kind, ino);
	while (!found && proc && (entry = readdir(proc))) {
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

		if (pid > 0)
			found = look_into(c, pid, wanted);
	}
	return found ? found : "";
}
