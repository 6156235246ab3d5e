/* SPDX-License-Identifier: Apache-2.0 */
/* What the image's origin says of the processor's extended state. */
#pragma once

#include "kind/collect.h"

/* Fills Origin.xstate_*. */
int registers_describe(struct collect *c, Coppice__Origin *origin);
