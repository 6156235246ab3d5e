/* SPDX-License-Identifier: Apache-2.0 */
/* x86 segments: a local descriptor table is refused. */
#include "live.h"

#include <asm/ldt.h>
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util/macro.h"

static int make_ldt(void)
{
	struct user_desc entry = {.base_addr = 0x1000, .limit = 0xfff, .seg_32bit = 1};

	if (syscall(SYS_modify_ldt, 0x11, &entry, sizeof(entry)) == 0)
		return 0;
	(void)live_fail("modify_ldt(): %s", strerrordesc_np(errno));
	return errno == ENOSYS ? 77 : 1;
}

static const struct live_row rows[] = {
	{.name = "descriptor table", .make = make_ldt, .refused = "local descriptor table"},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
