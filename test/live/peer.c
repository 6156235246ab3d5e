/* SPDX-License-Identifier: Apache-2.0 */
/*
 * They tell each other by files in the working directory: a pipe or socket would be one more connection
 * to the outside.
 */
#include "peer.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "live.h"

static bool may_finish(void)
{
	return access("peer-finish", F_OK) == 0;
}

static bool is_ready(void)
{
	return access("peer-ready", F_OK) == 0;
}

static bool is_done(void)
{
	return access("peer-done", F_OK) == 0;
}

/* The name appears with the text in it. */
static void tell(const char *name, const char *text)
{
	FILE *f = fopen("peer-new", "we");

	if (!f || fputs(text, f) < 0 || fclose(f) != 0 || rename("peer-new", name) < 0)
		_exit(99);
}

static void run_peer(int fd, int (*first)(int fd), int (*second)(int fd))
{
	for (int i = 3; i < 1024; i++)
		if (i != fd)
			(void)close(i); /* what the program has, nobody else may have */
	(void)setsid();
	(void)signal(SIGPIPE, SIG_IGN);
	if (first && first(fd) != 0)
		tell("peer-done", live_failure());
	tell("peer-ready", "");
	(void)live_await(may_finish);
	tell("peer-done", second && second(fd) != 0 ? live_failure() : "");
	for (;;)
		(void)pause(); /* its sockets stay as they are */
}

int peer_start(int fd, int (*first)(int fd), int (*second)(int fd))
{
	int status;
	pid_t pid = fork();

	if (pid < 0)
		return live_fail("fork: %s", strerror(errno));
	if (pid == 0) {
		pid = fork();
		if (pid == 0)
			run_peer(fd, first, second);
		_exit(pid < 0);
	}
	if (waitpid(pid, &status, 0) != pid || status != 0)
		return live_fail("the peer cannot be started");
	if (fd >= 0)
		(void)close(fd);
	(void)live_await(is_ready);
	return is_done() ? live_fail("the peer is done too early") : 0;
}

int peer_finish(void)
{
	char text[512] = "";
	FILE *f;

	tell("peer-finish", "");
	(void)live_await(is_done);
	f = fopen("peer-done", "re");
	if (!f)
		return live_fail("peer-done cannot be read");
	(void)!fgets(text, sizeof(text), f); /* empty when all is well */
	(void)fclose(f);
	return text[0] ? live_fail("the peer: %s", text) : 0;
}
