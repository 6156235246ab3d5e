/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Witnesses: processes of our own that threads of the tree are compared with, where the kernel tells
 * what confines a thread only by what it may do to others (Landlock domains, session keyrings).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "kind/collect.h"
#include "task/surroundings.h"

struct witness {
	uid_t uid;
	gid_t gid;
	uint64_t user_ns; /* inode number */
	pid_t pid; /* has that user and group as all its ids, is there, and has no capabilities */
	/* A keyring that only those can search whose session keyring is the user's default one; 0:
	 * this kernel has no keys, negative: -errno of the attempt to make it. */
	int32_t key;
	int socket; /* it ends when this is closed; owned */
};

/* The witness with the thread's user, group and user namespace; kept in collect.witnesses. 0 or
 * -errno with a chain. */
int witness_find(struct collect *c, const struct collect_thread *th, const struct witness **ret);

/* The key of such a witness; our own user needs none, but a key of ours. */
int witness_key_of(struct collect *c, const struct collect_thread *th, int32_t *ret);

/* Is the thread in the coordinator's own user namespace? 1, 0, or -errno with a chain. */
int witness_same_user_ns(struct collect *c, const struct collect_thread *th);

/* Ends them. NULL is fine. */
void witnesses_free(struct witnesses *witnesses);

/*
 * Makes a keyring as above for the caller's own user: its number, 0, or -errno. It has to be taken
 * back, but goes away by itself after some minutes.
 */
int32_t witness_key_make(void);
void witness_key_drop(int32_t key);
