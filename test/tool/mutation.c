/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mutation test. Every field of a small tree's image is changed, one at a time, and the result
 * is restored. Each must end in one of two ways: an error chain, with nothing left behind; or a
 * tree that really has the changed value, as is seen by dumping it again. A field that is neither
 * refused nor restored, nor listed as unpreservable (checkpoint/verify.c), is a bug. Those that are
 * listed and did not come back as changed are counted apart.
 *
 * MUTATION_SECONDS bounds it: the fields are then sampled evenly, and it says how many. Prints TAP.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "checkpoint/dump.h"
#include "checkpoint/restore.h"
#include "checkpoint/verify.h"
#include "image/diff.h"
#include "image/mutate.h"
#include "image/reader.h"
#include "image/validate.h"
#include "target.h"
#include "util/arena.h"
#include "util/context.h"

struct mutation {
	struct target target;
	struct image_reader *images;
	Coppice__Checkpoint *cp;
	double began;
	double seconds; /* 0: no bound */
	uint64_t total;
	uint64_t seen;
	uint64_t next; /* the next one to be tried */
	uint64_t refused;
	uint64_t restored;
	uint64_t ignored; /* of those: it is another value, as the list allows */
	int bad;
};

static double now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void complain(struct mutation *m, const char *path, const char *what,
		     const struct context *ctx)
{
	m->bad++;
	(void)printf("# %s: %s\n", path, what);
	for (unsigned int i = 0; ctx && i < ctx->err.frames; i++)
		(void)printf("#   %s\n", ctx->err.frame[i]);
}

static int print_difference(void *data, const struct difference *d)
{
	(void)data;
	(void)printf("#   %s\n", d->text);
	return 0;
}

struct sought {
	const char *path;
	bool found;
};

static int seek(void *data, const struct difference *d)
{
	struct sought *sought = data;
	size_t len = strlen(sought->path);

	sought->found |= strncmp(d->text, sought->path, len) == 0 && d->text[len] == ':';
	return 0;
}

static void count_ignored(struct mutation *m, struct context *ctx, const Coppice__Checkpoint *again,
			  const char *path)
{
	struct sought sought = {.path = path};
	const struct diff all = {.found = seek, .data = &sought};

	(void)message_diff(ctx, &all, &m->cp->base, &again->base); /* the number of differences */
	m->ignored += sought.found;
}

/* What stands after a successful restore must be what the changed image says. */
static void compare_again(struct mutation *m, const char *path)
{
	const struct dump_options opt = {.root = m->target.pid, .dir = "again", .fate = FATE_KILL};
	_cleanup_image_reader_ struct image_reader *images = NULL;
	struct context ctx = {0};
	struct dump_report report;
	Coppice__Checkpoint *again;
	struct arena arena;
	int r = dump_tree(&ctx, &opt, &report);

	arena_init(&arena, NULL);
	if (r >= 0)
		r = image_reader_open(&ctx, "again", IMAGE_RESTORE, &images);
	if (r >= 0)
		r = image_reader_load(&ctx, images, &arena, &again);
	if (r < 0)
		complain(m, path, "was restored, but cannot be dumped again", &ctx);
	else if (verify_diff(&ctx, m->cp, again, print_difference, NULL) != 0)
		complain(m, path, "was restored, but the tree is another one", NULL);
	else
		count_ignored(m, &ctx, again, path);
	arena_deinit(&arena);
	if (system("rm -rf again") != 0)
		abort();
}

/*
 * Whatever runs now was started from a changed image and may be anything: it is killed unasked, one
 * by one as /proc of this PID namespace lists it, until init, which is us, is alone.
 */
static void kill_others(void)
{
	bool alone = false;

	while (!alone) {
		DIR *proc = opendir("/proc");
		const struct dirent *e;

		if (!proc)
			abort();
		alone = true;
		while ((e = readdir(proc))) {
			pid_t pid = atoi(e->d_name);

			if (pid <= 1)
				continue;
			alone = false;
			(void)kill(pid, SIGKILL);
		}
		(void)closedir(proc);
		target_reap();
	}
}

static void try_one(struct mutation *m, const char *path)
{
	const struct restore_options opt = {.dir = "image", .verify = true};
	struct restore_report report = {0};
	struct context ctx = {0};
	int r = checkpoint_validate(&ctx, m->cp);

	if (r >= 0)
		r = restore_checkpoint(&ctx, &opt, m->images, m->cp, &report);
	if (r < 0) {
		m->refused++;
		if (ctx.err.frames == 0)
			complain(m, path, "failed without a cause", NULL);
		if (!target_is_gone(&m->target))
			complain(m, path, "failed and left a process behind", &ctx);
	} else {
		m->restored++;
		compare_again(m, path);
	}
	kill_others();
}

/* The next one so that those that are left spread over the time that is left. */
static void choose_next(struct mutation *m)
{
	double spent = now() - m->began;
	double each = spent / (double)(m->refused + m->restored);
	double left = m->seconds - spent;
	double step = m->seconds <= 0
			      ? 1
			      : (double)(m->total - m->seen) * each / (left > 0 ? left : 0.001);

	m->next = m->seen + (step > 1 ? (uint64_t)step - 1 : 0); /* seen: this one, too */
}

static int visit(void *data, const char *path)
{
	struct mutation *m = data;

	if (m->seen++ < m->next)
		return 0;
	try_one(m, path);
	choose_next(m);
	return 0;
}

static int count(void *data, const char *path)
{
	(void)path;
	++*(uint64_t *)data;
	return 0;
}

static int run(void)
{
	const char *limit = getenv("MUTATION_SECONDS");
	struct mutation m = {.seconds = limit ? atof(limit) : 0};
	struct dump_options opt = {.dir = "image", .fate = FATE_KILL};
	struct context ctx = {0};
	struct dump_report report;
	struct arena arena;

	arena_init(&arena, NULL);
	target_start(&m.target);
	target_stop(&m.target); /* so that it is the same when it is dumped again */
	opt.root = m.target.pid;
	if (dump_tree(&ctx, &opt, &report) < 0 ||
	    image_reader_open(&ctx, "image", IMAGE_RESTORE, &m.images) < 0 ||
	    image_reader_load(&ctx, m.images, &arena, &m.cp) < 0) {
		complain(&m, "dump", "fails", &ctx);
		return 1;
	}
	kill_others();
	(void)mutate_each(&ctx, &m.cp->base, count, &m.total);
	m.began = now();
	(void)mutate_each(&ctx, &m.cp->base, visit, &m);
	(void)printf("# %llu of %llu fields changed: %llu refused, %llu restored, %llu of them to "
		     "another value as the list of unpreservable fields allows\n",
		     (unsigned long long)(m.refused + m.restored), (unsigned long long)m.total,
		     (unsigned long long)m.refused, (unsigned long long)m.restored,
		     (unsigned long long)m.ignored);
	image_reader_free(m.images);
	arena_deinit(&arena);
	return m.bad != 0;
}

int main(void)
{
	int r;

	(void)printf("1..1\n");
	(void)fflush(stdout);
	r = target_in_namespace(run);
	(void)printf("%sok 1 - every field is restored or refused\n", r == 0 ? "" : "not ");
	return r != 0;
}
