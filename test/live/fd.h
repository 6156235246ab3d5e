/* SPDX-License-Identifier: Apache-2.0 */
/* What tests of open files have in common. */
#pragma once

#include <fcntl.h>
#include <linux/kcmp.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

/* Are these two descriptors one open file description? */
static inline bool same_description(pid_t a, int fd_a, pid_t b, int fd_b)
{
	return syscall(SYS_kcmp, a, b, KCMP_FILE, fd_a, fd_b) == 0;
}

/* Bytes that differ from place to place. */
static inline unsigned char pattern(size_t i)
{
	return (unsigned char)(i * 7 + i / 251);
}
