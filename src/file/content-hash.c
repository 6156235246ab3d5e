/* SPDX-License-Identifier: Apache-2.0 */
#include "file/content-hash.h"

#include <errno.h>
#include <unistd.h>
#include <xxhash.h>

#include "util/cleanup.h"
#include "util/context.h"

enum { CHUNK = 64 * 1024 };

static void hash_state_guard(XXH3_state_t **state)
{
	(void)XXH3_freeState(*state); /* cannot fail */
}

int content_hash(struct context *ctx, int fd, const char *name, uint64_t *ret_hash)
{
	_cleanup_(hash_state_guard) XXH3_state_t *state = XXH3_createState();
	unsigned char buf[CHUNK];
	off_t offset = 0;
	ssize_t n;

	if (!state)
		return err_oom(ctx);
	(void)XXH3_64bits_reset(state);
	while ((n = pread(fd, buf, CHUNK, offset)) != 0) {
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(ctx, -errno, "pread(%s)", name);
		r = cancel_point(ctx);
		if (r < 0)
			return r;
		(void)XXH3_64bits_update(state, buf, (size_t)n);
		offset += n;
	}
	*ret_hash = XXH3_64bits_digest(state);
	return 0;
}
