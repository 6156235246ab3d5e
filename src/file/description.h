/* SPDX-License-Identifier: Apache-2.0 */
/* The open file descriptions of the tree, told apart by kcmp; private to src/file. */
#pragma once

#include "file/state.h"

/* The table that descriptors are looked up in. */
struct fd_source {
	struct collect *c;
	struct collect_process *p;
	pid_t tid; /* of a living thread */
	int pidfd; /* of it; owned */
};

int fd_source_init(struct fd_source *s, struct collect *c, struct collect_process *p);
void fd_source_deinit(struct fd_source *s);

/*
 * The description behind a descriptor of which number, link and fdinfo are known; at first sight it
 * is collected. Its msg is NULL when it was refused.
 */
int description_find(struct fd_source *s, const struct file_probe *probe,
		     struct file_node **ret_node);

/*
 * The same for a descriptor of ours that was received from the socket that @carrier is a descriptor
 * of: @fd, which is taken over in any case.
 */
int description_find_in_flight(struct collect *c, const struct file_probe *carrier, int fd,
			       struct file_node **ret_node);
