/* SPDX-License-Identifier: Apache-2.0 */
/* What validation accepts, what it refuses, and how it says so. */
#include <errno.h>
#include <sys/socket.h>

#include "image/test-sample.h"

#include "image/mutate.h"
#include "image/show.h"
#include "image/validate.h"
#include "util/context.h"
#include "util/macro.h"

struct fixture {
	struct context ctx;
	struct arena arena;
	Coppice__Checkpoint *cp;
	FILE *null;
	size_t accepted;
	size_t refused;
};

static int setup(void **state)
{
	struct fixture *f = test_calloc(1, sizeof(*f));

	arena_init(&f->arena, NULL);
	f->cp = sample_checkpoint(&f->arena, 1);
	f->null = fopen("/dev/null", "we");
	assert_non_null(f->null);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(fclose(f->null), 0);
	arena_deinit(&f->arena);
	test_free(f);
	return 0;
}

static void test_samples(void **state)
{
	struct fixture *f = *state;
	uint64_t seed = sample_seed();

	for (uint64_t i = 0; i < 100; i++)
		if (checkpoint_validate(&f->ctx, sample_checkpoint(&f->arena, seed + i)) < 0)
			fail_msg("seed %" PRIu64 ": %s", seed + i, f->ctx.err.frame[0]);
}

/* ---- one thing wrong ------------------------------------------------------------------------ */

/* Sets *@number to @value, expects the chain to begin like @text, puts it back. */
#define EXPECT(f, number, value, text)                                                             \
	do {                                                                                       \
		typeof(number) _kept = (number);                                                   \
		(number) = (value);                                                                \
		expect_refused((f), (text));                                                       \
		(number) = _kept;                                                                  \
	} while (0)

static void expect_refused(struct fixture *f, const char *text)
{
	int r = checkpoint_validate(&f->ctx, f->cp);

	if (r != -EBADMSG || strncmp(f->ctx.err.frame[0], text, strlen(text)) != 0)
		fail_msg("wanted \"%s\", got %d: %s", text, r,
			 r < 0 ? f->ctx.err.frame[0] : "(accepted)");
}

/* One whose parent is outside: nobody could say when it goes. */
static void test_zombie_root(void **state)
{
	struct fixture *f = *state;
	Coppice__Process *p = f->cp->processes[0];
	const Coppice__Process kept = *p;

	p->n_threads = 0;
	p->mm = p->fd_table = p->fs = p->sighand = 0;
	p->state = COPPICE__RUN_STATE__RUN_STATE_ZOMBIE;
	expect_refused(f, "processes[0].parent: a zombie");
	*p = kept;
}

/* Names become paths below /proc/sys. */
static void test_namespaces(void **state)
{
	static const char *const bad[] = {"", "../kernel/core_pattern", "a/b", "A"};
	Coppice__UserLimit limit = COPPICE__USER_LIMIT__INIT, *limits[] = {&limit};
	Coppice__UserNs user_ns = COPPICE__USER_NS__INIT, *user_namespaces[] = {&user_ns};
	struct fixture *f = *state;
	const Coppice__Checkpoint kept = *f->cp;

	user_ns.id = 1;
	user_ns.n_limits = 1;
	user_ns.limits = limits;
	f->cp->n_user_namespaces = 1;
	f->cp->user_namespaces = user_namespaces;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		limit.name = (char *)bad[i];
		expect_refused(f, "user_namespaces[0].limits.name");
	}
	limit.name = (char *)"max_user_namespaces";
	assert_int_equal(checkpoint_validate(&f->ctx, f->cp), 0);
	limit.value = -1;
	expect_refused(f, "user_namespaces[0].limits.value: -1");
	*f->cp = kept;
}

/* What the restore would write behind the pages of the ring. */
static void test_io_uring(void **state)
{
	static unsigned char page[65536];
	struct fixture *f = *state;
	Coppice__IoUring ring = COPPICE__IO_URING__INIT;
	Coppice__File *file = f->cp->files[f->cp->n_files - 1];
	const Coppice__File kept = *file;
	char where[64];

	assert_in_range(f->cp->origin->page_size, 4096, sizeof(page));
	(void)snprintf(where, sizeof(where), "files[%zu].io_uring.sq_head: 5", f->cp->n_files - 1);
	ring.process = 1;
	ring.sq_entries = 8;
	ring.cq_entries = 16;
	ring.rings.data = ring.sqes.data = page;
	ring.rings.len = ring.sqes.len = f->cp->origin->page_size;
	ring.sq_head = 5;
	file->kind_case = COPPICE__FILE__KIND_IO_URING;
	file->io_uring = &ring;
	assert_int_equal(checkpoint_validate(&f->ctx, f->cp), 0);
	ring.flags = 1 << 16; /* IORING_SETUP_NO_SQARRAY */
	expect_refused(f, where);
	ring.drain_disabled = true;
	assert_int_equal(checkpoint_validate(&f->ctx, f->cp), 0);
	*file = kept;
}

static void test_processes(void **state)
{
	struct fixture *f = *state;
	Coppice__Process *p = f->cp->processes[0];
	Coppice__Thread *t = p->threads[0];

	EXPECT(f, p->id, 2, "processes[0].id: 2 where 1 belongs");
	EXPECT(f, p->parent, 1, "processes[0].parent: 1 does not come before");
	EXPECT(f, p->mm, 2, "processes[0].mm: 2 is none of the 1 mms");
	EXPECT(f, p->mm, 0, "processes[0].mm: missing");
	EXPECT(f, p->state, 17, "processes[0].state: 17 is not known");
	EXPECT(f, p->state, COPPICE__RUN_STATE__RUN_STATE_ZOMBIE, "processes[0].state: a zombie");
	EXPECT(f, p->n_pid, 0, "processes[0].pid: 0 levels");
	EXPECT(f, p->pid[0], 0, "processes[0].pid[0]: 0 in its own namespace");
	EXPECT(f, p->pid[0], -1, "processes[0].pid[0]: -1 is no process number");
	EXPECT(f, p->n_sid, 0, "processes[0].sid: 0 levels, the process has 1");
	EXPECT(f, p->n_threads, 0, "processes[0].threads: none");
	EXPECT(f, p->leader_dead, 1, "processes[0].threads[0].tid: the leader");
	EXPECT(f, p->n_rlimits, 15, "processes[0].rlimits: 15");
	EXPECT(f, p->n_itimers, 2, "processes[0].itimers: 2");
	EXPECT(f, p->exit_signal, 65, "processes[0].exit_signal: 65 is no signal");
	EXPECT(f, p->pending[0]->raw.len, 127, "processes[0].pending[0].raw: 127 bytes");
	EXPECT(f, t->tid[0], 7, "processes[0].threads[0].tid: not the leader");
	EXPECT(f, t->regs.len, 0, "processes[0].threads[0].regs: missing");
	EXPECT(f, t->xstate.len, 1 << 20, "processes[0].threads[0].xstate: 1048576 long");
	EXPECT(f, t->creds, NULL, "processes[0].threads[0].creds: missing");
	EXPECT(f, t->seccomp_mode, 2, "processes[0].threads[0].seccomp_mode: 2 with filter 0");
	EXPECT(f, t->seccomp_filter, 9, "processes[0].threads[0].seccomp_filter: 9 is none");
	EXPECT(f, f->cp->origin->root, 0, "origin.root: 0 is none of the");
	EXPECT(f, f->cp->origin->page_size, 0, "origin.page_size: 0");
	EXPECT(f, f->cp->origin->page_size, 12288, "origin.page_size: 12288");
	EXPECT(f, f->cp->origin, NULL, "the image has no origin.img");
	assert_int_equal(checkpoint_validate(&f->ctx, f->cp), 0);
}

static void test_memory(void **state)
{
	struct fixture *f = *state;
	Coppice__Mm *mm = f->cp->mms[0];
	Coppice__PageRun *run = mm->pages[2];
	Coppice__PageRun *last = mm->pages[mm->n_pages - 1];

	EXPECT(f, mm->vmas[1]->start, 0x10001, "mms[0].vmas[1]: 0x10001-");
	EXPECT(f, mm->vmas[1]->end, mm->vmas[1]->start, "mms[0].vmas[1]: 0x");
	EXPECT(f, mm->vmas[1]->start, 0x10000, "mms[0].vmas[1].start: 0x10000 lies before");
	EXPECT(f, mm->vmas[0]->inode, 0, "mms[0].vmas[0].inode: 0 does not fit");
	EXPECT(f, mm->vmas[1]->inode, 1, "mms[0].vmas[1].inode: 1 does not fit");
	EXPECT(f, mm->vmas[1]->pkey, 16, "mms[0].vmas[1].pkey: 16");
	EXPECT(f, mm->auxv.len, 63, "mms[0].auxv: 63 bytes");
	EXPECT(f, run->pages, 0, "mms[0].pages[2].address: 0 pages");
	EXPECT(f, run->pages, UINT64_MAX, "mms[0].pages[2].address: 18446744073709551615 pages");
	EXPECT(f, run->address, 0x10000, "mms[0].pages[2].address: 0x10000 is not in order");
	EXPECT(f, run->file, 2, "mms[0].pages[2].file: 2 is none of the 1 page_files");
	EXPECT(f, run->file, 0, "mms[0].pages[2].file: missing");
	EXPECT(f, run->offset, 1, "mms[0].pages[2].offset: ");
	EXPECT(f, run->offset, 64 * SAMPLE_PAGE, "mms[0].pages[2].offset: ");
	EXPECT(f, run->offset, UINT64_MAX - SAMPLE_PAGE + 1, "mms[0].pages[2].offset: ");
	EXPECT(f, run->kind, COPPICE__PAGE_KIND__PAGE_KIND_LAZY, "mms[0].pages[2].kind: ");
	EXPECT(f, last->address, UINT64_C(1) << 40,
	       "mms[0].pages[5].address: 0x10000000000 lies in no VMA");
	EXPECT(f, f->cp->page_files[0]->name, (char[]){"pages-2.img"},
	       "page_files[0].name: not pages-1.img");
	EXPECT(f, f->cp->page_files[0]->size, 100, "mms[0].pages[0].offset: ");
	assert_int_equal(checkpoint_validate(&f->ctx, f->cp), 0);
}

static void test_files(void **state)
{
	struct fixture *f = *state;
	Coppice__Checkpoint *cp = f->cp;
	Coppice__File *pipe = cp->files[1];

	EXPECT(f, cp->fd_tables[0]->fds[1]->number, 0, "fd_tables[0].fds[1].number: 0");
	EXPECT(f, cp->fd_tables[0]->fds[0]->file, 0, "fd_tables[0].fds[0].file: 0 is none");
	EXPECT(f, cp->sighands[0]->actions[3]->signal, 65, "sighands[0].actions[3].signal: 65");
	EXPECT(f, cp->files[0]->regular->inode, 2, "files[0].regular.inode: 2 is none of the 1");
	EXPECT(f, pipe->kind_case, COPPICE__FILE__KIND__NOT_SET, "files[1].kind: missing");
	EXPECT(f, pipe->pipe->content->capacity, 0, "files[1].pipe.content.");
	EXPECT(f, cp->file_locks[0]->fd_number, 4, "file_locks[0].fd_number: 4 is not open");
	EXPECT(f, cp->file_locks[0]->process, 0, "file_locks[0].process: missing");
	EXPECT(f, cp->seccomp_filters[0]->parent, 1, "seccomp_filters[0].parent: more filters");
	EXPECT(f, cp->seccomp_filters[0]->insns.len, 23, "seccomp_filters[0].insns: 23 bytes");
	EXPECT(f, cp->inodes[0]->path, (char[]){""}, "inodes[0].path: missing");
	EXPECT(f, cp->fss[0]->cwd, (char[]){""}, "fss[0].cwd: missing");
	assert_int_equal(checkpoint_validate(&f->ctx, cp), 0);
}

/* Restore counts back from the end of what is queued. */
static void test_tcp(void **state)
{
	struct fixture *f = *state;
	Coppice__File *file = f->cp->files[1];
	const Coppice__File kept = *file;
	Coppice__TcpSocket tcp = COPPICE__TCP_SOCKET__INIT;
	Coppice__TcpConnection conn = COPPICE__TCP_CONNECTION__INIT;
	Coppice__InetAddress address = COPPICE__INET_ADDRESS__INIT;
	Coppice__SocketOptions options = COPPICE__SOCKET_OPTIONS__INIT;
	Coppice__IpOptions ip = COPPICE__IP_OPTIONS__INIT;
	Coppice__TcpOptions tcp_options = COPPICE__TCP_OPTIONS__INIT;
	uint8_t byte = 0;

	address.ip = (char[]){"10.0.0.1"};
	conn.unacked = (ProtobufCBinaryData){1, &byte};
	conn.unsent = 1;
	tcp.family = AF_INET;
	tcp.state = COPPICE__TCP_STATE__TCP_STATE_ESTABLISHED;
	tcp.local = tcp.remote = &address;
	tcp.connection = &conn;
	tcp.options = &options;
	tcp.ip = &ip;
	tcp.tcp = &tcp_options;
	file->kind_case = COPPICE__FILE__KIND_TCP;
	file->tcp = &tcp;
	assert_int_equal(checkpoint_validate(&f->ctx, f->cp), 0);
	EXPECT(f, conn.unsent, 2, "files[1].tcp.connection.unsent: 2 of 1 bytes");
	EXPECT(f, tcp.remote, NULL, "files[1].tcp: state 1 without a connection");
	EXPECT(f, tcp.state, COPPICE__TCP_STATE__TCP_STATE_SYN_SENT, "files[1].tcp.state: 2");
	tcp.state = COPPICE__TCP_STATE__TCP_STATE_FIN_WAIT1;
	conn.unsent = 2; /* with the FIN */
	assert_int_equal(checkpoint_validate(&f->ctx, f->cp), 0);
	EXPECT(f, conn.unsent, 3, "files[1].tcp.connection.unsent: 3 of 1 bytes");
	*file = kept;
	assert_int_equal(checkpoint_validate(&f->ctx, f->cp), 0);
}

static void test_ptys(void **state)
{
	struct fixture *f = *state;
	Coppice__Checkpoint *cp = f->cp;
	Coppice__Pty *pty = cp->ptys[0];

	EXPECT(f, cp->files[2]->ptmx->pty, 2, "files[2].ptmx.pty: 2 is none of the 1 ptys");
	EXPECT(f, cp->processes[0]->tty, 3, "processes[0].tty: 3 is no terminal");
	EXPECT(f, pty->number, 1 << 20, "ptys[0].number: 1048576");
	EXPECT(f, pty->directory, (char[]){""}, "ptys[0].directory: not");
	EXPECT(f, pty->directory, (char[]){"/dev/"}, "ptys[0].directory: not");
	EXPECT(f, pty->termios.len, 43, "ptys[0].termios: 43 bytes");
	EXPECT(f, pty->columns, 65536, "ptys[0].rows: ");
	EXPECT(f, pty->output.len, 32769, "ptys[0].output: 32769 bytes");
	EXPECT(f, pty->lines[1].len, 8193, "ptys[0].lines[1]: 8193 bytes");
	EXPECT(f, pty->lines[1].len, 8192, "ptys[0].typed: ");
	EXPECT(f, pty->n_lines, 4097, "ptys[0].lines: 4097 of them");
	EXPECT(f, pty->slave, 3, "ptys[0].slave: 3 is not known");
	assert_int_equal(checkpoint_validate(&f->ctx, cp), 0);
}

/* ---- anything wrong ------------------------------------------------------------------------- */

/* Validation and show must take anything; what is refused is named with file and record. */
static int expect_judged(void *data, const char *path)
{
	struct fixture *f = data;
	const struct err *err = &f->ctx.err;

	(void)path;
	if (checkpoint_validate(&f->ctx, f->cp) == 0) {
		f->accepted++;
	} else {
		f->refused++;
		if (err->frames < 2 || !strstr(err->frame[1], ".img, record "))
			fail_msg("%s changed: %s", path, err->frame[0]);
	}
	return show_text(&f->ctx, f->null, &f->cp->base);
}

static void test_mutations(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(mutate_each(&f->ctx, &f->cp->base, expect_judged, f), 0);
	print_message("%zu mutations accepted, %zu refused\n", f->accepted, f->refused);
	assert_true(f->accepted > 100 && f->refused > 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_samples, setup, teardown),
		cmocka_unit_test_setup_teardown(test_io_uring, setup, teardown),
		cmocka_unit_test_setup_teardown(test_processes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_zombie_root, setup, teardown),
		cmocka_unit_test_setup_teardown(test_namespaces, setup, teardown),
		cmocka_unit_test_setup_teardown(test_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tcp, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ptys, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mutations, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
