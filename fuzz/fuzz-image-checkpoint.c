/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes unpacking and validation of a checkpoint, and everything that takes one for valid. */
#include "fuzz.h"
#include "image/diff.h"
#include "image/pages.h"
#include "image/show.h"
#include "image/unpack.h"
#include "image/validate.h"
#include "util/arena.h"
#include "util/context.h"

/* What restore does for every VMA: none of the pieces may lie outside. */
static void walk_pages(const Coppice__Checkpoint *cp)
{
	for (size_t i = 0; i < cp->n_mms; i++) {
		const Coppice__Mm *mm = cp->mms[i];

		for (size_t k = 0; k < mm->n_vmas; k++) {
			struct page_cursor cursor;
			struct page_piece piece;

			page_cursor_init(&cursor, mm->pages, mm->n_pages, cp->origin->page_size,
					 mm->vmas[k]->start, mm->vmas[k]->end);
			while (page_cursor_next(&cursor, &piece))
				if (piece.len == 0 || piece.address < mm->vmas[k]->start ||
				    piece.address + piece.len > mm->vmas[k]->end)
					abort();
		}
	}
}

static void show(struct context *ctx, const ProtobufCMessage *msg)
{
	FILE *null = fopen("/dev/null", "we");

	if (!null || show_text(ctx, null, msg) < 0 || show_json(ctx, null, msg) < 0)
		abort();
	(void)fclose(null); /* nothing was kept */
}

static void use(struct context *ctx, struct arena *arena, const uint8_t *data, size_t size)
{
	const struct diff diff = {0};
	uint64_t budget = unpack_budget(size);
	ProtobufCMessage *msg;

	if (message_unpack(ctx, arena, &budget, &coppice__checkpoint__descriptor, data, size,
			   &msg) < 0)
		return;
	show(ctx, msg);
	if (message_diff(ctx, &diff, msg, msg) != 0 || !message_equal(msg, msg))
		abort();
	if (checkpoint_validate(ctx, (const Coppice__Checkpoint *)msg) == 0)
		walk_pages((const Coppice__Checkpoint *)msg);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(arena_deinit) struct arena arena;
	static struct context ctx;

	arena_init(&arena, NULL);
	use(&ctx, &arena, data, size);
	return 0;
}
