/* SPDX-License-Identifier: Apache-2.0 */
#include "image/record.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "image/format.h"
#include "util/cleanup.h"
#include "util/context.h"
#include "util/io.h"
#include "util/macro.h"

enum { BUFFER_SIZE = 64 * 1024 };

/* ---- writing -------------------------------------------------------------------------------- */

static int out_flush(struct context *ctx, struct record_out *out)
{
	int r = fault_point(ctx, "write");

	if (r < 0)
		return r;
	r = io_write_all(out->fd, out->buf, out->len);
	if (r < 0)
		return err_sys(ctx, r, "write(%s, %zu bytes)", out->name, out->len);
	out->len = 0;
	return 0;
}

/* Makes @need bytes free at the end of the buffer: a record is always packed in one piece. */
static int out_reserve(struct context *ctx, struct record_out *out, size_t need)
{
	uint8_t *bigger;
	int r;

	if (out->room - out->len >= need)
		return 0;
	r = out->len > 0 ? out_flush(ctx, out) : 0;
	if (r < 0 || out->room >= need)
		return r;
	bigger = realloc(out->buf, MAX(need, (size_t)BUFFER_SIZE));
	if (!bigger)
		return err_oom(ctx);
	out->buf = bigger;
	out->room = MAX(need, (size_t)BUFFER_SIZE);
	return 0;
}

static void out_advance(struct record_out *out, size_t n)
{
	(void)XXH3_64bits_update(out->hash, out->buf + out->len, n); /* fails for NULL only */
	out->len += n;
	out->size += n;
}

static int out_head(struct context *ctx, struct record_out *out, uint32_t number)
{
	uint32_t words[2] = {htole32(IMAGE_VERSION), htole32(number)};
	int r = out_reserve(ctx, out, IMAGE_HEAD_LEN);

	if (r < 0)
		return r;
	memcpy(out->buf, IMAGE_MAGIC, IMAGE_MAGIC_LEN);
	memcpy(out->buf + IMAGE_MAGIC_LEN, words, sizeof(words));
	out_advance(out, IMAGE_HEAD_LEN);
	return 0;
}

int record_out_init(struct context *ctx, struct record_out *out, const char *name, int fd,
		    uint32_t number)
{
	*out = (struct record_out){.name = name, .fd = fd, .hash = XXH3_createState()};
	if (!out->hash)
		return err_oom(ctx);
	(void)XXH3_64bits_reset(out->hash); /* fails for NULL only */
	return out_head(ctx, out, number);
}

void record_out_deinit(struct record_out *out)
{
	close_guard(&out->fd);
	(void)XXH3_freeState(out->hash); /* takes NULL and cannot fail */
	free(out->buf);
	*out = (struct record_out){.fd = -EBADF};
}

int record_out_put(struct context *ctx, struct record_out *out, const ProtobufCMessage *msg)
{
	size_t len = protobuf_c_message_get_packed_size(msg);
	uint32_t le_len = htole32((uint32_t)len);
	uint64_t xxh3;
	uint8_t *at;
	int r;

	if (len > IMAGE_METADATA_MAX - out->size - IMAGE_RECORD_HEAD_LEN)
		return err_msg(ctx, -EFBIG, "%s would grow over %llu bytes, more than readers take",
			       out->name, (unsigned long long)IMAGE_METADATA_MAX);
	r = out_reserve(ctx, out, IMAGE_RECORD_HEAD_LEN + len);
	if (r < 0)
		return r;
	at = out->buf + out->len;
	(void)protobuf_c_message_pack(msg, at + IMAGE_RECORD_HEAD_LEN); /* len again */
	xxh3 = htole64(XXH3_64bits(at + IMAGE_RECORD_HEAD_LEN, len));
	memcpy(at, &le_len, sizeof(le_len));
	memcpy(at + sizeof(le_len), &xxh3, sizeof(xxh3));
	out_advance(out, IMAGE_RECORD_HEAD_LEN + len);
	return 0;
}

int record_out_end(struct context *ctx, struct record_out *out, uint64_t *ret_size,
		   uint64_t *ret_xxh3)
{
	int r = out_flush(ctx, out);

	if (r < 0)
		return r;
	*ret_size = out->size;
	*ret_xxh3 = XXH3_64bits_digest(out->hash);
	return 0;
}

/* ---- reading -------------------------------------------------------------------------------- */

int record_in_init(struct context *ctx, struct record_in *in, const char *name,
		   const uint8_t *bytes, size_t len, uint32_t number)
{
	uint32_t words[2];

	if (len < IMAGE_HEAD_LEN)
		return err_msg(ctx, -EBADMSG, "%s is truncated: %zu bytes, its head alone has %d",
			       name, len, IMAGE_HEAD_LEN);
	if (memcmp(bytes, IMAGE_MAGIC, IMAGE_MAGIC_LEN) != 0)
		return err_msg(ctx, -EBADMSG, "%s does not begin like a file of an image", name);
	memcpy(words, bytes + IMAGE_MAGIC_LEN, sizeof(words));
	if (le32toh(words[0]) > IMAGE_VERSION) {
		int r = err_msg(ctx, -EOPNOTSUPP,
				"%s has format version %u; this coppice reads up to %d", name,
				le32toh(words[0]), IMAGE_VERSION);

		return err_hint(ctx, r, "use the version of coppice that wrote the image");
	}
	if (le32toh(words[0]) == 0)
		return err_msg(ctx, -EBADMSG, "%s has format version 0", name);
	if (le32toh(words[1]) != number)
		return err_msg(ctx, -EBADMSG, "%s says that it holds field %u, not %u", name,
			       le32toh(words[1]), number);
	*in = (struct record_in){.name = name, .bytes = bytes, .len = len, .at = IMAGE_HEAD_LEN};
	return 0;
}

int record_in_next(struct context *ctx, struct record_in *in, const uint8_t **ret_msg,
		   size_t *ret_len)
{
	size_t left = in->len - in->at;
	const uint8_t *at = in->bytes + in->at;
	uint64_t xxh3;
	uint32_t len;

	if (left == 0)
		return 0;
	in->index++;
	if (left < IMAGE_RECORD_HEAD_LEN)
		return err_msg(ctx, -EBADMSG, "%s is truncated in the head of record %zu", in->name,
			       in->index);
	memcpy(&len, at, sizeof(len));
	memcpy(&xxh3, at + sizeof(len), sizeof(xxh3));
	len = le32toh(len);
	if (len > left - IMAGE_RECORD_HEAD_LEN)
		return err_msg(ctx, -EBADMSG,
			       "%s is truncated or damaged: record %zu has %u bytes, %zu are left",
			       in->name, in->index, len, left - IMAGE_RECORD_HEAD_LEN);
	if (XXH3_64bits(at + IMAGE_RECORD_HEAD_LEN, len) != le64toh(xxh3))
		return err_msg(
			ctx, -EBADMSG,
			"%s is damaged: record %zu (at byte %zu) does not match its checksum",
			in->name, in->index, in->at);
	*ret_msg = at + IMAGE_RECORD_HEAD_LEN;
	*ret_len = len;
	in->at += IMAGE_RECORD_HEAD_LEN + len;
	return 1;
}
