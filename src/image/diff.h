/* SPDX-License-Identifier: Apache-2.0 */
/* Two messages of one type compared field by field: how verify judges a restored tree. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <protobuf-c/protobuf-c.h>

struct context;
struct walk_path;

struct difference {
	const struct walk_path *path; /* valid during the callback only */
	/* The two values (walk.h); NULL: that side has none here. */
	const void *a;
	const void *b;
	const char *text; /* "processes[3].threads[0].creds.uid: 0 != 1000" */
};

struct diff {
	/*
	 * True: this difference does not count. Asked for differences alone: first about the list
	 * or message that differs (a and b are NULL, and so is the path's index), then about each
	 * value in it, so that a long list can be passed over at once. @d->text is not set yet.
	 * May be NULL.
	 */
	bool (*ignore)(void *data, const struct difference *d);
	/* Called for each one that counts. A result other than 0 ends the comparison. May be NULL.
	 */
	int (*found)(void *data, const struct difference *d);
	void *data;
};

/*
 * Returns the number of differences that count, or what `found` returned to end it, or -ENOMEM
 * with a chain. Lists of different length are aligned at both ends, so that one value more or
 * less is one difference.
 */
int message_diff(struct context *ctx, const struct diff *diff, const ProtobufCMessage *a,
		 const ProtobufCMessage *b);
/* The same question without details, and faster. */
bool message_equal(const ProtobufCMessage *a, const ProtobufCMessage *b);
