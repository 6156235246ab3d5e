/* SPDX-License-Identifier: Apache-2.0 */
#include "file/lock-line.h"

#include <errno.h>

#include "kernel/scan.h"
#include "util/macro.h"

static bool parse_kind(const char **at, struct lock_line *lock)
{
	static const struct {
		const char *words;
		Coppice__FileLock__Kind kind;
		bool breaking;
		bool deleg;
	} kinds[] = {
		{"POSIX  ADVISORY  ", COPPICE__FILE_LOCK__KIND__POSIX},
		{"OFDLCK ADVISORY  ", COPPICE__FILE_LOCK__KIND__OFD},
		{"FLOCK  ADVISORY  ", COPPICE__FILE_LOCK__KIND__FLOCK},
		{"LEASE  ACTIVE    ", COPPICE__FILE_LOCK__KIND__LEASE, false, false},
		{"LEASE  BREAKING  ", COPPICE__FILE_LOCK__KIND__LEASE, true, false},
		{"LEASE  BREAKER   ", COPPICE__FILE_LOCK__KIND__LEASE, false, false},
		{"DELEG  ACTIVE    ", COPPICE__FILE_LOCK__KIND__LEASE, false, true},
		{"DELEG  BREAKING  ", COPPICE__FILE_LOCK__KIND__LEASE, true, true},
		{"DELEG  BREAKER   ", COPPICE__FILE_LOCK__KIND__LEASE, false, true},
	};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (scan_literal(at, kinds[i].words)) {
			lock->kind = kinds[i].kind;
			lock->breaking = kinds[i].breaking;
			lock->deleg = kinds[i].deleg;
			return true;
		}
	return false;
}

static bool parse_type(const char **at, struct lock_line *lock)
{
	lock->write = scan_literal(at, "WRITE ");
	lock->unlock = !lock->write && scan_literal(at, "UNLCK ");
	return lock->write || lock->unlock || scan_literal(at, "READ ");
}

static bool parse_range(const char **at, struct lock_line *lock)
{
	int64_t end;

	if (!scan_i64(at, &lock->start) || !scan_char(at, ' '))
		return false;
	if (scan_literal(at, "EOF"))
		return true;
	if (!scan_i64(at, &end) || end < lock->start)
		return false;
	return !__builtin_sub_overflow(end, lock->start, &lock->length) &&
	       !__builtin_add_overflow(lock->length, INT64_C(1), &lock->length);
}

int lock_parse(const char *text, struct lock_line *ret)
{
	struct lock_line lock = {};
	const char *at = text;
	int64_t number;

	if (!scan_i64(&at, &number) || !scan_literal(&at, ": "))
		return -EBADMSG;
	scan_blanks(&at); /* deeper, the longer the queue */
	lock.waits = scan_literal(&at, "->");
	scan_blanks(&at);
	if (!parse_kind(&at, &lock) || !parse_type(&at, &lock))
		return -EBADMSG;
	scan_blanks(&at);
	if (!scan_int(&at, &lock.pid) || !scan_char(&at, ' ') ||
	    !scan_u32(&at, 16, &lock.dev_major) || !scan_char(&at, ':') ||
	    !scan_u32(&at, 16, &lock.dev_minor) || !scan_char(&at, ':') ||
	    !scan_u64(&at, 10, &lock.ino) || !scan_char(&at, ' ') || !parse_range(&at, &lock))
		return -EBADMSG;
	*ret = lock;
	return 0;
}
