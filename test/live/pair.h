/* SPDX-License-Identifier: Apache-2.0 */
/* Pseudo terminals for tests. */
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

struct pair {
	int master;
	int slave;
	char name[64];
};

/* A pair with an open slave. 0, or -1. */
static inline int pair_open(struct pair *p)
{
	p->master = posix_openpt(O_RDWR | O_NOCTTY);
	if (p->master < 0 || unlockpt(p->master) < 0 ||
	    ptsname_r(p->master, p->name, sizeof(p->name)) != 0)
		return -1;
	p->slave = open(p->name, O_RDWR | O_NOCTTY);
	return p->slave < 0 ? -1 : 0;
}

/* No echo; without @canonical as cfmakeraw() has it. */
static inline int pair_silence(const struct pair *p, bool canonical)
{
	struct termios t;

	if (tcgetattr(p->slave, &t) < 0)
		return -1;
	if (!canonical)
		cfmakeraw(&t);
	t.c_lflag &= ~(tcflag_t)ECHO;
	return tcsetattr(p->slave, TCSANOW, &t);
}

/* What poll() says of one that is asked for all. */
static inline short pair_events(int fd)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN | POLLOUT | POLLPRI};

	return poll(&pfd, 1, 0) < 0 ? -1 : pfd.revents;
}

/* Is that what is read next? Waits for it. */
static inline bool pair_reads(int fd, const void *want, size_t len)
{
	static char got[65536];
	size_t n = 0;

	while (n < len) {
		ssize_t r = read(fd, got + n, len - n);

		if (r <= 0)
			return false;
		n += (size_t)r;
	}
	return memcmp(got, want, len) == 0;
}

static inline bool pair_writes(int fd, const void *bytes, size_t len)
{
	return write(fd, bytes, len) == (ssize_t)len;
}
