/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rebuilding: what the registries are given when a tree is restored. The processes already
 * exist as stubs (made puppets) with their PIDs, parents, sessions and groups.
 *
 * Descriptors while rebuilding. The root stub receives, before it forks, everything that all stubs
 * need at numbers from rebuild.fd_base on (above every number the image uses); children inherit
 * them by fork, and the last step closes them all with one close_range:
 *	fd_base + 0 ......... doorbell (puppet layer)
 *	fd_base + 1 ......... the image directory (O_PATH is not enough: page files are opened below it)
 *	fd_base + 2 + k ..... files that some VMA maps (rebuild_inode.map_fd, map_fd_rw)
 * Open file descriptions are made by the coordinator, once each (rebuild_file.fd), and sent into
 * those processes that have them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "image/checkpoint.pb-c.h"
#include "puppet/puppet.h"
#include "util/arena.h"
#include "util/context.h"

struct image_reader;
struct inherited_fd;
struct rebuild_file_state;
struct refusal;
struct stub_origin;
struct surroundings;

/* Offsets from rebuild.fd_base; see above. */
enum {
	REBUILD_FD_DOORBELL,
	REBUILD_FD_IMAGES,
	REBUILD_FD_MAPPED,
};

struct rebuild_options {
	bool shell_job;
	bool detached;	    /* the coordinator ends, and the root gets another parent */
	bool keep_clocks;   /* restore though CLOCK_MONOTONIC jumps */
	bool check_content; /* compare the hashes of files found by path */
	bool check_pages;   /* verify page file checksums */
	const struct inherited_fd *inherited; /* for files that belong to the outside */
	size_t n_inherited;
};

struct rebuild_thread {
	const Coppice__Thread *msg;
	struct rebuild_process *process;
	struct puppet *puppet;
};

struct rebuild_process {
	const Coppice__Process *msg;
	const Coppice__Mm *mm;		  /* NULL for zombies */
	const Coppice__FdTable *fd_table; /* NULL for zombies */
	const Coppice__Fs *fs;		  /* NULL for zombies */
	struct puppet *puppet;		  /* of the leader (threads[0]) */
	pid_t pid; /* in the coordinator's PID namespace, zombies too; set by grow at its birth */
	struct rebuild_thread *threads;
	size_t n_threads;
	/* True for the first process in id order that has the table: shared tables are furnished
	 * once. */
	bool owns_mm;
	bool owns_files;
	bool owns_fs;
	bool owns_sighand;
	bool in_user_ns; /* has joined its user namespace already; else it does with its credentials */
	bool filled;	 /* memory is in place (an ancestor may be filled before it forks) */
	/*
	 * Whose filled memory the stub has from the fork that made it: the forking process if that
	 * was filled then, else what that one inherits; NULL for a bare stub. Set by grow.
	 */
	const struct rebuild_process *inherits;
};

struct rebuild_file {
	const Coppice__File *msg;
	int fd; /* here, in the coordinator; -EBADF until created; owned */
};

struct rebuild_inode {
	const Coppice__Inode *msg;
	/* Numbers in every stub, for mmap and exe_fd; -1: nobody needs it. A shared mapping made
	 * through a read-only descriptor can never be made writable, hence two. */
	int map_fd;	    /* opened O_RDONLY: private mappings, exe, Vma.open_flags O_RDONLY */
	int map_fd_rw;	    /* opened O_RDWR: Vma.open_flags O_RDWR */
	int fd;		    /* here, in the coordinator; -EBADF until opened; owned */
	int fd_rw;	    /* likewise, O_RDWR; always there for what we make (storage not PATH) */
	bool needs_content; /* made by us: content still to be written from the image */
};

struct rebuild {
	struct context *ctx;
	struct arena *arena;
	const Coppice__Checkpoint *cp;
	struct rebuild_options opt;
	struct image_reader *images;
	struct rebuild_process *processes; /* by Process.id - 1 */
	size_t n_processes;
	struct rebuild_file *files; /* by File.id - 1 */
	size_t n_files;
	struct rebuild_inode *inodes; /* by Inode.id - 1 */
	size_t n_inodes;
	struct rebuild_file_state *file_state; /* private to src/file */
	struct refusal *
		refusals; /* what this machine will not let us restore: filled by the check phase */
	size_t n_refusals;
	int *user_ns; /* by UserNs.id - 1: descriptors, -EBADF until made; owned */
	size_t n_user_ns;
	int hold_fd;	 /* hold_reserve(); owned */
	int fd_base;	 /* see above */
	bool other_boot; /* the monotonic clocks are others than the image's */
	/* Things made on disk (deleted files being re-made under a temporary name) to be removed on
	 * failure: each file module cleans up after itself at once; nothing is left for later. */
	const struct stub_origin *stub_origin;	 /* what stubs start with; see task/stub.h */
	const struct surroundings *surroundings; /* what we live in; see task/surroundings.h */
	uint64_t stub_base; /* the area in every stub, free in every Mm of the image */
	uint64_t stub_size;
};

/* Records why this machine cannot restore the image; checking goes on. Returns 0 or -ENOMEM. */
int rebuild_refuse(struct rebuild *r, const char *hint, const char *fmt, ...) _printf_(3, 4);

/* "process 812 (nginx)", by its PID in the tree root's namespace; from the arena, never NULL. */
const char *rebuild_name(struct rebuild *r, const struct rebuild_process *p);

static inline const Coppice__Inode *rebuild_inode_msg(const struct rebuild *r, uint32_t id)
{
	return r->inodes[id - 1].msg;
}
