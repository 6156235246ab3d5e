/* SPDX-License-Identifier: Apache-2.0 */
/* Which struct file an open file is: what objects of the kernel refer to others by (kernel/view.h). */
#include "file/state.h"
#include "kernel/view.h"
#include "util/cleanup.h"

int file_node_address(struct collect *c, struct file_node *node, uint64_t *ret)
{
	_cleanup_close_ int fd = -EBADF;
	struct kernel_view *v;
	int r = 0;

	if (node->address == 0) {
		r = collect_view(c, &v);
		if (r == 0)
			r = file_probe_dup(c, &node->probe, &fd);
		if (r == 0)
			r = view_file(v, fd, &node->address);
	}
	if (r == 0)
		*ret = node->address;
	return r;
}
