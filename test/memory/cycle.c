/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory alone, from seize to a filled stub, without the rest of dump and restore: a small tree
 * with all sorts of mappings is collected, its pages are saved, stubs are made and filled, and what
 * the stubs then have is collected again and compared with the image, every byte of it.
 *
 * usage: memory-cycle [sorts | speed MIB | scattered MIB | vmas N]; all but the first are for their
 * figures: memory in one piece, in single pages, in many mappings.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "checkpoint/collect.h"
#include "checkpoint/origin.h"
#include "checkpoint/rebuild.h"
#include "file/inode.h"
#include "file/place.h"
#include "image/diff.h"
#include "image/reader.h"
#include "image/walk.h"
#include "image/writer.h"
#include "kernel/uapi.h"
#include "kind/task.h"
#include "task/memory.h"
#include "util/cleanup.h"

extern const struct task_aspect aspect_mm;

enum { PAGE = 4096 };

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* ---- what is dumped ------------------------------------------------------------------------ */

static char *map(size_t pages, int prot, int flags, int fd)
{
	char *p = mmap(NULL, pages * PAGE, prot, flags, fd, 0);

	if (p == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	return p;
}

static void fill(char *p, size_t pages, unsigned int seed)
{
	for (size_t i = 0; i < pages * PAGE / sizeof(int); i++)
		((int *)(void *)p)[i] = rand_r(&seed);
}

/* Mappings of all sorts; then a child that shares most of them and has changed some. */
static void make_sorts(void)
{
	enum { RW = PROT_READ | PROT_WRITE, PRIVATE = MAP_PRIVATE | MAP_ANONYMOUS };
	int file = open("file", O_RDWR | O_CREAT | O_TRUNC, 0600);
	int deleted = open("deleted", O_RDWR | O_CREAT | O_TRUNC, 0600);
	int memfd = (int)syscall(SYS_memfd_create, "some name", 0);
	char *p;

	(void)ftruncate(file, 16 * PAGE);
	(void)ftruncate(deleted, 16 * PAGE);
	(void)ftruncate(memfd, 16 * PAGE);
	(void)unlink("deleted");

	p = map(64, RW, PRIVATE, -1); /* with holes and pages of zeros */
	for (int i = 0; i < 64; i += 3)
		fill(p + i * PAGE, 1, (unsigned int)i);
	p[5 * PAGE] = p[20 * PAGE] = 0;
	p = map(8, RW, PRIVATE, -1); /* PROT_NONE with content */
	fill(p, 8, 1);
	mprotect(p, 8 * PAGE, PROT_NONE);
	p = map(8, RW, PRIVATE, -1); /* execute-only */
	fill(p, 8, 2);
	mprotect(p, 8 * PAGE, PROT_EXEC);
	p = map(8, RW, PRIVATE, -1); /* read-only with content */
	fill(p, 8, 3);
	mprotect(p + PAGE, 4 * PAGE, PROT_READ);
	p = map(16, RW, MAP_SHARED | MAP_ANONYMOUS, -1);
	fill(p + 2 * PAGE, 3, 4);
	p = map(16, RW, MAP_SHARED, file);
	fill(p, 16, 5);
	p = map(16, RW, MAP_PRIVATE, file);
	fill(p + 4 * PAGE, 2, 6);
	memset(p + 8 * PAGE, 0, PAGE); /* zero above a file */
	(void)map(16, PROT_READ, MAP_SHARED, file);
	p = map(16, RW, MAP_SHARED, deleted);
	fill(p + 3 * PAGE, 5, 7);
	p = map(16, RW, MAP_SHARED, memfd);
	fill(p + 9 * PAGE, 5, 8);
	p = map(16, RW, MAP_PRIVATE, memfd);
	fill(p + 1 * PAGE, 1, 9);
	p = map(32, RW, PRIVATE | MAP_NORESERVE, -1);
	fill(p, 4, 10);
	madvise(p, 8 * PAGE, MADV_DONTFORK);
	madvise(p + 8 * PAGE, 8 * PAGE, MADV_WIPEONFORK);
	madvise(p + 16 * PAGE, 8 * PAGE, MADV_DONTDUMP);
	madvise(p + 24 * PAGE, 8 * PAGE, MADV_SEQUENTIAL);
	p = map(2048, RW, PRIVATE, -1);
	madvise(p, 1024 * PAGE, MADV_HUGEPAGE);
	madvise(p + 1024 * PAGE, 1024 * PAGE, MADV_NOHUGEPAGE);
	fill(p, 1500, 11);
	p = map(8, RW, PRIVATE, -1); /* guards */
	fill(p, 8, 12);
	madvise(p + 2 * PAGE, 2 * PAGE, MADV_GUARD_INSTALL);
	p = map(8, RW, PRIVATE, -1);
	fill(p, 4, 13);
	mlock(p, 4 * PAGE);
	syscall(SYS_mlock2, p + 4 * PAGE, 4 * PAGE, MLOCK_ONFAULT);
	p = map(64, RW, PRIVATE | MAP_GROWSDOWN, -1);
	fill(p + 60 * PAGE, 4, 14);
	p = map(8, RW, PRIVATE, -1);
	fill(p, 8, 15);
	syscall(__NR_mseal, p, 8 * PAGE, 0);
	(void)sbrk(100 * PAGE);
	p = malloc(300 * PAGE);
	fill(p, 299, 16);

	if (fork() == 0) {
		fill(p + 10 * PAGE, 7, 17);
		madvise((char *)((uintptr_t)p / PAGE * PAGE) + 100 * PAGE, 50 * PAGE,
			MADV_DONTNEED);
		p = map(33, RW, PRIVATE, -1);
		fill(p, 20, 18);
		mlockall(MCL_FUTURE);
		(void)write(1, "x", 1);
		for (;;)
			pause();
	}
}

static void make_speed(size_t mib)
{
	char *p = map(mib << 8, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	int file = open("plain", O_RDWR | O_CREAT | O_TRUNC, 0600);
	double t;

	madvise(p, mib << 20, MADV_NOHUGEPAGE);
	fill(p, mib << 8, 1);
	for (int i = 0; i < 2; i++) {
		(void)ftruncate(file, 0);
		t = now();
		for (size_t at = 0; at < mib << 20; at += 64 << 20)
			(void)pwrite(file, p + at, 64 << 20, (off_t)at);
		fprintf(stderr, "plain pwrite %.2f GiB/s\n", (double)mib / 1024 / (now() - t));
	}
	{
		char *q = map(mib << 8, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);

		madvise(q, mib << 20, MADV_NOHUGEPAGE);
		t = now();
		for (size_t at = 0; at < mib << 20; at += 64 << 20)
			(void)pread(file, q + at, 64 << 20, (off_t)at);
		fprintf(stderr, "plain pread %.2f GiB/s\n", (double)mib / 1024 / (now() - t));
		munmap(q, mib << 20);
	}
	(void)ftruncate(file, 0);
	(void)unlink("plain");
}

/* Every other page, so that each is a run of its own. */
static void make_scattered(size_t mib)
{
	char *p = map(mib << 9, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	madvise(p, mib << 21, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < mib << 8; i++)
		fill(p + i * 2 * PAGE, 1, (unsigned int)i);
}

static void make_vmas(size_t n)
{
	char *p = map(n, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	for (size_t i = 0; i < n; i += 2) {
		mprotect(p + i * PAGE, PAGE, PROT_READ | PROT_WRITE);
		p[i * PAGE] = (char)i;
	}
}

static _noreturn_ void be_target(const char *section, size_t n)
{
	if (strcmp(section, "speed") == 0)
		make_speed(n);
	else if (strcmp(section, "scattered") == 0)
		make_scattered(n);
	else if (strcmp(section, "vmas") == 0)
		make_vmas(n);
	if (strcmp(section, "sorts") != 0) {
		(void)write(1, "xx", 2);
	} else {
		make_sorts();
		(void)write(1, "x", 1);
	}
	for (;;)
		pause();
}

static unsigned long peak_kb(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (unsigned long)usage.ru_maxrss;
}

/* ---- dump ---------------------------------------------------------------------------------- */

static int save(struct context *ctx, pid_t pid, const char *dir, struct memory_stats *stats)
{
	_cleanup_image_writer_ struct image_writer *image = NULL;
	const struct collect_options opt = {};
	struct puppet_tree tree = {};
	struct collect c;
	struct arena arena;
	double t = now();
	int r;

	arena_init(&arena, ctx);
	collect_init(&c, ctx, &arena, &opt);
	r = image_writer_open(ctx, dir, NULL, &image);
	if (r == 0)
		r = puppet_tree_seize(ctx, pid, &tree);
	if (r < 0)
		return r;
	r = collect_tree(&c, &tree);
	if (r == 0)
		r = origin_collect(&c);
	for (size_t i = 0; i < c.n_refusals; i++)
		fprintf(stderr, "refused: %s\n", c.refusals[i].text);
	printf("collect %.1f ms\n", (now() - t) * 1e3);
	t = now();
	if (r == 0)
		r = memory_save(&c, image, stats);
	t = now() - t;
	printf("memory out %.1f ms, %.2f GiB/s; by puppet %llu of %llu MiB; zero %llu shared %llu "
	       "KiB\n",
	       t * 1e3, (double)stats->written / (1 << 30) / t,
	       (unsigned long long)stats->by_puppet >> 20, (unsigned long long)stats->written >> 20,
	       (unsigned long long)stats->zero >> 10, (unsigned long long)stats->shared >> 10);
	if (r == 0)
		r = image_writer_write(ctx, image, c.cp);
	if (r == 0)
		r = image_writer_commit(ctx, image);
	printf("arena %zu KiB, peak %lu KiB\n", arena.used >> 10, peak_kb());
	(void)puppet_tree_release(ctx, &tree, FATE_KILL);
	collect_deinit(&c);
	arena_deinit(&arena);
	return r;
}

/* ---- restore ------------------------------------------------------------------------------- */

static int run_aspect(struct rebuild *r, struct rebuild_process *p, struct arena *arena)
{
	struct call_table t;
	int ret;

	call_table_init(&t, arena);
	ret = aspect_mm.install(r, p, &t);
	if (ret == 0)
		ret = puppet_run(r->ctx, p->puppet, &t);
	if (ret == 0)
		ret = aspect_mm.install_direct(r, p);
	call_table_init(&t, arena);
	if (ret == 0)
		ret = aspect_mm.last(r, p, &t);
	return ret == 0 && t.n_calls > 0 ? puppet_run(r->ctx, p->puppet, &t) : ret;
}

static int make_stubs(struct rebuild *r, struct arena *arena)
{
	const struct puppet_make how = {
		.base = r->stub_base,
		.slots = 1,
		.slot_size = STUB_SLOT_SIZE,
		.doorbell = r->fd_base + REBUILD_FD_DOORBELL,
	};
	struct fd_place images = {image_reader_dir(r->images), r->fd_base + REBUILD_FD_IMAGES,
				  true};
	int ret = puppet_make_first(r->ctx, &how, &r->processes[0].puppet);

	if (ret == 0)
		ret = fds_place(r->ctx, arena, r->processes[0].puppet, &images, 1);
	if (ret == 0)
		ret = rebuild_inodes_send(r, r->processes[0].puppet);
	for (size_t i = 1; ret == 0 && i < r->n_processes; i++) {
		const struct puppet_clone clone = {.exit_signal = SIGCHLD};

		if (r->processes[i].msg->cow_parent == 1) {
			ret = memory_fill_one(r, &r->processes[0]);
			r->processes[i].inherits = &r->processes[0];
		}
		if (ret == 0)
			ret = puppet_clone(r->ctx, r->processes[0].puppet, &clone,
					   &r->processes[i].puppet);
	}
	return ret;
}

static void differs(void *data, const char *text)
{
	(*(unsigned int *)data)++;
	fprintf(stderr, "differs: %s\n", text);
}

static bool is_left_out(void *data, const struct difference *d)
{
	(void)data;
	return walk_path_matches(d->path, "pages") || walk_path_matches(d->path, "pages[].*") ||
	       walk_path_matches(d->path, "dumpable");
}

static int found(void *data, const struct difference *d)
{
	differs(data, d->text);
	return 0;
}

/* Collects what the stub has now, as a process of its own, and compares. */
static int verify(struct rebuild *r, unsigned int *n_differences)
{
	const struct collect_options opt = {};
	struct collect_process *processes = calloc(r->n_processes, sizeof(*processes));
	struct collect_thread *threads = calloc(r->n_processes, sizeof(*threads));
	const struct diff diff = {.ignore = is_left_out, .found = found, .data = n_differences};
	struct arena arena;
	struct collect c;
	int ret = 0;

	arena_init(&arena, r->ctx);
	collect_init(&c, r->ctx, &arena, &opt);
	c.hide_start = r->stub_base;
	c.hide_end = r->stub_base + r->stub_size;
	c.cp = arena_new(&arena, Coppice__Checkpoint);
	coppice__checkpoint__init(c.cp);
	c.processes = processes;
	for (size_t i = 0; ret == 0 && i < r->n_processes; i++) {
		struct collect_process *p = &processes[i];
		Coppice__Mm **slot = arena_append(&arena, &c.cp->mms, &c.cp->n_mms, sizeof(*slot));
		struct call_table t;

		*slot = arena_new(&arena, Coppice__Mm);
		coppice__mm__init(*slot);
		(*slot)->id = r->processes[i].msg->mm;
		p->msg = arena_new(&arena, Coppice__Process);
		coppice__process__init(p->msg);
		p->msg->mm = r->processes[i].msg->mm;
		p->puppet = r->processes[i].puppet;
		p->pid = p->puppet->tgid;
		p->mm_owner = p;
		p->threads = &threads[i];
		p->n_threads = 1;
		p->threads[0].tid = p->pid;
		c.n_processes++;
		ret = proc_open(p->pid, &p->proc_fd);
		if (ret == 0)
			ret = proc_read_stat(p->proc_fd, &p->threads[0].stat);
		if (ret == 0)
			ret = aspect_mm.collect(&c, p);
		call_table_init(&t, &arena);
		if (ret == 0) {
			aspect_mm.ask(&c, p, &t);
			ret = puppet_run(r->ctx, p->puppet, &t);
		}
		if (ret == 0)
			ret = aspect_mm.reply(&c, p, &t, 0);
		if (ret == 0)
			ret = message_diff(r->ctx, &diff, &r->cp->mms[i]->base, &(*slot)->base);
	}
	for (size_t i = 0; i < c.n_refusals; i++)
		differs(n_differences, c.refusals[i].text);
	if (ret == 0)
		ret = memory_compare(&c, r->cp, r->images, true, differs, n_differences);
	collect_deinit(&c);
	arena_deinit(&arena);
	free(processes);
	free(threads);
	return ret;
}

static int load(struct context *ctx, struct arena *arena, const char *dir,
		unsigned int *n_differences)
{
	_cleanup_image_reader_ struct image_reader *images = NULL;
	const struct rebuild_options opt = {};
	Coppice__Checkpoint *cp;
	struct rebuild r;
	uint64_t bytes = 0;
	double t;
	int ret;

	ret = image_reader_open(ctx, dir, IMAGE_RESTORE, &images);
	if (ret == 0)
		ret = image_reader_load(ctx, images, arena, &cp);
	if (ret == 0)
		ret = rebuild_init(&r, ctx, arena, cp, &opt);
	if (ret < 0)
		return ret;
	r.images = images;
	ret = memory_check(&r);
	for (size_t i = 0; i < r.n_refusals; i++)
		differs(n_differences, r.refusals[i].text);
	t = now();
	if (ret == 0)
		ret = rebuild_inodes_create(&r);
	if (ret == 0)
		ret = make_stubs(&r, arena);
	if (ret == 0)
		ret = memory_load_inodes(&r);
	printf("stubs %.1f ms\n", (now() - t) * 1e3);
	t = now();
	if (ret == 0)
		ret = memory_fill(&r);
	t = now() - t;
	for (size_t i = 0; i < cp->n_mms; i++)
		for (size_t k = 0; k < cp->mms[i]->n_pages; k++)
			bytes += cp->mms[i]->pages[k]->pages * PAGE;
	printf("memory in %.1f ms, %.2f GiB/s\n", t * 1e3, (double)bytes / (1 << 30) / t);
	if (ret == 0)
		ret = rebuild_inodes_finish(&r);
	for (size_t i = 0; ret == 0 && i < r.n_processes; i++)
		ret = run_aspect(&r, &r.processes[i], arena);
	if (ret == 0)
		ret = verify(&r, n_differences);
	rebuild_deinit(&r);
	for (size_t i = 0; i < r.n_processes; i++)
		puppet_free(r.processes[i].puppet);
	return ret;
}

static void print_chain(const struct context *ctx)
{
	for (unsigned int i = ctx->err.frames; i > 0; i--)
		fprintf(stderr, "  %s\n", ctx->err.frame[i - 1]);
}

static void sink(void *data, enum log_level level, const char *text)
{
	(void)data;
	(void)level;
	fprintf(stderr, "%s\n", text);
}

int main(int argc, char **argv)
{
	static struct context ctx = {.level = LOG_DEBUG, .sink = sink};
	const char *section = argc > 1 ? argv[1] : "sorts";
	size_t n = argc > 2 ? strtoul(argv[2], NULL, 10) : 256;
	char dir[] = "/tmp/memory-cycle-XXXXXX";
	struct memory_stats stats = {};
	unsigned int n_differences = 0;
	struct arena arena;
	char command[128];
	char bytes[2];
	int report[2];
	pid_t pid;
	int r;

	setvbuf(stdout, NULL, _IONBF, 0);
	if (getenv("MEMORY_CYCLE_TARGET"))
		be_target(section, n);
	if (!mkdtemp(dir) || chdir(dir) < 0 || pipe(report) < 0)
		return 1;
	pid = fork();
	if (pid == 0) {
		dup2(report[1], 1);
		close(report[0]);
		setenv("MEMORY_CYCLE_TARGET", "1", 1);
		execv("/proc/self/exe", argv);
		_exit(127);
	}
	close(report[1]);
	for (int got = 0; got < 2;) {
		ssize_t len = read(report[0], bytes, 2);

		if (len <= 0)
			return 1;
		got += (int)len;
	}
	usleep(20000);
	arena_init(&arena, &ctx);
	r = save(&ctx, pid, "image", &stats);
	if (r == 0)
		r = load(&ctx, &arena, "image", &n_differences);
	if (r < 0)
		print_chain(&ctx);
	arena_deinit(&arena);
	(void)kill(pid, SIGKILL);
	(void)snprintf(command, sizeof(command), "rm -rf %s", dir);
	(void)chdir("/");
	(void)system(command);
	printf("%s: %u differences\n", r < 0 ? "failed" : "done", n_differences);
	return r < 0 || n_differences > 0;
}
