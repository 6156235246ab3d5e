/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "kind/task.h"

/* Their ask and reply phases may be run again; what they read last is what counts. */
extern const struct task_aspect aspect_itimers;
extern const struct task_aspect aspect_timers;
