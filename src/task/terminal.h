/* SPDX-License-Identifier: Apache-2.0 */
/* Controlling terminals: what must wait until all open files are known. */
#pragma once

#include "kind/collect.h"

/* Whose terminal each process has. 0 or -errno with a chain. */
int terminals_collect(struct collect *c);
