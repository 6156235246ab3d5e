/* SPDX-License-Identifier: Apache-2.0 */
/* x86: shadow stacks and linear address masking are refused. */
#include "live.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util/macro.h"

enum {
	ENABLE_TAGGED_ADDR = 0x4002, /* ARCH_ENABLE_TAGGED_ADDR */
	ENABLE_SHADOW_STACK = 0x5001 /* ARCH_SHSTK_ENABLE */
};
enum { TAG_BITS = 6, SHADOW_STACK = 1 };

static sem_t done;
static int error;

/* Never returns: its caller's return address is on no shadow stack. */
static void *enable_and_stay(void *arg)
{
	(void)arg;
	error = syscall(SYS_arch_prctl, ENABLE_SHADOW_STACK, SHADOW_STACK) < 0 ? errno : 0;
	(void)sem_post(&done);
	for (;;)
		(void)pause();
	return NULL;
}

static int make_shadow_stack(void)
{
	pthread_t thread;

	CHECK_EQ(sem_init(&done, 0, 0), 0);
	CHECK_EQ(pthread_create(&thread, NULL, enable_and_stay, NULL), 0);
	while (sem_wait(&done) < 0)
		CHECK_EQ(errno, EINTR);
	if (error == 0)
		return 0;
	(void)live_fail("arch_prctl(ARCH_SHSTK_ENABLE): %s", strerrordesc_np(error));
	return 77;
}

static int make_masking(void)
{
	if (syscall(SYS_arch_prctl, ENABLE_TAGGED_ADDR, TAG_BITS) == 0)
		return 0;
	(void)live_fail("arch_prctl(ARCH_ENABLE_TAGGED_ADDR): %s", strerrordesc_np(errno));
	return 77;
}

static const struct live_row rows[] = {
	{.name = "shadow stack", .make = make_shadow_stack, .refused = "shadow stack"},
	{.name = "address masking", .make = make_masking, .refused = "linear address masking"},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
