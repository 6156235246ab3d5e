/* SPDX-License-Identifier: Apache-2.0 */
/* The entries of the blob, where enum interp_entry (puppet/interp.h) says they are. */
#include "puppet/stub/door.h"

	.section .text.entry, "ax", @progbits
	.globl	stub_entry
stub_entry:
	jmp	made_loop
	.org	stub_entry + 16, 0xcc
	jmp	borrowed_entry
	.org	stub_entry + 32, 0xcc
	syscall
	int3
	.org	stub_entry + 48, 0xcc
	int3
	.org	stub_entry + 64, 0xcc
	jmp	borrowed_home
	.org	stub_entry + 80, 0xcc

/*
 * A borrowed task comes here with its own stack pointer and, should the coordinator die before it
 * has blocked all signals, perhaps with a handler on its way: so the stack stays its own until they
 * are blocked. rdi: the door. The second entry goes straight home.
 */
borrowed_entry:
	xor	%ebp, %ebp
	jmp	1f
borrowed_home:
	mov	$1, %ebp
1:	cld
	mov	%rdi, %rbx
	xor	%edi, %edi		/* SIG_BLOCK */
	lea	DOOR_SIGNALS(%rbx), %rsi
	xor	%edx, %edx
	mov	$8, %r10d
	mov	$14, %eax		/* rt_sigprocmask */
	syscall
	mov	DOOR_STACK(%rbx), %rsp
	mov	%rbx, %rdi
	mov	%ebp, %esi
	call	borrowed_loop
	mov	DOOR_FRAME(%rbx), %rsp
	mov	$15, %eax		/* rt_sigreturn */
	syscall
	.section .note.GNU-stack, "", @progbits
