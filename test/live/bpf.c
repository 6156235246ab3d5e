/* SPDX-License-Identifier: Apache-2.0 */
/* BPF maps: content, name, access, and whether they are frozen; looked at with bpf(2) alone. */
#include <errno.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "live.h"
#include "util/macro.h"

enum { KEYS = 1000, ROOM = 4096, CPUS_MAX = 1024 };

static int map_fd, other_fd;

static long bpf(int command, union bpf_attr *attr)
{
	return syscall(SYS_bpf, command, attr, sizeof(*attr));
}

/* 0, or 77 where the kernel will not. */
static int make_map(uint32_t type, uint32_t value_size, uint32_t flags)
{
	union bpf_attr attr = {
		.map_type = type,
		.key_size = 4,
		.value_size = value_size,
		.max_entries = ROOM,
		.map_flags = flags,
	};

	memcpy(attr.map_name, "a_name", sizeof("a_name"));
	map_fd = (int)bpf(BPF_MAP_CREATE, &attr);
	if (map_fd >= 0)
		return 0;
	(void)live_fail("bpf(BPF_MAP_CREATE) is not permitted here");
	return 77;
}

static long on_entry(int command, int fd, uint32_t key, void *value, uint64_t flags)
{
	union bpf_attr attr = {
		.map_fd = (uint32_t)fd,
		.key = (uintptr_t)&key,
		.value = (uintptr_t)value,
		.flags = flags,
	};

	return bpf(command, &attr);
}

/* Keys far apart, so that neither their order nor their number is that of an array. */
static uint32_t nth_key(uint32_t i)
{
	return i * 2654435761U;
}

static int count_keys(void)
{
	union bpf_attr attr = {.map_fd = (uint32_t)map_fd};
	uint32_t last, next;
	int n = 0;

	attr.next_key = (uintptr_t)&next;
	while (bpf(BPF_MAP_GET_NEXT_KEY, &attr) == 0) {
		last = next;
		attr.key = (uintptr_t)&last;
		n++;
	}
	return n;
}

static struct bpf_map_info info_of(int fd)
{
	struct bpf_map_info info = {};
	union bpf_attr attr = {
		.info.bpf_fd = (uint32_t)fd,
		.info.info_len = sizeof(info),
		.info.info = (uintptr_t)&info,
	};

	(void)bpf(BPF_OBJ_GET_INFO_BY_FD, &attr);
	return info;
}

static int check_made(uint32_t type, uint32_t value_size, uint32_t flags)
{
	struct bpf_map_info info = info_of(map_fd);

	CHECK_EQ(info.type, type);
	CHECK_EQ(info.key_size, 4);
	CHECK_EQ(info.value_size, value_size);
	CHECK_EQ(info.max_entries, ROOM);
	CHECK_EQ(info.map_flags, flags);
	CHECK(strcmp(info.name, "a_name") == 0);
	return 0;
}

static int fill_hash(void)
{
	for (uint32_t i = 0; i < KEYS; i++) {
		uint64_t value[2] = {i, ~(uint64_t)i};

		if (on_entry(BPF_MAP_UPDATE_ELEM, map_fd, nth_key(i), value, BPF_NOEXIST) < 0)
			return 1;
	}
	return 0;
}

static int make_hash(void)
{
	int r = make_map(BPF_MAP_TYPE_HASH, 16, BPF_F_NO_PREALLOC);

	return r != 0 ? r : fill_hash();
}

static int check_hash(void)
{
	CHECK(check_made(BPF_MAP_TYPE_HASH, 16, BPF_F_NO_PREALLOC) == 0);
	CHECK_EQ(count_keys(), KEYS);
	for (uint32_t i = 0; i < KEYS; i++) {
		uint64_t value[2] = {};

		CHECK_EQ(on_entry(BPF_MAP_LOOKUP_ELEM, map_fd, nth_key(i), value, 0), 0);
		CHECK_EQ(value[0], i);
		CHECK_EQ(value[1], ~(uint64_t)i);
	}
	/* and it goes on */
	CHECK_EQ(on_entry(BPF_MAP_DELETE_ELEM, map_fd, nth_key(5), NULL, 0), 0);
	CHECK_EQ(count_keys(), KEYS - 1);
	return 0;
}

static int make_empty(void)
{
	return make_map(BPF_MAP_TYPE_HASH, 16, 0);
}

static int check_empty(void)
{
	CHECK(check_made(BPF_MAP_TYPE_HASH, 16, 0) == 0);
	CHECK_EQ(count_keys(), 0);
	return fill_hash();
}

/* A value that no alignment fits. */
enum { ODD = 13 };

static int make_array(void)
{
	int r = make_map(BPF_MAP_TYPE_ARRAY, ODD, 0);

	for (uint32_t i = 0; r == 0 && i < ROOM; i += 3) {
		char value[ODD] = {};

		(void)snprintf(value, sizeof(value), "%u", i);
		r = on_entry(BPF_MAP_UPDATE_ELEM, map_fd, i, value, 0) < 0;
	}
	return r;
}

static int check_array(void)
{
	CHECK(check_made(BPF_MAP_TYPE_ARRAY, ODD, 0) == 0);
	for (uint32_t i = 0; i < ROOM; i++) {
		char value[ODD], want[ODD] = {};

		if (i % 3 == 0)
			(void)snprintf(want, sizeof(want), "%u", i);
		CHECK_EQ(on_entry(BPF_MAP_LOOKUP_ELEM, map_fd, i, value, 0), 0);
		CHECK(memcmp(value, want, ODD) == 0);
	}
	return 0;
}

static int make_per_cpu(uint32_t type)
{
	static uint64_t value[CPUS_MAX];
	int r = make_map(type, 8, 0);

	for (size_t i = 0; i < CPUS_MAX; i++)
		value[i] = 100 + i;
	return r != 0 ? r : on_entry(BPF_MAP_UPDATE_ELEM, map_fd, 7, value, 0) < 0;
}

static int check_per_cpu(uint32_t type)
{
	static uint64_t value[CPUS_MAX];
	long cpus = sysconf(_SC_NPROCESSORS_CONF);

	CHECK(check_made(type, 8, 0) == 0);
	CHECK_EQ(on_entry(BPF_MAP_LOOKUP_ELEM, map_fd, 7, value, 0), 0);
	for (long i = 0; i < cpus; i++)
		CHECK_EQ(value[i], 100 + i);
	return 0;
}

static int make_per_cpu_array(void)
{
	return make_per_cpu(BPF_MAP_TYPE_PERCPU_ARRAY);
}

static int check_per_cpu_array(void)
{
	return check_per_cpu(BPF_MAP_TYPE_PERCPU_ARRAY);
}

static int make_per_cpu_hash(void)
{
	return make_per_cpu(BPF_MAP_TYPE_PERCPU_HASH);
}

static int check_per_cpu_hash(void)
{
	CHECK_EQ(count_keys(), 1);
	return check_per_cpu(BPF_MAP_TYPE_PERCPU_HASH);
}

static int make_frozen(void)
{
	union bpf_attr attr = {};
	int r = make_hash();

	attr.map_fd = (uint32_t)map_fd;
	return r != 0 ? r : bpf(BPF_MAP_FREEZE, &attr) < 0;
}

static int check_frozen(void)
{
	uint64_t value[2] = {};

	CHECK_EQ(count_keys(), KEYS);
	CHECK_EQ(on_entry(BPF_MAP_LOOKUP_ELEM, map_fd, nth_key(9), value, 0), 0);
	CHECK_EQ(value[0], 9);
	CHECK_EQ(on_entry(BPF_MAP_UPDATE_ELEM, map_fd, nth_key(9), value, 0), -1);
	CHECK_EQ(errno, EPERM);
	return 0;
}

static int make_other(uint32_t access)
{
	union bpf_attr attr = {};
	int r = make_hash();

	if (r != 0)
		return r;
	attr.map_id = info_of(map_fd).id;
	attr.open_flags = access;
	other_fd = (int)bpf(BPF_MAP_GET_FD_BY_ID, &attr);
	return other_fd < 0;
}

/* Two descriptions of one map, one of which may only read. */
static int make_read_only(void)
{
	return make_other(BPF_F_RDONLY);
}

static int check_read_only(void)
{
	uint64_t value[2] = {1, 2};

	CHECK(check_hash() == 0);
	CHECK_EQ(on_entry(BPF_MAP_UPDATE_ELEM, map_fd, 77, value, 0), 0);
	memset(value, 0, sizeof(value));
	CHECK_EQ(on_entry(BPF_MAP_LOOKUP_ELEM, other_fd, 77, value, 0), 0);
	CHECK_EQ(value[1], 2);
	CHECK_EQ(on_entry(BPF_MAP_UPDATE_ELEM, other_fd, 78, value, 0), -1);
	CHECK_EQ(errno, EPERM);
	return 0;
}

/* Of the map there is only a description that may not read. */
static int make_write_only(void)
{
	int r = make_other(BPF_F_WRONLY);

	return r != 0 ? r : dup2(other_fd, map_fd) < 0;
}

static int check_write_only(void)
{
	union bpf_attr attr = {.map_id = info_of(map_fd).id};
	uint64_t value[2] = {};

	CHECK_EQ(on_entry(BPF_MAP_LOOKUP_ELEM, map_fd, nth_key(3), value, 0), -1);
	map_fd = (int)bpf(BPF_MAP_GET_FD_BY_ID, &attr);
	return check_hash();
}

static int make_lru(void)
{
	return make_map(BPF_MAP_TYPE_LRU_HASH, 8, 0);
}

static int make_of_programs(void)
{
	return make_map(BPF_MAP_TYPE_PROG_ARRAY, 4, 0);
}

static const struct live_row rows[] = {
	{.name = "hash", .make = make_hash, .check = check_hash},
	{.name = "empty", .make = make_empty, .check = check_empty},
	{.name = "array", .make = make_array, .check = check_array},
	{.name = "array per CPU", .make = make_per_cpu_array, .check = check_per_cpu_array},
	{.name = "hash per CPU", .make = make_per_cpu_hash, .check = check_per_cpu_hash},
	{.name = "frozen", .make = make_frozen, .check = check_frozen},
	{.name = "read-only", .make = make_read_only, .check = check_read_only},
	{.name = "write-only", .make = make_write_only, .check = check_write_only},
	{.name = "least recently used", .make = make_lru, .refused = "cannot be read, or not"},
	{.name = "of programs", .make = make_of_programs, .refused = "are other objects"},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
