/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trees under a cgroup freezer of either version are held and used like others, and are frozen
 * afterwards as they were before: no instruction of theirs was executed. A cgroup that holds others,
 * too, is refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "hold.h"

enum { HOLDS = 10, SKIPPED = 77 };

static const struct version {
	const char *name;
	const char *dirs[3]; /* where the hierarchy may be mounted */
	const char *control;
	const char *frozen;
	const char *thawed;
	const char *state;   /* the file that says so when all are frozen, */
	const char *reached; /* with these words */
} versions[] = {
	{"v1",
	 {"/sys/fs/cgroup/freezer", NULL},
	 "freezer.state",
	 "FROZEN",
	 "THAWED",
	 "freezer.state",
	 "FROZEN"},
	{"v2",
	 {"/sys/fs/cgroup/unified", "/sys/fs/cgroup", NULL},
	 "cgroup.freeze",
	 "1",
	 "0",
	 "cgroup.events",
	 "frozen 1"},
};

static _Atomic unsigned long *moves;
static char cgroup[256], inner[300];

static int put(const char *dir, const char *name, const char *value)
{
	char path[400];
	int fd, r;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	r = write(fd, value, strlen(value)) < 0 ? -1 : 0;
	(void)close(fd);
	return r;
}

static bool says(const char *dir, const char *name, const char *value)
{
	char path[400], text[64] = "";
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "re");
	if (f) {
		(void)!fread(text, 1, sizeof(text) - 1, f);
		(void)fclose(f);
	}
	return strstr(text, value) != NULL;
}

static void pause_shortly(void)
{
	const struct timespec moment = {.tv_nsec = 1000000};

	(void)nanosleep(&moment, NULL);
}

static void await_moves(void)
{
	unsigned long before = atomic_load(moves);

	while (atomic_load(moves) == before)
		pause_shortly();
}

static _Noreturn void move(void)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (true)
		atomic_fetch_add(moves, 1);
}

static pid_t start(const char *dir)
{
	char number[16];
	pid_t pid = fork();

	if (pid == 0)
		move();
	(void)snprintf(number, sizeof(number), "%d", pid);
	if (put(dir, "cgroup.procs", number) < 0)
		perror("cgroup.procs");
	return pid;
}

static int make_cgroups(const struct version *v)
{
	for (int i = 0; v->dirs[i]; i++) {
		(void)snprintf(cgroup, sizeof(cgroup), "%s/coppice-test-%d", v->dirs[i], getpid());
		if (mkdir(cgroup, 0755) < 0)
			continue;
		(void)snprintf(inner, sizeof(inner), "%s/inner", cgroup);
		if (mkdir(inner, 0755) == 0 && put(cgroup, v->control, v->thawed) == 0)
			return 0;
		(void)rmdir(inner);
		(void)rmdir(cgroup);
	}
	return -1;
}

static int hold_apart(pid_t pid)
{
	int status;
	pid_t holder = fork();

	if (holder == 0)
		_exit(hold(pid, 20, NULL, NULL) < 0);
	(void)waitpid(holder, &status, 0);
	return WEXITSTATUS(status) ? -1 : 0;
}

static int run(const struct version *v)
{
	unsigned long before;
	pid_t pid, other;
	int failed = 0;

	pid = start(inner);
	await_moves();
	/* The freezing cgroup is an ancestor of the program's. */
	(void)put(cgroup, v->control, v->frozen);
	while (!says(cgroup, v->state, v->reached))
		pause_shortly();
	before = atomic_load(moves);
	for (int i = 0; i < HOLDS && !failed; i++) {
		failed = hold(pid, 20, NULL, NULL) < 0;
		if (!failed && !says(cgroup, v->control, v->frozen)) {
			(void)printf("%s: not frozen any more\n", v->name);
			failed = 1;
		}
		(void)usleep(2000);
	}
	if (atomic_load(moves) != before) {
		(void)printf("%s: it moved\n", v->name);
		failed = 1;
	}
	other = start(cgroup);
	if (hold_apart(pid) == 0) {
		(void)printf("%s: not refused though another is in the cgroup\n", v->name);
		failed = 1;
	}
	(void)put(cgroup, v->control, v->thawed);
	await_moves(); /* or this never ends */
	(void)kill(pid, SIGKILL);
	(void)kill(other, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	(void)waitpid(other, NULL, 0);
	return failed;
}

int main(void)
{
	int failed = 0, ran = 0;

	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	moves = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
		if (make_cgroups(&versions[i]) < 0) {
			(void)printf("skipped %s: no such cgroup to be had\n", versions[i].name);
			continue;
		}
		ran++;
		failed |= run(&versions[i]);
		(void)usleep(10000);
		(void)rmdir(inner);
		(void)rmdir(cgroup);
		(void)printf("%s %s\n", failed ? "FAILED" : "ok", versions[i].name);
	}
	return ran == 0 ? SKIPPED : failed;
}
