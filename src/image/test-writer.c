/* SPDX-License-Identifier: Apache-2.0 */
/* Images written and read back; directories that are refused; what an abort leaves behind. */
#include <dirent.h>
#include <errno.h>
#include <signal.h>

#include "image/test-directory.h"

#include "image/diff.h"
#include "util/macro.h"

/* ---- round trips ---------------------------------------------------------------------------- */

static int report(void *data, const struct difference *d)
{
	(void)data;
	fail_msg("%s", d->text);
	return 0;
}

static void expect_equal(struct directory *d, const Coppice__Checkpoint *a,
			 const Coppice__Checkpoint *b)
{
	const struct diff diff = {.found = report};

	assert_int_equal(message_diff(&d->ctx, &diff, &a->base, &b->base), 0);
}

static void expect_modes(struct directory *d)
{
	DIR *dir = opendir(d->path);
	struct dirent *entry;
	struct stat st;

	assert_non_null(dir);
	assert_int_equal(fstat(dirfd(dir), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		assert_int_equal(fstatat(dirfd(dir), entry->d_name, &st, 0), 0);
		assert_int_equal(st.st_mode & 07777, 0600);
	}
	assert_int_equal(closedir(dir), 0);
}

static void test_round_trip(void **state)
{
	struct directory *d = *state;
	uint64_t seed = sample_seed();

	for (uint64_t i = 0; i < 20; i++) {
		Coppice__Checkpoint *in = sample_checkpoint(&d->arena, seed + i);
		Coppice__Checkpoint *want = sample_checkpoint(&d->arena, seed + i);
		Coppice__Checkpoint *out = NULL;

		(void)snprintf(d->path, sizeof(d->path), "%s/image%u", d->root, (unsigned int)i);
		directory_expect(d, directory_write(d, in, i % 2 == 0), 0, "");
		directory_expect(d, directory_read(d, IMAGE_RESTORE, &d->arena, &out), 0, "");
		expect_equal(d, want, out);
	}
	expect_modes(d);
}

/* Two dumps of one state are equal byte for byte. */
static void test_same_bytes(void **state)
{
	static const char *const names[] = {"manifest.img", "origin.img", "processes.img",
					    "mms.img", "files.img"};
	struct directory *d = *state;
	char *first[ARRAY_SIZE(names)];

	for (int round = 0; round < 2; round++) {
		(void)snprintf(d->path, sizeof(d->path), "%s/image%d", d->root, round);
		directory_expect(d, directory_write(d, sample_checkpoint(&d->arena, 3), false), 0,
				 "");
		for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
			_cleanup_free_ char *bytes = NULL;
			size_t len;

			assert_int_equal(
				io_read_file(AT_FDCWD, directory_file(d, names[i]), &bytes, &len),
				0);
			if (round == 0)
				first[i] = arena_memdup(&d->arena, bytes, len);
			else
				assert_memory_equal(first[i], bytes, len);
		}
	}
}

/* 100 000 runs in one address space: many records' worth in one. */
static void test_many_runs(void **state)
{
	struct directory *d = *state;
	Coppice__Checkpoint *in = sample_checkpoint(&d->arena, 1);
	Coppice__Checkpoint *out = NULL;
	Coppice__Mm *mm = in->mms[0];
	Coppice__Vma *last = mm->vmas[mm->n_vmas - 1];
	struct page_runs runs = {.arena = &d->arena, .list = mm->pages, .n = mm->n_pages};

	for (uint64_t i = 0; i < 100000; i++) {
		Coppice__PageRun run = COPPICE__PAGE_RUN__INIT;

		run.address = last->end + 2 * i * SAMPLE_PAGE;
		run.pages = 1;
		run.file = 1;
		run.offset = i % SAMPLE_FILE_PAGES * SAMPLE_PAGE;
		assert_int_equal(page_runs_add(&d->ctx, &runs, SAMPLE_PAGE, &run), 0);
	}
	last->end += UINT64_C(200000) * SAMPLE_PAGE;
	mm->pages = runs.list;
	mm->n_pages = runs.n;
	directory_expect(d, directory_write(d, in, false), 0, "");
	directory_expect(d, directory_read(d, IMAGE_RESTORE, &d->arena, &out), 0, "");
	assert_int_equal(out->mms[0]->n_pages, mm->n_pages);
	assert_true(message_equal(&out->mms[0]->base, &mm->base));
}

/* ---- directories ---------------------------------------------------------------------------- */

static void touch(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(close(fd), 0);
}

static void test_existing(void **state)
{
	struct directory *d = *state;
	Coppice__Checkpoint *cp = sample_checkpoint(&d->arena, 1);

	assert_int_equal(mkdir(d->path, 0700), 0);
	touch(directory_file(d, "dump.log"));
	directory_expect(d, directory_write(d, cp, false), 0, "");
	directory_expect(d, directory_write(d, cp, false), -EEXIST, "already holds an image");
	assert_int_equal(unlink(directory_file(d, "manifest.img")), 0);
	directory_expect(d, directory_write(d, cp, false), -EEXIST, "did not end");
	directory_expect(d, directory_read(d, IMAGE_RESTORE, &d->arena, &cp), -ENOENT,
			 "holds no manifest.img");
	assert_int_equal(access(directory_file(d, "dump.log"), F_OK), 0);
}

static void test_refused_directories(void **state)
{
	struct directory *d = *state;
	Coppice__Checkpoint *cp = sample_checkpoint(&d->arena, 1);

	assert_int_equal(mkdir(d->path, 0700), 0);
	assert_int_equal(chmod(d->path, 0770), 0);
	directory_expect(d, directory_write(d, cp, false), -EPERM, "writable by others");
	assert_int_equal(chmod(d->path, 0700), 0);
	if (geteuid() == 0) {
		assert_int_equal(chown(d->path, 12345, 0), 0);
		directory_expect(d, directory_write(d, cp, false), -EPERM, "user 12345");
	}
	assert_int_equal(rmdir(d->path), 0);
	touch(d->path);
	directory_expect(d, directory_write(d, cp, false), -ENOTDIR, "open(");
	(void)snprintf(d->path, sizeof(d->path), "%s/no/image", d->root);
	directory_expect(d, directory_write(d, cp, false), -ENOENT, "/no)");
}

static void test_path_forms(void **state)
{
	static const char *const forms[] = {"%s/a", "%s/b/", "%s//c//", "%s/./d"};
	struct directory *d = *state;

	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		(void)snprintf(d->path, sizeof(d->path), forms[i], d->root);
		directory_expect(d, directory_write(d, sample_checkpoint(&d->arena, 1), false), 0,
				 "");
	}
}

/* A name that somebody has put there in advance is never followed or overwritten. */
static void test_no_following(void **state)
{
	struct directory *d = *state;
	_cleanup_image_writer_ struct image_writer *w = NULL;
	Coppice__Checkpoint *cp = sample_checkpoint(&d->arena, 1);
	char *outside = arena_printf(&d->arena, "%s/outside", d->root);
	struct stat st;

	directory_expect(d, image_writer_open(&d->ctx, d->path, NULL, &w), 0, "");
	touch(outside);
	assert_int_equal(symlink(outside, directory_file(d, "mms.img")), 0);
	directory_expect(d, image_writer_write(&d->ctx, w, cp), -EEXIST, "mms.img");
	image_writer_free(TAKE_PTR(w));
	assert_int_equal(stat(outside, &st), 0);
	assert_int_equal(st.st_size, 0);
	/* What is not ours stays, and so does the directory that holds it. */
	assert_int_equal(lstat(directory_file(d, "mms.img"), &st), 0);
	assert_int_equal(unlink(directory_file(d, "mms.img")), 0);
	assert_int_equal(rmdir(d->path), 0); /* nothing else is left */
}

/* ---- page files ----------------------------------------------------------------------------- */

static void test_short_pages(void **state)
{
	struct directory *d = *state;
	_cleanup_image_writer_ struct image_writer *w = NULL;
	_cleanup_page_out_ struct page_out out = {.fd = -EBADF};
	struct page_runs runs = {.arena = &d->arena};

	directory_expect(d, image_writer_open(&d->ctx, d->path, NULL, &w), 0, "");
	directory_expect(d, page_out_open(&d->ctx, w, &out), 0, "");
	directory_expect(d, page_out_run(&d->ctx, &out, &runs, 0x1000, 2), 0, "");
	assert_int_equal(io_write_all(out.fd, "short", 5), 0);
	directory_expect(d, page_out_close(&d->ctx, w, &out), -EIO, "5 bytes of pages, not 8192");
}

/* ---- faults --------------------------------------------------------------------------------- */

static int strike(void *data)
{
	return *(const int *)data;
}

/* Fails each system call and allocation in turn: nothing may be left, and the chain says why. */
static void test_faults_while_writing(void **state)
{
	struct directory *d = *state;
	int error = -ENOSPC;
	uint64_t n = 0;
	int r;

	do {
		Coppice__Checkpoint *cp = sample_checkpoint(&d->arena, 1);

		d->ctx.fault = (struct fault){.at = ++n, .strike = strike, .data = &error};
		r = directory_write(d, cp, true);
		d->ctx.fault.at = 0;
		if (r < 0) {
			assert_true(r == -ENOSPC || r == -ENOMEM);
			assert_true(d->ctx.err.frames >= 1);
			assert_int_equal(access(d->path, F_OK), -1);
		}
	} while (r < 0);
	print_message("%" PRIu64 " faults while writing\n", n - 1);
	assert_true(n > 40);
	directory_expect(
		d, directory_read(d, IMAGE_RESTORE, &d->arena, &(Coppice__Checkpoint *){0}), 0, "");
}

static void test_faults_while_reading(void **state)
{
	struct directory *d = *state;
	int error = -EIO;
	uint64_t n = 0;
	int r;

	directory_expect(d, directory_write(d, sample_checkpoint(&d->arena, 1), true), 0, "");
	do {
		struct arena arena;
		Coppice__Checkpoint *cp = NULL;

		arena_init(&arena, &d->ctx);
		d->ctx.fault = (struct fault){.at = ++n, .strike = strike, .data = &error};
		r = directory_read(d, IMAGE_RESTORE, &arena, &cp);
		d->ctx.fault.at = 0;
		if (r < 0) {
			assert_true(r == -EIO || r == -ENOMEM);
			assert_true(d->ctx.err.frames >= 1);
			assert_null(cp);
		}
		arena_deinit(&arena);
	} while (r < 0);
	print_message("%" PRIu64 " faults while reading\n", n - 1);
	assert_true(n > 100);
}

/* A disk that is full; RLIMIT_FSIZE stands in for it, so that no mount is needed. */
static void test_no_room(void **state)
{
	struct directory *d = *state;
	_cleanup_image_writer_ struct image_writer *w = NULL;
	Coppice__Checkpoint *cp = sample_checkpoint(&d->arena, 1);
	struct rlimit unlimited;
	struct rlimit small = {.rlim_cur = 2000};

	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &unlimited), 0);
	small.rlim_max = unlimited.rlim_max;
	directory_expect(d, image_writer_open(&d->ctx, d->path, NULL, &w), 0, "");
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	directory_expect(d, image_writer_write(&d->ctx, w, cp), -EFBIG, "write(");
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &unlimited), 0);
	image_writer_free(TAKE_PTR(w));
	assert_int_equal(access(d->path, F_OK), -1);
}

#define IN_DIRECTORY(test)                                                                         \
	cmocka_unit_test_setup_teardown(test, directory_setup, directory_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_DIRECTORY(test_round_trip),
		IN_DIRECTORY(test_same_bytes),
		IN_DIRECTORY(test_many_runs),
		IN_DIRECTORY(test_existing),
		IN_DIRECTORY(test_refused_directories),
		IN_DIRECTORY(test_path_forms),
		IN_DIRECTORY(test_no_following),
		IN_DIRECTORY(test_short_pages),
		IN_DIRECTORY(test_faults_while_writing),
		IN_DIRECTORY(test_faults_while_reading),
		IN_DIRECTORY(test_no_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
