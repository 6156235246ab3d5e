/* SPDX-License-Identifier: Apache-2.0 */
/* Unix sockets: what the files of this kind know of each other. unix.c says how they are made again. */
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include "file/chains.h"
#include "kind/collect.h"
#include "kind/file.h"
#include "kind/rebuild.h"

/* ---- collect (unix-collect.c, unix-peers.c, unix-credentials.c) ------------------------------ */

/* A socket of the tree. */
struct unix_node {
	struct chain chain; /* by inode */
	const struct file_probe *probe;
	Coppice__File *file;
	struct unix_sight *sight;
	bool readable; /* something is queued, or a side is shut down */
};

struct unix_node *unix_node_find(struct collect *c, uint64_t ino);

int unix_collect(struct collect *c, const struct file_probe *probe, Coppice__File *file);
/* When all sockets are known: peers, what waits to be accepted, where names are. */
int unix_collect_peers(struct collect *c, const struct file_probe *probe, Coppice__File *file);
/* When all queues have been looked at: is what @sender has sent to its peer all there? (unix-unseen.c) */
int unix_check_unseen(struct collect *c, const struct unix_node *sender);
/* SO_PEERCRED; *@ret stays NULL where none were noted. */
int unix_credentials_collect(struct collect *c, const struct file_probe *probe,
			     Coppice__UnixCredentials **ret);
bool unix_credentials_same(const Coppice__UnixCredentials *a, const Coppice__UnixCredentials *b);

/* ---- names (unix-name.c) --------------------------------------------------------------------- */

static inline bool unix_is_path(const ProtobufCBinaryData *address)
{
	return address->len > 0 && address->data[0] != '\0';
}

/* What one connects to: an abstract address, or a file by a descriptor of it. */
struct unix_target {
	struct sockaddr_un address;
	socklen_t len;
	int file; /* O_PATH; -EBADF: none; owned */
};

/* @fd is bound to @address. */
int unix_target_init(struct context *ctx, int fd, const ProtobufCBinaryData *address,
		     struct unix_target *ret);
void unix_target_deinit(struct unix_target *target);
/* The same for an address as such, which is looked up when it is used. */
void unix_target_of_address(const ProtobufCBinaryData *address, struct unix_target *ret);
/* 1: a socket is bound to what @target leads to; 0: none is. */
int unix_is_bound(struct context *ctx, const struct unix_target *target);

/* Fills where the file is and what it is like; @fd is bound to name->address, a path. */
int unix_name_collect(struct collect *c, int fd, Coppice__UnixName *name);
int unix_name_check(struct rebuild *r, const Coppice__UnixName *name);
/* Binds to the address, and has the file where it was, or nowhere. */
int unix_name_bind(struct rebuild *r, int fd, const Coppice__UnixName *name);
/* The same for an address that is nobody's any more. */
int unix_address_bind(struct rebuild *r, int fd, const ProtobufCBinaryData *address);

/* ---- restore ---------------------------------------------------------------------------------- */

/* A unix socket while it is being rebuilt. */
struct rebuild_unix {
	int fd;	     /* made before its file was asked for; owned until then; -EBADF */
	int partner; /* the other end where no file has it; owned; -EBADF */
	bool made;
	bool connected; /* a datagram socket, to its peer */
};

struct rebuild_unix *unix_rebuild(struct rebuild *r, uint32_t file);
void unix_rebuild_deinit(struct rebuild *r);
/* The descriptor of file @id, wherever it is kept. */
int unix_fd(struct rebuild *r, uint32_t id);
/* Makes the socket of @file, together with the one it was born with (unix-make.c). */
int unix_make(struct rebuild *r, const Coppice__File *file);
/* Sends what is queued in it (unix-fill.c). */
int unix_fill(struct rebuild *r, const Coppice__File *file, int fd);

/* What SO_PEERCRED notes the caller of (unix-deed.c). */
enum unix_deed_what {
	UNIX_DEED_PAIR,
	UNIX_DEED_LISTEN,
	UNIX_DEED_CONNECT,
};

struct unix_deed {
	enum unix_deed_what what;
	int type;			  /* PAIR */
	int fd;				  /* LISTEN, CONNECT */
	int backlog;			  /* LISTEN */
	const struct unix_target *target; /* CONNECT */
	int pair[2];			  /* PAIR: the result; owned by the caller */
};

/* Has it done by the process with these credentials; NULL: by whomever. */
int unix_deed_do(struct rebuild *r, const Coppice__UnixCredentials *who, struct unix_deed *deed);
/* A process that has the number @pid as long as it stands, unless there is one already. */
struct unix_stand_in {
	pid_t pid; /* 0: none is needed */
	int pipe;
};
int unix_stand_in_start(struct rebuild *r, pid_t pid, struct unix_stand_in *ret);
void unix_stand_in_end(struct unix_stand_in *s);
