/* SPDX-License-Identifier: Apache-2.0 */
/* The entries of the blob, where enum interp_entry (puppet/interp.h) says they are. */
	.section .text.entry, "ax", @progbits
	.globl	stub_entry
stub_entry:
	b	made_loop
	.org	stub_entry + 16
	udf	#0			/* the borrowed loop */
	.org	stub_entry + 32
	svc	#0
	brk	#0
	.org	stub_entry + 48
	brk	#0
	.org	stub_entry + 64
	.section .note.GNU-stack, "", @progbits
