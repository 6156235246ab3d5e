/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests: a checkpoint made from a seed. It is valid, every list has elements, and the same seed
 * gives the same bytes.
 */
#pragma once

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <cmocka.h>

#include "image/checkpoint.pb-c.h"
#include "util/arena.h"

enum { SAMPLE_PAGE = 4096 };

struct sample {
	struct arena *arena;
	uint64_t state;
	Coppice__Checkpoint *cp;
};

/* splitmix64 */
static inline uint64_t sample_random(struct sample *s)
{
	uint64_t z = (s->state += 0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

static inline uint32_t sample_below(struct sample *s, uint32_t n)
{
	return (uint32_t)(sample_random(s) % n);
}

static inline ProtobufCBinaryData sample_bytes(struct sample *s, size_t len)
{
	ProtobufCBinaryData bytes = {.len = len, .data = arena_alloc(s->arena, len)};

	assert_non_null(bytes.data);
	for (size_t i = 0; i < len; i++)
		bytes.data[i] = (uint8_t)sample_random(s);
	return bytes;
}

static inline char *sample_string(struct sample *s, const char *stem)
{
	char *text = arena_printf(s->arena, "%s%u", stem, sample_below(s, 1000));

	assert_non_null(text);
	return text;
}

/* A new message, set up, at the end of a list. */
#define sample_add(s, list, n, type, init)                                                         \
	({                                                                                         \
		type *_msg = arena_new((s)->arena, type);                                          \
		type **_slot = arena_append((s)->arena, &(list), &(n), sizeof(*_slot));            \
		assert_non_null(_msg);                                                             \
		assert_non_null(_slot);                                                            \
		init(_msg);                                                                        \
		*_slot = _msg;                                                                     \
		_msg;                                                                              \
	})
#define sample_new(s, type, init)                                                                  \
	({                                                                                         \
		type *_msg = arena_new((s)->arena, type);                                          \
		assert_non_null(_msg);                                                             \
		init(_msg);                                                                        \
		_msg;                                                                              \
	})

static inline int32_t *sample_pid(struct sample *s, int32_t pid)
{
	return arena_memdup(s->arena, &pid, sizeof(pid));
}

static inline void sample_pending(struct sample *s, Coppice__SigInfo ***list, size_t *n)
{
	Coppice__SigInfo *info =
		sample_add(s, *list, *n, Coppice__SigInfo, coppice__sig_info__init);
	int32_t signal = 1 + (int32_t)sample_below(s, 64);

	info->raw = sample_bytes(s, 128);
	memcpy(info->raw.data, &signal, sizeof(signal));
}

static inline void sample_thread(struct sample *s, Coppice__Process *p, int32_t tid)
{
	Coppice__Thread *t =
		sample_add(s, p->threads, p->n_threads, Coppice__Thread, coppice__thread__init);

	t->tid = sample_pid(s, tid);
	t->n_tid = 1;
	t->comm = sample_string(s, "worker/");
	t->regs = sample_bytes(s, 216);
	t->xstate = sample_bytes(s, 832);
	t->sigmask = sample_random(s);
	t->sched = sample_new(s, Coppice__Sched, coppice__sched__init);
	t->sched->nice = -5;
	t->sched->affinity = sample_bytes(s, 1);
	t->creds = sample_new(s, Coppice__Creds, coppice__creds__init);
	t->creds->euid = sample_below(s, 3);
	t->creds->groups = arena_memdup(s->arena, (uint32_t[]){4, 27}, 8);
	t->creds->n_groups = 2;
	t->creds->cap_bounding = sample_random(s);
	if (sample_below(s, 2) == 0)
		t->rseq = sample_new(s, Coppice__Rseq, coppice__rseq__init);
	sample_pending(s, &t->pending, &t->n_pending);
}

static inline void sample_process(struct sample *s)
{
	Coppice__Process *p = sample_add(s, s->cp->processes, s->cp->n_processes, Coppice__Process,
					 coppice__process__init);

	p->id = (uint32_t)s->cp->n_processes;
	p->parent = p->id > 1 ? 1 + sample_below(s, p->id - 1) : 0;
	p->n_pid = p->n_sid = p->n_pgid = 1;
	p->pid = sample_pid(s, 1000 + (int32_t)p->id * 10);
	p->sid = sample_pid(s, 1010);
	p->pgid = sample_pid(s, 1010);
	p->comm = sample_string(s, "prog");
	if (p->id > 1 && sample_below(s, 4) == 0) {
		p->state = COPPICE__RUN_STATE__RUN_STATE_ZOMBIE;
		p->exit_status = 0x100;
		return;
	}
	p->mm = p->fd_table = p->fs = p->sighand = 1;
	for (unsigned int i = 0; i < 3; i++)
		(void)sample_add(s, p->itimers, p->n_itimers, Coppice__Itimer,
				 coppice__itimer__init);
	for (unsigned int i = 0; i < RLIM_NLIMITS; i++)
		sample_add(s, p->rlimits, p->n_rlimits, Coppice__Rlimit, coppice__rlimit__init)
			->hard = sample_random(s);
	for (uint32_t n = 1 + sample_below(s, 3), i = 0; i < n; i++)
		sample_thread(s, p, p->pid[0] + (int32_t)i);
	sample_pending(s, &p->pending, &p->n_pending);
	sample_add(s, p->posix_timers, p->n_posix_timers, Coppice__PosixTimer,
		   coppice__posix_timer__init)
		->interval_ns = -1;
}

/* VMAs with gaps of up to two pages, each with a run of pages in the page file, which has 64. */
static inline void sample_mm(struct sample *s)
{
	Coppice__Mm *mm = sample_add(s, s->cp->mms, s->cp->n_mms, Coppice__Mm, coppice__mm__init);
	uint64_t at = 0x10000;

	mm->id = 1;
	mm->exe = 1;
	mm->brk = sample_random(s);
	mm->auxv = sample_bytes(s, 64);
	for (uint32_t i = 0; i < 6; i++) {
		Coppice__Vma *vma =
			sample_add(s, mm->vmas, mm->n_vmas, Coppice__Vma, coppice__vma__init);
		Coppice__PageRun *run = sample_add(s, mm->pages, mm->n_pages, Coppice__PageRun,
						   coppice__page_run__init);
		uint32_t pages = 1 + sample_below(s, 5);

		at += sample_below(s, 3) * SAMPLE_PAGE;
		vma->start = run->address = at;
		vma->end = at += pages * SAMPLE_PAGE;
		vma->prot = 3;
		if (i == 0) {
			vma->kind = COPPICE__VMA_KIND__VMA_KIND_FILE;
			vma->inode = 1;
			vma->name = sample_string(s, "caf\xc3\xa9 \x1b[31m");
			vma->policy = sample_new(s, Coppice__MemPolicy, coppice__mem_policy__init);
		}
		run->pages = 1 + sample_below(s, pages);
		run->file = 1;
		run->offset = i * 8 * SAMPLE_PAGE;
	}
}

static inline void sample_tables(struct sample *s)
{
	Coppice__Checkpoint *cp = s->cp;
	Coppice__Fs *fs = sample_add(s, cp->fss, cp->n_fss, Coppice__Fs, coppice__fs__init);
	Coppice__FdTable *table = sample_add(s, cp->fd_tables, cp->n_fd_tables, Coppice__FdTable,
					     coppice__fd_table__init);
	Coppice__Sighand *sighand = sample_add(s, cp->sighands, cp->n_sighands, Coppice__Sighand,
					       coppice__sighand__init);
	Coppice__SeccompFilter *filter =
		sample_add(s, cp->seccomp_filters, cp->n_seccomp_filters, Coppice__SeccompFilter,
			   coppice__seccomp_filter__init);

	fs->id = table->id = sighand->id = filter->id = 1;
	fs->cwd = sample_string(s, "/home/\xff\"\\");
	fs->root = sample_string(s, "/");
	filter->insns = sample_bytes(s, 24);
	for (uint32_t i = 0; i < 4; i++) {
		Coppice__Fd *fd =
			sample_add(s, table->fds, table->n_fds, Coppice__Fd, coppice__fd__init);
		Coppice__SigAction *action =
			sample_add(s, sighand->actions, sighand->n_actions, Coppice__SigAction,
				   coppice__sig_action__init);

		fd->number = i * 3;
		fd->file = 1 + sample_below(s, 2);
		action->signal = 1 + i * 4;
		action->handler = sample_random(s);
	}
}

static inline void sample_files(struct sample *s)
{
	Coppice__Checkpoint *cp = s->cp;
	Coppice__Inode *inode =
		sample_add(s, cp->inodes, cp->n_inodes, Coppice__Inode, coppice__inode__init);
	Coppice__File *file =
		sample_add(s, cp->files, cp->n_files, Coppice__File, coppice__file__init);
	Coppice__File *pipe =
		sample_add(s, cp->files, cp->n_files, Coppice__File, coppice__file__init);
	Coppice__FileLock *lock = sample_add(s, cp->file_locks, cp->n_file_locks, Coppice__FileLock,
					     coppice__file_lock__init);

	inode->id = 1;
	inode->path = sample_string(s, "/tmp/log");
	inode->size = 10000;
	file->id = 1;
	file->offset = sample_below(s, 10000);
	file->kind_case = COPPICE__FILE__KIND_REGULAR;
	file->regular = sample_new(s, Coppice__RegularFile, coppice__regular_file__init);
	file->regular->inode = 1;
	pipe->id = 2;
	pipe->kind_case = COPPICE__FILE__KIND_PIPE;
	pipe->pipe = sample_new(s, Coppice__PipeEnd, coppice__pipe_end__init);
	pipe->pipe->pipe = 1;
	pipe->pipe->content = sample_new(s, Coppice__PipeContent, coppice__pipe_content__init);
	pipe->pipe->content->capacity = 65536;
	pipe->pipe->content->data = sample_bytes(s, sample_below(s, 64));
	lock->file = 1;
	lock->process = 1;
	lock->fd_number = 3;
	lock->length = 100;
}

static inline void sample_pty(struct sample *s)
{
	Coppice__Checkpoint *cp = s->cp;
	Coppice__Pty *pty = sample_add(s, cp->ptys, cp->n_ptys, Coppice__Pty, coppice__pty__init);
	Coppice__File *file =
		sample_add(s, cp->files, cp->n_files, Coppice__File, coppice__file__init);
	ProtobufCBinaryData *lines = arena_new_n(s->arena, ProtobufCBinaryData, 2);

	if (!lines)
		abort();
	pty->id = 1;
	pty->directory = sample_string(s, "/dev/pts");
	pty->number = sample_below(s, 100);
	pty->termios = sample_bytes(s, 44);
	lines[0] = sample_bytes(s, 20);
	lines[1] = sample_bytes(s, 30);
	pty->lines = lines;
	pty->n_lines = 2;
	pty->typed = sample_bytes(s, sample_below(s, 50));
	file->id = 3;
	file->kind_case = COPPICE__FILE__KIND_PTMX;
	file->ptmx = sample_new(s, Coppice__PtyMaster, coppice__pty_master__init);
	file->ptmx->pty = 1;
	file->ptmx->path = sample_string(s, "/dev/ptmx");
}

/* The one page file of every sample. */
enum { SAMPLE_FILE_PAGES = 64 };

static inline void sample_page_file(struct sample *s)
{
	Coppice__PageFile *file = sample_add(s, s->cp->page_files, s->cp->n_page_files,
					     Coppice__PageFile, coppice__page_file__init);

	file->id = 1;
	file->name = arena_strdup(s->arena, "pages-1.img");
	file->size = SAMPLE_FILE_PAGES * SAMPLE_PAGE;
}

static inline Coppice__Checkpoint *sample_checkpoint(struct arena *arena, uint64_t seed)
{
	struct sample s = {.arena = arena, .state = seed};

	s.cp = sample_new(&s, Coppice__Checkpoint, coppice__checkpoint__init);
	s.cp->origin = sample_new(&s, Coppice__Origin, coppice__origin__init);
	s.cp->origin->arch = sample_string(&s, "x86_64-");
	s.cp->origin->page_size = SAMPLE_PAGE;
	s.cp->origin->root = 1;
	s.cp->origin->realtime_ns = (int64_t)sample_random(&s);
	for (uint32_t n = 1 + sample_below(&s, 4), i = 0; i < n; i++)
		sample_process(&s);
	sample_mm(&s);
	sample_tables(&s);
	sample_files(&s);
	sample_pty(&s);
	sample_page_file(&s);
	return s.cp;
}

/* The seed of a property test: from the environment to repeat one, else from the clock; printed. */
static inline uint64_t sample_seed(void)
{
	const char *given = getenv("COPPICE_TEST_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);

	print_message("seed %" PRIu64 " (repeat with COPPICE_TEST_SEED)\n", seed);
	return seed;
}
