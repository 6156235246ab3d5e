/* SPDX-License-Identifier: Apache-2.0 */
/* Open files whose state the kernel gives to nobody: each is refused by name, and lives on. */
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/perf_event.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "live.h"
#include "util/macro.h"

static int fd;

/* 0, or 77 where the kernel will not. */
static int made(long result, const char *how)
{
	fd = (int)result;
	if (fd >= 0)
		return 0;
	(void)live_fail("%s is not permitted here", how);
	return 77;
}

static int check_open(void)
{
	CHECK(fcntl(fd, F_GETFD) >= 0);
	return 0;
}

static int make_userfaultfd(void)
{
	return made(syscall(SYS_userfaultfd, O_CLOEXEC), "userfaultfd()");
}

static int make_perf_event(void)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_TASK_CLOCK,
	};

	return made(syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0), "perf_event_open()");
}

static int make_bpf_program(void)
{
	static const struct bpf_insn insns[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
		{.code = BPF_JMP | BPF_EXIT},
	};
	union bpf_attr attr = {
		.prog_type = BPF_PROG_TYPE_SOCKET_FILTER,
		.insn_cnt = ARRAY_SIZE(insns),
		.insns = (uintptr_t)insns,
		.license = (uintptr_t) "GPL",
	};

	return made(syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr)), "bpf(BPF_PROG_LOAD)");
}

static int make_landlock(void)
{
	struct landlock_ruleset_attr attr = {.handled_access_fs = LANDLOCK_ACCESS_FS_EXECUTE};

	return made(syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0),
		    "landlock_create_ruleset()");
}

/* Both the filter and its listener are in the way; the descriptor comes first. */
static int make_seccomp(void)
{
	struct sock_filter allow[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
	struct sock_fprog program = {.len = ARRAY_SIZE(allow), .filter = allow};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return 1;
	return made(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
			    &program),
		    "seccomp(SECCOMP_FILTER_FLAG_NEW_LISTENER)");
}

static int make_fscontext(void)
{
	return made(syscall(SYS_fsopen, "tmpfs", 0), "fsopen()");
}

static int make_secret(void)
{
	return made(syscall(SYS_memfd_secret, 0), "memfd_secret()");
}

static int make_kvm(void)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	int r = made(kvm < 0 ? -1 : ioctl(kvm, 0xae01 /* KVM_CREATE_VM */, 0), "KVM");

	if (kvm >= 0)
		(void)close(kvm);
	return r;
}

static const struct live_row rows[] = {
	{.name = "userfaultfd",
	 .make = make_userfaultfd,
	 .check = check_open,
	 .refused = "is a userfaultfd"},
	{.name = "perf_event",
	 .make = make_perf_event,
	 .check = check_open,
	 .refused = "is a performance counter (perf_event_open)"},
	{.name = "bpf_program",
	 .make = make_bpf_program,
	 .check = check_open,
	 .refused = "is a BPF program"},
	{.name = "landlock",
	 .make = make_landlock,
	 .check = check_open,
	 .refused = "is a Landlock ruleset"},
	{.name = "seccomp",
	 .make = make_seccomp,
	 .check = check_open,
	 .refused = "is the listener of a seccomp filter"},
	{.name = "fscontext",
	 .make = make_fscontext,
	 .check = check_open,
	 .refused = "is a file system being configured (fsopen)"},
	{.name = "secret",
	 .make = make_secret,
	 .check = check_open,
	 .refused = "is secret memory (memfd_secret)"},
	{.name = "kvm",
	 .make = make_kvm,
	 .check = check_open,
	 .refused = "is a virtual machine (KVM)"},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
