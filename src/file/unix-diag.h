/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All unix sockets of coppice's network namespace as NETLINK_SOCK_DIAG tells of them, taken once a
 * collection (the kernel looks through all of them for each one that it is asked about).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "file/chains.h"
#include "kind/collect.h"

struct unix_sight {
	struct chain chain; /* by inode */
	uint32_t ino;	    /* 0: a connection that was not accepted yet, or closed already */
	int type;
	bool listening;
	bool has_peer;
	uint32_t peer;	   /* 0 with has_peer: not accepted yet, or closed */
	uint32_t *pending; /* of a listening one: the clients' inodes, the oldest first */
	size_t n_pending;
	uint32_t backlog; /* of a listening one */
	uint32_t unsent;  /* of another: memory of what it has sent and nobody has read */
	uint32_t shutdown;
	const unsigned char *address; /* sun_path */
	size_t address_len;
	uint32_t file_dev; /* of a bound path */
	uint32_t file_ino;
	uint32_t waits_at; /* inode of who has it in pending; 0: nobody */
};

struct unix_sights {
	struct unix_sight **all;
	size_t n;
	struct chains by_ino;
};

/* The sights of this collection; read at first use. */
int unix_sights_get(struct collect *c, const struct unix_sights **ret);
/* NULL: there is none of this number. */
struct unix_sight *unix_sight_find(const struct unix_sights *sights, uint64_t ino);
bool unix_sight_same_name(const struct unix_sight *a, const struct unix_sight *b);
