/* SPDX-License-Identifier: Apache-2.0 */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "live.h"

enum { CHILDREN_MAX = 48, READY = 'r' };

static struct {
	pid_t pid;
	int ask; /* a byte here makes it check itself */
} children[CHILDREN_MAX];
static int n_children;

/*
 * The child's end: the answer travels by exit status. It waits in read(), not for a signal, which
 * would show in its mask as /proc tells it.
 */
static void be_child(int (*make)(void), int (*check)(void), int ready, int asked)
{
	char word = READY;

	if (make() != 0 || write(ready, &word, 1) != 1)
		_exit(1);
	(void)close(ready);
	while (read(asked, &word, 1) != 1)
		if (errno != EINTR)
			_exit(2);
	_exit(check ? check() : 0);
}

int child_start(int (*make)(void), int (*check)(void), pid_t *ret_pid)
{
	char word = 0;
	int ready[2], ask[2];
	pid_t pid;

	if (n_children == CHILDREN_MAX || pipe2(ready, O_CLOEXEC) < 0 || pipe2(ask, O_CLOEXEC) < 0)
		return -1;
	pid = fork();
	if (pid < 0)
		return -1;
	if (pid == 0) {
		(void)close(ready[0]);
		(void)close(ask[1]);
		be_child(make, check, ready[1], ask[0]);
	}
	(void)close(ready[1]);
	(void)close(ask[0]);
	/* The byte, and then that the child has closed its end. */
	if (read(ready[0], &word, 1) != 1 || read(ready[0], &word, 1) != 0)
		word = 0;
	(void)close(ready[0]);
	children[n_children].pid = pid;
	children[n_children++].ask = ask[1];
	if (ret_pid)
		*ret_pid = pid;
	return word == READY ? 0 : -1;
}

int child_check(void)
{
	int status;

	for (int i = 0; i < n_children; i++) {
		CHECK_EQ(write(children[i].ask, "?", 1), 1);
		CHECK_EQ(waitpid(children[i].pid, &status, 0), children[i].pid);
		CHECK_EQ(status, 0);
	}
	return 0;
}
