/* SPDX-License-Identifier: Apache-2.0 */
/* --external and --inherit-fd, for the commands that have them. */
#pragma once

#include "cli/cli.h"
#include "kind/external.h"

/* Each takes in one argument; -1 to go on, or the exit status after a usage error was printed. */
int cli_add_external(const struct cli_command *command, const char *text, struct resource **list,
		     size_t *n);
int cli_add_inherited(const struct cli_command *command, const char *text,
		      struct inherited_fd **list, size_t *n);
/* Once the tree has its own: a pipe's end that we keep would hide that the others are gone. */
void cli_close_inherited(const struct inherited_fd *list, size_t n);
