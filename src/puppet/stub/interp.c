/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interpreter of call tables, the only code that is ever injected. It trusts its table: what is
 * in it has been checked by the coordinator. It touches its stack, its slot, and what the calls
 * name.
 */
#include <asm/unistd.h>

#include "puppet/call.h"
#include "puppet/stub/door.h"
#include "puppet/stub/stub.h"

enum { EIO_CODE = 5, EINTR_CODE = 4, ENODATA_CODE = 61, ENOSYS_CODE = 38, MAX_ERROR = 4095 };

static int is_error(int64_t result)
{
	return result < 0 && result >= -MAX_ERROR;
}

/* Most pages that are not zero show it in their first word. */
static int page_is_zero(const uint64_t *word, const uint64_t *end)
{
	if (*word != 0)
		return 0;
	for (; word < end; word += 8)
		if ((word[0] | word[1] | word[2] | word[3] | word[4] | word[5] | word[6] |
		     word[7]) != 0)
			return 0;
	return 1;
}

static int64_t zero_map(uint64_t addr, uint64_t pages, uint64_t page_size, uint64_t bitmap)
{
	uint64_t *map = (uint64_t *)bitmap;
	int64_t found = 0;

	for (uint64_t i = 0; i < pages; i++) {
		const uint64_t *page = (const uint64_t *)(addr + i * page_size);

		if (i % 64 == 0)
			map[i / 64] = 0;
		if (page_is_zero(page, (const uint64_t *)(addr + (i + 1) * page_size))) {
			map[i / 64] |= UINT64_C(1) << (i % 64);
			found++;
		}
	}
	return found;
}

/* @arg: descriptor, address, bytes, offset in the file */
static int64_t transfer_full(uint64_t nr, const uint64_t arg[6])
{
	uint64_t done = 0;

	while (done < arg[2]) {
		const uint64_t part[6] = {arg[0], arg[1] + done, arg[2] - done, arg[3] + done};
		int64_t n = raw_syscall(nr, part);

		if (n == -EINTR_CODE)
			continue;
		if (n == 0)
			return nr == __NR_pread64 ? -ENODATA_CODE : -EIO_CODE;
		if (n < 0)
			return n;
		done += (uint64_t)n;
	}
	return (int64_t)done;
}

int64_t close_lent(struct door_lent *lent)
{
	const uint64_t arg[6] = {(uint64_t)lent->fd, 0, 0, 0, 0, 0};

	if (lent->type != DOOR_LENT)
		return 0;
	lent->type = 0;
	return raw_syscall(__NR_close, arg);
}

static int64_t run(uint32_t nr, const uint64_t arg[6])
{
	switch (nr) {
	case CALL_OP_ZERO_MAP:
		return zero_map(arg[0], arg[1], arg[2], arg[3]);
	case CALL_OP_READ_FULL:
		return transfer_full(__NR_pread64, arg);
	case CALL_OP_WRITE_FULL:
		return transfer_full(__NR_pwrite64, arg);
	case CALL_OP_COPY:
		raw_copy((void *)arg[0], (const void *)arg[1], arg[2]);
		return 0;
	case CALL_OP_NOP:
		return (int64_t)arg[0];
	case CALL_OP_CLONE:
		return raw_clone(__NR_clone3, arg[0], arg[1], arg[2], arg[3]);
	case CALL_OP_CLOSE_LENT:
		return close_lent((struct door_lent *)arg[0]);
	case CALL_OP_TOUCH:
		return raw_touch(arg[0]) ? 0 : -ENOSYS_CODE;
	default:
		return nr < CALL_OP_BASE ? raw_syscall(nr, arg) : -ENOSYS_CODE;
	}
}

static int met(const struct interp_call *call)
{
	switch (call->expect) {
	case CALL_ANY:
		return 1;
	case CALL_EXACT:
		return call->result == call->want;
	default:
		return !is_error(call->result);
	}
}

void interp_run(struct interp_slot *slot)
{
	uint32_t done;

	slot->missed = 0;
	for (done = 0; done < slot->n_calls && !slot->missed; done++) {
		struct interp_call *call = &slot->call[done];
		uint64_t arg[6];

		for (int i = 0; i < 6; i++) {
			arg[i] = call->arg[i];
			if (call->result_arg >> i & 1)
				arg[i] = (uint64_t)slot->call[arg[i]].result;
		}
		call->result = run(call->nr, arg);
		slot->missed = !met(call);
	}
	slot->done = done;
}
