/* SPDX-License-Identifier: Apache-2.0 */
/* CPUID faulting. */
#include "live.h"

#include <asm/prctl.h>
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "side.h"
#include "util/macro.h"

#ifndef ARCH_GET_CPUID
#define ARCH_GET_CPUID 0x1011
#define ARCH_SET_CPUID 0x1012
#endif

static int make(void)
{
	if (syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0) == 0)
		return 0;
	(void)live_fail("arch_prctl(ARCH_SET_CPUID): %s", strerrordesc_np(errno));
	return errno == ENODEV ? 77 : 1;
}

static int check(void)
{
	CHECK_EQ(syscall(SYS_arch_prctl, ARCH_GET_CPUID, 0), 0);
	return 0;
}

static int make_side(void)
{
	return side_run(make);
}

static int check_side(void)
{
	CHECK_EQ(syscall(SYS_arch_prctl, ARCH_GET_CPUID, 0), 1);
	return side_run(check);
}

static const struct live_row rows[] = {
	{"on", make, check},
	{"on for one thread", make_side, check_side},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
