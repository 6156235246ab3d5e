/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The marks of mm_struct: where code, data, heap, stack, arguments and environment lie, the
 * auxiliary vector, and the executable behind /proc/PID/exe, all in one prctl(PR_SET_MM_MAP). The
 * executable counts the capabilities of the process itself (CAP_SYS_ADMIN or
 * CAP_CHECKPOINT_RESTORE), so it comes before those are dropped, and must not be open for writing
 * anywhere (exe_file_deny_write_access). One that has no name any more was made by the coordinator,
 * which holds it open until its content and seals are in: such an executable is set when all of that
 * is done, and before a process with locks closes what it has open for our sake.
 */
#include "task/memory-marks.h"

#include <linux/prctl.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "file/inode.h"
#include "task/memory.h"
#include "util/cleanup.h"

static void add_prctl(const Coppice__Mm *mm, int exe_fd, struct call_table *t)
{
	const struct prctl_mm_map map = {
		.start_code = mm->start_code,
		.end_code = mm->end_code,
		.start_data = mm->start_data,
		.end_data = mm->end_data,
		.start_brk = mm->start_brk,
		.brk = mm->brk,
		.start_stack = mm->start_stack,
		.arg_start = mm->arg_start,
		.arg_end = mm->arg_end,
		.env_start = mm->env_start,
		.env_end = mm->env_end,
		.auxv_size = (uint32_t)mm->auxv.len,
		.exe_fd = (uint32_t)exe_fd,
	};
	uint32_t space = call_space(t, &map, sizeof(map));
	uint32_t auxv = call_space(t, mm->auxv.data, mm->auxv.len);

	call_point(t, space + (uint32_t)offsetof(struct prctl_mm_map, auxv), auxv);
	call_add(t, "prctl(PR_SET_MM_MAP)", SYS_prctl, CALL_IMM(PR_SET_MM), CALL_IMM(PR_SET_MM_MAP),
		 CALL_DATA(space), CALL_IMM(sizeof(map)));
}

static bool is_made_here(const struct rebuild *r, const Coppice__Mm *mm)
{
	return mm->exe != 0 && inode_needs_content(rebuild_inode_msg(r, mm->exe));
}

void marks_restore(const struct rebuild *r, const Coppice__Mm *mm, bool has_exe,
		   struct call_table *t)
{
	bool set_exe = !has_exe && mm->exe != 0 && !is_made_here(r, mm);

	add_prctl(mm, set_exe ? r->inodes[mm->exe - 1].map_fd : -1, t);
}

static int name_executable(struct rebuild *r, const struct rebuild_process *p)
{
	struct rebuild_inode *exe = &r->inodes[p->mm->exe - 1];
	struct call_table t;

	close_guard(&exe->fd_rw);
	exe->fd_rw = -EBADF;
	call_table_init(&t, r->arena);
	add_prctl(p->mm, exe->map_fd, &t);
	return puppet_run(r->ctx, p->puppet, &t);
}

int memory_name_executables(struct rebuild *r)
{
	for (size_t i = 0; i < r->n_processes; i++) {
		const struct rebuild_process *p = &r->processes[i];
		int ret = p->owns_mm && is_made_here(r, p->mm) ? name_executable(r, p) : 0;

		if (ret < 0)
			return err_while(r->ctx, ret, "restoring %s", rebuild_name(r, p));
	}
	return 0;
}
