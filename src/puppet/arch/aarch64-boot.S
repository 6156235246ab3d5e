/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Boot code: see x86_64-boot.S for what it is. What is to be undone: x19, the address of two
 * descriptors, or 0; x22, one descriptor plus 1, or 0; x20 and x21, the area, or 0. On AArch64 a jump to an arbitrary address needs a
 * register, and nothing but rt_sigreturn could restore that one, for which there is no memory yet:
 * so x17, which procedure calls may clobber (IP1), is lost to a task whose coordinator dies while
 * it executes boot code.
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
	svc	#0

	mov	x8, #57			/* close */
	cbz	x19, 1f
	ldr	w0, [x19]
	svc	#0
	ldr	w0, [x19, #4]
	svc	#0
1:	cbz	x22, 2f
	sub	w0, w22, #1
	svc	#0
2:	cbz	x20, 3f
	mov	x0, x20
	mov	x1, x21
	mov	x8, #215		/* munmap */
	svc	#0
3:	mov	x0, #2			/* SIG_SETMASK */
	adr	x1, mask
	mov	x2, #0
	mov	x3, #8
	mov	x8, #135		/* rt_sigprocmask */
	svc	#0

	ldr	x0, r0
	ldr	x1, r1
	ldr	x2, r2
	ldr	x3, r3
	ldr	x4, r4
	ldr	x5, r5
	ldr	x8, r8
	ldr	x19, r19
	ldr	x20, r20
	ldr	x21, r21
	ldr	x22, r22
	ldr	x17, ip
	br	x17

	/* struct boot_data of aarch64.c */
	.balign 8
arch_boot_data:
mask:	.quad 0
r0:	.quad 0
r1:	.quad 0
r2:	.quad 0
r3:	.quad 0
r4:	.quad 0
r5:	.quad 0
r8:	.quad 0
r19:	.quad 0
r20:	.quad 0
r21:	.quad 0
r22:	.quad 0
ip:	.quad 0
arch_boot_end:
	.section .note.GNU-stack, "", @progbits
