/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Call tables: system calls that a puppet executes in one go.
 *
 * A table is built as plain data by the coordinator, can be printed and tested, and is then run
 * by puppet_run(). An entry's arguments are literals, addresses of data inside the table (in or
 * out), or results of earlier entries. Each entry says which results count as success; the
 * puppet stops at the first entry that fails its expectation.
 *
 *	struct call_table *t = ...;
 *	uint32_t buf = call_space(t, NULL, 24);		   // 24 bytes that come back
 *	uint32_t i = call_add(t, "sigaltstack", __NR_sigaltstack, CALL_IMM(0), CALL_DATA(buf));
 *	call_expect(t, i, CALL_ZERO);
 *	r = puppet_run(ctx, puppet, t);
 *	... call_bytes(t, buf) now holds what the kernel wrote ...
 *
 * Errors while building (out of memory) are remembered in the table and reported by puppet_run,
 * so that building code needs no checks.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;
struct context;

enum call_arg_kind {
	CALL_ARG_IMM,	 /* the value itself */
	CALL_ARG_DATA,	 /* the address, in the puppet, of data in this table */
	CALL_ARG_RESULT, /* the result of entry number @value of this table */
};

struct call_arg {
	enum call_arg_kind kind;
	uint64_t value;
};

#define CALL_IMM(v)    ((struct call_arg){CALL_ARG_IMM, (uint64_t)(v)})
#define CALL_DATA(off) ((struct call_arg){CALL_ARG_DATA, (off)})
#define CALL_RESULT(i) ((struct call_arg){CALL_ARG_RESULT, (i)})

/* What an entry's result must be for the puppet to go on with the next entry. */
enum call_expect {
	CALL_SUCCESS, /* not an error code, i.e. not in [-4095, -1] (the default) */
	CALL_ANY,     /* whatever comes; the builder looks at it */
	CALL_EXACT,   /* equal to entry.want */
};

/* Operations of the interpreter itself; numbers that no system call has. */
enum call_op {
	CALL_OP_BASE = 1 << 20,
	/* zero_map(addr, pages, page_size, bitmap): sets bit i of the bitmap (uint64_t words) iff
	 * page i holds only zero bytes. Result: the number of such pages. */
	CALL_OP_ZERO_MAP = CALL_OP_BASE,
	/* read_full(fd, addr, len, offset) / write_full(...): pread/pwrite until all is done.
	 * Result: len, or an error; a file that ends early gives -ENODATA. */
	CALL_OP_READ_FULL,
	CALL_OP_WRITE_FULL,
	/* copy(dst, src, len) */
	CALL_OP_COPY,
	/* nop(value): for timing and tests. Result: first argument. */
	CALL_OP_NOP,
	/* clone(args, size, slot, stack): clone3 in a made puppet; the child starts in the made
	 * loop on
	 * @slot with @stack as stack pointer. Result: the child's PID as the puppet numbers it. */
	CALL_OP_CLONE,
	/* touch(component): uses a component of the extended processor state (arch-xstate.h) that
	 * the kernel makes room for at its first use only, and leaves it in its initial state.
	 * Result: 0, or -ENOSYS for one that has no need of it. */
	CALL_OP_TOUCH,
	/* close_lent(struct door_lent *): closes the descriptor that was lent, and forgets it before,
	 * so that it is never closed twice. Result: that of close, or 0 if there is none. */
	CALL_OP_CLOSE_LENT,
};

/* One entry, as the coordinator keeps it. What goes over to the puppet is puppet/interp.h's. */
struct call {
	const char *what; /* static or arena text for errors and printing; may hold no secrets */
	uint64_t nr;	  /* system call number of the puppet's architecture, or enum call_op */
	struct call_arg arg[6];
	enum call_expect expect;
	int64_t want;	/* for CALL_EXACT */
	int64_t result; /* filled in by puppet_run */
	bool done;	/* executed */
};

/* A piece of the table's data; pieces travel whole, with the calls that refer to them. */
struct call_space {
	uint32_t offset;
	uint32_t len;
};

/* The word at @at is to hold the address, in the puppet, of the data at @target. */
struct call_pointer {
	uint32_t at;
	uint32_t target;
};

struct call_table {
	struct arena *arena; /* owns everything below */
	struct call *calls;
	size_t n_calls;
	size_t call_room;	   /* allocated, as the other rooms */
	struct call_space *spaces; /* by offset */
	size_t n_spaces;
	size_t space_room;
	struct call_pointer *pointers; /* by @at */
	size_t n_pointers;
	size_t pointer_room;
	unsigned char *data; /* the in/out bytes; written over with what came back */
	size_t data_len;
	size_t data_room;
	bool failed; /* an allocation failed while building */
};

void call_table_init(struct call_table *t, struct arena *arena);
/* Empties the table for reuse; it keeps its memory. */
void call_table_reset(struct call_table *t);

/*
 * Reserves @len bytes (aligned to 8), filled from @src or zeroed; returns their offset for
 * CALL_DATA and call_bytes. Data always travels in both directions.
 */
uint32_t call_space(struct call_table *t, const void *src, size_t len);
uint32_t call_string(struct call_table *t, const char *s);
/* Has the 8 bytes at @at hold the puppet's address of @target: an iovec, a set_tid array. */
void call_point(struct call_table *t, uint32_t at, uint32_t target);
/* The bytes at @offset; valid until the next call_space. NULL-safe only when !t->failed. */
void *call_bytes(struct call_table *t, uint32_t offset);

/* The bytes that argument @arg of entry @index refers to, which must be CALL_DATA. */
static inline void *call_arg_bytes(struct call_table *t, uint32_t index, unsigned int arg)
{
	return call_bytes(t, (uint32_t)t->calls[index].arg[arg].value);
}

/* Appends an entry; missing arguments are 0. Returns its index. */
#define call_add(t, what, nr, ...)                                                                 \
	call_add_args((t), (what), (nr), (const struct call_arg[6]){__VA_ARGS__})
uint32_t call_add_args(struct call_table *t, const char *what, uint64_t nr,
		       const struct call_arg arg[6]);
void call_expect_any(struct call_table *t, uint32_t index);
void call_expect_exact(struct call_table *t, uint32_t index, int64_t want);
int64_t call_result(const struct call_table *t, uint32_t index);
/* Did the entry's result meet its expectation? */
bool call_met(const struct call *call);
/* Starts a chain for an entry whose result missed its expectation; returns its -errno
 * (-EPROTO for a result that is no error code). */
int call_failed(struct context *ctx, const struct call_table *t, uint32_t index);

/* "prctl(PR_SET_NAME) nr=157 args=(0xf, data+0x20, ...)" for logs and tests. */
void call_format(const struct call_table *t, uint32_t index, char *buf, size_t size);
