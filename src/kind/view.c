/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/view.h"
#include "kind/collect.h"

int collect_view(struct collect *c, struct kernel_view **ret_view)
{
	int r = c->view ? 0 : kernel_view_open(c->ctx, &c->view);

	if (r < 0)
		return r;
	*ret_view = c->view;
	return 0;
}

int collect_refuse_unseen(struct collect *c, const char *what)
{
	/* The chain's cause: which member, or which permission. */
	int r = collect_refuse(
		c,
		"give coppice CAP_BPF and CAP_PERFMON, on a kernel with BTF "
		"(CONFIG_DEBUG_INFO_BTF) that is not locked down",
		"%s: the kernel tells its state to BPF programs alone, and not here: %s", what,
		c->ctx->err.frame[0]);

	err_clear(c->ctx);
	return r;
}
