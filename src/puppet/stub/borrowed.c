/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop of borrowed tasks. All signals are blocked. It waits at a socket whose other end the
 * coordinator has: a byte means that there is a table in the slot, the end of the stream that the
 * coordinator has died. Then it goes home: returns to entry-<arch>.S, which calls rt_sigreturn.
 *
 * The frame has an interrupted system call called again. Where the kernel would have returned EINTR
 * because a handler runs first, the frame is changed: a call which waits for just this signal must
 * not be left waiting.
 */
#include <asm/unistd.h>

#include "puppet/stub/door.h"
#include "puppet/stub/stub.h"

enum {
	EINTR_CODE = 4,
	NO_SIGNAL = 0x4000, /* MSG_NOSIGNAL */
	KERNEL_SIGSET_SIZE = 8,
	SIGNALS = 64,
	RESTART_FLAG = 0x10000000, /* SA_RESTART */
};

/* As rt_sigaction has it; aarch64 has no restorer but room for it. */
struct kernel_sigaction {
	uint64_t handler;
	uint64_t flags;
	uint64_t restorer;
	uint64_t mask;
};

static int64_t call(uint64_t nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	const uint64_t arg[6] = {a, b, c, d, 0, 0};
	int64_t r;

	do
		r = raw_syscall(nr, arg);
	while (r == -EINTR_CODE);
	return r;
}

/* 1: a table has come. 0: the coordinator is gone. */
static int wait_ring(const struct borrowed_door *door)
{
	uint8_t ring;

	return call(__NR_recvfrom, (uint64_t)door->socket, (uint64_t)&ring, 1, 0) == 1;
}

static int answer(const struct borrowed_door *door)
{
	return call(__NR_sendto, (uint64_t)door->socket, (uint64_t)&door->number,
		    sizeof(door->number), NO_SIGNAL) == sizeof(door->number);
}

/* Without reading: the rings are for another task. */
static void wait_hangup(const struct borrowed_door *door)
{
	struct {
		int32_t fd;
		int16_t events;
		int16_t revents;
	} poll = {door->socket, 0, 0};

	(void)call(__NR_ppoll, (uint64_t)&poll, 1, 0, 0);
}

/* Would the handler that runs first make the interrupted call return EINTR? */
static int gives_eintr(const struct borrowed_door *door)
{
	uint64_t pending = 0;

	(void)call(__NR_rt_sigpending, (uint64_t)&pending, KERNEL_SIGSET_SIZE, 0, 0);
	pending &= ~door->sigmask;
	for (uint64_t sig = 1; sig <= SIGNALS; sig++) {
		struct kernel_sigaction action = {};

		if (!(pending >> (sig - 1) & 1))
			continue;
		if (call(__NR_rt_sigaction, sig, 0, (uint64_t)&action, KERNEL_SIGSET_SIZE) < 0 ||
		    action.handler <= 1 /* SIG_DFL, SIG_IGN */)
			continue;
		return door->call == DOOR_CALL_EINTR || !(action.flags & RESTART_FLAG);
	}
	return 0;
}

/* @home: nothing is to be run any more. */
void borrowed_loop(struct borrowed_door *door, int home)
{
	struct interp_slot *slot = (struct interp_slot *)door->slot;

	while (!home && (door->kind == DOOR_ONCE || wait_ring(door))) {
		interp_run(slot);
		if (!answer(door))
			break;
		if (door->kind == DOOR_ONCE) {
			wait_hangup(door);
			break;
		}
	}
	if (door->filtered)
		return;
	(void)close_lent(&door->lent);
	if (door->kind == DOOR_LOOP)
		(void)call(__NR_close, (uint64_t)door->socket, 0, 0, 0);
	if (door->call != DOOR_CALL_NONE && gives_eintr(door)) {
		*(uint64_t *)door->ip_at = door->eintr_ip;
		*(uint64_t *)door->result_at = door->eintr_result;
	}
}
