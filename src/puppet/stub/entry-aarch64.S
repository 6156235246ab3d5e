/* SPDX-License-Identifier: Apache-2.0 */
/* The entries of the blob, where enum interp_entry (puppet/interp.h) says they are. */
#include "puppet/stub/door.h"

	.section .text.entry, "ax", @progbits
	.globl	stub_entry
stub_entry:
	b	made_loop
	.org	stub_entry + 16
	b	borrowed_entry
	.org	stub_entry + 32
	svc	#0
	brk	#0
	.org	stub_entry + 48
	brk	#0
	.org	stub_entry + 64
	b	borrowed_home
	.org	stub_entry + 80

/*
 * A borrowed task comes here with its own stack pointer and, should the coordinator die before it
 * has blocked all signals, perhaps with a handler on its way: so the stack stays its own until they
 * are blocked. x0: the door. The second entry goes straight home.
 */
borrowed_entry:
	mov	w20, #0
	b	1f
borrowed_home:
	mov	w20, #1
1:	mov	x19, x0
	mov	x0, #0			/* SIG_BLOCK */
	add	x1, x19, #DOOR_SIGNALS
	mov	x2, #0
	mov	x3, #8
	mov	x8, #135		/* rt_sigprocmask */
	svc	#0
	ldr	x9, [x19, #DOOR_STACK]
	mov	sp, x9
	mov	x0, x19
	mov	w1, w20
	bl	borrowed_loop
	ldr	x9, [x19, #DOOR_FRAME]
	mov	sp, x9
	mov	x8, #139		/* rt_sigreturn */
	svc	#0
	.section .note.GNU-stack, "", @progbits
