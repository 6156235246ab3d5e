/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SIGKILL of the command `coppice dump --leave-running` at random moments, while it dumps a busy
 * program of several processes and threads that checks itself. The program must go on unharmed, and
 * the next dump must cope with what the killed one left in it.
 *
 *	killed COPPICE [KILLS [SEED]]
 *
 * Says how many dumps were hit and how many had ended before, and what is left in the program in
 * the end: areas (allowed: they cannot be unmapped from within) and descriptors (not allowed).
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "target.h"

/* Each program is used for so many kills. */
enum { KILLS_EACH = 50 };

static const char *arg_coppice;
static unsigned int arg_kills = 100;
static unsigned int arg_seed = 1;

struct tally {
	unsigned int hit;
	unsigned int missed; /* the dump had ended before */
	unsigned int failed; /* ended before, with an error */
	unsigned int harmed;
	unsigned int sockets;
	unsigned int areas;
};

static double now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void pause_for(double seconds)
{
	const struct timespec t = {.tv_nsec = (long)(seconds * 1e9)};

	(void)nanosleep(&t, NULL);
}

static void remove_image(void)
{
	if (system("rm -rf image") != 0)
		abort();
}

static pid_t start_dump(pid_t target)
{
	char number[16];
	pid_t pid = fork();
	int fd;

	if (pid != 0)
		return pid;
	(void)snprintf(number, sizeof(number), "%d", target);
	fd = open("messages", O_WRONLY | O_CREAT | O_TRUNC, 0600);
	(void)dup2(fd, STDOUT_FILENO);
	(void)dup2(fd, STDERR_FILENO);
	(void)execl(arg_coppice, arg_coppice, "dump", "-R", "-t", number, "-D", "image", NULL);
	_exit(127);
}

/* How long an undisturbed dump takes; 0: it fails. */
static double measure(const struct target *target)
{
	double began = now();
	pid_t pid = start_dump(target->pid);
	int status;

	if (waitpid(pid, &status, 0) < 0 || status != 0)
		return 0;
	remove_image();
	return now() - began;
}

static void show_messages(void)
{
	(void)fflush(stdout);
	if (system("sed 's/^/# /' messages") != 0)
		abort();
}

static void kill_once(const struct target *target, double longest, struct tally *tally)
{
	pid_t pid = start_dump(target->pid);
	int status;

	pause_for(longest * rand() / RAND_MAX);
	(void)kill(pid, SIGKILL);
	if (waitpid(pid, &status, 0) < 0)
		abort();
	if (WIFSIGNALED(status)) {
		tally->hit++;
	} else {
		tally->missed++;
		if (WEXITSTATUS(status) != 0 && tally->failed++ == 0)
			show_messages();
	}
	remove_image();
}

static unsigned int count_sockets(pid_t pid)
{
	char path[64];
	char link[64];
	unsigned int n = 0;
	const struct dirent *e;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	while (dir && (e = readdir(dir))) {
		ssize_t len = readlinkat(dirfd(dir), e->d_name, link, sizeof(link) - 1);

		link[len > 0 ? len : 0] = '\0';
		n += strncmp(link, "socket:", 7) == 0;
	}
	if (dir)
		(void)closedir(dir);
	return n;
}

/* Anonymous executable mappings: the program has none of its own. */
static unsigned int count_areas(pid_t pid)
{
	char path[64];
	char line[512];
	unsigned int n = 0;
	FILE *maps;

	(void)snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	maps = fopen(path, "re");
	while (maps && fgets(line, sizeof(line), maps))
		n += strstr(line, " r-xp 00000000 00:00 0 \n") != NULL;
	if (maps)
		(void)fclose(maps);
	return n;
}

static void count_leftovers(const struct target *target, struct tally *tally)
{
	const pid_t pids[] = {target->pid, target->progress->child_pid};

	for (int i = 0; i < 2; i++) {
		tally->sockets += count_sockets(pids[i]);
		tally->areas += count_areas(pids[i]);
	}
	tally->sockets -= TARGET_SOCKETS; /* its own */
}

static int run(void)
{
	struct target target = {};
	struct tally tally = {};
	double longest = 0;

	srand(arg_seed);
	for (unsigned int i = 0; i < arg_kills; i++) {
		if (i % KILLS_EACH == 0) {
			if (i > 0) {
				count_leftovers(&target, &tally);
				target_kill(&target);
			}
			target_start(&target);
			longest = measure(&target);
			if (longest <= 0)
				return 1;
		}
		kill_once(&target, longest, &tally);
		if (target_goes_on(&target))
			continue;
		tally.harmed++;
		(void)printf("# harmed by kill %u: line %llu\n", i,
			     (unsigned long long)target.progress->wrong);
		target_kill(&target);
		target_start(&target);
	}
	count_leftovers(&target, &tally);
	target_kill(&target);
	(void)printf("# %u dumps killed, %u had ended (%u of them failed); %u programs harmed; "
		     "left in them: %u areas, %u sockets\n",
		     tally.hit, tally.missed, tally.failed, tally.harmed, tally.areas,
		     tally.sockets);
	return tally.harmed || tally.failed || tally.sockets;
}

int main(int argc, char **argv)
{
	int r;

	if (argc < 2)
		return 2;
	arg_coppice = realpath(argv[1], NULL);
	if (!arg_coppice)
		return 2;
	if (argc > 2)
		arg_kills = (unsigned int)atoi(argv[2]);
	if (argc > 3)
		arg_seed = (unsigned int)atoi(argv[3]);
	(void)printf("1..1\n# seed %u\n", arg_seed);
	(void)fflush(stdout);
	r = target_in_namespace(run);
	(void)printf("%sok 1 - no killed dump harms a program\n", r == 0 ? "" : "not ");
	return r != 0;
}
