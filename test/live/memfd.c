/* SPDX-License-Identifier: Apache-2.0 */
/* memfds: name, seals, content, sharing with mappings. */
#include "live.h"

#include <errno.h>
#include <linux/memfd.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "fd.h"
#include "util/macro.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

enum { LEN = 100000 };

static int fd, fd2;
static unsigned char *map;

static int make_memfd(const char *name, unsigned int flags)
{
	fd = memfd_create(name, flags);
	for (size_t i = 0; i < LEN; i++) {
		unsigned char c = pattern(i);

		if (write(fd, &c, 1) != 1)
			return 1;
	}
	return 0;
}

static int check_content(void)
{
	static unsigned char buf[LEN];
	struct stat st;

	CHECK_EQ(fstat(fd, &st), 0);
	CHECK_EQ(st.st_size, LEN);
	CHECK_EQ(pread(fd, buf, LEN, 0), LEN);
	for (size_t i = 0; i < LEN; i++)
		CHECK_EQ(buf[i], pattern(i));
	return 0;
}

static int make_plain(void)
{
	if (make_memfd("a name (deleted)", MFD_CLOEXEC) != 0)
		return 1;
	fd2 = open("/proc/self/fd/3", O_RDONLY);
	return fd != 3 || fd2 < 0 || lseek(fd2, 77, SEEK_SET) != 77 || fchmod(fd, 0640) < 0;
}

static int check_plain(void)
{
	char text[64] = "";
	struct stat st;

	CHECK(check_content() == 0);
	CHECK(readlink("/proc/self/fd/3", text, sizeof(text) - 1) > 0);
	CHECK(strcmp(text, "/memfd:a name (deleted) (deleted)") == 0);
	CHECK_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_SEAL);
	CHECK_EQ(fstat(fd, &st), 0);
	CHECK_EQ(st.st_mode & 07777, 0640);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), LEN);
	CHECK_EQ(lseek(fd2, 0, SEEK_CUR), 77);
	CHECK_EQ(write(fd2, "x", 1), -1);
	return 0;
}

static int make_sealed(void)
{
	return make_memfd("sealed", MFD_ALLOW_SEALING) ||
	       fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0;
}

static int check_sealed(void)
{
	CHECK(check_content() == 0);
	CHECK_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
	CHECK_EQ(pwrite(fd, "x", 1, 0), -1);
	CHECK_EQ(errno, EPERM);
	return 0;
}

/* A writable mapping that is older than the seal goes on being writable. */
static int make_mapped(void)
{
	if (make_memfd("mapped", MFD_ALLOW_SEALING) != 0)
		return 1;
	map = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return map == MAP_FAILED || fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE) < 0;
}

static int check_mapped(void)
{
	unsigned char c = 0;

	CHECK(check_content() == 0);
	CHECK_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_FUTURE_WRITE);
	map[5] = 'x';
	CHECK_EQ(pread(fd, &c, 1, 5), 1);
	CHECK_EQ(c, 'x');
	CHECK_EQ(pwrite(fd, "y", 1, 0), -1);
	return 0;
}

static int make_noexec(void)
{
	if (make_memfd("noexec", MFD_NOEXEC_SEAL) == 0)
		return 0;
	return live_fail("no MFD_NOEXEC_SEAL"), 77;
}

static int check_noexec(void)
{
	struct stat st;

	CHECK(check_content() == 0);
	CHECK_EQ(fcntl(fd, F_GET_SEALS), 0x20 /* F_SEAL_EXEC */);
	CHECK_EQ(fstat(fd, &st), 0);
	CHECK_EQ(st.st_mode & 0111, 0);
	CHECK_EQ(fchmod(fd, 0777), -1);
	return 0;
}

enum { HUGE = 2 << 20 };

/* On huge pages, where the machine has some; two of the three pages are there. */
static int make_huge(void)
{
	fd = memfd_create("huge", MFD_HUGETLB | MFD_HUGE_2MB | MFD_ALLOW_SEALING);
	if (fd < 0 || ftruncate(fd, 3L * HUGE) < 0)
		return live_fail("no huge pages"), 77;
	map = mmap(NULL, 3L * HUGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (map == MAP_FAILED || madvise(map, HUGE, MADV_POPULATE_WRITE) < 0 ||
	    madvise(map + 2L * HUGE, HUGE, MADV_POPULATE_WRITE) < 0)
		return live_fail("no huge pages are free"), 77;
	map[5] = 'a';
	map[3L * HUGE - 1] = 'z';
	return fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0;
}

static int check_huge(void)
{
	unsigned char c = 0;
	struct stat st;

	CHECK_EQ(fstat(fd, &st), 0);
	CHECK_EQ(st.st_blksize, HUGE);
	CHECK_EQ(st.st_size, 3L * HUGE);
	CHECK_EQ(map[5], 'a');
	CHECK_EQ(pread(fd, &c, 1, 3L * HUGE - 1), 1);
	CHECK_EQ(c, 'z');
	CHECK_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_SHRINK);
	return 0;
}

static pid_t child;

/* Mapped by two processes, which see each other's writes; nobody has it open. */
static int make_shared(void)
{
	if (make_memfd("shared", 0) != 0)
		return 1;
	map = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	(void)close(fd);
	child = fork();
	while (child == 0) {
		if (__atomic_load_n(&map[0], __ATOMIC_SEQ_CST) == 'x')
			__atomic_store_n(&map[1], 'y', __ATOMIC_SEQ_CST);
		(void)usleep(100);
	}
	return map == MAP_FAILED || child < 0;
}

static bool answered(void)
{
	return __atomic_load_n(&map[1], __ATOMIC_SEQ_CST) == 'y';
}

static int check_shared(void)
{
	for (size_t i = 0; i < LEN; i++)
		CHECK_EQ(map[i], pattern(i));
	__atomic_store_n(&map[0], 'x', __ATOMIC_SEQ_CST);
	CHECK_EQ(live_await(answered), 0);
	CHECK_EQ(kill(child, SIGKILL), 0);
	CHECK_EQ(waitpid(child, NULL, 0), child);
	return 0;
}

static const struct live_row rows[] = {
	{.name = "plain", .make = make_plain, .check = check_plain},
	{.name = "sealed", .make = make_sealed, .check = check_sealed},
	{.name = "mapped", .make = make_mapped, .check = check_mapped},
	{.name = "huge", .make = make_huge, .check = check_huge},
	{.name = "shared", .make = make_shared, .check = check_shared},
	{.name = "noexec", .make = make_noexec, .check = check_noexec},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
