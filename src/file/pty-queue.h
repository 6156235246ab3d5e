/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What waits in a pseudo terminal: output that nobody has read from the master yet, and typed input
 * that no program has read; and whether output is stopped. Used by both sides: a look takes it out
 * and puts it back (pty-look.c), a restore puts it in.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <asm/termbits.h>

#include "image/checkpoint.pb-c.h"

enum {
	/* A line discipline holds 4096 bytes, the buffer before it 8192 (pty_common_install()). */
	PTY_OUTPUT_MAX = 32768,
	PTY_INPUT_MAX = 8192,
	PTY_LINES_MAX = 4096,
};

struct pty_queue {
	Coppice__PtyFlow flow;
	uint32_t output_len;
	uint32_t n_lines;
	uint32_t input_len;
	uint32_t line_end[PTY_LINES_MAX]; /* in @input; without the end-of-file character */
	unsigned char output[PTY_OUTPUT_MAX];
	unsigned char input[PTY_INPUT_MAX]; /* the lines, and what is behind them */
};

/* A pair, both sides open, nobody at work with it. */
struct pty_ends {
	int master; /* may be one that blocks */
	int slave;  /* non-blocking */
	bool packet;
	struct termios2 termios; /* what the slave has, or is to have */
};

/*
 * Opens the slave for us, also if it is locked; nobody gets a controlling terminal, the lock stays.
 * A descriptor or -errno.
 */
int pty_slave_open(int master, bool locked);
/*
 * Closes such a one so that the master does not see that anybody has been there, where nobody else has
 * it open or ever had.
 */
void pty_slave_close_unseen(int master, int slave, bool locked);

/* Why it was not taken out. */
enum pty_trouble {
	PTY_FINE,
	PTY_FULL,   /* more was typed than can be told apart from what is not yet looked at */
	PTY_ECHOES, /* output is stopped, and echoes wait for it */
	PTY_DEAF,   /* the master's own output is stopped */
};

/*
 * Takes everything out; what is in @q is to be put back whatever comes of it. With any trouble but
 * PTY_FULL nothing is left behind. 0 or -errno.
 */
int pty_queue_take(const struct pty_ends *e, struct pty_queue *q, enum pty_trouble *ret_trouble);
/* Puts it in, stops output if it was; the slave has e->termios afterwards. 0 or -errno. */
int pty_queue_put(const struct pty_ends *e, const struct pty_queue *q);
