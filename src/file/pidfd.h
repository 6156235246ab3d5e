/* SPDX-License-Identifier: Apache-2.0 */
/* Private to src/file. */
#pragma once

#include "kind/rebuild.h"

/* Ends what stands for processes that are gone; may be called more than once. */
void pidfd_rebuild_deinit(struct rebuild *r);
