/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The address space (mm_struct), but for its pages: where code, data, heap, stack, arguments and
 * environment lie, the auxiliary vector, the executable, and the list of VMAs.
 *
 * Cannot be read: the high-water marks (VmPeak, VmHWM start anew), mm->mmap_base and the choice of
 * the legacy layout (both follow from the stack limit and personality at exec; a later mmap()
 * without an address may go elsewhere), the brk randomisation (spent at exec).
 *
 * An address space belongs to the first process that has it; other processes that share it
 * (CLONE_VM without CLONE_THREAD) only refer to it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "file/inode.h"
#include "kernel/proc.h"
#include "kind/task.h"
#include "task/memory-ask.h"
#include "task/memory-finish.h"
#include "task/memory-guard.h"
#include "task/memory-vdso.h"
#include "task/memory-vma.h"
#include "util/cleanup.h"
#include "util/io.h"

static bool owns_mm(const struct collect_process *p)
{
	return !p->zombie && p->mm_owner == p;
}

static Coppice__Mm *mm_of(struct collect *c, const struct collect_process *p)
{
	return c->cp->mms[p->msg->mm - 1];
}

static int collect_auxv(struct collect *c, struct collect_process *p, Coppice__Mm *mm)
{
	const struct proc_dir dir = collect_dir(c, p);
	_cleanup_free_ char *bytes = NULL;
	size_t len = 0;
	int r = proc_dir_read(&dir, "auxv", &bytes, &len);

	if (r < 0)
		return err_sys(c->ctx, r, "reading /proc/%d/auxv", p->pid);
	mm->auxv.data = arena_memdup(c->arena, bytes, len);
	if (!mm->auxv.data)
		return err_oom(c->ctx);
	mm->auxv.len = len;
	return 0;
}

static int collect_coredump_filter(struct collect *c, struct collect_process *p, Coppice__Mm *mm)
{
	const struct proc_dir dir = collect_dir(c, p);
	_cleanup_free_ char *text = NULL;
	int r = proc_dir_read(&dir, "coredump_filter", &text, NULL);

	/* -ENOENT: a kernel without CONFIG_ELF_CORE. */
	if (r < 0 && r != -ENOENT)
		return err_sys(c->ctx, r, "reading /proc/%d/coredump_filter", p->pid);
	mm->coredump_filter = r < 0 ? 0 : (uint32_t)strtoul(text, NULL, 16);
	return 0;
}

static void collect_marks(const struct proc_stat *stat, Coppice__Mm *mm)
{
	mm->start_code = stat->start_code;
	mm->end_code = stat->end_code;
	mm->start_data = stat->start_data;
	mm->end_data = stat->end_data;
	mm->start_stack = stat->start_stack;
	mm->start_brk = stat->start_brk;
	mm->arg_start = stat->arg_start;
	mm->arg_end = stat->arg_end;
	mm->env_start = stat->env_start;
	mm->env_end = stat->env_end;
}

static int mm_collect(struct collect *c, struct collect_process *p)
{
	const struct proc_dir dir = collect_dir(c, p);
	Coppice__Mm *mm;
	int r;

	if (!owns_mm(p))
		return 0;
	mm = mm_of(c, p);
	/* Of a living thread: /proc/PID/stat of a dead leader has zeros here. */
	collect_marks(&p->threads[0].stat, mm);
	r = collect_auxv(c, p, mm);
	if (r < 0)
		return r;
	r = collect_coredump_filter(c, p, mm);
	if (r < 0)
		return r;
	r = inode_collect_link(c, p, "exe", &mm->exe);
	if (r < 0)
		return r;
	r = proc_read_smaps(&dir, c->arena, &p->maps, &p->n_maps);
	if (r < 0)
		return err_sys(c->ctx, r, "reading /proc/%d/smaps", p->pid);
	r = vma_collect(c, p, mm);
	if (r < 0)
		return r;
	r = guard_collect(c, p, mm);
	if (r < 0)
		return r;
	return vdso_collect(c, p, mm);
}

static void mm_ask(struct collect *c, struct collect_process *p, struct call_table *t)
{
	if (owns_mm(p))
		memory_ask(c, mm_of(c, p), t);
}

static int mm_reply(struct collect *c, struct collect_process *p, struct call_table *t,
		    uint32_t first)
{
	int r;

	if (!owns_mm(p))
		return 0;
	r = memory_reply(c, p, mm_of(c, p), t, first);
	if (r < 0)
		return r;
	vma_merge(mm_of(c, p));
	return 0;
}

static int mm_install(struct rebuild *r, struct rebuild_process *p, struct call_table *t)
{
	if (p->owns_mm)
		memory_finish(r, p->mm, t);
	return 0;
}

/* The filter is writable by its owner through /proc alone; by a living thread's, at that. */
static int mm_install_direct(struct rebuild *r, struct rebuild_process *p)
{
	_cleanup_close_ int proc_fd = -EBADF;
	_cleanup_close_ int fd = -EBADF;
	char text[16];
	int len;
	int ret;

	if (!p->owns_mm)
		return 0;
	ret = proc_open(p->puppet->tid, &proc_fd);
	if (ret < 0)
		return err_sys(r->ctx, ret, "open(/proc/%d)", p->puppet->tid);
	fd = openat(proc_fd, "coredump_filter", O_WRONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0)
		return err_sys(r->ctx, -errno, "open(/proc/%d/coredump_filter)", p->puppet->tid);
	len = snprintf(text, sizeof(text), "%#x", p->mm->coredump_filter);
	ret = io_write_all(fd, text, (size_t)len);
	return ret < 0 ? err_sys(r->ctx, ret, "writing /proc/%d/coredump_filter", p->puppet->tid)
		       : 0;
}

static int mm_last(struct rebuild *r _unused_, struct rebuild_process *p, struct call_table *t)
{
	if (p->owns_mm)
		memory_seal(p->mm, t);
	return 0;
}

const struct task_aspect aspect_mm = {
	.name = "memory",
	.collect = mm_collect,
	.ask = mm_ask,
	.reply = mm_reply,
	.install = mm_install,
	.install_direct = mm_install_direct,
	.last = mm_last,
};
