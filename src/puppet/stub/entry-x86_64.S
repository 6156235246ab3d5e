/* SPDX-License-Identifier: Apache-2.0 */
/* The entries of the blob, where enum interp_entry (puppet/interp.h) says they are. */
	.section .text.entry, "ax", @progbits
	.globl	stub_entry
stub_entry:
	jmp	made_loop
	.org	stub_entry + 16, 0xcc
	ud2				/* the borrowed loop */
	.org	stub_entry + 32, 0xcc
	syscall
	int3
	.org	stub_entry + 48, 0xcc
	int3
	.org	stub_entry + 64, 0xcc
	.section .note.GNU-stack, "", @progbits
