/* SPDX-License-Identifier: Apache-2.0 */
#include "live.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static char failure[1024];

int live_fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(failure, sizeof(failure), fmt, ap);
	va_end(ap);
	return 1;
}

const char *live_failure(void)
{
	return failure;
}

static void pause_shortly(void)
{
	const struct timespec moment = {.tv_nsec = 1000000};

	(void)nanosleep(&moment, NULL);
}

int live_await(bool (*is_so)(void))
{
	while (!is_so())
		pause_shortly();
	return 0;
}

int live_await_asleep(pid_t tid)
{
	char path[64], state = 0;

	(void)snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	while (state != 'S') {
		FILE *f = fopen(path, "re");

		pause_shortly();
		if (!f || fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
			return live_fail("%s cannot be read", path);
		(void)fclose(f);
	}
	return 0;
}

static void write_result(const char *word)
{
	FILE *f = fopen("result.new", "we");

	if (!f)
		_exit(99);
	(void)fprintf(f, "%s %s\n", word, failure);
	(void)fclose(f);
	if (rename("result.new", "result") < 0)
		_exit(99);
}

/* One byte on the runner's pipe, which is then closed so that it is no part of the dumped state. */
static void tell_runner(void)
{
	const char *number = getenv("LIVE_READY_FD");

	if (!number)
		return;
	(void)!write(atoi(number), "r", 1); /* a runner that is gone does not matter */
	(void)close(atoi(number));
}

static int run_row(const struct live_row *row)
{
	sigset_t set;
	int r;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGUSR1);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	r = row->make();
	if (r != 0) {
		write_result(r == 77 ? "skip" : "make-failed");
		tell_runner();
		return r;
	}
	tell_runner();
	while (sigwaitinfo(&set, NULL) < 0)
		if (errno != EINTR)
			return 99;
	r = row->check ? row->check() : 0;
	write_result(r == 0 ? "ok" : "failed");
	return r;
}

int live_main(int argc, char **argv, const struct live_row *rows, size_t n_rows)
{
	size_t i;

	if (argc == 2 && strcmp(argv[1], "--list") == 0) {
		for (i = 0; i < n_rows; i++)
			(void)printf("%s\t%s\t%s\t%s\n", rows[i].name,
				     rows[i].dump_options ? rows[i].dump_options : "",
				     rows[i].restore_options ? rows[i].restore_options : "",
				     rows[i].refused ? rows[i].refused : "");
		return 0;
	}
	for (i = 0; argc == 2 && i < n_rows; i++)
		if (strcmp(argv[1], rows[i].name) == 0)
			return run_row(&rows[i]);
	(void)fprintf(stderr, "usage: %s --list | ROW\n", argv[0]);
	return 2;
}
