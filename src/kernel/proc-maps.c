/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /proc/PID/maps and smaps: the VMAs of an address space.
 *
 * The text is read and parsed in pieces: smaps needs some 700 bytes per VMA, and a process may have
 * 65530 of them. A line that starts with a hexadecimal digit opens a VMA, the lines "Key: value"
 * that follow in smaps belong to it.
 *
 * Names cannot be trusted to name a file: the kernel writes a newline as \012 and leaves a
 * backslash alone, so a file called "a\012" looks like "a<newline>"; and a name may itself end in
 * " (deleted)". Who needs the file itself follows /proc/PID/map_files.
 */
#include "kernel/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kernel/proc-ahead.h"
#include "kernel/proc-read.h"
#include "kernel/scan.h"
#include "util/cleanup.h"
#include "util/macro.h"

struct maps_parser {
	struct arena *arena;  /* of the names */
	struct proc_map *map; /* malloc'ed while it grows */
	size_t n;
	size_t room;
};

#define WORD(a, b) ((unsigned int)(unsigned char)(a) << 8 | (unsigned char)(b))

static uint64_t vm_flag(char a, char b)
{
	/* clang-format off */
	switch (WORD(a, b)) {
	case WORD('r', 'd'): return VMF_READ;
	case WORD('w', 'r'): return VMF_WRITE;
	case WORD('e', 'x'): return VMF_EXEC;
	case WORD('s', 'h'): return VMF_SHARED;
	case WORD('m', 'r'): return VMF_MAYREAD;
	case WORD('m', 'w'): return VMF_MAYWRITE;
	case WORD('m', 'e'): return VMF_MAYEXEC;
	case WORD('m', 's'): return VMF_MAYSHARE;
	case WORD('g', 'd'): return VMF_GROWSDOWN;
	case WORD('p', 'f'): return VMF_PFNMAP;
	case WORD('l', 'o'): return VMF_LOCKED;
	case WORD('i', 'o'): return VMF_IO;
	case WORD('s', 'r'): return VMF_SEQ_READ;
	case WORD('r', 'r'): return VMF_RAND_READ;
	case WORD('d', 'c'): return VMF_DONTCOPY;
	case WORD('d', 'e'): return VMF_DONTEXPAND;
	case WORD('l', 'f'): return VMF_LOCKONFAULT;
	case WORD('a', 'c'): return VMF_ACCOUNT;
	case WORD('n', 'r'): return VMF_NORESERVE;
	case WORD('h', 't'): return VMF_HUGETLB;
	case WORD('s', 'f'): return VMF_SYNC;
	case WORD('a', 'r'): return VMF_ARCH_1;
	case WORD('w', 'f'): return VMF_WIPEONFORK;
	case WORD('d', 'd'): return VMF_DONTDUMP;
	case WORD('s', 'd'): return VMF_SOFTDIRTY;
	case WORD('m', 'm'): return VMF_MIXEDMAP;
	case WORD('h', 'g'): return VMF_HUGEPAGE;
	case WORD('n', 'h'): return VMF_NOHUGEPAGE;
	case WORD('m', 'g'): return VMF_MERGEABLE;
	case WORD('u', 'm'): return VMF_UFFD_MISSING;
	case WORD('u', 'w'): return VMF_UFFD_WP;
	case WORD('u', 'i'): return VMF_UFFD_MINOR;
	case WORD('s', 's'): return VMF_SHADOW_STACK;
	case WORD('s', 'l'): return VMF_SEALED;
	case WORD('d', 'p'): return VMF_DROPPABLE;
	case WORD('g', 'u'): return VMF_GUARD;
	case WORD('d', 'w'): return 0; /* VM_DENYWRITE, until 5.15: nobody can set it by a call */
	default: return VMF_UNKNOWN;
	}
	/* clang-format on */
}

static bool scan_vm_flags(const char *at, struct proc_map *map)
{
	map->has_flags = true;
	map->flags = 0;
	for (;;) {
		const char *word;

		scan_blanks(&at);
		if (*at == '\0')
			return true;
		word = at;
		while (*at != '\0' && *at != ' ')
			at++;
		map->flags |= at - word == 2 ? vm_flag(word[0], word[1]) : VMF_UNKNOWN;
	}
}

/* Sets *@to from "   12 kB", in units of @unit. */
static bool scan_kb(const char *at, uint64_t unit, uint64_t *to)
{
	uint64_t value;

	scan_blanks(&at);
	return scan_u64(&at, 10, &value) && !__builtin_mul_overflow(value, unit, to);
}

/* A "Key: value" line; keys that nobody here needs are passed over. */
static bool parse_key(const char *line, struct proc_map *map)
{
	const char *at = line;

	switch (*line) {
	case 'R':
		return !scan_literal(&at, "Rss:") || scan_kb(at, 1, &map->rss_kb);
	case 'A':
		return !scan_literal(&at, "Anonymous:") || scan_kb(at, 1, &map->anonymous_kb);
	case 'S':
		return !scan_literal(&at, "Swap:") || scan_kb(at, 1, &map->swap_kb);
	case 'K':
		return !scan_literal(&at, "KernelPageSize:") || scan_kb(at, 1024, &map->page_size);
	case 'P':
		if (!scan_literal(&at, "ProtectionKey:"))
			return true;
		scan_blanks(&at);
		return scan_u32(&at, 10, &map->pkey);
	case 'V':
		return !scan_literal(&at, "VmFlags:") || scan_vm_flags(at, map);
	default:
		return *line >= 'A' && *line <= 'Z';
	}
}

static bool scan_perms(const char **at, struct proc_map *map)
{
	const char *p = *at;

	if ((p[0] != 'r' && p[0] != '-') || (p[1] != 'w' && p[1] != '-') ||
	    (p[2] != 'x' && p[2] != '-') || (p[3] != 's' && p[3] != 'p'))
		return false;
	map->prot = (p[0] == 'r' ? PROT_READ : 0) | (p[1] == 'w' ? PROT_WRITE : 0) |
		    (p[2] == 'x' ? PROT_EXEC : 0);
	map->shared = p[3] == 's';
	*at = p + 4;
	return true;
}

/* "START-END PERMS OFFSET MAJOR:MINOR INODE"; leaves @at before the name. */
static bool scan_header(const char **at, struct proc_map *map)
{
	if (!scan_u64(at, 16, &map->start) || !scan_char(at, '-') || !scan_u64(at, 16, &map->end) ||
	    !scan_char(at, ' ') || !scan_perms(at, map) || !scan_char(at, ' ') ||
	    !scan_u64(at, 16, &map->offset) || !scan_char(at, ' ') ||
	    !scan_u32(at, 16, &map->dev_major) || !scan_char(at, ':') ||
	    !scan_u32(at, 16, &map->dev_minor) || !scan_char(at, ' ') ||
	    !scan_u64(at, 10, &map->inode))
		return false;
	scan_blanks(at);
	return map->start < map->end;
}

/* Undoes the one escape that seq_path(m, file, "\n") makes; in place. */
static size_t unescape(char *name)
{
	char *to = strchr(name, '\\');

	if (!to)
		return strlen(name);
	for (const char *from = to; *from != '\0';) {
		if (strncmp(from, "\\012", 4) == 0) {
			*to++ = '\n';
			from += 4;
		} else {
			*to++ = *from++;
		}
	}
	*to = '\0';
	return (size_t)(to - name);
}

static int parse_name(struct maps_parser *parser, char *name, struct proc_map *map)
{
	static const char deleted[] = " (deleted)";
	const size_t deleted_len = sizeof(deleted) - 1;
	const struct proc_map *before = parser->n > 0 ? &parser->map[parser->n - 1] : NULL;
	size_t len = unescape(name);

	if (name[0] != '[' && len > deleted_len &&
	    memcmp(name + len - deleted_len, deleted, deleted_len) == 0) {
		map->deleted = true;
		len -= deleted_len;
		name[len] = '\0';
	}
	/* Neighbours are mostly parts of one file. */
	if (before && strcmp(before->name, name) == 0)
		map->name = before->name;
	else
		map->name = arena_memdup(parser->arena, name, len + 1);
	return map->name ? 0 : -ENOMEM;
}

static int add_map(struct maps_parser *parser, char *line)
{
	struct proc_map map = {};
	const char *at = line;
	int r;

	if (!scan_header(&at, &map))
		return -EBADMSG;
	if (parser->n > 0 && map.start < parser->map[parser->n - 1].end)
		return -EBADMSG;
	r = parse_name(parser, line + (at - line), &map);
	if (r < 0)
		return r;
	if (parser->n == parser->room) {
		size_t room = MAX(parser->room * 2, (size_t)32);
		struct proc_map *bigger = realloc(parser->map, room * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		parser->map = bigger;
		parser->room = room;
	}
	parser->map[parser->n++] = map;
	return 0;
}

/* One line, NUL-terminated, without its newline. */
static int parse_line(struct maps_parser *parser, char *line)
{
	if (scan_digit(line[0]) < 16)
		return add_map(parser, line);
	if (parser->n == 0)
		return -EBADMSG;
	return parse_key(line, &parser->map[parser->n - 1]) ? 0 : -EBADMSG;
}

/* The whole lines of @text; *@ret_used is where an unfinished one begins. */
static int parse_lines(struct maps_parser *parser, char *text, size_t len, size_t *ret_used)
{
	size_t used = 0;

	for (;;) {
		char *newline = memchr(text + used, '\n', len - used);
		int r;

		if (!newline)
			break;
		*newline = '\0';
		r = parse_line(parser, text + used);
		if (r < 0)
			return r;
		used = (size_t)(newline - text) + 1;
	}
	*ret_used = used;
	return 0;
}

/* Hands over what was parsed. */
static int maps_finish(struct maps_parser *parser, struct proc_map **ret, size_t *ret_n)
{
	struct proc_map *maps = NULL;

	if (parser->n > 0) {
		maps = arena_memdup(parser->arena, parser->map, parser->n * sizeof(*maps));
		if (!maps)
			return -ENOMEM;
	}
	*ret = maps;
	*ret_n = parser->n;
	return 0;
}

static void maps_deinit(struct maps_parser *parser)
{
	free(parser->map);
}

int parse_maps(char *text, struct arena *arena, struct proc_map **ret, size_t *ret_n)
{
	_cleanup_(maps_deinit) struct maps_parser parser = {.arena = arena};
	size_t len = strlen(text);
	size_t used;
	int r;

	r = parse_lines(&parser, text, len, &used);
	if (r == 0 && used < len)
		r = parse_line(&parser, text + used);
	if (r < 0)
		return r;
	return maps_finish(&parser, ret, ret_n);
}

struct read_buffer {
	char *text;
	size_t len;
	size_t room;
};

static void buffer_deinit(struct read_buffer *buffer)
{
	free(buffer->text);
}

/* Makes room for at least one more read; only an enormous line makes the buffer grow. */
static int buffer_reserve(struct read_buffer *buffer)
{
	enum { ROOM = 64 * 1024, ROOM_MIN = 4096 };
	size_t room = buffer->room == 0 ? ROOM : buffer->room * 2;
	char *bigger;

	if (buffer->room - buffer->len >= ROOM_MIN)
		return 0;
	bigger = realloc(buffer->text, room);
	if (!bigger)
		return -ENOMEM;
	buffer->text = bigger;
	buffer->room = room;
	return 0;
}

static int parse_stream(struct maps_parser *parser, int fd)
{
	_cleanup_(buffer_deinit) struct read_buffer buffer = {};

	for (;;) {
		size_t used;
		ssize_t n;
		int r;

		r = buffer_reserve(&buffer);
		if (r < 0)
			return r;
		n = read(fd, buffer.text + buffer.len, buffer.room - buffer.len);
		if (n < 0)
			return -errno;
		if (n == 0)
			return buffer.len > 0 ? -EBADMSG : 0;
		buffer.len += (size_t)n;
		r = parse_lines(parser, buffer.text, buffer.len, &used);
		if (r < 0)
			return r;
		buffer.len -= used;
		memmove(buffer.text, buffer.text + used, buffer.len);
	}
}

static int read_stream(int proc_fd, const char *name, struct arena *arena, struct proc_map **ret,
		       size_t *ret_n)
{
	_cleanup_(maps_deinit) struct maps_parser parser = {.arena = arena};
	_cleanup_close_ int fd = openat(proc_fd, name, O_RDONLY | O_CLOEXEC);
	int r;

	if (fd < 0)
		return proc_error(proc_fd, -errno);
	r = parse_stream(&parser, fd);
	if (r < 0)
		return r;
	return maps_finish(&parser, ret, ret_n);
}

int proc_read_maps(int proc_fd, struct arena *arena, struct proc_map **ret, size_t *ret_n)
{
	return read_stream(proc_fd, "maps", arena, ret, ret_n);
}

int proc_read_smaps(const struct proc_dir *dir, struct arena *arena, struct proc_map **ret,
		    size_t *ret_n)
{
	_cleanup_free_ char *text = NULL;

	if (proc_dir_take(dir, "smaps", &text, NULL))
		return parse_maps(text, arena, ret, ret_n);
	return read_stream(dir->fd, "smaps", arena, ret, ret_n);
}
