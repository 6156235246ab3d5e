/* SPDX-License-Identifier: Apache-2.0 */
/* Processes among others: zombies, stopped ones, exit signals, subreapers, dead leaders. */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "live.h"
#include "util/macro.h"

static pid_t child;

/* The state letter of /proc/PID/stat. */
static char state_of(pid_t pid)
{
	char path[32], text[512];
	const char *end;
	ssize_t n;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	(void)close(fd);
	if (n <= 0)
		return '?';
	text[n] = '\0';
	end = strrchr(text, ')');
	return end ? end[2] : '?';
}

static int await_state(pid_t pid, char state)
{
	for (int i = 0; i < 2000; i++) {
		if (state_of(pid) == state)
			return 0;
		(void)usleep(1000);
	}
	return 1;
}

/* ---- zombies ------------------------------------------------------------------------------- */

static pid_t killed;

static int make_zombies(void)
{
	child = fork();
	if (!child)
		_exit(42);
	killed = fork();
	if (!killed) {
		(void)raise(SIGKILL);
		_exit(1);
	}
	return await_state(child, 'Z') || await_state(killed, 'Z');
}

static int check_zombies(void)
{
	int status;

	CHECK_EQ(waitpid(child, &status, WNOHANG), child);
	CHECK(WIFEXITED(status));
	CHECK_EQ(WEXITSTATUS(status), 42);
	CHECK_EQ(waitpid(killed, &status, WNOHANG), killed);
	CHECK(WIFSIGNALED(status));
	CHECK_EQ(WTERMSIG(status), SIGKILL);
	return 0;
}

/* ---- stopped ------------------------------------------------------------------------------- */

static int make_stopped(void)
{
	child = fork();
	if (!child) {
		(void)raise(SIGSTOP);
		_exit(5);
	}
	return waitpid(child, NULL, WUNTRACED) != child;
}

static int check_stopped(void)
{
	int status;

	CHECK_EQ(state_of(child), 'T');
	CHECK_EQ(waitpid(child, &status, WUNTRACED | WNOHANG), 0);
	CHECK_EQ(kill(child, SIGCONT), 0);
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK_EQ(WEXITSTATUS(status), 5);
	return 0;
}

/* The parent has not waited for it yet. */
static int make_unnoticed(void)
{
	siginfo_t info;

	child = fork();
	if (!child)
		for (;;)
			(void)pause();
	return kill(child, SIGSTOP) || waitid(P_PID, (id_t)child, &info, WSTOPPED | WNOWAIT);
}

static int check_unnoticed(void)
{
	int status = 0;

	CHECK_EQ(waitpid(child, &status, WUNTRACED | WNOHANG), child);
	CHECK(WIFSTOPPED(status));
	CHECK_EQ(waitpid(child, &status, WUNTRACED | WNOHANG), 0);
	(void)kill(child, SIGKILL);
	CHECK_EQ(waitpid(child, &status, 0), child);
	return 0;
}

/* ---- another exit signal ------------------------------------------------------------------- */

static int make_exit_signal(void)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGRTMIN + 1);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	child = (pid_t)syscall(SYS_clone, SIGRTMIN + 1, 0, 0, 0, 0);
	if (!child)
		for (;;)
			(void)pause();
	return child < 0;
}

static int check_exit_signal(void)
{
	const struct timespec long_time = {5, 0};
	siginfo_t info;
	sigset_t set;

	CHECK_EQ(kill(child, SIGKILL), 0);
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGRTMIN + 1);
	CHECK_EQ(sigtimedwait(&set, &info, &long_time), SIGRTMIN + 1);
	CHECK_EQ(info.si_pid, child);
	CHECK_EQ(waitpid(child, NULL, __WALL), child);
	return 0;
}

/* ---- a subreaper --------------------------------------------------------------------------- */

static int make_subreaper(void)
{
	int ready[2];
	char byte;

	if (prctl(PR_SET_CHILD_SUBREAPER, 1) || pipe(ready) < 0)
		return 1;
	child = fork();
	if (!child) {
		if (!fork()) {
			(void)close(ready[0]);
			(void)close(ready[1]);
			for (;;)
				(void)pause();
		}
		(void)close(ready[0]);
		(void)close(ready[1]);
		for (;;)
			(void)pause();
	}
	(void)close(ready[1]);
	/* Until both have closed it. */
	return read(ready[0], &byte, 1) != 0 || close(ready[0]);
}

static int check_subreaper(void)
{
	int is = 0;

	CHECK_EQ(prctl(PR_GET_CHILD_SUBREAPER, &is), 0);
	CHECK_EQ(is, 1);
	CHECK_EQ(kill(child, SIGKILL), 0);
	CHECK_EQ(waitpid(child, NULL, 0), child);
	/* The orphan is ours now. */
	CHECK_EQ(waitpid(-1, NULL, WNOHANG), 0);
	return 0;
}

/* ---- a dead leader ------------------------------------------------------------------------- */

static void *outlive(void *unused)
{
	(void)unused;
	for (;;)
		(void)pause();
	return NULL;
}

static int make_dead_leader(void)
{
	pthread_t thread;

	child = fork();
	if (child)
		return child < 0 || await_state(child, 'Z');
	if (pthread_create(&thread, NULL, outlive, NULL))
		_exit(1);
	pthread_exit(NULL);
}

static int check_dead_leader(void)
{
	CHECK_EQ(state_of(child), 'Z');
	CHECK_EQ(waitpid(child, NULL, WNOHANG), 0);
	CHECK_EQ(kill(child, SIGKILL), 0);
	CHECK_EQ(waitpid(child, NULL, 0), child);
	return 0;
}

/* The thread that lives on has a child. */
static void *outlive_with_child(void *data)
{
	sem_t *born = data;

	if (fork() == 0)
		for (;;)
			(void)pause();
	sem_post(born);
	return outlive(NULL);
}

static int make_dead_leaders_child(void)
{
	static sem_t born;
	pthread_t thread;

	child = fork();
	if (child)
		return child < 0 || await_state(child, 'Z');
	if (sem_init(&born, 0, 0) || pthread_create(&thread, NULL, outlive_with_child, &born) ||
	    sem_wait(&born))
		_exit(1);
	pthread_exit(NULL);
}

/* ---- dead ones of another user ------------------------------------------------------------- */

enum { USER = 4242, GROUP = 4243 };

static int become_user(void)
{
	return setresgid(GROUP, GROUP, GROUP) || setresuid(USER, USER, USER);
}

static int make_users_zombie(void)
{
	child = fork();
	if (!child)
		_exit(become_user() ? 1 : 42);
	return child < 0 || await_state(child, 'Z');
}

/* The parent is told whose child it was. */
static int check_users_zombie(void)
{
	siginfo_t info = {0};

	CHECK_EQ(waitid(P_PID, (id_t)child, &info, WEXITED | WNOHANG), 0);
	CHECK_EQ(info.si_pid, child);
	CHECK_EQ(info.si_status, 42);
	CHECK_EQ(info.si_uid, USER);
	return 0;
}

/* With a core, which the user must be allowed to write once more. */
static int make_users_core(void)
{
	const struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
	siginfo_t info = {0};

	child = fork();
	if (!child) {
		if (mkdir("cores", 0777) || chmod("cores", 0777) || chdir("cores") ||
		    become_user() || prctl(PR_SET_DUMPABLE, 1))
			_exit(1);
		(void)setrlimit(RLIMIT_CORE, &limit);
		(void)signal(SIGQUIT, SIG_DFL);
		(void)raise(SIGQUIT);
		_exit(1);
	}
	if (child < 0 || waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT))
		return 1;
	if (info.si_code == CLD_DUMPED)
		return 0;
	(void)live_fail("this machine writes no cores, or not where a program is");
	return 77;
}

static int check_users_core(void)
{
	siginfo_t info = {0};

	CHECK_EQ(waitid(P_PID, (id_t)child, &info, WEXITED | WNOHANG), 0);
	CHECK_EQ(info.si_code, CLD_DUMPED);
	CHECK_EQ(info.si_status, SIGQUIT);
	CHECK_EQ(info.si_uid, USER);
	return 0;
}

static int make_users_dead_leader(void)
{
	pthread_t thread;

	child = fork();
	if (child)
		return child < 0 || await_state(child, 'Z');
	if (become_user() || pthread_create(&thread, NULL, outlive, NULL))
		_exit(1);
	pthread_exit(NULL);
}

/* kill() asks for the leader's ids, dead or not. */
static int check_users_dead_leader(void)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(become_user() || kill(child, SIGKILL));
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	CHECK_EQ(waitpid(child, NULL, 0), child);
	return 0;
}

static const struct live_row rows[] = {
	{.name = "zombies", .make = make_zombies, .check = check_zombies},
	{.name = "stopped", .make = make_stopped, .check = check_stopped},
	{.name = "unnoticed stop", .make = make_unnoticed, .check = check_unnoticed},
	{.name = "exit-signal", .make = make_exit_signal, .check = check_exit_signal},
	{.name = "subreaper", .make = make_subreaper, .check = check_subreaper},
	{.name = "dead-leader", .make = make_dead_leader, .check = check_dead_leader},
	{.name = "dead-leader with a child",
	 .make = make_dead_leaders_child,
	 .check = check_dead_leader},
	{.name = "a user's zombie", .make = make_users_zombie, .check = check_users_zombie},
	{.name = "a user's core", .make = make_users_core, .check = check_users_core},
	{.name = "a user's dead leader",
	 .make = make_users_dead_leader,
	 .check = check_users_dead_leader},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
