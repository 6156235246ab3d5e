/* SPDX-License-Identifier: Apache-2.0 */
/* Building call tables: plain data, no system call. Running them is transport.c's. */
#include "puppet/call.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "util/arena.h"
#include "util/context.h"

enum { DATA_ALIGN = 8 };

void call_table_init(struct call_table *t, struct arena *arena)
{
	*t = (struct call_table){.arena = arena};
}

void call_table_reset(struct call_table *t)
{
	t->n_calls = t->n_spaces = t->n_pointers = t->data_len = 0;
	t->failed = false;
}

/* A new, zeroed element at the end of *@vec, of which @room are allocated; or NULL. */
static void *append(struct call_table *t, void *vec, size_t *n, size_t *room, size_t size)
{
	char **slot = vec;
	char *element;

	if (*n == *room) {
		size_t more = *room ? *room * 2 : 32;
		char *bigger = arena_alloc(t->arena, more * size);

		if (!bigger)
			return NULL;
		if (*n > 0)
			memcpy(bigger, *slot, *n * size);
		*slot = bigger;
		*room = more;
	}
	element = *slot + (*n)++ * size;
	memset(element, 0, size);
	return element;
}

static bool data_make_room(struct call_table *t, size_t len)
{
	size_t room = MAX(t->data_room, (size_t)256);
	unsigned char *bigger;

	if (len > UINT32_MAX / 2)
		return false;
	if (len <= t->data_room)
		return true;
	while (room < len)
		room *= 2;
	bigger = arena_alloc(t->arena, room);
	if (!bigger)
		return false;
	if (t->data_len > 0)
		memcpy(bigger, t->data, t->data_len);
	t->data = bigger;
	t->data_room = room;
	return true;
}

uint32_t call_space(struct call_table *t, const void *src, size_t len)
{
	size_t offset = t->data_len;
	size_t room = len < UINT32_MAX ? ALIGN_UP(MAX(len, (size_t)1), DATA_ALIGN) : len;
	struct call_space *space;

	if (t->failed || !data_make_room(t, offset + room))
		goto failed;
	space = append(t, &t->spaces, &t->n_spaces, &t->space_room, sizeof(*space));
	if (!space)
		goto failed;
	*space = (struct call_space){(uint32_t)offset, (uint32_t)room};
	memset(t->data + offset, 0, room);
	if (src && len > 0)
		memcpy(t->data + offset, src, len);
	t->data_len = offset + room;
	return (uint32_t)offset;
failed:
	t->failed = true;
	return 0;
}

uint32_t call_string(struct call_table *t, const char *s)
{
	return call_space(t, s, strlen(s) + 1);
}

void call_point(struct call_table *t, uint32_t at, uint32_t target)
{
	struct call_pointer *last;
	size_t i;

	last = t->failed ? NULL
			 : append(t, &t->pointers, &t->n_pointers, &t->pointer_room, sizeof(*last));
	if (!last) {
		t->failed = true;
		return;
	}
	for (i = t->n_pointers - 1; i > 0 && t->pointers[i - 1].at > at; i--)
		t->pointers[i] = t->pointers[i - 1];
	t->pointers[i] = (struct call_pointer){at, target};
}

void *call_bytes(struct call_table *t, uint32_t offset)
{
	assert(t->failed || offset < t->data_len);
	return t->failed ? NULL : t->data + offset;
}

uint32_t call_add_args(struct call_table *t, const char *what, uint64_t nr,
		       const struct call_arg arg[6])
{
	struct call *call;

	call = t->failed ? NULL : append(t, &t->calls, &t->n_calls, &t->call_room, sizeof(*call));
	if (!call) {
		t->failed = true;
		return 0;
	}
	call->what = what;
	call->nr = nr;
	memcpy(call->arg, arg, sizeof(call->arg));
	for (int i = 0; i < 6; i++)
		assert(arg[i].kind != CALL_ARG_RESULT || arg[i].value < t->n_calls - 1);
	return (uint32_t)(t->n_calls - 1);
}

void call_expect_any(struct call_table *t, uint32_t index)
{
	if (!t->failed)
		t->calls[index].expect = CALL_ANY;
}

void call_expect_exact(struct call_table *t, uint32_t index, int64_t want)
{
	if (t->failed)
		return;
	t->calls[index].expect = CALL_EXACT;
	t->calls[index].want = want;
}

int64_t call_result(const struct call_table *t, uint32_t index)
{
	assert(!t->failed && index < t->n_calls && t->calls[index].done);
	return t->calls[index].result;
}

static bool is_error(int64_t result)
{
	return result < 0 && result >= -4095;
}

bool call_met(const struct call *call)
{
	if (!call->done)
		return false;
	switch (call->expect) {
	case CALL_SUCCESS:
		return !is_error(call->result);
	case CALL_ANY:
		return true;
	case CALL_EXACT:
		return call->result == call->want;
	}
	return false;
}

int call_failed(struct context *ctx, const struct call_table *t, uint32_t index)
{
	const struct call *call = &t->calls[index];

	if (is_error(call->result))
		return err_sys(ctx, (int)call->result, "%s", call->what);
	return err_msg(ctx, -EPROTO, "%s: result %lld instead of %lld", call->what,
		       (long long)call->result, (long long)call->want);
}

static int format_arg(const struct call_arg *arg, char *buf, size_t size)
{
	switch (arg->kind) {
	case CALL_ARG_IMM:
		return snprintf(buf, size, "%#llx", (unsigned long long)arg->value);
	case CALL_ARG_DATA:
		return snprintf(buf, size, "data+%#llx", (unsigned long long)arg->value);
	case CALL_ARG_RESULT:
		return snprintf(buf, size, "result %llu", (unsigned long long)arg->value);
	}
	return 0;
}

void call_format(const struct call_table *t, uint32_t index, char *buf, size_t size)
{
	const struct call *call = &t->calls[index];
	size_t used = (size_t)snprintf(buf, size, "%s nr=%llu args=(", call->what,
				       (unsigned long long)call->nr);

	for (int i = 0; i < 6 && used < size; i++) {
		used += (size_t)format_arg(&call->arg[i], buf + used, size - used);
		if (used < size)
			used += (size_t)snprintf(buf + used, size - used, i < 5 ? ", " : ")");
	}
	if (call->done && used < size)
		(void)snprintf(buf + used, size - used, " = %lld", (long long)call->result);
}
