/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wire format of a call table in a puppet's slot, shared by the coordinator (transport.c) and
 * the interpreter that runs inside puppets (stub/, freestanding: nothing but <stdint.h> here).
 *
 * An area is code followed by slots; the slots fill its end. A slot starts with this header and its
 * calls, then come the data of the table. The last puppet_area.reserve bytes are never written by
 * tables: the INTERP_STACK bytes of the task's stack at the very end, and below them what the
 * borrowed loop needs (doorbell, sigreturn frame). Addresses of table data are plain literals here:
 * the coordinator knows where the slot lies.
 */
#pragma once

#include <stdint.h>

enum { INTERP_STACK = 1024 };

/*
 * Where the pieces of the flat code blob start (stub/entry-<arch>.S). The made and the borrowed
 * loop get the address of their slot as first argument and its end as stack pointer.
 */
enum interp_entry {
	INTERP_ENTRY_MADE = 0,	    /* run the table in the slot, ring, again */
	INTERP_ENTRY_BORROWED = 16, /* loop over a socket; leaves through rt_sigreturn */
	INTERP_ENTRY_SYSCALL = 32,  /* one system call instruction, then a breakpoint */
	INTERP_ENTRY_BREAK = 48,    /* a breakpoint: where a new stub starts */
	INTERP_ENTRY_HOME = 64,	    /* the borrowed loop's way out, at once */
};

/* How a made puppet says that its table is done. */
enum interp_bell {
	INTERP_BELL_BREAK, /* a breakpoint: SIGTRAP, which the tracer sees and swallows */
	/* A system call with this number: for the tracer that watches each call (PTRACE_SYSCALL);
	 * no signal is involved, so SIGTRAP may be ignored or pending. */
	INTERP_BELL_CALL,
};
enum { INTERP_BELL_NR = 0xffff };

struct interp_call {
	uint32_t nr;	     /* system call or enum call_op */
	uint16_t result_arg; /* bit i: arg[i] is the index of an earlier call whose result is meant
			      */
	uint16_t expect;     /* enum call_expect */
	uint64_t arg[6];
	int64_t want;
	int64_t result;
};

struct interp_slot {
	uint32_t n_calls;
	uint32_t done;	 /* calls executed, the one that missed its expectation included */
	uint32_t missed; /* 1: the last one executed missed it */
	uint32_t bell;	 /* enum interp_bell */
	struct interp_call call[];
};

_Static_assert(sizeof(struct interp_call) == 72, "both sides must agree");
_Static_assert(sizeof(struct interp_slot) == 16, "both sides must agree");
