/* SPDX-License-Identifier: Apache-2.0 */
/* x86 segments: TLS slots are kept, a local descriptor table is refused. */
#include "live.h"

#include <asm/ldt.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
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

/* Of the 32-bit ABI, which alone has calls for TLS slots. */
enum { NR_SET_THREAD_AREA = 243, NR_GET_THREAD_AREA = 244 };

static struct user_desc *slot; /* below 4 GiB */

static long call_32(long nr, void *argument)
{
	long result;

	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(nr), "b"(argument)
			 : "memory", "r8", "r9", "r10", "r11");
	return result;
}

static int make_slot(void)
{
	slot = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1,
		    0);
	CHECK(slot != MAP_FAILED);
	*slot = (struct user_desc){.entry_number = (unsigned int)-1,
				   .base_addr = 0x12345000,
				   .limit = 0xabcd,
				   .seg_32bit = 1,
				   .useable = 1};
	if (call_32(NR_SET_THREAD_AREA, slot) == 0)
		return 0;
	(void)live_fail("this kernel has no 32-bit system calls");
	return 77;
}

static int check_slot(void)
{
	slot->base_addr = 0;
	slot->limit = 0;
	CHECK_EQ(call_32(NR_GET_THREAD_AREA, slot), 0);
	CHECK_EQ(slot->base_addr, 0x12345000);
	CHECK_EQ(slot->limit, 0xabcd);
	CHECK_EQ(slot->useable, 1);
	return 0;
}

static const struct live_row rows[] = {
	{.name = "TLS slot", .make = make_slot, .check = check_slot},
	{.name = "descriptor table", .make = make_ldt, .refused = "local descriptor table"},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
