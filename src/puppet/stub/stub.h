/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The code that runs inside puppets: freestanding, position-independent, without data. It is
 * linked into one flat blob (stub/build) whose entries interp.h lists.
 */
#pragma once

#include <stdint.h>

#include "puppet/interp.h"

#if defined(__x86_64__)
#include "puppet/stub/syscall-x86_64.h"
#elif defined(__aarch64__)
#include "puppet/stub/syscall-aarch64.h"
#else
#error "no stub for this architecture"
#endif

/* Runs the table in @slot up to its end or to the first call that misses its expectation. */
void interp_run(struct interp_slot *slot);

/* The loops; entered from entry-<arch>.S. */
__attribute__((noreturn)) void made_loop(struct interp_slot *slot);
struct borrowed_door;
void borrowed_loop(struct borrowed_door *door, int home);
struct door_lent;
int64_t close_lent(struct door_lent *lent);
