/* SPDX-License-Identifier: Apache-2.0 */
/* Images that are damaged, foreign, from the future or hostile. */
#include <errno.h>

#include "image/test-directory.h"

#include "image/diff.h"
#include "image/format.h"
#include "image/reader-internal.h"
#include "image/record.h"
#include "image/unpack.h"
#include "util/macro.h"

static const char *const metadata[] = {
	"manifest.img",	  "origin.img",	    "processes.img", "mms.img",	   "fss.img",
	"fd_tables.img",  "sighands.img",   "files.img",     "inodes.img", "seccomp_filters.img",
	"file_locks.img", "page_files.img", "ptys.img",
};

static void write_sample(struct directory *d)
{
	directory_expect(d, directory_write(d, sample_checkpoint(&d->arena, 1), true), 0, "");
}

/* ---- damage --------------------------------------------------------------------------------- */

struct bytes {
	char *data;
	size_t len;
};

static struct bytes slurp(struct directory *d, const char *name)
{
	struct bytes b = {0};

	assert_int_equal(io_read_file(AT_FDCWD, directory_file(d, name), &b.data, &b.len), 0);
	return b;
}

static void spill(struct directory *d, const char *name, const char *data, size_t len)
{
	int fd = open(directory_file(d, name), O_WRONLY | O_TRUNC | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(io_write_all(fd, data, len), 0);
	assert_int_equal(close(fd), 0);
}

/* After any damage: an error that names the file, or what was written. */
static void expect_safe(struct directory *d, const char *name, const Coppice__Checkpoint *want)
{
	Coppice__Checkpoint *cp = NULL;
	struct arena arena;
	int r;

	arena_init(&arena, NULL);
	r = directory_read(d, IMAGE_RESTORE, &arena, &cp);
	if (r == 0)
		assert_true(message_equal(&cp->base, &want->base));
	else
		directory_expect(d, r, r, name);
	arena_deinit(&arena);
}

static void test_truncation(void **state)
{
	struct directory *d = *state;
	const Coppice__Checkpoint *want = sample_checkpoint(&d->arena, 1);

	write_sample(d);
	for (size_t i = 0; i < ARRAY_SIZE(metadata); i++) {
		struct bytes b = slurp(d, metadata[i]);

		for (size_t len = 0; len < b.len; len++) {
			spill(d, metadata[i], b.data, len);
			expect_safe(d, metadata[i], want);
		}
		spill(d, metadata[i], b.data, b.len);
		free(b.data);
	}
}

/* One bit of each byte; which one depends on the seed. */
static void test_bit_flips(void **state)
{
	struct directory *d = *state;
	const Coppice__Checkpoint *want = sample_checkpoint(&d->arena, 1);
	struct sample random = {.state = sample_seed()};

	write_sample(d);
	for (size_t i = 0; i < ARRAY_SIZE(metadata); i++) {
		struct bytes b = slurp(d, metadata[i]);

		for (size_t at = 0; at < b.len; at++) {
			char bit = (char)(1 << sample_below(&random, 8));

			b.data[at] = (char)(b.data[at] ^ bit);
			spill(d, metadata[i], b.data, b.len);
			expect_safe(d, metadata[i], want);
			b.data[at] = (char)(b.data[at] ^ bit);
		}
		spill(d, metadata[i], b.data, b.len);
		free(b.data);
	}
}

static void test_record_is_named(void **state)
{
	struct directory *d = *state;
	Coppice__Checkpoint *cp = NULL;
	struct bytes b;

	write_sample(d);
	b = slurp(d, "files.img");
	b.data[b.len - 1] ^= 1;
	spill(d, "files.img", b.data, b.len);
	free(b.data);
	directory_expect(d, directory_read(d, IMAGE_RESTORE, &d->arena, &cp), -EBADMSG,
			 "files.img is damaged: record 3 ");
}

static void test_pages(void **state)
{
	struct directory *d = *state;
	_cleanup_image_reader_ struct image_reader *rd = NULL;
	struct bytes b;

	write_sample(d);
	directory_expect(d, image_reader_open(&d->ctx, d->path, IMAGE_RESTORE, &rd), 0, "");
	directory_expect(d, image_reader_check_pages(&d->ctx, rd), 0, "");
	b = slurp(d, "pages-1.img");
	b.data[100000] ^= 1;
	spill(d, "pages-1.img", b.data, b.len);
	directory_expect(d, image_reader_check_pages(&d->ctx, rd), -EBADMSG,
			 "pages-1.img is damaged between");
	spill(d, "pages-1.img", b.data, b.len - 1);
	free(b.data);
	image_reader_free(TAKE_PTR(rd));
	directory_expect(d, image_reader_open(&d->ctx, d->path, IMAGE_RESTORE, &rd), -EBADMSG,
			 "pages-1.img is truncated");
}

static void test_pages_without_checksums(void **state)
{
	struct directory *d = *state;
	_cleanup_image_reader_ struct image_reader *rd = NULL;
	Coppice__Checkpoint *cp = sample_checkpoint(&d->arena, 1);
	_cleanup_close_ int fd = -EBADF;
	char page[SAMPLE_PAGE];

	directory_expect(d, directory_write(d, cp, false), 0, "");
	directory_expect(d, image_reader_open(&d->ctx, d->path, IMAGE_RESTORE, &rd), 0, "");
	directory_expect(d, image_reader_check_pages(&d->ctx, rd), -ENODATA, "without checksums");
	directory_expect(d, image_reader_load(&d->ctx, rd, &d->arena, &cp), 0, "");
	directory_expect(d, image_reader_open_pages(&d->ctx, rd, cp->page_files[0], &fd), 0, "");
	assert_int_equal(io_pread_exact(fd, page, sizeof(page), 7 * SAMPLE_PAGE), 0);
	assert_int_equal(page[0], 7);
}

/* ---- trust ---------------------------------------------------------------------------------- */

static int open_for(struct directory *d, enum image_use use)
{
	_cleanup_image_reader_ struct image_reader *rd = NULL;

	return image_reader_open(&d->ctx, d->path, use, &rd);
}

static void test_writable_by_others(void **state)
{
	static const char *const names[] = {".", "manifest.img", "mms.img", "pages-1.img"};
	static const mode_t modes[] = {0620, 0602, 0660, 0666};
	struct directory *d = *state;

	write_sample(d);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *path = directory_file(d, names[i]);
		mode_t own = i == 0 ? 0700 : 0600;

		for (size_t k = 0; k < ARRAY_SIZE(modes); k++) {
			assert_int_equal(chmod(path, own | modes[k]), 0);
			directory_expect(d, open_for(d, IMAGE_RESTORE), -EPERM,
					 "writable by others");
			directory_expect(d, open_for(d, IMAGE_INSPECT), 0, "");
		}
		assert_int_equal(chmod(path, own | 0044), 0);
		directory_expect(d, open_for(d, IMAGE_RESTORE), 0, "");
	}
}

static void test_foreign_owner(void **state)
{
	static const char *const names[] = {".", "manifest.img", "mms.img", "pages-1.img"};
	struct directory *d = *state;

	if (geteuid() != 0)
		skip();
	write_sample(d);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *path = directory_file(d, names[i]);

		assert_int_equal(chown(path, 12345, 12345), 0);
		directory_expect(d, open_for(d, IMAGE_RESTORE), -EPERM, "belongs to user 12345");
		directory_expect(d, open_for(d, IMAGE_INSPECT), 0, "");
		assert_int_equal(chown(path, 0, 0), 0);
	}
}

static void test_no_plain_file(void **state)
{
	static const char *const names[] = {"manifest.img", "mms.img", "pages-1.img"};
	struct directory *d = *state;

	write_sample(d);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *path = directory_file(d, names[i]);
		const char *moved = arena_printf(&d->arena, "%s/moved", d->root);

		assert_int_equal(link(path, moved), 0);
		directory_expect(d, open_for(d, IMAGE_RESTORE), -EPERM, "has 2 names");
		directory_expect(d, open_for(d, IMAGE_INSPECT), 0, "");
		assert_int_equal(unlink(path), 0);
		assert_int_equal(symlink(moved, path), 0);
		assert_true(open_for(d, IMAGE_RESTORE) < 0);
		assert_true(open_for(d, IMAGE_INSPECT) < 0);
		assert_int_equal(unlink(path), 0);
		assert_int_equal(mkfifo(path, 0600), 0);
		directory_expect(d, open_for(d, IMAGE_RESTORE), -EPERM, "no regular file");
		assert_int_equal(unlink(path), 0);
		directory_expect(d, open_for(d, IMAGE_RESTORE), -ENOENT, names[i]);
		assert_int_equal(rename(moved, path), 0);
	}
	directory_expect(d, open_for(d, IMAGE_RESTORE), 0, "");
}

/* ---- the future ----------------------------------------------------------------------------- */

static void test_newer_version(void **state)
{
	struct directory *d = *state;
	struct bytes b;

	write_sample(d);
	b = slurp(d, "manifest.img");
	b.data[IMAGE_MAGIC_LEN]++;
	spill(d, "manifest.img", b.data, b.len);
	free(b.data);
	directory_expect(d, open_for(d, IMAGE_RESTORE), -EOPNOTSUPP, "has format version 2");
	directory_expect(d, open_for(d, IMAGE_INSPECT), -EOPNOTSUPP, "version of coppice");
}

static int read_after(struct directory *d, Coppice__Checkpoint *cp)
{
	directory_expect(d, directory_write(d, cp, false), 0, "");
	return directory_read(d, IMAGE_RESTORE, &d->arena, &cp);
}

static void test_unknown_fields(void **state)
{
	struct directory *d = *state;
	uint8_t seven = 7;
	ProtobufCMessageUnknownField field = {
		.wire_type = PROTOBUF_C_WIRE_TYPE_VARINT, .len = 1, .data = &seven};
	Coppice__Checkpoint *cp = sample_checkpoint(&d->arena, 1);
	ProtobufCMessage *creds = &cp->processes[0]->threads[0]->creds->base;

	creds->n_unknown_fields = 1;
	creds->unknown_fields = &field;
	field.tag = 1000;
	directory_expect(d, read_after(d, cp), 0, "");
	(void)snprintf(d->path, sizeof(d->path), "%s/second", d->root);
	field.tag = 999;
	directory_expect(d, read_after(d, cp), -EOPNOTSUPP, "Creds threads[0].creds has field 999");
	assert_true(directory_chain_has(d, "processes.img, record 1"));
}

/* Writes a manifest of our own over that of the image. */
static void replace_manifest(struct directory *d, const Coppice__Manifest *manifest)
{
	struct record_out out;
	uint64_t size;
	uint64_t xxh3;
	int fd = open(directory_file(d, "manifest.img"), O_WRONLY | O_TRUNC | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(record_out_init(&d->ctx, &out, "manifest.img", fd, 0), 0);
	assert_int_equal(record_out_put(&d->ctx, &out, &manifest->base), 0);
	assert_int_equal(record_out_end(&d->ctx, &out, &size, &xxh3), 0);
	record_out_deinit(&out);
}

static Coppice__Manifest *read_manifest(struct directory *d)
{
	Coppice__Manifest *manifest = NULL;
	struct bytes b = slurp(d, "manifest.img");

	directory_expect(
		d, reader_unpack_manifest(&d->ctx, &d->arena, (uint8_t *)b.data, b.len, &manifest),
		0, "");
	free(b.data);
	return manifest;
}

static void test_manifests(void **state)
{
	static char unknown[] = "time\x1b[2Jmachine";
	static char *required[] = {unknown};
	static const char *const bad[] = {"../mms.img", "/etc/passwd",	"pages-2.img",
					  "x.img",	"manifest.img", "mms.img.img",
					  "",		"mms"};
	struct directory *d = *state;
	Coppice__Manifest *manifest;
	Coppice__Checkpoint *cp = NULL;
	char *name;

	write_sample(d);
	manifest = read_manifest(d);
	manifest->required = required;
	manifest->n_required = 1;
	replace_manifest(d, manifest);
	directory_expect(d, open_for(d, IMAGE_RESTORE), -EOPNOTSUPP,
			 "needs \"time\\x1b[2Jmachine\"");
	manifest->n_required = 0;
	manifest->version = 2;
	replace_manifest(d, manifest);
	directory_expect(d, open_for(d, IMAGE_RESTORE), -EOPNOTSUPP, "format version 2");
	manifest->version = 1;
	name = manifest->files[3]->name;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		manifest->files[3]->name = arena_strdup(&d->arena, bad[i]);
		replace_manifest(d, manifest);
		directory_expect(d, open_for(d, IMAGE_INSPECT), -EOPNOTSUPP, "manifest.img lists");
	}
	manifest->files[3]->name = name;
	manifest->files[3]->xxh3 ^= 1;
	replace_manifest(d, manifest);
	directory_expect(d, directory_read(d, IMAGE_RESTORE, &d->arena, &cp), -EBADMSG,
			 "belongs to this manifest.img");
	manifest->files[3]->xxh3 ^= 1;
	/* Page files that the runs refer to, but whose size nobody has checked. */
	memmove(&manifest->files[0], &manifest->files[1],
		--manifest->n_files * sizeof(*manifest->files));
	replace_manifest(d, manifest);
	directory_expect(d, directory_read(d, IMAGE_RESTORE, &d->arena, &cp), -EBADMSG,
			 "page_files.img 1");
}

/* ---- hostile messages ----------------------------------------------------------------------- */

static int unpack(struct directory *d, const ProtobufCMessageDescriptor *type, const char *bytes,
		  size_t len, uint64_t budget)
{
	ProtobufCMessage *msg;

	return message_unpack(&d->ctx, &d->arena, &budget, type, (const uint8_t *)bytes, len, &msg);
}

static void test_lenient_protobuf(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		const char *text; /* NULL: fine */
	} rows[] = {
		{"", 0, NULL},
		{"\x0a\x01x\x10\x01", 5, NULL},
		{"\x0a\x03x\0y", 5, "NUL byte"},
		{"\x10\x01\x10\x02", 4, "given twice"},
		{"\x10\x81\x00", 3, "not written by coppice"}, /* a number longer than needed */
		{"\x10", 1, "not a valid Origin"},
		{"\x0a\x05x", 3, "not a valid Origin"},
		{"\x9a\x06\x00", 3, "has field 99"},
		{"\x0a\xff\xff\xff\xff\x0f", 6, "not a valid Origin"},
	};
	struct directory *d = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int r = unpack(d, &coppice__origin__descriptor, rows[i].bytes, rows[i].len,
			       1 << 20);

		if (rows[i].text)
			directory_expect(d, r, r < 0 ? r : -1, rows[i].text);
		else
			directory_expect(d, r, 0, "");
	}
}

/* Two bytes in the file, a struct and a pointer in memory: stopped by the budget. */
static void test_memory_bomb(void **state)
{
	struct directory *d = *state;
	size_t len = 2 << 20;
	_cleanup_free_ char *bytes = malloc(len);

	assert_non_null(bytes);
	for (size_t i = 0; i < len; i += 2)
		memcpy(bytes + i, "\x12\x00", 2); /* an Fd with nothing in it */
	directory_expect(d, unpack(d, &coppice__fd_table__descriptor, bytes, len, 1 << 20),
			 -EBADMSG, "far more memory");
	assert_true(unpack_budget(1000) < 4 << 20);
	assert_true(unpack_budget(UINT64_C(1) << 32) <= IMAGE_UNPACKED_MAX);
}

#define IN_DIRECTORY(test)                                                                         \
	cmocka_unit_test_setup_teardown(test, directory_setup, directory_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_DIRECTORY(test_truncation),
		IN_DIRECTORY(test_bit_flips),
		IN_DIRECTORY(test_record_is_named),
		IN_DIRECTORY(test_pages),
		IN_DIRECTORY(test_pages_without_checksums),
		IN_DIRECTORY(test_writable_by_others),
		IN_DIRECTORY(test_foreign_owner),
		IN_DIRECTORY(test_no_plain_file),
		IN_DIRECTORY(test_newer_version),
		IN_DIRECTORY(test_unknown_fields),
		IN_DIRECTORY(test_manifests),
		IN_DIRECTORY(test_lenient_protobuf),
		IN_DIRECTORY(test_memory_bomb),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
