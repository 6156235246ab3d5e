/* SPDX-License-Identifier: Apache-2.0 */
/* What tests of unix sockets have in common. A name that begins with '@' is an abstract one. */
#pragma once

#include <errno.h>
#include <linux/bpf.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/macro.h"

static inline socklen_t unix_name(const char *name, struct sockaddr_un *ret)
{
	size_t len = MIN(strlen(name), sizeof(ret->sun_path));

	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(ret->sun_path, name, len);
	if (name[0] == '@')
		ret->sun_path[0] = '\0';
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
}

/* Paths come back with their end, which the bound text did not have. */
static inline bool unix_is_name(const struct sockaddr_un *found, socklen_t len, const char *name)
{
	struct sockaddr_un wanted;
	socklen_t wanted_len = unix_name(name, &wanted);

	if (name[0] == '\0')
		return len == sizeof(sa_family_t);
	if (name[0] != '@')
		wanted_len++;
	return len == wanted_len && memcmp(found, &wanted, MIN((size_t)len, sizeof(wanted))) == 0;
}

static inline bool unix_has_name(int fd, const char *name)
{
	struct sockaddr_un found;
	socklen_t len = sizeof(found);

	return getsockname(fd, (struct sockaddr *)&found, &len) == 0 &&
	       unix_is_name(&found, len, name);
}

static inline bool unix_has_peer(int fd, const char *name)
{
	struct sockaddr_un found;
	socklen_t len = sizeof(found);

	return getpeername(fd, (struct sockaddr *)&found, &len) == 0 &&
	       unix_is_name(&found, len, name);
}

static inline int unix_bind(int type, const char *name)
{
	struct sockaddr_un address;
	socklen_t len = unix_name(name, &address);
	int fd = socket(AF_UNIX, type, 0);

	return fd < 0 || bind(fd, (struct sockaddr *)&address, len) < 0 ? -1 : fd;
}

static inline int unix_listen(int type, const char *name, int backlog)
{
	int fd = unix_bind(type, name);

	return fd < 0 || listen(fd, backlog) < 0 ? -1 : fd;
}

static inline int unix_connect_fd(int fd, const char *name)
{
	struct sockaddr_un address;
	socklen_t len = unix_name(name, &address);

	return connect(fd, (struct sockaddr *)&address, len);
}

static inline int unix_connect(int type, const char *name)
{
	int fd = socket(AF_UNIX, type, 0);

	return fd < 0 || unix_connect_fd(fd, name) < 0 ? -1 : fd;
}

static inline ssize_t unix_send_to(int fd, const char *name, const char *text)
{
	struct sockaddr_un address;
	socklen_t len = unix_name(name, &address);

	return sendto(fd, text, strlen(text), MSG_DONTWAIT, (struct sockaddr *)&address, len);
}

/* A process outside the tree has @fd, for as long as the namespace is there. */
static inline int unix_give_away(int fd)
{
	int ready[2], status;
	char byte;
	pid_t pid;

	if (pipe(ready) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		if (fork() != 0)
			_exit(0);
		/* an orphan belongs to the namespace's init */
		(void)setsid();
		(void)dup2(fd, 3);
		(void)dup2(ready[1], 4);
		(void)syscall(SYS_close_range, 5U, ~0U, 0U);
		(void)!write(4, "", 1);
		(void)close(4);
		for (;;)
			(void)pause();
	}
	(void)close(ready[1]);
	if (pid < 0 || waitpid(pid, &status, 0) != pid || read(ready[0], &byte, 1) != 1)
		return -1;
	return close(ready[0]);
}

/* A pair, of which the second has a program that takes everything. */
static inline int unix_attach_ebpf(int pair[2])
{
	struct bpf_insn code[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0xffff},
		{.code = BPF_JMP | BPF_EXIT},
	};
	union bpf_attr attr = {
		.prog_type = BPF_PROG_TYPE_SOCKET_FILTER,
		.insns = (uint64_t)(uintptr_t)code,
		.insn_cnt = ARRAY_SIZE(code),
		.license = (uint64_t)(uintptr_t) "GPL",
	};
	int program = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));

	if (program < 0 || socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) < 0 ||
	    setsockopt(pair[1], SOL_SOCKET, SO_ATTACH_BPF, &program, sizeof(program)) < 0)
		return -1;
	return close(program);
}
