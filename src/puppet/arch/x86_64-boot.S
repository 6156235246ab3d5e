/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Boot code: one system call, executed by a borrowed task before (or after) it has an area of ours.
 *
 * The coordinator copies these bytes into unused executable bytes of the task (boot.c), points the
 * task at the start and stops it at the exit of the system call. Everything behind the first
 * instruction runs only if the coordinator has died: it closes the descriptors and unmaps the area
 * that we made, gives the task its signal mask back and goes on as the task itself. What there is
 * to close and to unmap is in registers (struct arch_undo): rbx, the address of two descriptors, or
 * 0; r13, one descriptor plus 1, or 0; rbp and r12, the area, or 0.
 *
 * No instruction touches the flags (hence jrcxz and mov) or the stack, and a system call preserves
 * the flags, so that the registers named at the end are all there is to restore.
 */
	.section .rodata
	.hidden arch_boot_code
	.hidden arch_boot_data
	.hidden arch_boot_end
	.globl arch_boot_code
	.globl arch_boot_data
	.globl arch_boot_end

	.balign 16
arch_boot_code:
	syscall

	mov	%rbx, %rcx
	jrcxz	1f
	mov	(%rbx), %edi
	mov	$3, %eax		/* close */
	syscall
	mov	4(%rbx), %edi
	mov	$3, %eax
	syscall
1:	mov	%r13, %rcx
	jrcxz	2f
	lea	-1(%rcx), %edi
	mov	$3, %eax
	syscall
2:	mov	%rbp, %rcx
	jrcxz	3f
	mov	%rbp, %rdi
	mov	%r12, %rsi
	mov	$11, %eax		/* munmap */
	syscall
3:	mov	$2, %edi		/* SIG_SETMASK */
	lea	mask(%rip), %rsi
	mov	$0, %edx
	mov	$8, %r10d
	mov	$14, %eax		/* rt_sigprocmask */
	syscall

	mov	ax(%rip), %rax
	mov	cx(%rip), %rcx
	mov	dx(%rip), %rdx
	mov	si(%rip), %rsi
	mov	di(%rip), %rdi
	mov	r8(%rip), %r8
	mov	r9(%rip), %r9
	mov	r10(%rip), %r10
	mov	r11(%rip), %r11
	mov	bx(%rip), %rbx
	mov	bp(%rip), %rbp
	mov	r12(%rip), %r12
	mov	r13(%rip), %r13
	jmp	*ip(%rip)

	/* struct boot_data of x86_64.c */
	.balign 8
arch_boot_data:
mask:	.quad 0
ax:	.quad 0
cx:	.quad 0
dx:	.quad 0
si:	.quad 0
di:	.quad 0
r8:	.quad 0
r9:	.quad 0
r10:	.quad 0
r11:	.quad 0
bx:	.quad 0
bp:	.quad 0
r12:	.quad 0
r13:	.quad 0
ip:	.quad 0
arch_boot_end:
	.section .note.GNU-stack,"",@progbits
