/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Boot code: one system call, executed by a borrowed task before (or after) it has an area of ours.
 *
 * The coordinator copies these bytes into unused executable bytes of the task (boot.c), points the
 * task at the start and stops it at the exit of the system call. Everything behind the first
 * instruction runs only if the coordinator has died: it closes the descriptors and unmaps the area
 * that we made, gives the task its signal mask back and goes on as the task itself.
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

	mov	fds(%rip), %rcx
	jrcxz	1f
	mov	(%rcx), %edi
	mov	$3, %eax		/* close */
	syscall
	mov	fds(%rip), %rcx
	mov	4(%rcx), %edi
	mov	$3, %eax
	syscall
1:	mov	area(%rip), %rcx
	jrcxz	2f
	mov	%rcx, %rdi
	mov	area_len(%rip), %rsi
	mov	$11, %eax		/* munmap */
	syscall
2:	mov	$2, %edi		/* SIG_SETMASK */
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
	jmp	*ip(%rip)

	/* struct boot_data of x86_64.c */
	.balign 8
arch_boot_data:
fds:	.quad 0
area:	.quad 0
area_len: .quad 0
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
ip:	.quad 0
arch_boot_end:
	.section .note.GNU-stack,"",@progbits
