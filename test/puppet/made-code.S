/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A page of code and data that a test puts into a made puppet, for the task to run after it has
 * become itself. Position-independent; the offsets are read by made.c.
 */
	.section .rodata
	.balign 64
	.globl	page, page_end, page_report, page_after_call, page_handler, page_restorer
	.globl	page_gprs, page_flags, page_done, page_result, page_handled, page_xsave
page:
/* Stores every register, says so, and spins. */
page_report:
	mov	%rax, page_gprs(%rip)
	mov	%rbx, page_gprs+8(%rip)
	mov	%rcx, page_gprs+16(%rip)
	mov	%rdx, page_gprs+24(%rip)
	mov	%rsi, page_gprs+32(%rip)
	mov	%rdi, page_gprs+40(%rip)
	mov	%rbp, page_gprs+48(%rip)
	mov	%rsp, page_gprs+56(%rip)
	mov	%r8, page_gprs+64(%rip)
	mov	%r9, page_gprs+72(%rip)
	mov	%r10, page_gprs+80(%rip)
	mov	%r11, page_gprs+88(%rip)
	mov	%r12, page_gprs+96(%rip)
	mov	%r13, page_gprs+104(%rip)
	mov	%r14, page_gprs+112(%rip)
	mov	%r15, page_gprs+120(%rip)
	mov	$-1, %eax
	mov	$-1, %edx
	xsave64	page_xsave(%rip)
	lea	page_stack_end(%rip), %rsp
	pushfq
	pop	page_flags(%rip)
	movl	$1, page_done(%rip)
1:	pause
	jmp	1b

/* The instruction that a task in a system call has just executed, and what follows. */
	syscall
page_after_call:
	mov	%rax, page_result(%rip)
	movl	$1, page_done(%rip)
1:	pause
	jmp	1b

page_handler:
	incl	page_handled(%rip)
	ret
page_restorer:
	mov	$15, %eax
	syscall

	.balign 64
page_gprs:
	.fill	16, 8, 0
page_flags:
	.quad	0
page_done:
	.quad	0
page_result:
	.quad	0
page_handled:
	.quad	0
	.balign 64
page_xsave:
	.fill	12288, 1, 0
	.fill	4096, 1, 0
page_stack_end:
page_end:
	.section .note.GNU-stack, "", @progbits
