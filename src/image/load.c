/* SPDX-License-Identifier: Apache-2.0 */
/* From the files of an image to a checkpoint. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "image/format.h"
#include "image/reader-internal.h"
#include "image/record.h"
#include "image/unpack.h"
#include "image/validate.h"
#include "image/walk.h"
#include "util/context.h"

/* The number of records, all of which are looked at: -EBADMSG where one is damaged. */
static int count_records(struct context *ctx, struct record_in in, size_t *ret_n)
{
	const uint8_t *msg;
	size_t len;
	int r;

	do
		r = record_in_next(ctx, &in, &msg, &len);
	while (r > 0);
	*ret_n = in.index;
	return r;
}

/* Makes room for @n messages in @field; an array, or the member itself where it is not repeated. */
static int field_slots(struct context *ctx, struct arena *arena, Coppice__Checkpoint *cp,
		       const ProtobufCFieldDescriptor *field, const char *name, size_t n,
		       ProtobufCMessage ***ret_slots)
{
	char *member = (char *)cp + field->offset;

	if (field->label != PROTOBUF_C_LABEL_REPEATED) {
		if (n != 1)
			return err_msg(ctx, -EBADMSG, "%s has %zu records, not one", name, n);
		*ret_slots = (ProtobufCMessage **)member;
		return 0;
	}
	*ret_slots = arena_new_n(arena, ProtobufCMessage *, n);
	if (!*ret_slots)
		return err_oom(ctx);
	*(ProtobufCMessage ***)member = *ret_slots;
	*(size_t *)((char *)cp + field->quantifier_offset) = n;
	return 0;
}

int reader_unpack_field(struct context *ctx, struct arena *arena, uint64_t *budget,
			Coppice__Checkpoint *cp, const ProtobufCFieldDescriptor *field,
			const char *name, const uint8_t *bytes, size_t len)
{
	ProtobufCMessage **slots = NULL;
	struct record_in in;
	size_t n = 0;
	int r = record_in_init(ctx, &in, name, bytes, len, field->id);

	if (r == 0)
		r = count_records(ctx, in, &n);
	if (r == 0)
		r = field_slots(ctx, arena, cp, field, name, n, &slots);
	for (size_t i = 0; r == 0 && i < n; i++) {
		const uint8_t *msg;
		size_t msg_len;

		r = record_in_next(ctx, &in, &msg, &msg_len);
		if (r > 0)
			r = message_unpack(ctx, arena, budget, field->descriptor, msg, msg_len,
					   &slots[i]);
		if (r < 0)
			return err_while(ctx, r, "reading %s, record %zu", name, i + 1);
	}
	return r;
}

static int load_file(struct context *ctx, struct image_reader *rd, struct arena *arena,
		     uint64_t *budget, Coppice__Checkpoint *cp, const Coppice__ImageFile *file)
{
	_cleanup_free_ uint8_t *bytes = NULL;
	const ProtobufCFieldDescriptor *field;
	char name[IMAGE_NAME_MAX];
	size_t len = 0;
	int r = reader_read_file(ctx, rd, file->name, &bytes, &len);

	if (r < 0)
		return r;
	(void)snprintf(name, sizeof(name), "%.*s", (int)(strlen(file->name) - strlen(IMAGE_SUFFIX)),
		       file->name);
	field = protobuf_c_message_descriptor_get_field_by_name(cp->base.descriptor, name);
	if (walk_count(&cp->base, field) > 0)
		return err_msg(ctx, -EBADMSG, "%s is listed twice", file->name);
	/* Records first: their checksums tell where the damage is. */
	r = reader_unpack_field(ctx, arena, budget, cp, field, file->name, bytes, len);
	if (r < 0)
		return r;
	if (XXH3_64bits(bytes, len) != file->xxh3)
		return err_msg(ctx, -EBADMSG, "%s is not the file that belongs to this %s",
			       file->name, IMAGE_MANIFEST);
	return 0;
}

/* The page files that runs refer to are those whose sizes were checked. */
static int match_page_files(struct context *ctx, const Coppice__Manifest *manifest,
			    const Coppice__Checkpoint *cp)
{
	size_t n = 0;

	for (size_t i = 0; i < manifest->n_files; i++) {
		const Coppice__ImageFile *file = manifest->files[i];

		if (!file->pages)
			continue;
		if (n == cp->n_page_files || strcmp(cp->page_files[n]->name, file->name) != 0 ||
		    cp->page_files[n]->size != file->size)
			return err_msg(ctx, -EBADMSG, "%s and page_files.img do not agree about %s",
				       IMAGE_MANIFEST, file->name);
		n++;
	}
	if (n != cp->n_page_files)
		return err_msg(ctx, -EBADMSG, "%s lists %zu page files, page_files.img %zu",
			       IMAGE_MANIFEST, n, cp->n_page_files);
	return 0;
}

static int load(struct context *ctx, struct image_reader *rd, struct arena *arena,
		Coppice__Checkpoint *cp)
{
	uint64_t total = 0;
	uint64_t budget;
	int r = 0;

	for (size_t i = 0; i < rd->manifest->n_files; i++)
		if (!rd->manifest->files[i]->pages)
			total += rd->manifest->files[i]->size;
	budget = unpack_budget(total);
	for (size_t i = 0; r == 0 && i < rd->manifest->n_files; i++)
		if (!rd->manifest->files[i]->pages)
			r = load_file(ctx, rd, arena, &budget, cp, rd->manifest->files[i]);
	if (r == 0)
		r = match_page_files(ctx, rd->manifest, cp);
	return r < 0 ? r : checkpoint_validate(ctx, cp);
}

int image_reader_load(struct context *ctx, struct image_reader *rd, struct arena *arena,
		      Coppice__Checkpoint **ret_cp)
{
	Coppice__Checkpoint *cp = arena_new(arena, Coppice__Checkpoint);
	int r;

	if (!cp)
		return err_oom(ctx);
	coppice__checkpoint__init(cp);
	r = load(ctx, rd, arena, cp);
	if (r < 0)
		return r;
	*ret_cp = cp;
	return 0;
}
