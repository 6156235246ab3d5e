/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of verify and validation: a message is changed in one place after the other, and put
 * back each time. Every scalar, every element of a list of scalars, every string and byte string
 * is changed once; every list loses its last element once.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>

struct context;

/*
 * @visit sees the changed message and the path of the change. Stops at the first result other
 * than 0 and returns it; -ENOMEM with a chain.
 */
int mutate_each(struct context *ctx, ProtobufCMessage *msg,
		int (*visit)(void *data, const char *path), void *data);
