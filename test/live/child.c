/* SPDX-License-Identifier: Apache-2.0 */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "live.h"

enum { CHILDREN_MAX = 8, READY = 'r' };

static pid_t children[CHILDREN_MAX];
static int n_children;

/* The child's end: the answer travels by exit status, its reason is lost but for the line. */
static void be_child(int (*make)(void), int (*check)(void), int ready)
{
	sigset_t set;
	char word = READY;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGUSR1);
	if (make() != 0 || write(ready, &word, 1) != 1)
		_exit(1);
	(void)close(ready);
	while (sigwaitinfo(&set, NULL) < 0)
		if (errno != EINTR)
			_exit(2);
	_exit(check ? check() : 0);
}

int child_start(int (*make)(void), int (*check)(void), pid_t *ret_pid)
{
	char word = 0;
	int ready[2];
	pid_t pid;

	if (n_children == CHILDREN_MAX || pipe2(ready, O_CLOEXEC) < 0)
		return -1;
	pid = fork();
	if (pid < 0)
		return -1;
	if (pid == 0) {
		(void)close(ready[0]);
		be_child(make, check, ready[1]);
	}
	(void)close(ready[1]);
	if (read(ready[0], &word, 1) != 1)
		word = 0;
	(void)close(ready[0]);
	children[n_children++] = pid;
	if (ret_pid)
		*ret_pid = pid;
	return word == READY ? 0 : -1;
}

int child_check(void)
{
	int status;

	for (int i = 0; i < n_children; i++) {
		CHECK_EQ(kill(children[i], SIGUSR1), 0);
		CHECK_EQ(waitpid(children[i], &status, 0), children[i]);
		CHECK_EQ(status, 0);
	}
	return 0;
}
