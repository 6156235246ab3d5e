/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /proc/PID/stat: "PID (COMM) STATE" and 49 numbers. COMM is not escaped and may hold blanks,
 * parentheses and newlines, so it ends at the last closing parenthesis. Addresses and the exit
 * status read 0 without ptrace access to the process.
 */
#include "kernel/proc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/proc-read.h"
#include "kernel/scan.h"
#include "util/cleanup.h"
#include "util/macro.h"

/* Numbers of fields, as proc_pid_stat(5) counts them. */
enum { FIELD_FIRST = 4, FIELD_LAST = 52 };

/* Signed and unsigned numbers alike, as 64 bits. */
static bool scan_fields(const char *at, uint64_t field[FIELD_LAST + 1])
{
	for (int i = FIELD_FIRST; i <= FIELD_LAST; i++) {
		bool negative;

		if (!scan_char(&at, ' '))
			return false;
		negative = scan_char(&at, '-');
		if (!scan_u64(&at, 10, &field[i]) ||
		    (negative && field[i] > (uint64_t)INT64_MAX + 1))
			return false;
		if (negative)
			field[i] = -field[i];
	}
	return *at == '\n' || *at == ' ' || *at == '\0';
}

/* True if the field is a number that an int holds. */
static bool take_int(uint64_t field, int *ret)
{
	int64_t value = (int64_t)field;

	if (value < INT_MIN || value > INT_MAX)
		return false;
	*ret = (int)value;
	return true;
}

static bool take_u32(uint64_t field, uint32_t *ret)
{
	if (field > UINT32_MAX)
		return false;
	*ret = (uint32_t)field;
	return true;
}

/* "PID (COMM) S"; returns what follows, or NULL. */
static const char *parse_head(const char *text, struct proc_stat *stat)
{
	const char *at = text;
	const char *end = strrchr(text, ')');
	size_t len;

	if (!scan_int(&at, &stat->pid) || !scan_literal(&at, " (") || !end || end < at)
		return NULL;
	len = (size_t)(end - at);
	if (len >= sizeof(stat->comm))
		return NULL;
	memcpy(stat->comm, at, len);
	at = end + 1;
	if (!scan_char(&at, ' ') || *at < 'A' || *at > 'z')
		return NULL;
	stat->state = *at++;
	return at;
}

int parse_stat(const char *text, struct proc_stat *ret)
{
	struct proc_stat stat = {};
	uint64_t field[FIELD_LAST + 1];
	const char *at = parse_head(text, &stat);
	int tty_nr;

	if (!at || !scan_fields(at, field))
		return -EBADMSG;
	if (!take_int(field[4], &stat.ppid) || !take_int(field[5], &stat.pgrp) ||
	    !take_int(field[6], &stat.session) || !take_int(field[7], &tty_nr) ||
	    !take_int(field[8], &stat.tpgid) || !take_u32(field[20], &stat.num_threads) ||
	    !take_int(field[38], &stat.exit_signal) || !take_u32(field[40], &stat.rt_priority) ||
	    !take_u32(field[41], &stat.policy) || !take_int(field[52], &stat.exit_code))
		return -EBADMSG;
	stat.tty_nr = (uint32_t)tty_nr;
	stat.flags = field[9];
	stat.priority = (int64_t)field[18];
	stat.nice = (int64_t)field[19];
	stat.start_time = field[22];
	stat.start_code = field[26];
	stat.end_code = field[27];
	stat.start_stack = field[28];
	stat.start_data = field[45];
	stat.end_data = field[46];
	stat.start_brk = field[47];
	stat.arg_start = field[48];
	stat.arg_end = field[49];
	stat.env_start = field[50];
	stat.env_end = field[51];
	*ret = stat;
	return 0;
}

int proc_read_stat(int proc_fd, struct proc_stat *ret)
{
	_cleanup_free_ char *text = NULL;
	int r;

	r = proc_read_file(proc_fd, "stat", &text, NULL);
	if (r < 0)
		return r;
	return parse_stat(text, ret);
}
