/* SPDX-License-Identifier: Apache-2.0 */
/* What the /proc readers share; private to src/kernel. */
#pragma once

#include <stddef.h>

/* Reads a file below /proc/PID; malloc'ed, NUL-terminated. -ESRCH: the process is gone. */
int proc_read_file(int proc_fd, const char *name, char **ret_text, size_t *ret_len);

/*
 * What -ENOENT means: every entry of a dead process's directory gives it, and so does a file that
 * this kernel does not have. Turns the former into -ESRCH; other errors pass.
 */
int proc_error(int proc_fd, int r);
