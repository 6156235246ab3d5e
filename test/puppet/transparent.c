/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transparency: a program that is seized while it waits in a system call, used for many remote
 * calls and released, goes on as if nothing had happened.
 *
 * Each row is a call that waits. It is made by a child in each of these ways: woken as it should
 * be; with a signal arriving whose handler has or has not SA_RESTART; with a timeout. What comes of
 * it is compared with what comes of it when nobody holds the child: the kernel is the judge.
 *
 * transparent [ROW]
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <linux/io_uring.h>
#include <mqueue.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "hold.h"
#include "util/macro.h"

enum { TABLES = 100, TIMEOUT_MS = 300, GRACE_MS = 40, PATIENCE_MS = 5000 };

enum variant { WOKEN, HANDLED, RESTARTED, TIMED, VARIANTS };
static const char *const variant_names[] = {"woken", "handled", "SA_RESTART", "timeout"};

/* Shared by parent and child. */
static struct board {
	_Atomic int ready;
	_Atomic int done;
	_Atomic int handled;
	int word; /* for futexes */
	long result;
	int error;
	long ms;
} * board;

static int fds[2]; /* what the row's setup opened; both processes have it */
static int id;	   /* System V */

static struct timespec timeout(void)
{
	return (struct timespec){.tv_nsec = TIMEOUT_MS * 1000000L};
}

/* ---- rows: setup in the parent, call in the child, wake in the parent ---------------------- */

static void open_pipe(void)
{
	if (pipe(fds) < 0)
		abort();
}

static void wake_write(void)
{
	if (write(fds[1], "x", 1) != 1)
		abort();
}

static long call_read(bool timed)
{
	char c;

	(void)timed;
	return read(fds[0], &c, 1);
}

static long call_readv(bool timed)
{
	char c;
	struct iovec iov = {&c, 1};

	(void)timed;
	return readv(fds[0], &iov, 1);
}

static void fill(int fd)
{
	static const char block[4096];
	int flags = fcntl(fd, F_GETFL);

	(void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	while (write(fd, block, sizeof(block)) > 0)
		;
	(void)fcntl(fd, F_SETFL, flags);
}

static void open_full_pipe(void)
{
	open_pipe();
	fill(fds[1]);
}

static long call_write(bool timed)
{
	(void)timed;
	return write(fds[1], "x", 1);
}

static void wake_drain(void)
{
	static char sink[1 << 20];

	if (read(fds[0], sink, sizeof(sink)) <= 0)
		abort();
}

static void open_sockets(void)
{
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0)
		abort();
}

static void open_timed_sockets(void)
{
	struct timeval tv = {.tv_usec = TIMEOUT_MS * 1000};

	open_sockets();
	(void)setsockopt(fds[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	(void)setsockopt(fds[1], SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
}

static long call_recv(bool timed)
{
	char c;

	(void)timed;
	return recv(fds[0], &c, 1, 0);
}

static long call_recvmsg(bool timed)
{
	char c;
	struct iovec iov = {&c, 1};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

	(void)timed;
	return recvmsg(fds[0], &m, 0);
}

static long call_recvmmsg(bool timed)
{
	char c;
	struct iovec iov = {&c, 1};
	struct mmsghdr m = {.msg_hdr = {.msg_iov = &iov, .msg_iovlen = 1}};

	(void)timed;
	return recvmmsg(fds[0], &m, 1, 0, NULL);
}

static void open_full_sockets(void)
{
	open_sockets();
	fill(fds[1]);
}

static void open_full_timed_sockets(void)
{
	open_timed_sockets();
	fill(fds[1]);
}

static long call_send(bool timed)
{
	(void)timed;
	return send(fds[1], "x", 1, 0);
}

static struct sockaddr_un listen_address;

static void open_listener(void)
{
	listen_address = (struct sockaddr_un){.sun_family = AF_UNIX};
	(void)snprintf(listen_address.sun_path + 1, 64, "coppice-transparent-%d", getpid());
	fds[0] = socket(AF_UNIX, SOCK_STREAM, 0);
	fds[1] = socket(AF_UNIX, SOCK_STREAM, 0);
	if (bind(fds[0], (struct sockaddr *)&listen_address, sizeof(listen_address)) < 0 ||
	    listen(fds[0], 1) < 0)
		abort();
}

static void open_timed_listener(void)
{
	struct timeval tv = {.tv_usec = TIMEOUT_MS * 1000};

	open_listener();
	(void)setsockopt(fds[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
}

static long call_accept(bool timed)
{
	(void)timed;
	return accept(fds[0], NULL, NULL);
}

static void wake_connect(void)
{
	if (connect(fds[1], (struct sockaddr *)&listen_address, sizeof(listen_address)) < 0)
		abort();
}

static char fifo_path[64];

static void make_fifo(void)
{
	(void)snprintf(fifo_path, sizeof(fifo_path), "/tmp/coppice-transparent-%d", getpid());
	(void)unlink(fifo_path);
	if (mkfifo(fifo_path, 0600) < 0)
		abort();
	fds[0] = fds[1] = -1;
}

static long call_open_fifo(bool timed)
{
	(void)timed;
	return open(fifo_path, O_RDONLY);
}

static void wake_open_fifo(void)
{
	fds[1] = open(fifo_path, O_WRONLY | O_NONBLOCK);
	(void)unlink(fifo_path);
}

static void no_setup(void)
{
	fds[0] = fds[1] = -1;
}

/* The child waits for a child of its own, which waits for the pipe. */
static long call_wait(int how)
{
	siginfo_t info;
	long r;
	char c;
	pid_t pid = fork();

	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		while (read(fds[0], &c, 1) < 0)
			;
		_exit(0);
	}
	r = how ? waitid(P_PID, (id_t)pid, &info, WEXITED) : waitpid(pid, NULL, 0);
	if (r < 0) {
		int saved = errno;

		(void)kill(pid, SIGKILL);
		errno = saved;
	}
	return r;
}

static long call_waitpid(bool timed)
{
	(void)timed;
	return call_wait(0);
}

static long call_waitid(bool timed)
{
	(void)timed;
	return call_wait(1);
}

static void open_locked(void)
{
	char path[] = "/tmp/coppice-transparent-XXXXXX";

	fds[0] = mkstemp(path);
	fds[1] = open(path, O_RDWR);
	(void)unlink(path);
	if (flock(fds[0], LOCK_EX) < 0)
		abort();
}

static long call_flock(bool timed)
{
	(void)timed;
	return flock(fds[1], LOCK_EX);
}

static void wake_unlock(void)
{
	(void)flock(fds[0], LOCK_UN);
}

static struct flock whole(short type)
{
	return (struct flock){.l_type = type, .l_whence = SEEK_SET};
}

static void open_posix_locked(void)
{
	struct flock lock = whole(F_WRLCK);

	open_locked();
	(void)flock(fds[0], LOCK_UN);
	if (fcntl(fds[0], F_SETLK, &lock) < 0)
		abort();
}

static long call_setlkw(bool timed)
{
	struct flock lock = whole(F_WRLCK);

	(void)timed;
	return fcntl(fds[1], F_SETLKW, &lock);
}

static void wake_posix_unlock(void)
{
	struct flock lock = whole(F_UNLCK);

	(void)fcntl(fds[0], F_SETLK, &lock);
}

static long call_futex(bool timed)
{
	struct timespec t = timeout();

	return syscall(SYS_futex, &board->word, FUTEX_WAIT, 0, timed ? &t : NULL, NULL, 0);
}

static long call_futex_bitset(bool timed)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_nsec += TIMEOUT_MS * 1000000L;
	if (t.tv_nsec >= 1000000000L) {
		t.tv_nsec -= 1000000000L;
		t.tv_sec++;
	}
	return syscall(SYS_futex, &board->word, FUTEX_WAIT_BITSET, 0, timed ? &t : NULL, NULL, -1);
}

static void wake_futex(void)
{
	(void)syscall(SYS_futex, &board->word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static long call_lock_pi(bool timed)
{
	(void)timed;
	return syscall(SYS_futex, &board->word, FUTEX_LOCK_PI, 0, NULL, NULL, 0);
}

static void setup_pi(void)
{
	no_setup();
	board->word = getpid();
}

static void wake_unlock_pi(void)
{
	(void)syscall(SYS_futex, &board->word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0);
}

static long call_pause(bool timed)
{
	(void)timed;
	return pause();
}

static long call_sigsuspend(bool timed)
{
	sigset_t none;

	(void)timed;
	sigemptyset(&none);
	return sigsuspend(&none);
}

/* What only a signal ends: SIGUSR2 has a handler, too. */
static pid_t child;

static void wake_signal(void)
{
	(void)kill(child, SIGUSR2);
}

static long call_sigtimedwait(bool timed)
{
	struct timespec t = timeout();
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGWINCH);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	return sigtimedwait(&set, NULL, timed ? &t : NULL);
}

static void wake_sigwinch(void)
{
	(void)kill(child, SIGWINCH);
}

static int pipe_read_end = -1;

static void open_epoll_pipe(void)
{
	struct epoll_event e = {.events = EPOLLIN};

	open_pipe();
	pipe_read_end = fds[0];
	fds[0] = epoll_create1(0);
	if (epoll_ctl(fds[0], EPOLL_CTL_ADD, pipe_read_end, &e) < 0)
		abort();
}

static long call_epoll_wait(bool timed)
{
	struct epoll_event e;

	return epoll_wait(fds[0], &e, 1, timed ? TIMEOUT_MS : -1);
}

static long call_epoll_pwait(bool timed)
{
	struct epoll_event e;
	sigset_t none;

	sigemptyset(&none);
	return epoll_pwait(fds[0], &e, 1, timed ? TIMEOUT_MS : -1, &none);
}

static long call_epoll_pwait2(bool timed)
{
	struct timespec t = timeout();
	struct epoll_event e;

	return syscall(SYS_epoll_pwait2, fds[0], &e, 1, timed ? &t : NULL, NULL, 8);
}

static long call_poll(bool timed)
{
	struct pollfd p = {.fd = fds[0], .events = POLLIN};

	return poll(&p, 1, timed ? TIMEOUT_MS : -1);
}

static long call_ppoll(bool timed)
{
	struct pollfd p = {.fd = fds[0], .events = POLLIN};
	struct timespec t = timeout();
	sigset_t none;

	sigemptyset(&none);
	return ppoll(&p, 1, timed ? &t : NULL, &none);
}

static long call_select(bool timed)
{
	struct timeval t = {.tv_usec = TIMEOUT_MS * 1000};
	fd_set set;

	FD_ZERO(&set);
	FD_SET(fds[0], &set);
	return select(fds[0] + 1, &set, NULL, NULL, timed ? &t : NULL);
}

static long call_pselect(bool timed)
{
	struct timespec t = timeout();
	sigset_t none;
	fd_set set;

	FD_ZERO(&set);
	FD_SET(fds[0], &set);
	sigemptyset(&none);
	return pselect(fds[0] + 1, &set, NULL, NULL, timed ? &t : NULL, &none);
}

static void make_queue(void)
{
	no_setup();
	id = msgget(IPC_PRIVATE, 0600);
	if (id < 0)
		abort();
}

static long call_msgrcv(bool timed)
{
	struct {
		long type;
		char c[8];
	} m;

	(void)timed;
	return msgrcv(id, &m, sizeof(m.c), 0, 0);
}

static void wake_msgsnd(void)
{
	struct {
		long type;
		char c[8];
	} m = {.type = 1};

	(void)msgsnd(id, &m, 1, 0);
}

static void clean_queue(void)
{
	(void)msgctl(id, IPC_RMID, NULL);
}

static void make_sem(void)
{
	no_setup();
	id = semget(IPC_PRIVATE, 1, 0600);
	if (id < 0)
		abort();
}

static long call_semop(bool timed)
{
	struct sembuf op = {.sem_op = -1};

	(void)timed;
	return semop(id, &op, 1);
}

static long call_semtimedop(bool timed)
{
	struct sembuf op = {.sem_op = -1};
	struct timespec t = timeout();

	return semtimedop(id, &op, 1, timed ? &t : NULL);
}

static void wake_sem(void)
{
	struct sembuf op = {.sem_op = 1};

	(void)semop(id, &op, 1);
}

static void clean_sem(void)
{
	(void)semctl(id, 0, IPC_RMID);
}

static void make_mq(void)
{
	struct mq_attr attr = {.mq_maxmsg = 1, .mq_msgsize = 8};
	char name[64];

	(void)snprintf(name, sizeof(name), "/coppice-transparent-%d", getpid());
	fds[0] = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attr);
	fds[1] = -1;
	(void)mq_unlink(name);
	if (fds[0] < 0)
		abort();
}

static long call_mq_receive(bool timed)
{
	struct timespec t;
	char c[8];

	(void)clock_gettime(CLOCK_REALTIME, &t);
	t.tv_nsec += TIMEOUT_MS * 1000000L;
	if (t.tv_nsec >= 1000000000L) {
		t.tv_nsec -= 1000000000L;
		t.tv_sec++;
	}
	return timed ? mq_timedreceive(fds[0], c, sizeof(c), NULL, &t)
		     : mq_receive(fds[0], c, sizeof(c), NULL);
}

static void wake_mq_send(void)
{
	(void)mq_send(fds[0], "x", 1, 0);
}

static void make_full_mq(void)
{
	make_mq();
	wake_mq_send();
}

static long call_mq_send(bool timed)
{
	(void)timed;
	return mq_send(fds[0], "x", 1, 0);
}

static void wake_mq_receive(void)
{
	char c[8];

	(void)mq_receive(fds[0], c, sizeof(c), NULL);
}

static long call_nanosleep(bool timed)
{
	struct timespec t = timeout();

	(void)timed;
	return syscall(SYS_nanosleep, &t, NULL);
}

static long call_clock_nanosleep(bool timed)
{
	struct timespec t = timeout();

	(void)timed;
	return syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &t, NULL);
}

static long call_clock_nanosleep_abs(bool timed)
{
	struct timespec t;

	(void)timed;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_nsec += TIMEOUT_MS * 1000000L;
	if (t.tv_nsec >= 1000000000L) {
		t.tv_nsec -= 1000000000L;
		t.tv_sec++;
	}
	return syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

static long call_io_getevents(bool timed)
{
	struct timespec t = timeout();
	aio_context_t aio = 0;
	struct io_event e;

	if (syscall(SYS_io_setup, 1, &aio) < 0)
		return -1;
	return syscall(SYS_io_getevents, aio, 1, 1, &e, timed ? &t : NULL);
}

static void open_eventfd(void)
{
	fds[0] = eventfd(0, 0);
	fds[1] = dup(fds[0]);
}

static long call_read8(bool timed)
{
	uint64_t n;

	(void)timed;
	return read(fds[0], &n, sizeof(n));
}

static void wake_eventfd(void)
{
	const uint64_t one = 1;

	if (write(fds[1], &one, sizeof(one)) != sizeof(one))
		abort();
}

static void open_timerfd(void)
{
	fds[0] = timerfd_create(CLOCK_MONOTONIC, 0);
	fds[1] = dup(fds[0]);
}

static void wake_timerfd(void)
{
	const struct itimerspec soon = {.it_value = {.tv_nsec = 1}};

	(void)timerfd_settime(fds[1], 0, &soon, NULL);
}

static void open_inotify(void)
{
	make_fifo();
	fds[0] = inotify_init();
	fds[1] = dup(fds[0]);
	(void)inotify_add_watch(fds[0], fifo_path, IN_ATTRIB | IN_DELETE_SELF);
}

static long call_read_inotify(bool timed)
{
	char bytes[256];

	(void)timed;
	return read(fds[0], bytes, sizeof(bytes));
}

static void wake_unlink(void)
{
	(void)unlink(fifo_path);
}

static void clean_fifo(void)
{
	(void)unlink(fifo_path);
}

static long call_io_uring(bool timed)
{
	struct io_uring_params params = {};
	long ring = syscall(SYS_io_uring_setup, 1, &params);

	(void)timed;
	if (ring < 0)
		return -1;
	return syscall(SYS_io_uring_enter, ring, 0, 1, IORING_ENTER_GETEVENTS, NULL, 0);
}

struct row {
	const char *name;
	void (*setup)(void);
	long (*call)(bool timed);
	void (*wake)(void); /* NULL: ends by itself */
	bool timed;	    /* has a variant with a timeout */
	void (*clean)(void);
};

static const struct row rows[] = {
	{"read", open_pipe, call_read, wake_write, false, NULL},
	{"readv", open_pipe, call_readv, wake_write, false, NULL},
	{"write", open_full_pipe, call_write, wake_drain, false, NULL},
	{"read eventfd", open_eventfd, call_read8, wake_eventfd, false, NULL},
	{"read timerfd", open_timerfd, call_read8, wake_timerfd, false, NULL},
	{"read inotify", open_inotify, call_read_inotify, wake_unlink, false, clean_fifo},
	{"open fifo", make_fifo, call_open_fifo, wake_open_fifo, false, clean_fifo},
	{"recv", open_sockets, call_recv, wake_write, false, NULL},
	{"recvmsg", open_sockets, call_recvmsg, wake_write, false, NULL},
	{"recvmmsg", open_sockets, call_recvmmsg, wake_write, false, NULL},
	{"recv SO_RCVTIMEO", open_timed_sockets, call_recv, wake_write, true, NULL},
	{"read SO_RCVTIMEO", open_timed_sockets, call_read, wake_write, true, NULL},
	{"send", open_full_sockets, call_send, wake_drain, false, NULL},
	{"send SO_SNDTIMEO", open_full_timed_sockets, call_send, wake_drain, true, NULL},
	{"accept", open_listener, call_accept, wake_connect, false, NULL},
	{"accept SO_RCVTIMEO", open_timed_listener, call_accept, wake_connect, true, NULL},
	{"waitpid", open_pipe, call_waitpid, wake_write, false, NULL},
	{"waitid", open_pipe, call_waitid, wake_write, false, NULL},
	{"flock", open_locked, call_flock, wake_unlock, false, NULL},
	{"fcntl F_SETLKW", open_posix_locked, call_setlkw, wake_posix_unlock, false, NULL},
	{"futex", no_setup, call_futex, wake_futex, true, NULL},
	{"futex bitset", no_setup, call_futex_bitset, wake_futex, true, NULL},
	{"futex lock-pi", setup_pi, call_lock_pi, wake_unlock_pi, false, NULL},
	{"pause", no_setup, call_pause, wake_signal, false, NULL},
	{"sigsuspend", no_setup, call_sigsuspend, wake_signal, false, NULL},
	{"sigtimedwait", no_setup, call_sigtimedwait, wake_sigwinch, true, NULL},
	{"epoll_wait", open_epoll_pipe, call_epoll_wait, wake_write, true, NULL},
	{"epoll_pwait", open_epoll_pipe, call_epoll_pwait, wake_write, true, NULL},
	{"epoll_pwait2", open_epoll_pipe, call_epoll_pwait2, wake_write, true, NULL},
	{"poll", open_pipe, call_poll, wake_write, true, NULL},
	{"ppoll", open_pipe, call_ppoll, wake_write, true, NULL},
	{"select", open_pipe, call_select, wake_write, true, NULL},
	{"pselect", open_pipe, call_pselect, wake_write, true, NULL},
	{"msgrcv", make_queue, call_msgrcv, wake_msgsnd, false, clean_queue},
	{"semop", make_sem, call_semop, wake_sem, false, clean_sem},
	{"semtimedop", make_sem, call_semtimedop, wake_sem, true, clean_sem},
	{"mq_receive", make_mq, call_mq_receive, wake_mq_send, true, NULL},
	{"mq_send", make_full_mq, call_mq_send, wake_mq_receive, false, NULL},
	{"nanosleep", no_setup, call_nanosleep, NULL, false, NULL},
	{"clock_nanosleep", no_setup, call_clock_nanosleep, NULL, false, NULL},
	{"clock_nanosleep absolute", no_setup, call_clock_nanosleep_abs, NULL, false, NULL},
	{"io_getevents", no_setup, call_io_getevents, NULL, true, NULL},
	{"io_uring_enter", no_setup, call_io_uring, NULL, false, NULL},
};

/* ---- one experiment ------------------------------------------------------------------------ */

static void count(int sig)
{
	(void)sig;
	atomic_fetch_add(&board->handled, 1);
}

static long now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static _Noreturn void be_child(const struct row *row, enum variant variant)
{
	struct sigaction action = {.sa_handler = count};
	long start;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)sigaction(SIGUSR2, &action, NULL);
	action.sa_flags = variant == RESTARTED ? SA_RESTART : 0;
	(void)sigaction(SIGUSR1, &action, NULL);
	start = now_ms();
	board->ready = 1;
	board->result = row->call(variant == TIMED);
	board->error = board->result < 0 ? errno : 0;
	board->ms = now_ms() - start;
	board->done = 1;
	_exit(0);
}

/* Until the child sleeps, and has done so for a moment. */
static void await_sleep(void)
{
	char path[64], text[512];
	int asleep = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", child);
	while (asleep < 3) {
		FILE *f = fopen(path, "re");
		size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;

		if (f)
			(void)fclose(f);
		text[n] = '\0';
		asleep = board->ready && n > 0 && strstr(text, ") S ") ? asleep + 1 : 0;
		(void)usleep(1000);
	}
}

static bool await_done(int ms)
{
	for (int i = 0; i < ms && !board->done; i++)
		(void)usleep(1000);
	return board->done;
}

static void send_signal(void *unused)
{
	(void)unused;
	(void)kill(child, SIGUSR1);
}

struct outcome {
	int sign; /* of the result */
	int error;
	int handled;
	bool by_itself; /* ended before it was woken */
	long ms;
};

static int experiment(const struct row *row, enum variant variant, bool held, struct outcome *ret)
{
	bool signal = variant == HANDLED || variant == RESTARTED;
	struct outcome o = {};
	int status;

	memset(board, 0, sizeof(*board));
	row->setup();
	child = fork();
	if (child == 0)
		be_child(row, variant);
	await_sleep();
	if (held) {
		if (hold(child, TABLES, signal ? send_signal : NULL, NULL) < 0)
			return -1;
	} else if (signal) {
		send_signal(NULL);
	}
	o.by_itself = await_done(variant == TIMED || !row->wake ? PATIENCE_MS : GRACE_MS);
	if (!o.by_itself && row->wake)
		row->wake();
	if (await_done(PATIENCE_MS)) {
		o.sign = board->result > 0 ? 1 : board->result < 0 ? -1 : 0;
		o.error = board->error;
		o.handled = board->handled;
		o.ms = board->ms;
	} else {
		o.sign = -2; /* hangs */
	}
	(void)kill(child, SIGKILL);
	(void)waitpid(child, &status, 0);
	if (row->clean)
		row->clean();
	for (int i = 0; i < 2; i++)
		if (fds[i] >= 0)
			(void)close(fds[i]);
	if (pipe_read_end >= 0)
		(void)close(pipe_read_end);
	pipe_read_end = -1;
	*ret = o;
	return 0;
}

static void print_outcome(const char *what, const struct outcome *o)
{
	(void)printf("    %s: result %s, %s, %d handled, %s, %ld ms\n", what,
		     o->sign == -2 ? "none (hangs)"
		     : o->sign < 0 ? "-1"
		     : o->sign	   ? "> 0"
				   : "0",
		     o->error ? strerrorname_np(o->error) : "no error", o->handled,
		     o->by_itself ? "by itself" : "woken", o->ms);
}

static int compare(const struct row *row, enum variant variant)
{
	struct outcome alone, held;
	bool same;

	if (experiment(row, variant, false, &alone) < 0 ||
	    experiment(row, variant, true, &held) < 0)
		return 1;
	same = alone.sign == held.sign && alone.error == held.error &&
	       alone.handled == held.handled && alone.by_itself == held.by_itself;
	/* A timeout may start anew, but never ends early. */
	same = same && (!alone.by_itself || variant != TIMED || held.ms >= TIMEOUT_MS - 5);
	if (same)
		return 0;
	(void)printf("%s, %s: not the same\n", row->name, variant_names[variant]);
	print_outcome("alone", &alone);
	print_outcome("held", &held);
	return 1;
}

int main(int argc, char **argv)
{
	int failed = 0, passed = 0;

	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (argc > 1 && strcmp(argv[1], rows[i].name) != 0)
			continue;
		for (enum variant v = 0; v < VARIANTS; v++) {
			int wrong;

			if (v == TIMED && !rows[i].timed)
				continue;
			wrong = compare(&rows[i], v);
			failed += wrong;
			passed += !wrong;
		}
	}
	(void)printf("%d the same, %d not\n", passed, failed);
	return failed != 0;
}
