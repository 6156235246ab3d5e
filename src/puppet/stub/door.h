/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the borrowed loop is told, at the end of its slot: shared by the coordinator (loop.c) and
 * the code inside (stub/borrowed.c, entry-<arch>.S; nothing but <stdint.h> here). From the end of
 * the slot downwards lie the task's stack, this, and the frame of rt_sigreturn.
 */
#pragma once

#define DOOR_STACK   0 /* offsets for assembly */
#define DOOR_FRAME   8
#define DOOR_SIGNALS 16

#ifndef __ASSEMBLER__
#include <stdint.h>

enum door_kind {
	DOOR_LOOP, /* waits at the socket for table after table */
	DOOR_ONCE, /* runs the one table in the slot, then waits to be fetched */
};

/* How the kernel would treat an interrupted system call once a handler runs. */
enum door_call {
	DOOR_CALL_NONE,	      /* no call, or it is called again in any case */
	DOOR_CALL_SA_RESTART, /* called again if the action has SA_RESTART, else EINTR */
	DOOR_CALL_EINTR,      /* EINTR */
};

/*
 * A control message with one descriptor (cmsg(3)), as recvmsg() writes it: so the number is known here
 * at the very moment the program has it.
 */
struct door_lent {
	uint64_t len;
	int32_t level;
	int32_t type; /* DOOR_LENT: there is one */
	int32_t fd;
	uint32_t pad;
};

enum { DOOR_LENT = 1 }; /* SCM_RIGHTS */

struct borrowed_door {
	uint64_t stack;	  /* its end */
	uint64_t frame;	  /* stack pointer for rt_sigreturn */
	uint64_t signals; /* all of them, to be blocked */
	uint64_t slot;
	int32_t socket;	   /* far end of the doorbell */
	uint32_t number;   /* of the slot: the answer to a ring */
	uint32_t kind;	   /* enum door_kind */
	uint32_t filtered; /* under seccomp: no system call on the way home but rt_sigreturn */
	/* An interrupted call: where the frame says that it is called again, and what to write
	 * there for EINTR. */
	uint32_t call; /* enum door_call */
	uint32_t pad;
	uint64_t sigmask; /* the task's own */
	uint64_t ip_at;	  /* addresses */
	uint64_t result_at;
	uint64_t eintr_ip;
	uint64_t eintr_result;
	struct door_lent lent; /* a descriptor of the coordinator's; closed on the way home */
};

_Static_assert(sizeof(struct borrowed_door) == 120, "both sides must agree");
#endif
