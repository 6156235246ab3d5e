/* SPDX-License-Identifier: Apache-2.0 */
/* TCP sockets; private to src/file. */
#pragma once

#include "file/hold.h"
#include "kind/file.h"

/* Between its first SYN and its end: what has a peer. */
bool tcp_has_peer(const Coppice__TcpSocket *socket);
/* A FIN of ours is queued or on its way, and counted in send_seq. */
bool tcp_fin_queued(const Coppice__TcpSocket *socket);
/* The peer's FIN has come, and is counted in receive_seq. */
bool tcp_fin_received(const Coppice__TcpSocket *socket);
struct hold_flow tcp_flow(const Coppice__TcpSocket *socket);

int tcp_collect(struct collect *c, const struct file_probe *probe, Coppice__File *file);
int tcp_collect_late(struct collect *c, const struct file_probe *probe, Coppice__File *file);
/* Before the kill: the socket is to be gone without a word. */
int tcp_disarm(struct collect *c, const struct file_probe *probe, const Coppice__File *file);

/*
 * Holds back the packets of all connections of the tree, at the first call. (tcp-hold.c)
 */
int tcp_hold_collect(struct collect *c);
int tcp_hold_rebuild(struct rebuild *r);
/* Is the other end of the connection in the tree as well? After tcp_hold_collect. */
bool tcp_peer_in_tree(const struct collect *c, const Coppice__TcpSocket *socket);

int tcp_check(struct rebuild *r, const Coppice__File *file);
int tcp_create(struct rebuild *r, const Coppice__File *file, int *ret_fd);
int tcp_connect(struct rebuild *r, const Coppice__File *file, int fd);
int tcp_last(struct rebuild *r, const Coppice__File *file, int fd);

/* Which sockets sign their segments; all at once, as there are few. (tcp-signed.c) */
int tcp_signed_collect(struct collect *c);
int tcp_refuse_signed(struct collect *c, const struct file_probe *probe, int fd);

/* A new socket becomes the connection, with what is queued, in its state. (tcp-connection.c) */
int tcp_connection_make(struct rebuild *r, const Coppice__TcpSocket *socket, int fd);
/* A new socket becomes one whose connection is over. (tcp-connection.c) */
int tcp_over_make(struct rebuild *r, const Coppice__TcpSocket *socket, int fd);
