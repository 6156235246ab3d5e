/* SPDX-License-Identifier: Apache-2.0 */
/* Rules for pseudo terminals. */
#include <string.h>

#include <asm/termbits.h>

#include "image/validate-internal.h"

enum {
	NUMBER_MAX = 1 << 20, /* NR_UNIX98_PTY_MAX */
	/* As file/pty-queue.h has it. */
	OUTPUT_MAX = 32768,
	INPUT_MAX = 8192,
	LINES_MAX = 4096,
	SIZE_MAX_CELLS = 65535,
};

static bool is_directory(const char *path)
{
	size_t len = strlen(path);

	return path[0] == '/' && path[len - 1] != '/';
}

static int check_queue(const struct validation *v, const Coppice__Pty *pty)
{
	size_t input = pty->typed.len;

	if (pty->output.len > OUTPUT_MAX)
		return invalid(v, "output: %zu bytes", pty->output.len);
	if (pty->n_lines > LINES_MAX)
		return invalid(v, "lines: %zu of them", pty->n_lines);
	for (size_t i = 0; i < pty->n_lines; i++) {
		if (pty->lines[i].len > INPUT_MAX)
			return invalid(v, "lines[%zu]: %zu bytes", i, pty->lines[i].len);
		input += pty->lines[i].len;
	}
	return input > INPUT_MAX ? invalid(v, "typed: %zu bytes of input in all", input) : 0;
}

int validate_pty(const struct validation *v, const ProtobufCMessage *msg)
{
	const Coppice__Pty *pty = (const Coppice__Pty *)msg;

	if (pty->number >= NUMBER_MAX)
		return invalid(v, "number: %u", pty->number);
	if (!is_directory(pty->directory))
		return invalid(v, "directory: not an absolute path");
	if (!pty->gone && pty->termios.len != sizeof(struct termios2))
		return invalid(v, "termios: %zu bytes", pty->termios.len);
	if (pty->rows > SIZE_MAX_CELLS || pty->columns > SIZE_MAX_CELLS ||
	    pty->width > SIZE_MAX_CELLS || pty->height > SIZE_MAX_CELLS)
		return invalid(v, "rows: %u, %u columns", pty->rows, pty->columns);
	return check_queue(v, pty);
}
