/* SPDX-License-Identifier: Apache-2.0 */
#include "target.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	HANGS = 30000,	   /* naps, about 10 s: what makes no progress in that time */
	WORDS = 512 << 10, /* 4 MiB: enough for a process to write its pages by itself */
	DESCRIPTORS = 9,   /* of each process: three, an end of the pipe, five of make_others() */
};

static struct progress *map_progress(void)
{
	int fd = open("progress", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct progress *p;

	if (fd < 0 || ftruncate(fd, sizeof(*p)) < 0)
		exit(97);
	p = mmap(NULL, sizeof(*p), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	(void)close(fd);
	if (p == MAP_FAILED)
		exit(97);
	return p;
}

static void nap(void)
{
	const struct timespec t = {.tv_nsec = 300000};

	(void)nanosleep(&t, NULL);
}

#define EXPECT(progress, cond)                                                                     \
	do {                                                                                       \
		if (!(cond))                                                                       \
			(progress)->wrong = __LINE__;                                              \
	} while (0)

/* Keeps memory, registers (through optimised arithmetic) and its own identity under watch. */
static void *run_thread(void *data)
{
	static uint64_t words[WORDS];
	struct progress *p = data;
	pid_t tid = (pid_t)syscall(SYS_gettid);
	uint64_t sum = 0;

	for (size_t i = 0; i < WORDS; i++)
		sum += words[i] = i;
	for (uint64_t n = 1;; n++) {
		uint64_t check = 0;

		sum += n - words[n % WORDS];
		words[n % WORDS] = n;
		for (size_t i = 0; i < WORDS; i++)
			check += words[i];
		EXPECT(p, check == sum);
		EXPECT(p, tid == (pid_t)syscall(SYS_gettid));
		p->thread = n;
		nap();
	}
	return NULL;
}

static void run_child(struct progress *p, int in)
{
	uint64_t last = 0;
	uint64_t n;
	ssize_t got;

	while ((got = read(in, &n, sizeof(n))) == sizeof(n)) {
		EXPECT(p, n == last + 1);
		last = n;
		p->child = n;
	}
	EXPECT(p, got != 0); /* the parent never closes it */
	_exit(96);
}

static const char waiting[] = "waiting";

/* Two packets, the second of which a look needs SO_PEEK_OFF for. */
static bool make_sockets(int ends[2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0 &&
	       send(ends[0], waiting, sizeof(waiting), 0) == sizeof(waiting) &&
	       send(ends[0], waiting, 1, 0) == 1;
}

/* Who looks at a queue changes these; if it dies, they are put back, though not at the same instant. */
static void watch_sockets(struct progress *p, const int ends[2])
{
	static unsigned int strange;
	int offset = 0;
	int pass = 0;
	socklen_t len = sizeof(int);
	char buf[2 * sizeof(waiting)];
	ssize_t got = recv(ends[1], buf, sizeof(buf), MSG_PEEK | MSG_DONTWAIT);

	EXPECT(p, getsockopt(ends[1], SOL_SOCKET, SO_PEEK_OFF, &offset, &len) == 0);
	EXPECT(p, getsockopt(ends[1], SOL_SOCKET, SO_PASSCRED, &pass, &len) == 0);
	strange = offset != -1 || pass != 0 || got != sizeof(waiting) ? strange + 1 : 0;
	EXPECT(p, strange < 1000);
}

/* Kinds of files that stand still: an eventfd, watched by an epoll instance, and others. */
static bool make_others(void)
{
	struct epoll_event watched = {.events = EPOLLIN | EPOLLET, .data.u64 = 42};
	/* So far off that a change of one field does not bring it near. */
	const struct itimerspec far = {.it_value = {1000000, 0}, .it_interval = {3, 0}};
	int counter = eventfd(3, EFD_SEMAPHORE);
	int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	int notify = inotify_init1(IN_CLOEXEC);
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGUSR2);
	return signalfd(-1, &set, 0) >= 0 &&
	       epoll_ctl(epoll, EPOLL_CTL_ADD, counter, &watched) == 0 &&
	       timerfd_settime(timer, 0, &far, NULL) == 0 &&
	       inotify_add_watch(notify, "/", IN_DELETE_SELF) == 1;
}

static void run_tree(void)
{
	struct progress *p = map_progress();
	pid_t self = getpid();
	pthread_t thread;
	pid_t child;
	int sockets[2];
	int ends[2];

	if (pipe(ends) < 0 || !make_others())
		_exit(95);
	child = fork();
	if (child == 0) {
		(void)close(ends[1]);
		run_child(p, ends[0]);
	}
	(void)close(ends[0]);
	p->child_pid = child;
	if (!make_sockets(sockets))
		_exit(95);
	if (child < 0 || pthread_create(&thread, NULL, run_thread, p) != 0)
		_exit(95);
	for (uint64_t n = 1;; n++) {
		EXPECT(p, write(ends[1], &n, sizeof(n)) == sizeof(n));
		EXPECT(p, getpid() == self);
		watch_sockets(p, sockets);
		p->main = n;
		nap();
	}
}

void target_start(struct target *target)
{
	/* The tree is a copy of us: without what belongs to the one before. */
	if (target->progress)
		(void)munmap(target->progress, sizeof(*target->progress));
	(void)unlink("progress");
	target->progress = map_progress();
	target->pid = fork();
	if (target->pid == 0) {
		(void)setsid();
		(void)close_range(3, ~0U, 0);
		for (int i = 0; i < 3; i++) {
			(void)close(i);
			(void)open("/dev/null", O_RDWR);
		}
		run_tree();
	}
	if (target->pid < 0 || !target_goes_on(target))
		exit(97);
}

/* The letter of the process's state; 'X' when there is none. */
static char state_of(pid_t pid)
{
	char path[32];
	char text[256];
	const char *end;
	ssize_t n;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 'X';
	n = read(fd, text, sizeof(text) - 1);
	(void)close(fd);
	text[n > 0 ? n : 0] = '\0';
	end = strrchr(text, ')');
	return end && end[1] ? end[2] : 'X';
}

static bool is_alive(pid_t pid)
{
	char state = state_of(pid);

	return state != 'X' && state != 'Z';
}

void target_stop(const struct target *target)
{
	const pid_t pids[] = {target->pid, target->progress->child_pid};

	for (int i = 0; i < 2; i++) {
		(void)kill(pids[i], SIGSTOP);
		while (state_of(pids[i]) != 'T')
			nap();
	}
}

/* Has the process no descriptor but its own? */
static bool has_its_descriptors(pid_t pid, int expected)
{
	struct dirent *entry;
	int found = 0;
	char path[32];
	DIR *dir;

	(void)snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	while (dir && (entry = readdir(dir)))
		found += entry->d_name[0] != '.';
	if (dir)
		(void)closedir(dir);
	return found == expected;
}

bool target_goes_on(const struct target *target)
{
	struct progress *p = target->progress;
	uint64_t main = p->main;
	uint64_t thread = p->thread;
	uint64_t child = p->child;

	for (int naps = 0; p->main < main + 2 || p->thread < thread + 2 || p->child < child + 2;
	     naps++) {
		if (naps > HANGS || p->wrong || !is_alive(target->pid) ||
		    (p->child_pid > 0 && !is_alive(p->child_pid)))
			return false;
		nap();
	}
	return p->wrong == 0 && has_its_descriptors(target->pid, DESCRIPTORS + TARGET_SOCKETS) &&
	       has_its_descriptors(p->child_pid, DESCRIPTORS);
}

bool target_is_gone(const struct target *target)
{
	target_reap();
	return kill(target->pid, 0) < 0 && errno == ESRCH &&
	       kill(target->progress->child_pid, 0) < 0 && errno == ESRCH;
}

void target_reap(void)
{
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

void target_kill(const struct target *target)
{
	(void)kill(target->pid, SIGKILL);
	(void)kill(target->progress->child_pid, SIGKILL);
	while (!target_is_gone(target))
		nap();
}

static int as_init(int (*function)(void), const char *scratch)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("proc", "/proc", "proc", 0, NULL) < 0 || chdir(scratch) < 0)
		return 97;
	return function();
}

static void remove_tree(const char *path)
{
	pid_t pid = fork();

	if (pid == 0) {
		(void)execl("/bin/rm", "rm", "-rf", path, NULL);
		_exit(1);
	}
	(void)waitpid(pid, NULL, 0);
}

int target_in_namespace(int (*function)(void))
{
	char scratch[] = "/tmp/coppice-tool-XXXXXX";
	int status;
	pid_t init;

	if (!mkdtemp(scratch))
		return 97;
	init = (pid_t)syscall(SYS_clone, CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | SIGCHLD, 0, 0,
			      0, 0);
	if (init == 0) {
		status = as_init(function, scratch);
		(void)fflush(NULL);
		_exit(status);
	}
	if (init < 0 || waitpid(init, &status, 0) < 0)
		status = 97 << 8;
	remove_tree(scratch);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
