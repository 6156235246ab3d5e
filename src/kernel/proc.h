/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /proc parsers. Each takes a descriptor of /proc/PID (or /proc/PID/task/TID) opened O_PATH, so
 * that a reused PID can never answer for a dead one. The parse_* functions work on text alone: they
 * are what the unit tests and fuzzers call. All return 0 or -errno: -ESRCH the process is gone,
 * -EBADMSG the text is not what the kernel prints.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "util/arena.h"

enum { PROC_COMM_MAX = 64, PROC_NS_LEVELS = 33 };

struct proc_dir; /* kernel/proc-ahead.h */

/* /proc/PID/stat (proc_pid_stat(5)); the fields that coppice needs. */
struct proc_stat {
	pid_t pid;
	char comm[PROC_COMM_MAX];
	char state; /* R S D T t Z X I ... */
	pid_t ppid;
	pid_t pgrp;
	pid_t session;
	uint32_t tty_nr; /* dev_t as new_encode_dev(); 0: no controlling terminal */
	pid_t tpgid;
	uint64_t flags; /* PF_* */
	int64_t priority;
	int64_t nice;
	uint32_t num_threads;
	uint64_t start_time; /* clock ticks since boot: tells a reused PID */
	uint64_t start_code;
	uint64_t end_code;
	uint64_t start_stack;
	int exit_signal;
	uint32_t rt_priority;
	uint32_t policy;
	uint64_t start_data;
	uint64_t end_data;
	uint64_t start_brk;
	uint64_t arg_start;
	uint64_t arg_end;
	uint64_t env_start;
	uint64_t env_end;
	int exit_code; /* wait status; zombies (readable with ptrace access) */
};

/* A list of numbers, one per PID namespace level, outermost first. */
struct proc_ns_ids {
	unsigned int n;
	pid_t id[PROC_NS_LEVELS];
};

/* /proc/PID/status */
struct proc_status {
	char state;
	uint32_t umask; /* ~0u: not shown (kernel threads, zombies) */
	pid_t tgid;
	pid_t ppid;
	pid_t tracer;
	uint32_t uid[4]; /* real, effective, saved, fs */
	uint32_t gid[4];
	uint32_t *groups; /* arena */
	size_t n_groups;
	struct proc_ns_ids ns_tgid;
	struct proc_ns_ids ns_pid;
	struct proc_ns_ids ns_pgid;
	struct proc_ns_ids ns_sid;
	uint64_t sig_pending; /* thread */
	uint64_t shared_pending;
	uint64_t sig_blocked;
	uint64_t sig_ignored;
	uint64_t sig_caught;
	uint64_t cap_inheritable;
	uint64_t cap_permitted;
	uint64_t cap_effective;
	uint64_t cap_bounding;
	uint64_t cap_ambient;
	bool no_new_privs;
	int seccomp; /* mode */
	uint32_t seccomp_filters;
	bool thp_enabled;     /* THP_enabled: the process may use huge pages */
	bool has_thp_enabled; /* the line exists */
	uint64_t vm_locked_kb;
	uint64_t vm_rss_kb;
	char speculation_store_bypass[40];
	char speculation_indirect_branch[40];
	bool coredumping;
	bool untag_mask_seen;
	uint64_t untag_mask;	      /* LAM; ~0: off */
	char x86_thread_features[64]; /* "shstk wrss" ... or "" */
	char x86_thread_features_locked[64];
};

/* A line of /proc/PID/smaps (or maps: then the flags are empty and has_flags is false). */
struct proc_map {
	uint64_t start;
	uint64_t end;
	int prot; /* PROT_* */
	bool shared;
	uint64_t offset;
	uint32_t dev_major;
	uint32_t dev_minor;
	uint64_t inode;
	char *name;   /* path or [name], "" if none; arena. For people: see proc-maps.c */
	bool deleted; /* the kernel appended " (deleted)" */
	bool has_flags;
	uint64_t flags;	    /* set of enum proc_vm_flag, from VmFlags */
	uint32_t pkey;	    /* ProtectionKey */
	uint64_t page_size; /* KernelPageSize, bytes */
	uint64_t rss_kb;
	uint64_t anonymous_kb;
	uint64_t swap_kb;
};

/* Bits for the two-letter words of VmFlags (fs/proc/task_mmu.c, show_smap_vma_flags). */
enum proc_vm_flag {
	VMF_READ = 1 << 0,	    /* rd */
	VMF_WRITE = 1 << 1,	    /* wr */
	VMF_EXEC = 1 << 2,	    /* ex */
	VMF_SHARED = 1 << 3,	    /* sh */
	VMF_MAYREAD = 1 << 4,	    /* mr */
	VMF_MAYWRITE = 1 << 5,	    /* mw */
	VMF_MAYEXEC = 1 << 6,	    /* me */
	VMF_MAYSHARE = 1 << 7,	    /* ms */
	VMF_GROWSDOWN = 1 << 8,	    /* gd */
	VMF_PFNMAP = 1 << 9,	    /* pf */
	VMF_LOCKED = 1 << 10,	    /* lo */
	VMF_IO = 1 << 11,	    /* io */
	VMF_SEQ_READ = 1 << 12,	    /* sr */
	VMF_RAND_READ = 1 << 13,    /* rr */
	VMF_DONTCOPY = 1 << 14,	    /* dc */
	VMF_DONTEXPAND = 1 << 15,   /* de */
	VMF_LOCKONFAULT = 1 << 16,  /* lf */
	VMF_ACCOUNT = 1 << 17,	    /* ac */
	VMF_NORESERVE = 1 << 18,    /* nr */
	VMF_HUGETLB = 1 << 19,	    /* ht */
	VMF_SYNC = 1 << 20,	    /* sf */
	VMF_ARCH_1 = 1 << 21,	    /* ar */
	VMF_WIPEONFORK = 1 << 22,   /* wf */
	VMF_DONTDUMP = 1 << 23,	    /* dd */
	VMF_SOFTDIRTY = 1 << 24,    /* sd */
	VMF_MIXEDMAP = 1 << 25,	    /* mm */
	VMF_HUGEPAGE = 1 << 26,	    /* hg */
	VMF_NOHUGEPAGE = 1 << 27,   /* nh */
	VMF_MERGEABLE = 1 << 28,    /* mg */
	VMF_UFFD_MISSING = 1 << 29, /* um */
	VMF_UFFD_WP = 1 << 30,	    /* uw */
};
#define VMF_UFFD_MINOR	 (UINT64_C(1) << 31) /* ui */
#define VMF_SHADOW_STACK (UINT64_C(1) << 32) /* ss */
#define VMF_SEALED	 (UINT64_C(1) << 33) /* sl */
#define VMF_DROPPABLE	 (UINT64_C(1) << 34) /* dp */
#define VMF_GUARD	 (UINT64_C(1) << 35) /* gu: may have guard regions (6.18) */
#define VMF_UNKNOWN	 (UINT64_C(1) << 63) /* a word this table does not know */

/* /proc/PID/fdinfo/N */
struct proc_fdinfo {
	int64_t pos;
	uint32_t flags; /* octal in the file; includes O_CLOEXEC of this descriptor */
	uint32_t mnt_id;
	uint64_t ino;
	char *rest; /* all further lines, kind-specific; arena */
};

struct proc_limit {
	uint64_t soft; /* ~0: unlimited */
	uint64_t hard;
};

/* A line of /proc/PID/timers */
struct proc_timer {
	int id;
	int signal;
	uint64_t sigval;
	int notify;	/* SIGEV_* without SIGEV_THREAD_ID */
	bool to_thread; /* SIGEV_THREAD_ID */
	pid_t target;	/* tid or pid */
	int clock;
};

/* A line of /proc/PID/mountinfo; all text unescaped, in the arena. */
struct proc_mount {
	int id;
	int parent;
	uint32_t dev_major;
	uint32_t dev_minor;
	char *root;    /* which directory of the filesystem is mounted */
	char *point;   /* where, from the process's root */
	char *options; /* of the mount */
	char *type;
	char *source;
	char *super_options; /* of the filesystem */
};

int proc_open(pid_t pid, int *ret_fd);			 /* /proc/PID */
int proc_open_task(int proc_fd, pid_t tid, int *ret_fd); /* task/TID below it */

int proc_read_stat(int proc_fd, struct proc_stat *ret);
int proc_read_status(int proc_fd, struct arena *arena, struct proc_status *ret);
int proc_read_maps(int proc_fd, struct arena *arena, struct proc_map **ret, size_t *ret_n);
/* With the flags. */
int proc_read_smaps(const struct proc_dir *dir, struct arena *arena, struct proc_map **ret,
		    size_t *ret_n);
int proc_read_fdinfo(const struct proc_dir *dir, int number, struct arena *arena,
		     struct proc_fdinfo *ret);
/* The same of a descriptor of ours. */
int proc_read_own_fdinfo(int fd, struct arena *arena, struct proc_fdinfo *ret);
int proc_read_limits(int proc_fd, struct proc_limit *ret,
		     size_t n); /* RLIM_NLIMITS, by RLIMIT_* number */
int proc_read_timers(const struct proc_dir *dir, struct arena *arena, struct proc_timer **ret,
		     size_t *ret_n);
int proc_read_mounts(int proc_fd, struct arena *arena, struct proc_mount **ret, size_t *ret_n);
/* The target of a link below /proc/PID ("fd/3", "exe", "cwd", "ns/pid"); arena. */
int proc_read_link(int proc_fd, const char *name, struct arena *arena, char **ret);
/* A small file as text ("oom_score_adj", "timerslack_ns"), without the final newline; arena. */
int proc_read_text(int proc_fd, const char *name, struct arena *arena, char **ret);
int proc_read_u64(int proc_fd, const char *name, int base, uint64_t *ret);
int proc_read_i64(int proc_fd, const char *name, int64_t *ret);
/* Numbers of the entries of a directory below /proc/PID ("fd", "task"), sorted; arena. */
int proc_read_numbers(int proc_fd, const char *name, struct arena *arena, int **ret, size_t *ret_n);
/* The children of one thread; @task_fd is a descriptor of /proc/PID/task/TID. */
int proc_read_children(int task_fd, struct arena *arena, pid_t **ret, size_t *ret_n);
/* The same for task @tid of the process whose directory @proc_fd is. */
int proc_read_task_children(int proc_fd, pid_t tid, struct arena *arena, pid_t **ret,
			    size_t *ret_n);

int parse_stat(const char *text, struct proc_stat *ret);
int parse_status(const char *text, struct arena *arena, struct proc_status *ret);
int parse_maps(char *text, struct arena *arena, struct proc_map **ret, size_t *ret_n);
int parse_fdinfo(const char *text, struct arena *arena, struct proc_fdinfo *ret);
int parse_limits(const char *text, struct proc_limit *ret, size_t n);
int parse_pids(const char *text, struct arena *arena, pid_t **ret, size_t *ret_n);
int parse_timers(const char *text, struct arena *arena, struct proc_timer **ret, size_t *ret_n);
int parse_mounts(const char *text, struct arena *arena, struct proc_mount **ret, size_t *ret_n);
