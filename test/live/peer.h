/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process outside the tree that is dumped: the peer at the other end of a connection. It is a child
 * of the test's init, and lives on while the program is dumped and restored.
 */
#pragma once

/*
 * Starts it with @first, which is waited for, and then, once peer_finish is called, @second. Both are
 * called with @fd, of which only the peer has a copy afterwards (-1: none).
 */
int peer_start(int fd, int (*first)(int fd), int (*second)(int fd));
/* Has the peer call @second; what that says (live_fail) is this process's, too. */
int peer_finish(void);
