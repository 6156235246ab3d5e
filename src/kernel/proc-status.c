/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /proc/PID/status: lines of "Key:\tvalue". The name is escaped by the kernel, so it cannot fake a
 * line. Which lines exist depends on the kernel's configuration and on the state of the process (a
 * zombie has no memory lines); only those that every kernel prints are required.
 */
#include "kernel/proc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/proc-read.h"
#include "kernel/scan.h"
#include "util/cleanup.h"
#include "util/macro.h"

enum value_type {
	VALUE_STATE,  /* one letter, then words for people */
	VALUE_OCTAL,  /* uint32_t */
	VALUE_INT,    /* int */
	VALUE_U32,    /* uint32_t */
	VALUE_KB,     /* uint64_t, "12 kB" */
	VALUE_HEX,    /* uint64_t, with or without 0x */
	VALUE_BOOL,   /* 0 or 1 */
	VALUE_IDS,    /* uint32_t[4] */
	VALUE_NS_IDS, /* struct proc_ns_ids */
	VALUE_WORDS,  /* char[size], the rest of the line */
	VALUE_GROUPS, /* groups and n_groups */
};

struct key {
	const char *name;
	unsigned char len;
	unsigned char type;
	unsigned char size; /* VALUE_WORDS */
	bool required;
	unsigned short offset;
};

#define KEY_ANY(text, value_type, member, must)                                                    \
	{                                                                                          \
		.name = (text), .len = sizeof(text) - 1, .type = (value_type),                     \
		.size = sizeof(((struct proc_status *)0)->member), .required = (must),             \
		.offset = offsetof(struct proc_status, member)                                     \
	}
#define KEY(text, type, member)	     KEY_ANY(text, type, member, false)
#define KEY_MUST(text, type, member) KEY_ANY(text, type, member, true)

/* In the kernel's order (fs/proc/array.c): parse_status searches from the last match on. */
static const struct key keys[] = {
	KEY("Umask", VALUE_OCTAL, umask),
	KEY_MUST("State", VALUE_STATE, state),
	KEY_MUST("Tgid", VALUE_INT, tgid),
	KEY_MUST("PPid", VALUE_INT, ppid),
	KEY_MUST("TracerPid", VALUE_INT, tracer),
	KEY_MUST("Uid", VALUE_IDS, uid),
	KEY_MUST("Gid", VALUE_IDS, gid),
	KEY_MUST("Groups", VALUE_GROUPS, groups),
	KEY("NStgid", VALUE_NS_IDS, ns_tgid),
	KEY("NSpid", VALUE_NS_IDS, ns_pid),
	KEY("NSpgid", VALUE_NS_IDS, ns_pgid),
	KEY("NSsid", VALUE_NS_IDS, ns_sid),
	KEY("VmLck", VALUE_KB, vm_locked_kb),
	KEY("VmRSS", VALUE_KB, vm_rss_kb),
	KEY("CoreDumping", VALUE_BOOL, coredumping),
	KEY("THP_enabled", VALUE_BOOL, thp_enabled),
	KEY("untag_mask", VALUE_HEX, untag_mask),
	KEY_MUST("SigPnd", VALUE_HEX, sig_pending),
	KEY_MUST("ShdPnd", VALUE_HEX, shared_pending),
	KEY_MUST("SigBlk", VALUE_HEX, sig_blocked),
	KEY_MUST("SigIgn", VALUE_HEX, sig_ignored),
	KEY_MUST("SigCgt", VALUE_HEX, sig_caught),
	KEY_MUST("CapInh", VALUE_HEX, cap_inheritable),
	KEY_MUST("CapPrm", VALUE_HEX, cap_permitted),
	KEY_MUST("CapEff", VALUE_HEX, cap_effective),
	KEY_MUST("CapBnd", VALUE_HEX, cap_bounding),
	KEY_MUST("CapAmb", VALUE_HEX, cap_ambient),
	KEY_MUST("NoNewPrivs", VALUE_BOOL, no_new_privs),
	KEY("Seccomp", VALUE_INT, seccomp),
	KEY("Seccomp_filters", VALUE_U32, seccomp_filters),
	KEY("Speculation_Store_Bypass", VALUE_WORDS, speculation_store_bypass),
	KEY("SpeculationIndirectBranch", VALUE_WORDS, speculation_indirect_branch),
	KEY("x86_Thread_features", VALUE_WORDS, x86_thread_features),
	KEY("x86_Thread_features_locked", VALUE_WORDS, x86_thread_features_locked),
};

static bool scan_bool(const char **at, bool *ret)
{
	uint64_t value;

	if (!scan_u64(at, 10, &value) || value > 1)
		return false;
	*ret = value == 1;
	return true;
}

static bool scan_ids(const char **at, uint32_t ids[4])
{
	for (int i = 0; i < 4; i++) {
		scan_blanks(at);
		if (!scan_u32(at, 10, &ids[i]))
			return false;
	}
	return true;
}

static bool scan_ns_ids(const char **at, struct proc_ns_ids *ids)
{
	ids->n = 0;
	while (**at != '\n' && **at != '\0') {
		if (ids->n == PROC_NS_LEVELS || !scan_int(at, &ids->id[ids->n]))
			return false;
		ids->n++;
		scan_blanks(at);
	}
	return ids->n > 0;
}

/* Longer than room: the words are ours to understand, so a cut value is no value. */
static bool scan_words(const char **at, char *ret, size_t room)
{
	const char *end = scan_line_end(*at);

	while (end > *at && end[-1] == ' ')
		end--;
	if ((size_t)(end - *at) >= room)
		return false;
	memcpy(ret, *at, (size_t)(end - *at));
	ret[end - *at] = '\0';
	*at = end;
	return true;
}

static int parse_groups(const char **at, struct arena *arena, struct proc_status *status)
{
	status->groups = NULL;
	status->n_groups = 0;
	while (**at != '\n' && **at != '\0') {
		uint32_t gid;
		uint32_t *slot;

		if (!scan_u32(at, 10, &gid))
			return -EBADMSG;
		scan_blanks(at);
		slot = arena_append(arena, &status->groups, &status->n_groups, sizeof(*slot));
		if (!slot)
			return -ENOMEM;
		*slot = gid;
	}
	return 0;
}

static bool scan_value(const char **at, const struct key *key, void *to)
{
	switch ((enum value_type)key->type) {
	case VALUE_STATE:
		*(char *)to = **at;
		return **at >= 'A' && **at <= 'z';
	case VALUE_OCTAL:
		return scan_u32(at, 8, to);
	case VALUE_INT:
		return scan_int(at, to);
	case VALUE_U32:
		return scan_u32(at, 10, to);
	case VALUE_KB:
		return scan_u64(at, 10, to);
	case VALUE_HEX:
		(void)scan_literal(at, "0x");
		return scan_u64(at, 16, to);
	case VALUE_BOOL:
		return scan_bool(at, to);
	case VALUE_IDS:
		return scan_ids(at, to);
	case VALUE_NS_IDS:
		return scan_ns_ids(at, to);
	case VALUE_WORDS:
		return scan_words(at, to, key->size);
	case VALUE_GROUPS:
		break; /* needs the arena: parse_line */
	}
	return false;
}

static int parse_line(const char *value, const struct key *key, struct arena *arena,
		      struct proc_status *status)
{
	scan_blanks(&value);
	if (key->type == VALUE_GROUPS)
		return parse_groups(&value, arena, status);
	return scan_value(&value, key, (char *)status + key->offset) ? 0 : -EBADMSG;
}

/* The key that the line begins with, or -1. Lines come in table order: @from is the best guess. */
static int find_key(const char *line, size_t from)
{
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		size_t k = (from + i) % ARRAY_SIZE(keys);

		if (line[0] == keys[k].name[0] && strncmp(line, keys[k].name, keys[k].len) == 0 &&
		    line[keys[k].len] == ':')
			return (int)k;
	}
	return -1;
}

int parse_status(const char *text, struct arena *arena, struct proc_status *ret)
{
	struct proc_status status = {.umask = ~0u, .untag_mask = ~UINT64_C(0)};
	bool seen[ARRAY_SIZE(keys)] = {};
	size_t from = 0;

	for (const char *line = text; *line != '\0'; line = scan_next_line(line)) {
		int k = find_key(line, from);
		int r;

		if (k < 0)
			continue;
		r = parse_line(line + keys[k].len + 1, &keys[k], arena, &status);
		if (r < 0)
			return r;
		seen[k] = true;
		from = (size_t)k + 1;
		if (keys[k].offset == offsetof(struct proc_status, thp_enabled))
			status.has_thp_enabled = true;
		if (keys[k].offset == offsetof(struct proc_status, untag_mask))
			status.untag_mask_seen = true;
	}
	for (size_t k = 0; k < ARRAY_SIZE(keys); k++)
		if (keys[k].required && !seen[k])
			return -EBADMSG;
	*ret = status;
	return 0;
}

int proc_read_status(int proc_fd, struct arena *arena, struct proc_status *ret)
{
	_cleanup_free_ char *text = NULL;
	int r;

	r = proc_read_file(proc_fd, "status", &text, NULL);
	if (r < 0)
		return r;
	return parse_status(text, arena, ret);
}
