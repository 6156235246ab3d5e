/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A second thread that does its part on demand: for state that each thread has of its own. It waits
 * on a condition variable in between, and is there again after a restore.
 */
#pragma once

/* Has the second thread call @part, which it is started for at the first call; returns its result. */
int side_run(int (*part)(void));
