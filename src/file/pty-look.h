/* SPDX-License-Identifier: Apache-2.0 */
/* A look at the slave side of a pseudo terminal while its program is stopped. */
#pragma once

#include "file/pty-queue.h"

struct context;

struct pty_look {
	/* What is known of it. */
	bool locked;
	bool never_opened;
	bool packet;
	/* What is found. */
	bool exclusive;
	int discipline; /* TIOCGETD; with another than N_TTY no more is looked at */
	bool status;	/* packet mode: a status byte waits; likewise */
	enum pty_trouble trouble;
	struct termios2 termios;
	struct pty_queue queue;
	/* For messages: how it ended, and in which call. */
	int result;
	const char *call;
};

/* Fills @look, which is zero but for what is known. 0 or -errno with a chain. */
int pty_look(struct context *ctx, int master, struct pty_look *look);
