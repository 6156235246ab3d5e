/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first stub, from its exec (spawn.c) to its first table. Driven by ptrace it maps its area and
 * unmaps all else but the kernel's own mappings; /proc/PID/exe can then be changed, as no mapping
 * of the image is left.
 *
 * What an exec keeps (credentials, limits, nice, personality, cwd, session ...) is the
 * coordinator's, for the registries to change.
 */
#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernel/proc.h"
#include "puppet/blob.h"
#include "puppet/interp.h"
#include "puppet/made.h"
#include "puppet/ring.h"
#include "puppet/spawn.h"
#include "puppet/trace.h"
#include "util/arena.h"
#include "util/cleanup.h"
#include "util/context.h"

/* Attempts, as the kernel may place its own mappings where the area is to be. */
enum { PLACE_TRIES = 8 };

static uint64_t page_size(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

/* ---- from image to area ------------------------------------------------------------------ */

int made_call_start(struct context *ctx, struct puppet *p, puppet_addr ip, uint64_t nr,
		    const uint64_t arg[6])
{
	struct arch_regs regs;
	int r = arch_get_regs(ctx, p->tid, &regs);

	if (r < 0)
		return r;
	arch_call_regs(&regs, &regs, ip, nr, arg);
	r = arch_set_regs(ctx, p->tid, &regs);
	return r < 0 ? r : trace_go(ctx, p, PTRACE_SYSCALL, 0);
}

/* The next entry or exit of a call. */
static int await_syscall(struct context *ctx, struct puppet *p)
{
	struct trace_stop stop;
	int r;

	while ((r = trace_wait(ctx, p, &stop)) == 0 && stop.kind != TRACE_SYSCALL) {
		r = trace_go(ctx, p, PTRACE_SYSCALL, 0);
		if (r < 0)
			break;
	}
	return r;
}

int made_call_entered(struct context *ctx, struct puppet *p)
{
	int r = await_syscall(ctx, p);

	return r < 0 ? r : trace_go(ctx, p, PTRACE_SYSCALL, 0);
}

int made_call_finish(struct context *ctx, struct puppet *p, int64_t *ret_result)
{
	struct arch_regs regs;
	int r = await_syscall(ctx, p);

	if (r == 0)
		r = arch_get_regs(ctx, p->tid, &regs);
	if (r < 0)
		return r;
	*ret_result = arch_call_result(&regs);
	return 0;
}

static int made_call(struct context *ctx, struct puppet *p, puppet_addr ip, uint64_t nr,
		     const uint64_t arg[6], int64_t *ret_result)
{
	int r = made_call_start(ctx, p, ip, nr, arg);

	if (r == 0)
		r = made_call_entered(ctx, p);
	return r < 0 ? r : made_call_finish(ctx, p, ret_result);
}

static int map(struct context *ctx, struct puppet *p, puppet_addr ip, puppet_addr at, uint64_t len,
	       int prot)
{
	const uint64_t arg[6] = {
		at,
		len,
		(uint64_t)prot,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
		(uint64_t)-1,
		0,
	};
	int64_t result;
	int r;

	r = made_call(ctx, p, ip, SYS_mmap, arg, &result);
	if (r < 0)
		return r;
	if (result < 0)
		return err_sys(ctx, (int)result, "mmap(%#llx, %llu) in the first stub",
			       (unsigned long long)at, (unsigned long long)len);
	return 0;
}

static int map_area(struct context *ctx, struct puppet *p, puppet_addr ip)
{
	const struct puppet_area *area = p->area;
	uint64_t slots = (uint64_t)area->n_slots * area->slot_size;
	uint64_t code = area->size - slots;
	int r;

	r = map(ctx, p, ip, area->base, code, PROT_READ | PROT_EXEC);
	if (r == 0)
		r = map(ctx, p, ip, area->base + code, slots, PROT_READ | PROT_WRITE);
	if (r == 0)
		r = puppet_write(ctx, p, area->code, stub_blob, stub_blob_len);
	return r;
}

static int enter_loop(struct context *ctx, struct puppet *p)
{
	puppet_addr slot = area_slot(p->area, p->slot);
	struct arch_regs regs;
	int r;

	r = arch_get_regs(ctx, p->tid, &regs);
	if (r < 0)
		return r;
	arch_enter_regs(&regs, &regs, p->area->code + INTERP_ENTRY_MADE, slot);
	arch_set_sp(&regs, slot + p->area->slot_size);
	r = arch_set_regs(ctx, p->tid, &regs);
	if (r == 0)
		p->state = PUPPET_LOOP;
	return r;
}

static bool is_kept(const struct puppet_area *area, const struct proc_map *map)
{
	return (map->start >= area->base && map->end <= area->base + area->size) ||
	       strncmp(map->name, "[v", 2) == 0; /* [vdso], [vvar], [vvar_vclock], [vsyscall] */
}

/* Unmaps the image and the stack that exec made. */
static int unmap_rest(struct context *ctx, struct puppet *p)
{
	_cleanup_(arena_deinit) struct arena arena = {0};
	_cleanup_close_ int proc = -EBADF;
	struct call_table t;
	struct proc_map *maps;
	size_t n;
	int r;

	arena_init(&arena, ctx);
	r = proc_open(p->tid, &proc);
	if (r == 0)
		r = proc_read_maps(proc, &arena, &maps, &n);
	if (r < 0)
		return err_sys(ctx, r, "reading /proc/%d/maps", p->tid);
	call_table_init(&t, &arena);
	for (size_t i = 0; i < n; i++)
		if (!is_kept(p->area, &maps[i]))
			call_add(&t, "munmap", SYS_munmap, CALL_IMM(maps[i].start),
				 CALL_IMM(maps[i].end - maps[i].start));
	return puppet_run(ctx, p, &t);
}

/* ---- putting it together ----------------------------------------------------------------- */

struct puppet *made_new(pid_t tid, pid_t tgid, struct puppet_area *area, uint32_t slot)
{
	struct puppet *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->tid = tid;
	p->tgid = tgid;
	p->area = area;
	p->slot = slot;
	p->socket = -EBADF;
	p->sigmask = MADE_SIGMASK;
	p->wait_status = -1;
	area->users++;
	return p;
}

static struct puppet_area *area_new(const struct puppet_make *how)
{
	struct puppet_area *area = calloc(1, sizeof(*area));

	if (!area)
		return NULL;
	area->base = how->base;
	area->code = how->base;
	area->n_slots = how->slots;
	area->slot_size = how->slot_size;
	area->reserve = INTERP_STACK;
	area->size = puppet_area_size(how->slots, how->slot_size);
	area->far_socket = how->doorbell;
	area->mapped = true;
	area->next_slot = 1;
	return area;
}

uint64_t puppet_area_size(uint32_t slots, uint32_t slot_size)
{
	return ALIGN_UP((uint64_t)stub_blob_len, page_size()) + (uint64_t)slots * slot_size;
}

/* The new puppet owns @area and our end of the doorbell from here on, whatever happens. */
static int settle(struct context *ctx, struct puppet *p, const struct puppet_make *how, int control)
{
	int r;

	r = spawn_exec(ctx, p, control);
	if (r == 0)
		r = map_area(ctx, p, spawn_base(how) + SPAWN_CODE + INTERP_ENTRY_SYSCALL);
	if (r == 0)
		r = enter_loop(ctx, p);
	if (r == 0)
		r = unmap_rest(ctx, p);
	return r;
}

static int make_once(struct context *ctx, const struct puppet_make *how, int image,
		     struct puppet **ret_puppet)
{
	_cleanup_close_ int control = -EBADF, ours = -EBADF, theirs = -EBADF;
	_cleanup_free_ struct puppet_area *area = area_new(how);
	struct puppet *p;
	int pair[2], r;
	pid_t pid = 0;

	if (!area)
		return err_oom(ctx);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(ctx, -errno, "socketpair");
	ours = pair[0];
	theirs = pair[1];
	r = spawn_child(ctx, how, image, theirs, &control, &pid);
	if (r < 0)
		return r;
	p = made_new(pid, pid, area, 0);
	if (!p) {
		spawn_kill(pid);
		return err_oom(ctx);
	}
	TAKE_PTR(area);
	p->socket = TAKE_FD(ours);
	p->pid_depth = p->birth_depth = how->clone_flags & CLONE_NEWPID ? 1 : 0;
	r = settle(ctx, p, how, control);
	if (r < 0) {
		puppet_kill(p);
		puppet_free(p);
		return r;
	}
	*ret_puppet = p;
	return 0;
}

int puppet_make_first(struct context *ctx, const struct puppet_make *how,
		      struct puppet **ret_puppet)
{
	_cleanup_close_ int image = -EBADF;
	int r;

	assert(how->slots > 0 && how->slot_size % page_size() == 0 && how->base % page_size() == 0);
	r = spawn_image(ctx, how, &image);
	for (int i = 0; r == 0 && i < PLACE_TRIES; i++) {
		r = make_once(ctx, how, image, ret_puppet);
		if (r != -EEXIST || ctx->err.hint[0] != '\0')
			return r;
		r = 0;
	}
	return r < 0 ? r : -EEXIST;
}
