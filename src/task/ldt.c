/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What x86 keeps of segments and I/O ports: the local descriptor table of an address space
 * (modify_ldt(2)), the TLS slots of a thread's global one (set_thread_area(2), which a 64-bit
 * program reaches by int $0x80 only), and a thread's bitmap of I/O ports (ioperm(2)).
 *
 * TLS slots are kept. A descriptor table or a port bitmap is refused: nobody but emulators of old
 * systems and raw drivers has one. The I/O privilege level of iopl(2) cannot be seen: a bitmap
 * stands for it inside the kernel, without a regset.
 */
#include <asm/ldt.h>
#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "kind/task.h"

#ifndef NT_386_IOPERM
#define NT_386_IOPERM 0x201
#endif

/* GDT_ENTRY_TLS_MIN and the number of slots (arch/x86/include/asm/segment.h, 64-bit) */
enum { TLS_FIRST = 12, TLS_SLOTS = 3 };
enum { MODIFY_LDT_READ = 0 };

/* user_desc of a slot that is not in use (LDT_empty) */
static bool is_empty(const struct user_desc *slot)
{
	return slot->base_addr == 0 && slot->limit == 0 && slot->read_exec_only &&
	       slot->seg_not_present;
}

static int add_slot(struct collect *c, Coppice__Thread *msg, const struct user_desc *slot)
{
	uint32_t words[sizeof(*slot) / sizeof(uint32_t)];

	memcpy(words, slot, sizeof(words));
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		uint32_t *word =
			arena_append(c->arena, &msg->tls_entry, &msg->n_tls_entry, sizeof(*word));

		if (!word)
			return err_oom(c->ctx);
		*word = words[i];
	}
	return 0;
}

/* EIO: a kernel without 32-bit emulation has no slots. */
static int collect_slots(struct collect *c, struct collect_thread *th)
{
	for (uintptr_t i = TLS_FIRST; i < TLS_FIRST + TLS_SLOTS; i++) {
		struct user_desc slot;
		int r;

		if (ptrace(PTRACE_GET_THREAD_AREA, th->tid, i, &slot) < 0)
			return errno == EIO
				       ? 0
				       : err_sys(c->ctx, -errno,
						 "ptrace(PTRACE_GET_THREAD_AREA, %d)", th->tid);
		if (is_empty(&slot))
			continue;
		r = add_slot(c, th->msg, &slot);
		if (r < 0)
			return r;
	}
	return 0;
}

/* The regset is empty for a thread that has never asked for a port. */
static int collect_thread(struct collect *c, struct collect_thread *th)
{
	unsigned char bitmap[8192];
	struct iovec iov = {bitmap, sizeof(bitmap)};
	int r;

	if (ptrace(PTRACE_GETREGSET, th->tid, NT_386_IOPERM, &iov) == 0 && iov.iov_len > 0) {
		r = collect_refuse(c, NULL,
				   "%s, thread %d: has access to I/O ports (ioperm), which is not "
				   "supported",
				   collect_name(c, th->process), th->tid);
		if (r < 0)
			return r;
	}
	return collect_slots(c, th);
}

static void ask(struct collect *c _unused_, struct collect_process *p, struct call_table *t)
{
	uint32_t at;

	if (p->mm_owner != p)
		return;
	at = call_space(t, NULL, sizeof(uint64_t));
	call_expect_any(t, call_add(t, "modify_ldt()", SYS_modify_ldt, CALL_IMM(MODIFY_LDT_READ),
				    CALL_DATA(at), CALL_IMM(sizeof(uint64_t))));
}

/* 0 bytes: none. -ENOSYS: a kernel without. The call returns an int: 32 bits of it count. */
static int reply(struct collect *c, struct collect_process *p, struct call_table *t, uint32_t first)
{
	if (p->mm_owner != p || (int32_t)call_result(t, first) <= 0)
		return 0;
	return collect_refuse(
		c, NULL, "%s: has a local descriptor table (modify_ldt), which is not supported",
		collect_name(c, p));
}

static int last_thread_direct(struct rebuild *r, struct rebuild_thread *th)
{
	const Coppice__Thread *msg = th->msg;
	const size_t words = sizeof(struct user_desc) / sizeof(uint32_t);
	pid_t tid = th->puppet->tid;

	if (msg->n_tls_entry % words != 0)
		return err_msg(r->ctx, -EBADMSG, "%zu words of TLS slots", msg->n_tls_entry);
	for (size_t i = 0; i < msg->n_tls_entry; i += words) {
		struct user_desc slot;

		memcpy(&slot, &msg->tls_entry[i], sizeof(slot));
		if (ptrace(PTRACE_SET_THREAD_AREA, tid, (uintptr_t)slot.entry_number, &slot) < 0)
			return err_sys(r->ctx, -errno, "ptrace(PTRACE_SET_THREAD_AREA, %d)", tid);
	}
	return 0;
}

const struct task_aspect aspect_ldt = {
	.name = "segments and I/O ports",
	.collect_thread = collect_thread,
	.ask = ask,
	.reply = reply,
	.last_thread_direct = last_thread_direct,
};
