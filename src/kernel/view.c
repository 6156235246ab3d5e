/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/view.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/filter.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "util/cleanup.h"
#include "util/context.h"
#include "util/macro.h"

enum {
	CHUNK = 128, /* bytes that one run of the program reads; they pass through its stack */
	PROGRAM_MAX = 128,
};

/* What a program is given and gives back. */
struct view_call {
	uint64_t address; /* 0: of the calling task's task_struct; which it is then */
	unsigned char bytes[CHUNK];
};

struct known_member {
	const char *type;
	const char *member;
	struct view_member is;
};

struct kernel_view {
	struct context *ctx;
	struct btf *btf;	    /* owned */
	int reader;		    /* program; owned */
	int map;		    /* of one value per CPU, or -EBADF: not needed yet; owned */
	uint64_t shared;	    /* the per-CPU address of its value */
	int per_cpu;		    /* program, or -EBADF: not needed yet; owned */
	uint64_t self;		    /* task_struct of the calling thread */
	struct known_member *known; /* found before; owned */
	size_t n_known;
};

/* ---- programs ------------------------------------------------------------------------------- */

struct program {
	struct bpf_insn insns[PROGRAM_MAX];
	size_t n;
};

static void emit(struct program *p, uint8_t code, uint8_t dst, uint8_t src, int16_t off,
		 int32_t imm)
{
	p->insns[p->n++] = (struct bpf_insn){
		.code = code, .dst_reg = dst, .src_reg = src, .off = off, .imm = imm};
}

enum {
	MOV = BPF_ALU64 | BPF_MOV | BPF_X,
	MOV_IMM = BPF_ALU64 | BPF_MOV | BPF_K,
	ADD_IMM = BPF_ALU64 | BPF_ADD | BPF_K,
	LOAD = BPF_LDX | BPF_MEM | BPF_DW,
	STORE = BPF_STX | BPF_MEM | BPF_DW,
	JUMP_NOT_EQUAL = BPF_JMP | BPF_JNE | BPF_K,
	CALL = BPF_JMP | BPF_CALL,
	EXIT = BPF_JMP | BPF_EXIT,
};

/*
 *	address = call->address ?: current;
 *	r = bpf_probe_read_kernel(stack, CHUNK, address);
 *	call->address = address; call->bytes = stack; return r;
 */
static void write_reader(struct program *p)
{
	emit(p, MOV, BPF_REG_6, BPF_REG_1, 0, 0);
	emit(p, LOAD, BPF_REG_3, BPF_REG_6, offsetof(struct view_call, address), 0);
	emit(p, JUMP_NOT_EQUAL, BPF_REG_3, 0, 2, 0);
	emit(p, CALL, 0, 0, 0, BPF_FUNC_get_current_task);
	emit(p, MOV, BPF_REG_3, BPF_REG_0, 0, 0);
	emit(p, STORE, BPF_REG_6, BPF_REG_3, offsetof(struct view_call, address), 0);
	emit(p, MOV, BPF_REG_1, BPF_REG_10, 0, 0);
	emit(p, ADD_IMM, BPF_REG_1, 0, 0, -CHUNK);
	emit(p, MOV_IMM, BPF_REG_2, 0, 0, CHUNK);
	emit(p, CALL, 0, 0, 0, BPF_FUNC_probe_read_kernel);
	for (int i = 0; i < CHUNK; i += 8) {
		emit(p, LOAD, BPF_REG_1, BPF_REG_10, (int16_t)(i - CHUNK), 0);
		emit(p, STORE, BPF_REG_6, BPF_REG_1,
		     (int16_t)(offsetof(struct view_call, bytes) + (size_t)i), 0);
	}
	emit(p, EXIT, 0, 0, 0, 0);
}

/*
 * The address that a CPU has for the only entry of a map with a value per CPU:
 *	key = 0;
 *	call->address = bpf_map_lookup_percpu_elem(map, &key, call->address);
 *	return 0;
 */
static void write_per_cpu(struct program *p, int map)
{
	emit(p, MOV, BPF_REG_6, BPF_REG_1, 0, 0);
	emit(p, BPF_ST | BPF_MEM | BPF_W, BPF_REG_10, 0, -8, 0);
	emit(p, BPF_LD | BPF_IMM | BPF_DW, BPF_REG_1, BPF_PSEUDO_MAP_FD, 0, map);
	emit(p, 0, 0, 0, 0, 0);
	emit(p, MOV, BPF_REG_2, BPF_REG_10, 0, 0);
	emit(p, ADD_IMM, BPF_REG_2, 0, 0, -8);
	emit(p, LOAD, BPF_REG_3, BPF_REG_6, offsetof(struct view_call, address), 0);
	emit(p, CALL, 0, 0, 0, BPF_FUNC_map_lookup_percpu_elem);
	emit(p, STORE, BPF_REG_6, BPF_REG_0, offsetof(struct view_call, address), 0);
	emit(p, MOV_IMM, BPF_REG_0, 0, 0, 0);
	emit(p, EXIT, 0, 0, 0, 0);
}

static int load(struct context *ctx, const struct program *p, int *ret_fd)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .prog_flags = BPF_F_SLEEPABLE);
	/* The helpers are for programs under the GPL only; this is one of our own instructions. */
	int fd = bpf_prog_load(BPF_PROG_TYPE_SYSCALL, "coppice_view", "Dual BSD/GPL", p->insns,
			       p->n, &opts);

	if (fd < 0)
		return err_sys(ctx, fd, "bpf(BPF_PROG_LOAD)");
	*ret_fd = fd;
	return 0;
}

/* Runs a program; what it returns, or -errno. */
static int run(int program, struct view_call *call)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = call, .ctx_size_in = sizeof(*call));
	int r = bpf_prog_test_run_opts(program, &opts);

	return r < 0 ? r : (int)opts.retval;
}

/* ---- memory --------------------------------------------------------------------------------- */

/* How far before @address a chunk begins so as not to reach into a page that nobody asked for. */
static size_t before(uint64_t address, size_t len)
{
	enum { PAGE = 4096 }; /* the smallest that there is */
	size_t at = address % PAGE;

	return at + len <= PAGE && at + CHUNK > PAGE ? at + CHUNK - PAGE : 0;
}

int view_read(struct kernel_view *v, uint64_t address, void *to, size_t len)
{
	for (size_t done = 0; done < len; done += CHUNK) {
		size_t part = MIN(len - done, (size_t)CHUNK);
		size_t skip = before(address + done, part);
		struct view_call call = {.address = address + done - skip};
		int r = address == 0 ? -EFAULT : run(v->reader, &call);

		if (r < 0)
			return err_sys(v->ctx, r, "reading the kernel's memory");
		memcpy((unsigned char *)to + done, call.bytes + skip, part);
	}
	return 0;
}

/* ---- layout --------------------------------------------------------------------------------- */

/* Looks for @name in the struct or union @id that lies at bit @base; false: it is not there. */
static bool find_in(const struct btf *btf, uint32_t id, uint32_t base, const char *name,
		    struct view_member *ret)
{
	const struct btf_type *type = btf__type_by_id(btf, id);

	for (uint32_t i = 0; i < btf_vlen(type); i++) {
		const struct btf_member *m = btf_members(type) + i;
		const char *is = btf__name_by_offset(btf, m->name_off);
		uint32_t bit = base + btf_member_bit_offset(type, i);
		int64_t size = btf__resolve_size(btf, m->type);

		if (is[0] == '\0' && btf_is_composite(btf__type_by_id(btf, m->type)) &&
		    find_in(btf, m->type, bit, name, ret))
			return true;
		if (strcmp(is, name) != 0)
			continue;
		ret->n_bits = (uint8_t)btf_member_bitfield_size(type, i);
		ret->size = size < 0 ? 0 : (uint32_t)size;
		/* Bit fields are addressed by the byte they begin in. */
		ret->offset = bit / 8;
		ret->first_bit = (uint8_t)(bit % 8);
		return true;
	}
	return false;
}

static int remember(struct kernel_view *v, const char *type, const char *member,
		    const struct view_member *is)
{
	struct known_member *known = reallocarray(v->known, v->n_known + 1, sizeof(*v->known));

	if (!known)
		return err_oom(v->ctx);
	v->known = known;
	known[v->n_known++] = (struct known_member){type, member, *is};
	return 0;
}

int view_find(struct kernel_view *v, const char *type, const char *member,
	      struct view_member *ret_member)
{
	struct view_member found = {};
	int id;

	for (size_t i = 0; i < v->n_known; i++)
		if (strcmp(v->known[i].type, type) == 0 &&
		    strcmp(v->known[i].member, member) == 0) {
			*ret_member = v->known[i].is;
			return 0;
		}
	id = btf__find_by_name_kind(v->btf, type, BTF_KIND_STRUCT);
	if (id < 0 || !find_in(v->btf, (uint32_t)id, 0, member, &found))
		return err_msg(v->ctx, -ENOENT, "this kernel has no member %s in struct %s", member,
			       type);
	*ret_member = found;
	return remember(v, type, member, &found);
}

int view_get(struct kernel_view *v, uint64_t address, const char *type, const char *member,
	     uint64_t *ret_value)
{
	struct view_member m;
	uint64_t value = 0;
	int r = view_find(v, type, member, &m);

	if (r < 0)
		return r;
	if (m.size > sizeof(value))
		return err_msg(v->ctx, -ENOENT, "%s.%s is no number in this kernel", type, member);
	r = view_read(v, address + m.offset, &value, m.n_bits ? sizeof(value) : m.size);
	if (r < 0)
		return err_while(v->ctx, r, "reading %s.%s", type, member);
	if (m.n_bits)
		value = (value >> m.first_bit) & ((UINT64_C(1) << m.n_bits) - 1);
	*ret_value = value;
	return 0;
}

/* ---- where to begin ------------------------------------------------------------------------- */

int view_file(struct kernel_view *v, int fd, uint64_t *ret_address)
{
	uint64_t files, table, array, file = 0;
	int r = view_get(v, v->self, "task_struct", "files", &files);

	if (r == 0)
		r = view_get(v, files, "files_struct", "fdt", &table);
	if (r == 0)
		r = view_get(v, table, "fdtable", "fd", &array);
	if (r == 0)
		r = view_read(v, array + (uint64_t)fd * sizeof(file), &file, sizeof(file));
	if (r < 0)
		return err_while(v->ctx, r, "looking for descriptor %d of our own", fd);
	*ret_address = file;
	return 0;
}

/* struct pid has a number for each PID namespace from the first one down to its own. */
int view_task_number(struct kernel_view *v, uint64_t task, pid_t *ret_tid)
{
	enum { UPID_SIZE = 16 }; /* {int nr; struct pid_namespace *ns;} */
	uint64_t pid, own_pid, level, own_level;
	struct view_member numbers;
	int32_t number = 0;
	int r = view_get(v, task, "task_struct", "thread_pid", &pid);

	if (r == 0)
		r = view_get(v, v->self, "task_struct", "thread_pid", &own_pid);
	if (r == 0)
		r = view_get(v, own_pid, "pid", "level", &own_level);
	if (r == 0)
		r = view_find(v, "pid", "numbers", &numbers);
	/* A dead one that was waited for has none. */
	if (r == 0 && pid != 0)
		r = view_get(v, pid, "pid", "level", &level);
	if (r == 0 && pid != 0 && level >= own_level)
		r = view_read(v, pid + numbers.offset + own_level * UPID_SIZE, &number,
			      sizeof(number));
	if (r < 0)
		return err_while(v->ctx, r, "looking for the number of a task");
	*ret_tid = number;
	return 0;
}

/* A map whose one entry has, in the kernel, an address for each CPU and one that is all of theirs. */
static int make_per_cpu(struct kernel_view *v)
{
	struct view_member pointers;
	struct program p = {};
	uint64_t file, map;
	int r;

	v->map = bpf_map_create(BPF_MAP_TYPE_PERCPU_ARRAY, "coppice_view", sizeof(uint32_t),
				sizeof(uint64_t), 1, NULL);
	if (v->map < 0)
		return err_sys(v->ctx, v->map, "bpf(BPF_MAP_CREATE)");
	r = view_file(v, v->map, &file);
	if (r == 0)
		r = view_get(v, file, "file", "private_data", &map);
	if (r == 0)
		r = view_find(v, "bpf_array", "pptrs", &pointers);
	if (r == 0)
		r = view_read(v, map + pointers.offset, &v->shared, sizeof(v->shared));
	if (r < 0)
		return r;
	write_per_cpu(&p, v->map);
	return load(v->ctx, &p, &v->per_cpu);
}

int view_per_cpu(struct kernel_view *v, uint32_t cpu, uint64_t *ret_offset)
{
	struct view_call call = {.address = cpu};
	int r = v->per_cpu >= 0 ? 0 : make_per_cpu(v);

	if (r < 0)
		return r;
	r = run(v->per_cpu, &call);
	if (r < 0 || call.address == 0)
		return err_sys(v->ctx, r < 0 ? r : -ENOENT, "asking for the variables of CPU %u",
			       cpu);
	*ret_offset = call.address - v->shared;
	return 0;
}

static int view_init(struct kernel_view *v)
{
	struct view_call call = {};
	struct program p = {};
	int r;

	(void)libbpf_set_print(NULL); /* it would print warnings */
	v->btf = btf__parse("/sys/kernel/btf/vmlinux", NULL);
	if (!v->btf)
		return err_sys(v->ctx, -errno, "/sys/kernel/btf/vmlinux");
	write_reader(&p);
	r = load(v->ctx, &p, &v->reader);
	if (r < 0)
		return r;
	r = run(v->reader, &call);
	if (r < 0)
		return err_sys(v->ctx, r, "running a BPF program");
	v->self = call.address;
	return 0;
}

int kernel_view_open(struct context *ctx, struct kernel_view **ret_view)
{
	struct kernel_view *v = calloc(1, sizeof(*v));
	int r;

	if (!v)
		return err_oom(ctx);
	v->ctx = ctx;
	v->reader = -EBADF;
	v->per_cpu = -EBADF;
	v->map = -EBADF;
	r = view_init(v);
	if (r < 0) {
		kernel_view_free(v);
		return err_while(ctx, r, "looking into the kernel");
	}
	*ret_view = v;
	return 0;
}

void kernel_view_free(struct kernel_view *v)
{
	if (!v)
		return;
	close_guard(&v->reader);
	close_guard(&v->per_cpu);
	close_guard(&v->map);
	btf__free(v->btf);
	free(v->known);
	free(v);
}
