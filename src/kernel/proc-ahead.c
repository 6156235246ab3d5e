/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/proc-ahead.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernel/proc-read.h"
#include "util/cleanup.h"
#include "util/macro.h"

enum {
	DIRS_MIN = 16,	       /* for fewer, starting a thread costs more than it saves */
	DIRS_AHEAD = 256,      /* how far the thread gets ahead at most */
	TEXT_MAX = 256 * 1024, /* what is longer is left to the coordinator */
};

enum text_state {
	TEXT_NONE,    /* nobody has begun to read it */
	TEXT_READING, /* by the thread */
	TEXT_READ,
	TEXT_DROPPED, /* the thread reads it still, but nobody wants it any more */
	TEXT_OURS,    /* the coordinator has it, or reads it by itself */
};

struct text {
	enum text_state state;
	char *text; /* owned, while READ */
	size_t len;
};

struct proc_ahead {
	const int *fds;
	size_t n;
	const struct proc_wanted *wanted;
	size_t n_wanted;
	pthread_t thread;
	char *buffer; /* the thread's: TEXT_MAX + 1 bytes; owned */

	pthread_mutex_t lock; /* of all that follows */
	pthread_cond_t moved; /* what the thread waits for */
	bool stop;
	size_t entered;	    /* directories that the coordinator has come to */
	struct text *texts; /* of DIRS_AHEAD directories, by their index modulo that; owned */
};

static struct text *text_of(const struct proc_ahead *a, size_t place, size_t i)
{
	return &a->texts[place % DIRS_AHEAD * a->n_wanted + i];
}

/* ---- the thread ---------------------------------------------------------------------------- */

/* The content of a file, if it fits: its length, or -errno. */
static ssize_t read_content(int fd, char *buffer)
{
	size_t len = 0;
	ssize_t n;

	do {
		n = read(fd, buffer + len, TEXT_MAX - len);
		if (n < 0)
			return -errno;
		len += (size_t)n;
	} while (n > 0 && len < TEXT_MAX);
	return len < TEXT_MAX ? (ssize_t)len : -EFBIG;
}

static ssize_t read_wanted(int dir, const struct proc_wanted *wanted, char *buffer)
{
	_cleanup_close_ int fd = -EBADF;
	ssize_t n;

	if (wanted->link) {
		n = readlinkat(dir, wanted->name, buffer, PATH_MAX);
		return n < 0 ? -errno : n;
	}
	fd = openat(dir, wanted->name, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : read_content(fd, buffer);
}

/* With the lock held, but for the reading itself. */
static void read_text(struct proc_ahead *a, size_t place, size_t i)
{
	struct text *t = text_of(a, place, i);
	char *copy = NULL;
	ssize_t len;

	if (t->state != TEXT_NONE)
		return;
	t->state = TEXT_READING;
	(void)pthread_mutex_unlock(&a->lock);
	len = read_wanted(a->fds[place], &a->wanted[i], a->buffer);
	if (len >= 0) {
		a->buffer[len++] = '\0';
		copy = malloc((size_t)len);
		if (copy)
			memcpy(copy, a->buffer, (size_t)len--);
	}
	(void)pthread_mutex_lock(&a->lock);
	if (t->state == TEXT_READING && copy) {
		*t = (struct text){.state = TEXT_READ, .text = copy, .len = (size_t)len};
	} else {
		*t = (struct text){};
		free(copy);
	}
}

static void *read_all(void *arg)
{
	struct proc_ahead *a = arg;

	(void)pthread_mutex_lock(&a->lock);
	for (size_t place = 0; place < a->n && !a->stop; place++) {
		while (!a->stop && place + 1 >= a->entered + DIRS_AHEAD)
			(void)pthread_cond_wait(&a->moved, &a->lock);
		/* The directory that the coordinator has come to, it reads itself. */
		for (size_t i = 0; i < a->n_wanted && !a->stop && place >= a->entered; i++)
			if (a->fds[place] >= 0)
				read_text(a, place, i);
	}
	(void)pthread_mutex_unlock(&a->lock);
	return NULL;
}

/* ---- the coordinator ----------------------------------------------------------------------- */

static void destroy(struct proc_ahead *a)
{
	for (size_t i = 0; a->texts && i < DIRS_AHEAD * a->n_wanted; i++)
		free(a->texts[i].text);
	free(a->texts);
	free(a->buffer);
	(void)pthread_mutex_destroy(&a->lock);
	(void)pthread_cond_destroy(&a->moved);
	free(a);
}

/* Signals are the coordinator's. */
static int start_thread(struct proc_ahead *a)
{
	sigset_t all, old;
	int r;

	sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&a->thread, NULL, read_all, a);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -r;
}

struct proc_ahead *proc_ahead_start(const int *fds, size_t n, const struct proc_wanted *wanted)
{
	struct proc_ahead *a = n < DIRS_MIN ? NULL : calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->fds = fds;
	a->n = n;
	a->wanted = wanted;
	while (wanted[a->n_wanted].name)
		a->n_wanted++;
	(void)pthread_mutex_init(&a->lock, NULL);
	(void)pthread_cond_init(&a->moved, NULL);
	a->texts = calloc(DIRS_AHEAD * a->n_wanted, sizeof(*a->texts));
	a->buffer = malloc(TEXT_MAX + 1);
	if (a->texts && a->buffer && start_thread(a) == 0)
		return a;
	destroy(a);
	return NULL;
}

struct proc_ahead *proc_ahead_end(struct proc_ahead *a)
{
	if (!a)
		return NULL;
	(void)pthread_mutex_lock(&a->lock);
	a->stop = true;
	(void)pthread_cond_signal(&a->moved);
	(void)pthread_mutex_unlock(&a->lock);
	(void)pthread_join(a->thread, NULL);
	destroy(a);
	return NULL;
}

static bool is_being_read(const struct text *t)
{
	return t->state == TEXT_READING || t->state == TEXT_DROPPED;
}

/* The coordinator has come to the directory @place: those before make room. */
static void enter(struct proc_ahead *a, size_t place)
{
	for (; a->entered <= place; a->entered++)
		for (size_t i = 0; a->entered > 0 && i < a->n_wanted; i++) {
			struct text *t = text_of(a, a->entered - 1, i);

			free(t->text);
			*t = (struct text){.state = is_being_read(t) ? TEXT_DROPPED : TEXT_NONE};
		}
	(void)pthread_cond_signal(&a->moved);
}

static struct text *find(struct proc_ahead *a, size_t place, const char *name)
{
	for (size_t i = 0; i < a->n_wanted; i++)
		if (strcmp(a->wanted[i].name, name) == 0)
			return text_of(a, place, i);
	return NULL;
}

bool proc_dir_take(const struct proc_dir *dir, const char *name, char **ret_text, size_t *ret_len)
{
	struct proc_ahead *a = dir->ahead;
	bool taken = false;
	struct text *t;

	if (!a)
		return false;
	(void)pthread_mutex_lock(&a->lock);
	if (a->entered <= dir->place)
		enter(a, dir->place);
	t = a->entered == dir->place + 1 ? find(a, dir->place, name) : NULL;
	if (t && t->state == TEXT_READ) {
		taken = true;
		*ret_text = TAKE_PTR(t->text);
		if (ret_len)
			*ret_len = t->len;
	}
	/* To wait for the thread would be to wait for whoever has its processor. */
	if (t)
		t->state = is_being_read(t) ? TEXT_DROPPED : TEXT_OURS;
	(void)pthread_mutex_unlock(&a->lock);
	return taken;
}

int proc_dir_read(const struct proc_dir *dir, const char *name, char **ret_text, size_t *ret_len)
{
	if (proc_dir_take(dir, name, ret_text, ret_len))
		return 0;
	return proc_read_file(dir->fd, name, ret_text, ret_len);
}

int proc_dir_link(const struct proc_dir *dir, const char *name, char **ret_target)
{
	char target[PATH_MAX + 1];
	char *copy;
	ssize_t n;

	if (proc_dir_take(dir, name, ret_target, NULL))
		return 0;
	n = readlinkat(dir->fd, name, target, sizeof(target) - 1);
	if (n < 0)
		return proc_error(dir->fd, -errno);
	copy = strndup(target, (size_t)n);
	if (!copy)
		return -ENOMEM;
	*ret_target = copy;
	return 0;
}
