/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What src/file remembers through one collection and through one restore; private to this folder.
 */
#pragma once

#include <sys/stat.h>

#include "file/chains.h"
#include "file/lock-line.h"
#include "kind/collect.h"
#include "kind/file.h"
#include "kind/rebuild.h"

struct proc_mount;
struct watched_walk;
struct pty_node;
struct rebuild_pty;
struct hold;
struct hold_flow;

struct inode_node {
	struct chain chain; /* by (st_dev, st_ino) */
	dev_t dev;
	ino_t ino;
	const char *magic;   /* the first way to it that was seen */
	const char *text;    /* the link that msg->path is made of */
	int64_t changed_ns;  /* st_ctim */
	Coppice__Inode *msg; /* NULL: refused */
};

/* An open file description. Those in the same bucket are told apart by kcmp alone. */
struct file_node {
	struct chain chain;		 /* of roots only: by what two descriptors of it share */
	struct collect_process *process; /* the first descriptor that was seen of it */
	int number;
	struct file_node *less; /* in kcmp's order */
	struct file_node *greater;
	const struct file_kind *kind; /* NULL: refused */
	struct file_probe probe; /* kept for collect_late; probe.fd is closed, unless in flight */
	Coppice__File *msg;	 /* NULL: refused */
	uint64_t address;	 /* struct file (kernel/view.h); 0: not asked yet */
};

/* A terminal that a process outside the tree has open. */
struct outside_tty {
	pid_t pid;
	int fd;
	dev_t dev;
	dev_t rdev;
};

struct collect_files {
	struct chains inodes;		 /* struct inode_node */
	struct chains mappings;		 /* shortcut from a line of maps to an inode; see inode.c */
	struct inode_node **inode_by_id; /* [Inode.id - 1] */
	size_t n_inodes;
	struct chains buckets;	  /* struct file_node: roots of kcmp trees */
	struct file_node **nodes; /* every description, in order of first reference */
	size_t n_nodes;
	int *in_flight; /* descriptors of ours for what is in flight; owned */
	size_t n_in_flight;
	struct unix_sights *unix_sights; /* private to unix-diag.c */
	struct unix_nodes *unix_nodes;	 /* private to unix.c */
	struct peek_guard *peek_guard;	 /* owned; NULL until it is needed */
	struct chains pipes;		 /* struct pipe_node; see pipes.c */
	uint32_t n_pipes;
	ino_t *ancestor_pipes; /* inodes of what the tree's ancestors have open, sorted */
	size_t n_ancestor_pipes;
	bool ancestors_read;
	uint32_t *bpf_maps; /* ids of those seen, [BpfMap.map - 1] */
	size_t n_bpf_maps;
	struct hold *hold;	     /* packets of the tree's connections; owned (files_unhold) */
	struct hold_flow *tcp_flows; /* all connections, sorted; NULL: not gathered yet */
	size_t n_tcp_flows;
	ino_t *signed_sockets; /* with keys of MD5; see tcp-signed.c */
	size_t n_signed_sockets;
	bool termios_seen;	       /* the terminal's settings are in some TtyFile */
	uint64_t netns_cookie;	       /* of coppice's own network namespace; 0: not asked yet */
	struct lock_line *locks_shown; /* by the descriptors of the tree */
	size_t n_locks_shown;
	struct proc_mount *mounts; /* of coppice's own namespace; NULL: not read yet (watched.c) */
	size_t n_mounts;
	struct watched_walk *watched_walks; /* private to watched-find.c */
	dev_t shm_dev; /* the kernel's own tmpfs (memfds, shared memory); 0: not asked yet */
	struct pty_node **ptys; /* [Pty.id - 1]; see ptys.c */
	size_t n_ptys;
	struct outside_tty *outside_ttys; /* see pty-outside.c */
	size_t n_outside_ttys;
	bool outside_ttys_read;
};

/* The state of this collection, made at first use; NULL after an allocation failure. */
struct collect_files *collect_files_get(struct collect *c);

/* A pipe or FIFO while it is being rebuilt. */
struct rebuild_pipe {
	int read_fd; /* the two ends that pipe2() gave, or one O_RDWR end; owned; -EBADF */
	int write_fd;
	bool read_given; /* the end is a File's now, who owns it: further ones are opened anew */
	bool write_given;
};

struct rebuild_file_state {
	struct rebuild_pipe *pipes; /* [PipeEnd.pipe - 1] */
	size_t n_pipes;
	pid_t *stand_ins; /* [PidFd.dead - 1]: zombies of ours for processes that are gone; 0 */
	struct rebuild_pty *ptys;	   /* [Pty.id - 1] */
	struct rebuild_unix *unix_sockets; /* [File.id - 1]; NULL until the first is needed */
	/* The open files of an inode, as lists of File.id; 0 ends one. */
	uint32_t *first_of_inode; /* [Inode.id - 1] */
	uint32_t *next_of_inode;  /* [File.id - 1] */
	struct hold *hold;	  /* packets of the connections; owned (rebuild_files_unhold) */
	int *connections;	  /* duplicates of connected TCP sockets; owned, likewise */
	size_t n_connections;
	bool listening; /* all listening TCP sockets do */
};

/* Made at first use; NULL after an allocation failure. */
struct rebuild_file_state *rebuild_file_state_get(struct rebuild *r);

/* The descriptors that are kept of what is in flight; takes NULL. */
void collect_files_deinit(struct collect_files *files);

/* Inode.id of what @file refers to; 0: it is a kind of file that has none. */
uint32_t file_inode(const Coppice__File *file);

/* A duplicate of the probed descriptor, here; owned by the caller. */
int file_probe_dup(struct collect *c, const struct file_probe *probe, int *ret_fd);

/* struct file of @node, asked once: the tree keeps it open. As reading from a kernel_view. */
int file_node_address(struct collect *c, struct file_node *node, uint64_t *ret);

/* Whose descriptor @probe is, and its number there, as kcmp() wants them. */
pid_t file_probe_holder(const struct file_probe *probe, unsigned long *ret_number);

/* The kind that owns @file, or NULL: from a newer version. */
const struct file_kind *file_kind_of(const Coppice__File *file);
