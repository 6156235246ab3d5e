/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "file/inode-make.h"
#include "file/open.h"
#include "util/cleanup.h"

/* A rebuild of one inode and one file that refers to it. */
struct fixture {
	struct context ctx;
	struct arena arena;
	Coppice__Checkpoint cp;
	Coppice__Inode inode;
	Coppice__File file;
	Coppice__RegularFile regular;
	struct rebuild_inode ri;
	struct rebuild_file rf;
	struct rebuild rebuild;
	char dir[32];
	char path[64];
};

static int set_up(void **state)
{
	static struct fixture f;

	f = (struct fixture){
		.cp = COPPICE__CHECKPOINT__INIT,
		.inode = COPPICE__INODE__INIT,
		.file = COPPICE__FILE__INIT,
		.regular = COPPICE__REGULAR_FILE__INIT,
		.dir = "/tmp/test-inode-make-XXXXXX",
	};
	arena_init(&f.arena, &f.ctx);
	assert_non_null(mkdtemp(f.dir));
	(void)snprintf(f.path, sizeof(f.path), "%s/file", f.dir);
	f.inode.id = 1;
	f.inode.storage = COPPICE__INODE_STORAGE__INODE_STORAGE_DELETED;
	f.inode.mode = S_IFREG | 0640;
	f.inode.path = f.path;
	f.regular.inode = 1;
	f.file.id = 1;
	f.file.kind_case = COPPICE__FILE__KIND_REGULAR;
	f.file.regular = &f.regular;
	f.ri = (struct rebuild_inode){.msg = &f.inode, .fd = -EBADF, .fd_rw = -EBADF};
	f.rf = (struct rebuild_file){.msg = &f.file, .fd = -EBADF};
	f.rebuild = (struct rebuild){
		.ctx = &f.ctx,
		.arena = &f.arena,
		.cp = &f.cp,
		.files = &f.rf,
		.n_files = 1,
		.inodes = &f.ri,
		.n_inodes = 1,
	};
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	close_guard(&f->ri.fd_rw);
	close_guard(&f->rf.fd);
	arena_deinit(&f->arena);
	(void)rmdir(f->dir); /* -ENOTEMPTY is what a test looks for */
	return access(f->dir, F_OK) == 0;
}

static void assert_link(int fd, const char *want)
{
	char path[32], text[256] = "";

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	assert_true(readlink(path, text, sizeof(text) - 1) > 0);
	assert_string_equal(text, want);
}

static void test_name_is_free(void **state)
{
	struct fixture *f = *state;
	char want[80];
	struct stat st;

	f->inode.size = 5000;
	f->file.flags = O_RDONLY | O_NOFOLLOW;
	f->file.offset = 77;
	assert_int_equal(inode_make(&f->rebuild, &f->ri), 0);
	(void)snprintf(want, sizeof(want), "%s (deleted)", f->path);
	assert_link(f->ri.fd_rw, want);
	assert_link(f->rf.fd, want);
	assert_int_equal(lseek(f->rf.fd, 0, SEEK_CUR), 77);
	assert_int_equal(fstat(f->ri.fd_rw, &st), 0);
	assert_int_equal(st.st_nlink, 0);
	assert_int_equal(st.st_size, 5000);
	assert_false(f->ri.needs_content);
}

static void test_name_is_taken(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	int other = open(f->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	assert_int_equal(write(other, "other", 5), 5);
	assert_int_equal(inode_make(&f->rebuild, &f->ri), 0);
	assert_int_equal(fstat(f->ri.fd_rw, &st), 0);
	assert_int_equal(st.st_nlink, 0);
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_size, 5);
	assert_int_equal(unlink(f->path), 0);
	(void)close(other);
}

static void test_directory_is_gone(void **state)
{
	struct fixture *f = *state;
	char path[100], want[120];

	(void)snprintf(path, sizeof(path), "%s/no/such/file", f->dir);
	(void)snprintf(want, sizeof(want), "%s (deleted)", f->path);
	f->inode.path = path;
	assert_int_equal(inode_make(&f->rebuild, &f->ri), 0);
	assert_link(f->ri.fd_rw, want);
}

/* A link that was put where a directory had been leads nowhere. */
static void test_symbolic_link(void **state)
{
	struct fixture *f = *state;
	char path[100], link[80];

	(void)snprintf(link, sizeof(link), "%s/link", f->dir);
	(void)snprintf(path, sizeof(path), "%s/file", link);
	assert_int_equal(symlink("/tmp", link), 0);
	f->inode.path = path;
	assert_int_equal(inode_make(&f->rebuild, &f->ri), -ELOOP);
	assert_int_equal(unlink(link), 0);
}

static void test_tmpfile(void **state)
{
	struct fixture *f = *state;

	f->file.flags = O_TMPFILE | O_RDWR;
	f->file.offset = 3;
	assert_int_equal(inode_make(&f->rebuild, &f->ri), 0);
	assert_true(f->rf.fd >= 0);
	assert_int_equal(fcntl(f->rf.fd, F_GETFL) & O_TMPFILE, O_TMPFILE);
	assert_int_equal(lseek(f->rf.fd, 0, SEEK_CUR), 3);
	assert_int_equal(fcntl(f->ri.fd_rw, F_GETFL) & O_ACCMODE, O_RDWR);
}

static void test_fifo(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	f->inode.mode = S_IFIFO | 0600;
	assert_int_equal(inode_make(&f->rebuild, &f->ri), 0);
	assert_int_equal(fstat(f->ri.fd_rw, &st), 0);
	assert_true(S_ISFIFO(st.st_mode));
	assert_int_equal(st.st_nlink, 0);
}

static void test_memfd(void **state)
{
	static char name[] = "some name";
	struct fixture *f = *state;

	f->inode.storage = COPPICE__INODE_STORAGE__INODE_STORAGE_MEMFD;
	f->inode.name = name;
	f->inode.memfd_flags = MFD_ALLOW_SEALING;
	f->inode.size = 12345;
	assert_int_equal(inode_make(&f->rebuild, &f->ri), 0);
	assert_link(f->ri.fd_rw, "/memfd:some name (deleted)");
	assert_int_equal(lseek(f->ri.fd_rw, 0, SEEK_END), 12345);
}

/* Two mappings of the descriptor are one memory, which the kernel calls by its usual name. */
static void test_shared_memory(void **state)
{
	struct fixture *f = *state;
	char *a, *b;

	f->inode.storage = COPPICE__INODE_STORAGE__INODE_STORAGE_SHMEM;
	f->inode.size = 8192;
	if (inode_make(&f->rebuild, &f->ri) == -EPERM)
		skip(); /* needs CAP_CHECKPOINT_RESTORE */
	assert_link(f->ri.fd_rw, "/dev/zero (deleted)");
	a = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, f->ri.fd_rw, 0);
	b = mmap(NULL, 8192, PROT_READ, MAP_SHARED, f->ri.fd_rw, 0);
	assert_true(a != MAP_FAILED && b != MAP_FAILED);
	a[5000] = 'x';
	assert_int_equal(b[5000], 'x');
	(void)munmap(a, 8192);
	(void)munmap(b, 8192);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_name_is_free, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_name_is_taken, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_directory_is_gone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_symbolic_link, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_tmpfile, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_fifo, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_memfd, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_shared_memory, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
