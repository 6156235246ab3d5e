/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended processor state (vector registers, protection keys, tiles) as far as one needs to look
 * into the block that arch_get_xstate gives. Implemented once per architecture in
 * arch/<name>-xstate.c.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "puppet/call.h"

enum { ARCH_XSTATE_MAX = 16 * 1024, ARCH_XSTATE_COMPONENTS = 64 };

/* Components, by number, that the kernel lets programs use on this machine. */
uint64_t arch_xstate_features(void);
/* Bytes of a block with all of them; what PTRACE_SETREGSET wants. */
size_t arch_xstate_size(void);
/* Where component @i lies in the block; 0, 0 for those which are always there. */
void arch_xstate_place(unsigned int i, uint32_t *ret_offset, uint32_t *ret_size);

/* The components of a block which are not in their initial state. */
uint64_t arch_xstate_used(const void *xstate, size_t len);
/* The length without the zeros at the end: they are implied. */
size_t arch_xstate_trim(const void *xstate, size_t len);

/*
 * Components that a process has to ask for. arch_ask_permission appends one entry to @t (of the
 * first thread); arch_permission reads its result; arch_request_permission appends what makes a
 * process have @want that by itself has what the coordinator has.
 */
void arch_ask_permission(struct call_table *t);
uint64_t arch_permission(struct call_table *t, uint32_t first);
void arch_request_permission(struct call_table *t, uint64_t want);
/* Appends, to the table of a thread, what makes the kernel ready to take a block with the
 * components @used from ptrace. */
void arch_request_room(struct call_table *t, uint64_t used);
