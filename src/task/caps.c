/* SPDX-License-Identifier: Apache-2.0 */
/* Names of capabilities (capabilities(7)), by number. */
#include "task/caps.h"

#include <sys/prctl.h>

#include "util/macro.h"
#include "util/strbuf.h"

static const char *const names[] = {
	"CAP_CHOWN",
	"CAP_DAC_OVERRIDE",
	"CAP_DAC_READ_SEARCH",
	"CAP_FOWNER",
	"CAP_FSETID",
	"CAP_KILL",
	"CAP_SETGID",
	"CAP_SETUID",
	"CAP_SETPCAP",
	"CAP_LINUX_IMMUTABLE",
	"CAP_NET_BIND_SERVICE",
	"CAP_NET_BROADCAST",
	"CAP_NET_ADMIN",
	"CAP_NET_RAW",
	"CAP_IPC_LOCK",
	"CAP_IPC_OWNER",
	"CAP_SYS_MODULE",
	"CAP_SYS_RAWIO",
	"CAP_SYS_CHROOT",
	"CAP_SYS_PTRACE",
	"CAP_SYS_PACCT",
	"CAP_SYS_ADMIN",
	"CAP_SYS_BOOT",
	"CAP_SYS_NICE",
	"CAP_SYS_RESOURCE",
	"CAP_SYS_TIME",
	"CAP_SYS_TTY_CONFIG",
	"CAP_MKNOD",
	"CAP_LEASE",
	"CAP_AUDIT_WRITE",
	"CAP_AUDIT_CONTROL",
	"CAP_SETFCAP",
	"CAP_MAC_OVERRIDE",
	"CAP_MAC_ADMIN",
	"CAP_SYSLOG",
	"CAP_WAKE_ALARM",
	"CAP_BLOCK_SUSPEND",
	"CAP_AUDIT_READ",
	"CAP_PERFMON",
	"CAP_BPF",
	"CAP_CHECKPOINT_RESTORE",
};

const char *cap_name(unsigned int cap)
{
	return cap < ARRAY_SIZE(names) ? names[cap] : "capability";
}

void caps_format(struct strbuf *sb, uint64_t set)
{
	const char *between = "";

	for (unsigned int cap = 0; cap < 64; cap++) {
		if (!(set >> cap & 1))
			continue;
		strbuf_puts(sb, between);
		if (cap < ARRAY_SIZE(names))
			strbuf_puts(sb, names[cap]);
		else
			strbuf_printf(sb, "%u", cap);
		between = " ";
	}
}

uint64_t caps_of_kernel(void)
{
	uint64_t all = 0;

	for (int cap = 0; cap < 64 && prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		all |= UINT64_C(1) << cap;
	return all;
}
