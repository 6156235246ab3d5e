/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Collecting: what the registries (task, file, ns) are given when the state of a stopped tree is
 * read into a checkpoint. Used by dump, by check (which lists every refusal) and by restore's
 * verify (which collects the restored tree and compares).
 *
 * Nothing here writes page content: that is the memory stage of dump (checkpoint/content.c).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "image/checkpoint.pb-c.h"
#include "kernel/proc-ahead.h"
#include "kernel/proc.h"
#include "puppet/puppet.h"
#include "util/arena.h"
#include "util/context.h"

struct collect_files;
struct collect_namespaces;
struct kernel_view;
struct image_writer;
struct rebuild;
struct resource;
struct surroundings;
struct witnesses;

struct collect_options {
	bool shell_job;	      /* session and terminal of the root belong to the outside */
	bool tree_only;	      /* no files: whatever they are, the tree can be planned */
	bool check_content;   /* hash the content of files found again by path */
	bool tcp_established; /* connections are kept */
	bool tcp_close;	      /* connections are given up */
	bool skip_in_flight;  /* and those that wait to be accepted, dropped */
	bool ext_unix;	      /* datagram sockets may be connected to the outside */
	const struct resource *external; /* open files that belong to the outside */
	size_t n_external;
};

/* What the tree cannot be dumped for. All are gathered, so that `check` can list them. */
struct refusal {
	char *text; /* "process 812 (nginx), fd 7: epoll (anon_inode:[eventpoll]): this kind of file
		       is not supported yet" */
	char *hint; /* what the user can do, or NULL */
};

/*
 * Turns a list of refusals into an error chain: the first as cause; the hint is its own, and how
 * many more of them @command lists. Returns -EOPNOTSUPP.
 */
int refusals_error(struct context *ctx, const struct refusal *list, size_t n, const char *command);

struct collect_thread {
	Coppice__Thread *msg;
	struct collect_process *process;
	pid_t tid; /* in the coordinator's PID namespace */
	struct puppet *puppet;
	struct proc_stat stat;	   /* /proc/PID/task/TID/stat */
	struct proc_status status; /* /proc/PID/task/TID/status */
	uint64_t user_ns;	   /* inode number; known once namespaces are collected */
	bool own_files;		   /* its descriptor table is not that of the first thread */
	pid_t landlock_witness;	   /* private to task/landlock.c */
	int32_t witness_key;	   /* private to task/keyring.c */
};

struct collect_process {
	Coppice__Process *msg; /* msg->id is this process's index in collect.processes plus 1 */
	pid_t pid;	       /* in the coordinator's PID namespace */
	/* O_PATH on /proc/TID of the first living thread: it has all that /proc/PID has, also when
	 * the leader is dead. -EBADF for zombies; owned. */
	int proc_fd;
	bool zombie;
	struct collect_process *parent; /* NULL: outside */
	struct collect_thread *threads; /* living ones, the leader first */
	size_t n_threads;
	struct puppet *puppet; /* threads[0]'s: the one that executes calls for the process; NULL
				  for zombies */
	struct proc_stat stat; /* of the process */
	struct proc_status status; /* of threads[0], or of the zombie */
	/* The first process of the tree (in id order) that has the same table; itself if none
	 * before. */
	struct collect_process *mm_owner;
	struct collect_process *files_owner;
	struct collect_process *fs_owner;
	struct collect_process *sighand_owner;
	bool mm_shared;	    /* another process of the tree has the same address space */
	bool has_undo_list; /* semop(SEM_UNDO) may have been used; threads always have one */
	/* Parsed once by the memory aspect for mm owners; others look here. */
	struct proc_map *maps;
	size_t n_maps;
};

struct collect {
	struct context *ctx;
	struct arena *arena; /* owns cp and everything below but descriptors */
	Coppice__Checkpoint *cp;
	struct collect_options opt;
	struct collect_process *processes; /* parents before children, the root first */
	size_t n_processes;
	struct proc_ahead
		*ahead; /* reads what is below the proc_fds of the processes; see collect_dir */
	int hold_fd;	/* hold_reserve(); owned */
	struct refusal *refusals;
	size_t n_refusals;
	struct collect_files
		*files; /* open file descriptions and inodes seen so far; private to src/file */
	const struct surroundings *surroundings; /* what we live in; see task/surroundings.h */
	struct collect_namespaces *namespaces;	 /* private to src/ns */
	struct witnesses *witnesses;		 /* private to task/witness.c; owned */
	struct kernel_view *view;		 /* see collect_view; owned */
	/* verify: the tasks are stubs as yet, without the program's registers and signal mask */
	bool stubs;
	const struct rebuild *rebuilt; /* verify: what the tree was made from; NULL in a dump */
	/* verify: address range that is ours in every made puppet, to be left out; 0..0 otherwise
	 */
	uint64_t hide_start;
	uint64_t hide_end;
	/* verify: descriptors from this number on are ours; INT_MAX otherwise */
	int hide_fd_from;
};

/*
 * Records that the tree cannot be dumped, and why; collection goes on so that all reasons come
 * together. Returns 0, or -ENOMEM. @hint may be NULL.
 */
int collect_refuse(struct collect *c, const char *hint, const char *fmt, ...) _printf_(3, 4);

/*
 * What the kernel keeps and shows in no file (kernel/view.h), opened at first use; it is c's. After an
 * error of it, or of reading from it, collect_refuse_unseen() makes a refusal of the chain.
 */
int collect_view(struct collect *c, struct kernel_view **ret_view);
int collect_refuse_unseen(struct collect *c, const char *what);

/* "process 812 (nginx)" for refusals and frames; from the arena, never NULL. */
const char *collect_name(struct collect *c, const struct collect_process *p);

/* The process's proc_fd, to be read with what was read ahead of it. */
struct proc_dir collect_dir(const struct collect *c, const struct collect_process *p);

/*
 * Where below the process's proc_fd the files of one of its threads are: "task/813/", or "" for the
 * first, whose directory that is (and without a walk through two more).
 */
enum { COLLECT_PREFIX = 32 };
const char *collect_prefix(const struct collect_thread *th, char buf[COLLECT_PREFIX]);
