/* SPDX-License-Identifier: Apache-2.0 */
/* Rules for namespaces: what is written into files below /proc is no more than what belongs there. */
#include <string.h>

#include "image/validate-internal.h"

static const char limit_letters[] = "abcdefghijklmnopqrstuvwxyz0123456789_";

static int check_limit(const struct validation *v, const Coppice__UserLimit *limit)
{
	size_t len = strlen(limit->name);

	if (len == 0 || strspn(limit->name, limit_letters) != len)
		return invalid(v, "limits.name: \"%.40s\" is no file of /proc/sys/user",
			       limit->name);
	if (limit->value < 0)
		return invalid(v, "limits.value: %d", limit->value);
	return 0;
}

int validate_user_ns(const struct validation *v, const ProtobufCMessage *msg)
{
	const Coppice__UserNs *ns = (const Coppice__UserNs *)msg;
	int r = 0;

	for (size_t i = 0; i < ns->n_limits && r == 0; i++)
		r = check_limit(v, ns->limits[i]);
	return r;
}

int validate_pid_ns(const struct validation *v, const ProtobufCMessage *msg)
{
	const Coppice__PidNs *ns = (const Coppice__PidNs *)msg;

	/* enum memfd_noexec_scope: 0 to 2 */
	if (ns->own_memfd_noexec ? ns->memfd_noexec > 2 : ns->memfd_noexec != 0)
		return invalid(v, "memfd_noexec: %u", ns->memfd_noexec);
	return 0;
}
