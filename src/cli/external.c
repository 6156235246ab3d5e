/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/external.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static const char resource_forms[] =
	"pipe:[INODE], socket:[INODE], tty[RDEV:DEV] or file[MNT_ID:INODE]";

int cli_add_external(const struct cli_command *command, const char *text, struct resource **list,
		     size_t *n)
{
	struct resource resource, *grown;

	if (resource_parse(text, &resource) < 0 || resource.type == RESOURCE_PATH)
		return cli_usage_error(command, "--external '%s': not %s", text, resource_forms);
	grown = reallocarray(*list, *n + 1, sizeof(**list));
	if (!grown)
		return cli_usage_error(command, "--external: out of memory");
	*list = grown;
	grown[(*n)++] = resource;
	return -1;
}

int cli_add_inherited(const struct cli_command *command, const char *text,
		      struct inherited_fd **list, size_t *n)
{
	struct inherited_fd inherited, *grown;

	if (inherited_fd_parse(text, &inherited) < 0)
		return cli_usage_error(
			command,
			"--inherit-fd '%s': not fd[N]:RESOURCE, where RESOURCE is %s, or "
			"path/to/file",
			text, resource_forms);
	if (fcntl(inherited.fd, F_SETFD, FD_CLOEXEC) < 0)
		return cli_usage_error(command, "--inherit-fd '%s': fd %d is not open", text,
				       inherited.fd);
	grown = reallocarray(*list, *n + 1, sizeof(**list));
	if (!grown)
		return cli_usage_error(command, "--inherit-fd: out of memory");
	*list = grown;
	grown[(*n)++] = inherited;
	return -1;
}

void cli_close_inherited(const struct inherited_fd *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (list[i].fd > STDERR_FILENO)
			(void)close(list[i].fd); /* given twice: closed already */
}
