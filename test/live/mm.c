/* SPDX-License-Identifier: Apache-2.0 */
/* Address spaces: every sort of mapping comes back at its address, with its content and nature. */
#include "child.h"
#include "live.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/mman.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kernel/uapi.h"
#include "util/macro.h"

enum { PAGE = 4096, RW = PROT_READ | PROT_WRITE, ANON = MAP_PRIVATE | MAP_ANONYMOUS };

static char *area;    /* the mapping of the row */
static size_t length; /* its bytes */

/* Bytes that follow from their place, so that none can be mistaken for another. */
static unsigned char byte_at(size_t i)
{
	return (unsigned char)(i / PAGE * 31 + i % PAGE * 7 + 1);
}

static void fill(char *at, size_t len)
{
	for (size_t i = 0; i < len; i++)
		at[i] = (char)byte_at(i);
}

static int check_filled(const char *at, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)at[i] != byte_at(i))
			return live_fail("byte %zu is %#x, not %#x", i, (unsigned char)at[i],
					 byte_at(i));
	return 0;
}

static int check_zero(const char *at, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (at[i] != 0)
			return live_fail("byte %zu is %#x, not zero", i, (unsigned char)at[i]);
	return 0;
}

static int map_area(size_t pages, int prot, int flags, int fd)
{
	length = pages * PAGE;
	area = mmap(NULL, length, prot, flags, fd, 0);
	return area == MAP_FAILED ? live_fail("mmap: %s", strerror(errno)) : 0;
}

/* Runs one access of a byte: 0, or the signal that it got. */
static sigjmp_buf jump;

static void on_fault(int signal)
{
	siglongjmp(jump, signal);
}

static int touch(volatile char *at, bool write)
{
	struct sigaction act = {.sa_handler = on_fault};
	struct sigaction old[2];
	int got;

	(void)sigaction(SIGSEGV, &act, &old[0]);
	(void)sigaction(SIGBUS, &act, &old[1]);
	got = sigsetjmp(jump, 1);
	if (got == 0) {
		if (write)
			*at = 1;
		else
			(void)*at;
	}
	(void)sigaction(SIGSEGV, &old[0], NULL);
	(void)sigaction(SIGBUS, &old[1], NULL);
	return got;
}

/* The two-letter words of VmFlags for the mapping that begins at @at; "" if there is none. */
static void vm_flags(const char *at, char *flags, size_t size)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	char line[512];
	bool here = false;

	flags[0] = '\0';
	while (f && fgets(line, sizeof(line), f)) {
		unsigned long start;
		unsigned long end;

		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			here = start <= (unsigned long)at && (unsigned long)at < end;
		if (here && strncmp(line, "VmFlags: ", 9) == 0)
			(void)snprintf(flags, size, "%.*s", (int)size - 1, line + 9);
	}
	if (f)
		(void)fclose(f);
}

static bool has_flag(const char *at, const char *word)
{
	char flags[256];

	vm_flags(at, flags, sizeof(flags));
	return strstr(flags, word) != NULL;
}

static unsigned long rss_kb(void)
{
	FILE *f = fopen("/proc/self/smaps_rollup", "re");
	char line[256];
	unsigned long kb = 0;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "Rss: %lu", &kb) == 1)
			break;
	if (f)
		(void)fclose(f);
	return kb;
}

/* ---- anonymous ------------------------------------------------------------------------------ */

static int make_anonymous(void)
{
	if (map_area(64, RW, ANON, -1))
		return 1;
	fill(area, length);
	return 0;
}

static int check_anonymous(void)
{
	return check_filled(area, length);
}

static unsigned long rss_before;

/* 256 MiB of which four pages have content: nothing else may cost anything. */
static int make_holes(void)
{
	if (map_area(65536, RW, ANON, -1))
		return 1;
	fill(area, PAGE);
	fill(area + 1000 * PAGE, PAGE);
	fill(area + 65535 * PAGE, PAGE);
	memset(area + 2000 * PAGE, 0, 500 * PAGE);
	rss_before = rss_kb();
	return 0;
}

static int check_holes(void)
{
	CHECK(rss_kb() <= rss_before + 256);
	return check_filled(area, PAGE) || check_filled(area + 1000 * PAGE, PAGE) ||
	       check_filled(area + 65535 * PAGE, PAGE) ||
	       check_zero(area + 2000 * PAGE, 500 * PAGE) || check_zero(area + PAGE, 999 * PAGE);
}

/* Kilobytes of @at's mapping that a line of smaps tells. */
static unsigned long smaps_kb(const char *at, const char *key)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	char line[512];
	bool here = false;
	unsigned long sum = 0;

	while (f && fgets(line, sizeof(line), f)) {
		unsigned long start;
		unsigned long end;

		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			here = start <= (unsigned long)at && (unsigned long)at < end;
		if (here && strncmp(line, key, strlen(key)) == 0)
			sum += strtoul(line + strlen(key), NULL, 10);
	}
	if (f)
		(void)fclose(f);
	return sum;
}

/* Where there is swap space: pages that are not in memory at the dump. */
static int make_swapped(void)
{
	if (map_area(2048, RW, ANON, -1))
		return 1;
	fill(area, length);
	(void)madvise(area, length, MADV_PAGEOUT);
	return smaps_kb(area, "Swap:") > 0 ? 0 : 77;
}

static int check_swapped(void)
{
	return check_filled(area, length);
}

static int make_prot_none(void)
{
	if (make_anonymous())
		return 1;
	return mprotect(area, length, PROT_NONE);
}

static int check_prot_none(void)
{
	CHECK_EQ(touch(area, false), SIGSEGV);
	CHECK_EQ(mprotect(area, length, PROT_READ), 0);
	return check_filled(area, length);
}

static int make_execute_only(void)
{
	if (make_anonymous())
		return 1;
	return mprotect(area, length, PROT_EXEC);
}

static int check_execute_only(void)
{
	CHECK_EQ(touch(area, true), SIGSEGV);
	CHECK_EQ(mprotect(area, length, PROT_READ), 0);
	return check_filled(area, length);
}

static int make_read_only(void)
{
	if (make_anonymous())
		return 1;
	/* One charged with content, one charged without. */
	(void)madvise(area + 32 * PAGE, 32 * PAGE, MADV_DONTNEED);
	return mprotect(area, length, PROT_READ);
}

static int check_read_only(void)
{
	CHECK_EQ(touch(area, true), SIGSEGV);
	return check_filled(area, 32 * PAGE) || check_zero(area + 32 * PAGE, 32 * PAGE);
}

static int make_grows_down(void)
{
	if (map_area(256, RW, ANON, -1))
		return 1;
	(void)munmap(area, length);
	area = mmap(area + length - 16 * PAGE, 16 * PAGE, RW,
		    ANON | MAP_GROWSDOWN | MAP_FIXED_NOREPLACE, -1, 0);
	CHECK(area != MAP_FAILED);
	length = 16 * PAGE;
	fill(area, length);
	return 0;
}

static int check_grows_down(void)
{
	CHECK(has_flag(area, "gd"));
	CHECK_EQ(touch(area - PAGE, true), 0); /* it still grows */
	return check_filled(area, length);
}

static char *old_break;

static int make_brk(void)
{
	length = 40 * PAGE;
	area = sbrk((intptr_t)length);
	CHECK(area != (void *)-1);
	fill(area, length);
	old_break = sbrk(0);
	return 0;
}

static int check_brk(void)
{
	CHECK_EQ(sbrk(0), old_break);
	CHECK(sbrk(PAGE) == (void *)old_break);
	CHECK_EQ(touch(old_break, true), 0);
	return check_filled(area, length);
}

static int make_noreserve(void)
{
	if (map_area(1 << 18, RW, ANON | MAP_NORESERVE, -1))
		return 1;
	fill(area + (length / 2), PAGE);
	return 0;
}

static int check_noreserve(void)
{
	CHECK(has_flag(area, "nr"));
	return check_filled(area + (length / 2), PAGE);
}

/* ---- files and shared memory ------------------------------------------------------------------ */

static int open_file(const char *name, size_t pages)
{
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || ftruncate(fd, (off_t)(pages * PAGE)) < 0)
		(void)live_fail("%s: %s", name, strerror(errno));
	for (size_t i = 0; fd >= 0 && i < pages * PAGE; i++) {
		unsigned char byte = byte_at(i);

		if (i % PAGE < 64 && pwrite(fd, &byte, 1, (off_t)i) != 1)
			(void)live_fail("%s: %s", name, strerror(errno));
	}
	return fd;
}

static int make_private_file(void)
{
	int fd = open_file("private", 16);

	if (fd < 0 || map_area(16, RW, MAP_PRIVATE, fd))
		return 1;
	(void)close(fd);
	memset(area + 3 * PAGE, 0x55, PAGE); /* its own */
	memset(area + 5 * PAGE, 0, PAGE);    /* its own, and zero where the file is not */
	return 0;
}

static int check_private_file(void)
{
	CHECK_EQ((unsigned char)area[2 * PAGE], byte_at(2 * PAGE));
	CHECK_EQ(area[3 * PAGE + 17], 0x55);
	CHECK_EQ((unsigned char)area[4 * PAGE], byte_at(4 * PAGE));
	return check_zero(area + 5 * PAGE, PAGE);
}

/* Content in a mapping that never was writable, as a debugger's breakpoint is. */
static int make_poked(void)
{
	int fd = open_file("poked", 4);
	int mem = open("/proc/self/mem", O_RDWR | O_CLOEXEC);

	if (fd < 0 || map_area(4, PROT_READ, MAP_PRIVATE, fd))
		return 1;
	(void)close(fd);
	if (pwrite(mem, "poke", 4, (off_t)(uintptr_t)(area + PAGE)) != 4)
		return 77;
	return close(mem);
}

static int check_poked(void)
{
	CHECK_EQ(memcmp(area + PAGE, "poke", 4), 0);
	CHECK(!has_flag(area, "ac"));
	CHECK_EQ((unsigned char)area[2 * PAGE], byte_at(2 * PAGE));
	return 0;
}

static int make_shared_file(void)
{
	int fd = open_file("shared", 16);

	if (fd < 0 || map_area(16, RW, MAP_SHARED, fd))
		return 1;
	memset(area + PAGE, 0x33, PAGE);
	return close(fd);
}

static int check_shared_file(void)
{
	char byte = 0;
	int fd = open("shared", O_RDONLY | O_CLOEXEC);

	memset(area + 2 * PAGE, 0x44, PAGE);
	CHECK_EQ(pread(fd, &byte, 1, 2 * PAGE + 5), 1);
	CHECK_EQ(byte, 0x44);
	CHECK_EQ(pread(fd, &byte, 1, PAGE + 5), 1);
	CHECK_EQ(byte, 0x33);
	return close(fd);
}

/* Shared through a read-only descriptor: nobody may ever make it writable. */
static int make_shared_read_only(void)
{
	int fd = open_file("shared", 4);
	int again = open("shared", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || map_area(4, PROT_READ, MAP_SHARED, again))
		return 1;
	(void)close(again);
	return close(fd);
}

static int check_shared_read_only(void)
{
	CHECK_EQ(mprotect(area, length, RW), -1);
	CHECK_EQ(errno, EACCES);
	CHECK_EQ((unsigned char)area[PAGE], byte_at(PAGE));
	return 0;
}

static int make_deleted(void)
{
	int fd = open_file("deleted", 16);

	if (fd < 0 || map_area(16, RW, MAP_SHARED, fd))
		return 1;
	fill(area, 4 * PAGE);
	(void)unlink("deleted");
	return close(fd);
}

static int check_deleted(void)
{
	CHECK_EQ((unsigned char)area[9 * PAGE], byte_at(9 * PAGE));
	return check_filled(area, 4 * PAGE);
}

static pid_t child;

static int make_child(void (*run)(void))
{
	child = fork();
	if (child == 0) {
		run();
		_exit(0);
	}
	return child < 0;
}

static void wait_for_word(void)
{
	const struct timespec pause_ns = {.tv_nsec = 1000000};

	while (((volatile char *)area)[0] != 'g')
		(void)nanosleep(&pause_ns, NULL);
	area[1] = 'o';
}

static int check_child(void)
{
	int status = -1;

	area[0] = 'g';
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK_EQ(status, 0);
	CHECK_EQ(area[1], 'o');
	return 0;
}

static int make_shared_anonymous(void)
{
	if (map_area(1024, RW, MAP_SHARED | MAP_ANONYMOUS, -1))
		return 1;
	fill(area + 100 * PAGE, 10 * PAGE);
	return make_child(wait_for_word);
}

static int check_shared_anonymous(void)
{
	return check_filled(area + 100 * PAGE, 10 * PAGE) || check_zero(area + PAGE, 99 * PAGE) ||
	       check_child();
}

static int make_memfd(void)
{
	int fd = (int)syscall(SYS_memfd_create, "memory", 1 /* MFD_CLOEXEC */);

	if (fd < 0 || ftruncate(fd, 64 * PAGE) < 0 || map_area(64, RW, MAP_SHARED, fd))
		return 1;
	fill(area + 7 * PAGE, 10 * PAGE);
	(void)close(fd);
	return make_child(wait_for_word);
}

static int check_memfd(void)
{
	return check_filled(area + 7 * PAGE, 10 * PAGE) || check_child();
}

static int make_dev_zero(void)
{
	int fd = open("/dev/zero", O_RDWR | O_CLOEXEC);

	if (fd < 0 || map_area(8, RW, MAP_PRIVATE, fd))
		return 1;
	fill(area, 2 * PAGE);
	return close(fd);
}

static int check_dev_zero(void)
{
	return check_filled(area, 2 * PAGE) || check_zero(area + 2 * PAGE, 6 * PAGE);
}

/* ---- copy-on-write ----------------------------------------------------------------------------- */

enum { HEAP = 16 << 20, CHILDREN = 4 };
static pid_t children[CHILDREN];
static int pipe_to_child[2];
static _Atomic int *settled; /* how many descendants have done what they do before the dump */

static int prepare_family(void)
{
	settled = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return settled == MAP_FAILED || pipe(pipe_to_child) < 0;
}

static int await_family(int descendants)
{
	const struct timespec pause_ns = {.tv_nsec = 1000000};

	while (*settled < descendants)
		(void)nanosleep(&pause_ns, NULL);
	return 0;
}

static void be_worker(int number)
{
	char byte;

	memset(area + number * PAGE, 0x11 * (number + 1), PAGE);
	(void)close(pipe_to_child[1]);
	(*settled)++;
	if (read(pipe_to_child[0], &byte, 1) != 1)
		_exit(2);
	if (check_filled(area + CHILDREN * PAGE, (size_t)HEAP - CHILDREN * PAGE))
		_exit(3);
	if (area[number * PAGE + 9] != (char)(0x11 * (number + 1)))
		_exit(4);
	_exit(smaps_kb(area, "Private_Dirty:") > 1024 ? 5 : 0);
}

/* A prefork server: the heap is there once, and once again after the restore. */
static int make_prefork(void)
{
	if (map_area(HEAP / PAGE, RW, ANON, -1) || prepare_family())
		return 1;
	(void)madvise(area, length, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < HEAP; i++)
		area[i] = i < CHILDREN * PAGE ? 1 : (char)byte_at(i - CHILDREN * PAGE);
	for (int i = 0; i < CHILDREN; i++) {
		children[i] = fork();
		if (children[i] == 0)
			be_worker(i);
	}
	return await_family(CHILDREN);
}

static int check_prefork(void)
{
	CHECK(smaps_kb(area, "Private_Dirty:") <= 1024);
	CHECK_EQ(write(pipe_to_child[1], "abcd", CHILDREN), CHILDREN);
	for (int i = 0; i < CHILDREN; i++) {
		int status = -1;

		CHECK_EQ(waitpid(children[i], &status, 0), children[i]);
		CHECK_EQ(status, 0);
	}
	return 0;
}

/* What each generation has made of what it got from the one before. */
static int check_generation(int generation)
{
	for (int page = 0; page < 64; page++) {
		bool changed = page >= 50 && page < 50 + generation;
		const char *at = area + page * PAGE;
		int r;

		if (generation > 0 && page >= 16 && page < 32)
			r = at[7] != 'n';
		else if (generation > 0 && page >= 40 && page < 44)
			r = check_zero(at, PAGE);
		else if (changed)
			r = at[7] != 'c';
		else
			r = (unsigned char)at[7] != byte_at((size_t)page * PAGE + 7);
		if (r)
			return live_fail("generation %d, page %d", generation, page);
	}
	return 0;
}

static void change_inherited(int generation)
{
	if (generation == 1) {
		(void)munmap(area + 16 * PAGE, 16 * PAGE);
		(void)mmap(area + 16 * PAGE, 16 * PAGE, RW, ANON | MAP_FIXED, -1, 0);
		memset(area + 16 * PAGE, 'n', 16 * PAGE);
		(void)madvise(area + 40 * PAGE, 4 * PAGE, MADV_DONTNEED);
		(void)mprotect(area + 4 * PAGE, 4 * PAGE, PROT_READ);
	}
	memset(area + (49 + generation) * PAGE, 'c', PAGE);
}

/* The first generation, which goes on to have two more. */
static void be_generations(void)
{
	int generation = 0;
	int status = 0;
	pid_t next = 0;
	char byte;

	while (next == 0 && generation < 3) {
		change_inherited(++generation);
		next = generation < 3 ? fork() : -1;
	}
	(void)close(pipe_to_child[1]);
	(*settled)++;
	if (read(pipe_to_child[0], &byte, 1) != 1 || check_generation(generation))
		_exit(10 + generation);
	if (next > 0)
		(void)waitpid(next, &status, 0);
	_exit(WEXITSTATUS(status));
}

static int make_lineage(void)
{
	if (map_area(64, RW, ANON, -1) || prepare_family())
		return 1;
	fill(area, length);
	children[0] = fork();
	if (children[0] == 0)
		be_generations();
	return await_family(3);
}

static int check_lineage(void)
{
	int status = -1;

	CHECK_EQ(write(pipe_to_child[1], "abc", 3), 3);
	CHECK_EQ(waitpid(children[0], &status, 0), children[0]);
	CHECK_EQ(WEXITSTATUS(status), 0);
	return check_generation(0);
}

/* ---- where a process must not write its own pages ----------------------------------------------- */

/* Enough to be worth the fast way. */
static int make_large(size_t mib)
{
	if (map_area(mib << 8, RW, ANON, -1))
		return 1;
	fill(area, length);
	return 0;
}

static int check_large(void)
{
	return check_filled(area, length);
}

static int make_large_free(void)
{
	return make_large(24);
}

static int make_large_fsize(void)
{
	const struct rlimit limit = {4096, 4096};

	return make_large(24) || setrlimit(RLIMIT_FSIZE, &limit) < 0;
}

static int check_large_fsize(void)
{
	const struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};

	(void)setrlimit(RLIMIT_FSIZE, &limit); /* may not be allowed: the result file is small */
	return check_large();
}

static int make_large_nofile(void)
{
	const struct rlimit limit = {4, 64};

	if (make_large(24))
		return 1;
	if (open("/dev/null", O_RDONLY) != 3)
		return 1;
	return setrlimit(RLIMIT_NOFILE, &limit) < 0;
}

static int check_large_nofile(void)
{
	const struct rlimit limit = {64, 64};

	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
	return check_large();
}

/* A filter that kills whoever calls writev(). */
static int make_large_seccomp(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_writev, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {ARRAY_SIZE(code), code};

	if (make_large(24) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return 1;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 ? 77 : 0;
}

/* ---- what madvise, mlock, mseal say -------------------------------------------------------------- */

static int make_advised(int advice)
{
	if (make_anonymous())
		return 1;
	return madvise(area, length, advice) < 0 ? 77 : 0;
}

static int make_dontfork(void)
{
	return make_advised(MADV_DONTFORK);
}

static int check_dontfork(void)
{
	CHECK(has_flag(area, "dc"));
	return check_filled(area, length);
}

static int make_wipeonfork(void)
{
	return make_advised(MADV_WIPEONFORK);
}

static int check_wipeonfork(void)
{
	CHECK(has_flag(area, "wf"));
	return check_filled(area, length);
}

static int make_dontdump(void)
{
	return make_advised(MADV_DONTDUMP);
}

static int check_dontdump(void)
{
	CHECK(has_flag(area, "dd"));
	return check_filled(area, length);
}

static int make_sequential(void)
{
	return make_advised(MADV_SEQUENTIAL);
}

static int check_sequential(void)
{
	CHECK(has_flag(area, "sr"));
	return check_filled(area, length);
}

static int make_random(void)
{
	return make_advised(MADV_RANDOM);
}

static int check_random(void)
{
	CHECK(has_flag(area, "rr"));
	return check_filled(area, length);
}

static int make_mergeable(void)
{
	return make_advised(MADV_MERGEABLE);
}

static int check_mergeable(void)
{
	CHECK(has_flag(area, "mg"));
	return check_filled(area, length);
}

static int make_hugepage(void)
{
	if (map_area(2048, RW, ANON, -1) || madvise(area, length, MADV_HUGEPAGE) < 0)
		return 77;
	fill(area, length / 2 + 3 * PAGE);
	return 0;
}

static int check_hugepage(void)
{
	CHECK(has_flag(area, "hg"));
	return check_filled(area, length / 2 + 3 * PAGE) ||
	       check_zero(area + length / 2 + 3 * PAGE, length / 2 - 3 * PAGE);
}

static int make_nohugepage(void)
{
	return make_advised(MADV_NOHUGEPAGE);
}

static int check_nohugepage(void)
{
	CHECK(has_flag(area, "nh"));
	return check_filled(area, length);
}

static int make_droppable(void)
{
	length = 8 * PAGE;
	area = mmap(NULL, length, RW, 0x08 /* MAP_DROPPABLE */ | MAP_ANONYMOUS, -1, 0);
	return area == MAP_FAILED ? 77 : 0;
}

static int check_droppable(void)
{
	CHECK(has_flag(area, "dp"));
	return 0;
}

static int make_mlock(void)
{
	if (make_anonymous())
		return 1;
	CHECK_EQ(mlock(area, 8 * PAGE), 0);
	CHECK_EQ(syscall(SYS_mlock2, area + 16 * PAGE, 8 * PAGE, 1 /* MLOCK_ONFAULT */), 0);
	return 0;
}

static int check_mlock(void)
{
	CHECK(has_flag(area, "lo"));
	CHECK(!has_flag(area, "lf"));
	CHECK(!has_flag(area + 8 * PAGE, "lo"));
	CHECK(has_flag(area + 16 * PAGE, "lf"));
	return check_filled(area, length);
}

static int make_mlockall(void)
{
	return mlockall(MCL_FUTURE) < 0 ? 77 : 0;
}

static int check_mlockall(void)
{
	if (map_area(4, RW, ANON, -1))
		return 1;
	CHECK(has_flag(area, "lo"));
	return 0;
}

static int make_guards(void)
{
	if (make_anonymous())
		return 1;
	return madvise(area + 4 * PAGE, 2 * PAGE, MADV_GUARD_INSTALL) < 0 ? 77 : 0;
}

static int check_guards(void)
{
	CHECK_EQ(touch(area + 4 * PAGE, false), SIGSEGV);
	CHECK_EQ(touch(area + 5 * PAGE, true), SIGSEGV);
	CHECK_EQ(touch(area + 6 * PAGE, false), 0);
	CHECK_EQ(madvise(area + 4 * PAGE, 2 * PAGE, MADV_GUARD_REMOVE), 0);
	CHECK_EQ(touch(area + 4 * PAGE, true), 0);
	return check_filled(area, 4 * PAGE);
}

static int make_sealed(void)
{
	if (make_anonymous())
		return 1;
	return syscall(__NR_mseal, area, length, 0) < 0 ? 77 : 0;
}

static int check_sealed(void)
{
	CHECK_EQ(munmap(area, length), -1);
	CHECK_EQ(errno, EPERM);
	return check_filled(area, length);
}

static int key;

static int make_pkey(void)
{
	int other = pkey_alloc(0, 0);

	key = pkey_alloc(0, 0);
	if (key < 0)
		return 77;
	(void)pkey_free(other);
	if (make_anonymous())
		return 1;
	return pkey_mprotect(area, length, RW, key) < 0 || pkey_set(key, PKEY_DISABLE_WRITE) < 0;
}

static int check_pkey(void)
{
	CHECK_EQ(pkey_get(key), PKEY_DISABLE_WRITE);
	CHECK_EQ(touch(area, true), SIGSEGV);
	return check_filled(area, length);
}

static int make_named(void)
{
	if (make_anonymous())
		return 1;
	return prctl(0x53564d41 /* PR_SET_VMA */, 0, area, length, "a name") < 0 ? 77 : 0;
}

static int check_named(void)
{
	return check_filled(area, length); /* the name: the independent reader's maps */
}

static int make_hugetlb(void)
{
	length = 4 << 20;
	area = mmap(NULL, length, RW, ANON | MAP_HUGETLB, -1, 0);
	if (area == MAP_FAILED)
		return 77;
	fill(area, length / 2);
	return 0;
}

static int check_hugetlb(void)
{
	CHECK(has_flag(area, "ht"));
	return check_filled(area, length / 2) || check_zero(area + length / 2, length / 2);
}

static int make_shared_hugetlb(void)
{
	length = 4 << 20;
	area = mmap(NULL, length, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	if (area == MAP_FAILED)
		return 77;
	fill(area + PAGE, length / 2);
	return make_child(wait_for_word);
}

static int check_shared_hugetlb(void)
{
	return check_filled(area + PAGE, length / 2) || check_child();
}

/* ---- the marks of the address space ---------------------------------------------------------------- */

static unsigned char auxv[1024];
static ssize_t auxv_len;
static char exe[256];

static ssize_t read_auxv(unsigned char *to, size_t size)
{
	int fd = open("/proc/self/auxv", O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, to, size);

	(void)close(fd);
	return n;
}

static int make_marks(void)
{
	auxv_len = read_auxv(auxv, sizeof(auxv));
	return readlink("/proc/self/exe", exe, sizeof(exe) - 1) < 0;
}

static int check_marks(void)
{
	unsigned char now[1024];
	char link[256] = "";
	struct timespec ts;

	CHECK_EQ(read_auxv(now, sizeof(now)), auxv_len);
	CHECK_EQ(memcmp(now, auxv, (size_t)auxv_len), 0);
	CHECK(readlink("/proc/self/exe", link, sizeof(link) - 1) > 0);
	CHECK_EQ(strcmp(link, exe), 0);
	CHECK_EQ(clock_gettime(CLOCK_MONOTONIC, &ts), 0); /* through the vdso */
	CHECK_EQ(time(NULL) > 0, 1);
	return 0;
}

/* Never writable in the child, and so not counted as memory; the parent has gone on to use it. */
enum { RESERVED = 64 * 4096, USED_FROM = 16 * 4096, USED = 8 * 4096 };

static char *reserved;

static int make_nothing(void)
{
	return 0;
}

static int make_reserved(void)
{
	reserved = mmap(NULL, RESERVED, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (reserved == MAP_FAILED || child_start(make_nothing, NULL, NULL) ||
	    mprotect(reserved + USED_FROM, USED, PROT_READ | PROT_WRITE))
		return 1;
	memset(reserved + USED_FROM, 'x', USED);
	return 0;
}

static int check_reserved(void)
{
	for (int i = USED_FROM; i < USED_FROM + USED; i++)
		CHECK_EQ(reserved[i], 'x');
	return child_check();
}

extern char **environ;

/* On the executable: it goes when the process closes any descriptor of that file. */
static int lock_self(void)
{
	struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_len = 10};
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	return fcntl(fd, F_SETLK, &lock);
}

/* The program's file is gone: it runs from a copy of itself that it has deleted, and locked. */
static int make_deleted_exe(void)
{
	char *argv[] = {(char *)"copy", (char *)"deleted_exe", NULL};
	char link[256] = "";
	char buf[65536];
	ssize_t n;
	int from;
	int to;

	if (readlink("/proc/self/exe", link, sizeof(link) - 1) < 0)
		return 1;
	if (strstr(link, "/copy"))
		return unlink("copy") || lock_self();
	from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	to = open("copy", O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
	while ((n = read(from, buf, sizeof(buf))) > 0)
		CHECK_EQ(write(to, buf, (size_t)n), n);
	(void)close(to);
	(void)close(from);
	return execve("copy", argv, environ);
}

static int check_deleted_exe(void)
{
	char link[256] = "";
	struct stat st;

	CHECK(readlink("/proc/self/exe", link, sizeof(link) - 1) > 0);
	CHECK(strstr(link, " (deleted)"));
	CHECK_EQ(stat("/proc/self/exe", &st), 0);
	CHECK_EQ(st.st_mode & 0777, 0700);
	CHECK_EQ(st.st_nlink, 0);
	return 0;
}

static int make_no_vdso(void)
{
	char line[512];
	unsigned long start[8];
	unsigned long end[8];
	int n = 0;
	FILE *f = fopen("/proc/self/maps", "re");

	while (f && n < 8 && fgets(line, sizeof(line), f))
		if ((strstr(line, "[vdso]") || strstr(line, "[vvar")) &&
		    sscanf(line, "%lx-%lx", &start[n], &end[n]) == 2)
			n++;
	if (!f || n == 0)
		return 77;
	(void)fclose(f);
	for (int i = 0; i < n; i++)
		(void)munmap((void *)start[i], end[i] - start[i]);
	return 0;
}

static int check_no_vdso(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[512];

	while (f && fgets(line, sizeof(line), f))
		CHECK(!strstr(line, "[v") || strstr(line, "[vsyscall]"));
	return f ? fclose(f) : 1;
}

/* As a coordinator does that is killed before it has wiped its boot code (puppet/place.h). */
static int make_vdso_end(void)
{
	unsigned long start, end = 0;
	char line[512];
	int mem = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	FILE *f = fopen("/proc/self/maps", "re");
	bool written;

	while (f && end == 0 && fgets(line, sizeof(line), f))
		if (strstr(line, "[vdso]") && sscanf(line, "%lx-%lx", &start, &end) != 2)
			end = 0;
	if (!f || end == 0)
		return 77;
	(void)fclose(f);
	written = pwrite(mem, "left over", 9, (off_t)end - 9) == 9;
	return close(mem) || !written;
}

static int check_vdso_end(void)
{
	struct timespec ts;

	CHECK_EQ(clock_gettime(CLOCK_MONOTONIC, &ts), 0);
	return 0;
}

/* ---- refused ----------------------------------------------------------------------------------------- */

static int make_io_uring(void)
{
	unsigned char params[120] = {};
	long fd = syscall(SYS_io_uring_setup, 4, params);

	if (fd < 0)
		return 77;
	area = mmap(NULL, PAGE, RW, MAP_SHARED, (int)fd, 0);
	(void)close((int)fd);
	return area == MAP_FAILED ? 77 : 0;
}

static int make_sysv(void)
{
	long id = syscall(SYS_shmget, 0 /* IPC_PRIVATE */, PAGE, 01600);

	return id < 0 || syscall(SYS_shmat, id, NULL, 0) < 0 ? 77 : 0;
}

#define ROW(n)                                                                                     \
	{                                                                                          \
		.name = #n, .make = make_##n, .check = check_##n,                                  \
	}

static const struct live_row rows[] = {
	ROW(anonymous),
	ROW(holes),
	ROW(swapped),
	ROW(prot_none),
	ROW(execute_only),
	ROW(read_only),
	ROW(grows_down),
	ROW(brk),
	ROW(noreserve),
	ROW(private_file),
	ROW(poked),
	ROW(shared_file),
	ROW(shared_read_only),
	ROW(deleted),
	ROW(shared_anonymous),
	ROW(memfd),
	ROW(dev_zero),
	ROW(prefork),
	ROW(lineage),
	{.name = "large", .make = make_large_free, .check = check_large},
	ROW(large_fsize),
	ROW(large_nofile),
	{.name = "large_seccomp", .make = make_large_seccomp, .check = check_large},
	ROW(dontfork),
	ROW(wipeonfork),
	ROW(dontdump),
	ROW(sequential),
	ROW(random),
	ROW(mergeable),
	ROW(hugepage),
	ROW(nohugepage),
	ROW(droppable),
	ROW(mlock),
	ROW(mlockall),
	ROW(guards),
	ROW(sealed),
	ROW(pkey),
	ROW(named),
	ROW(hugetlb),
	ROW(shared_hugetlb),
	ROW(marks),
	ROW(deleted_exe),
	ROW(reserved),
	ROW(no_vdso),
	ROW(vdso_end),
	{.name = "io_uring", .make = make_io_uring, .refused = "io_uring"},
	{.name = "sysv", .make = make_sysv, .refused = "System V shared memory"},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
