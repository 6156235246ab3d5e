/* SPDX-License-Identifier: Apache-2.0 */
/* What the rules of validation share. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "image/checkpoint.pb-c.h"
#include "util/macro.h"

struct context;

/* The record that is being looked at. */
struct validation {
	struct context *ctx;
	const Coppice__Checkpoint *cp;
	const ProtobufCFieldDescriptor *list; /* field of Checkpoint */
	size_t index;
	uint32_t page_size;
};

/*
 * Starts the chain with "<list>[<index>]." and the rest, which begins with the path below the
 * record: invalid(v, "vmas[%zu].end: ...", i). Returns -EBADMSG.
 */
int invalid(const struct validation *v, const char *fmt, ...) _printf_(2, 3);

/* One per list of Checkpoint that has rules of its own. */
int validate_origin(const struct validation *v, const ProtobufCMessage *msg);
int validate_process(const struct validation *v, const ProtobufCMessage *msg);
int validate_seccomp_filter(const struct validation *v, const ProtobufCMessage *msg);
int validate_mm(const struct validation *v, const ProtobufCMessage *msg);
int validate_page_file(const struct validation *v, const ProtobufCMessage *msg);
int validate_inode(const struct validation *v, const ProtobufCMessage *msg);
/* Of TcpSocket, and of Origin.hold. */
int validate_tcp(const struct validation *v, const Coppice__TcpSocket *tcp);
int validate_udp(const struct validation *v, const Coppice__UdpSocket *udp);
int validate_netlink(const struct validation *v, const Coppice__NetlinkSocket *netlink);
int validate_hold(const struct validation *v, const char *id);
int validate_file(const struct validation *v, const ProtobufCMessage *msg);
/* A member of File. */
int validate_io_uring(const struct validation *v, const Coppice__IoUring *ring);
int validate_bpf_map(const struct validation *v, const Coppice__File *file);
int validate_file_lock(const struct validation *v, const ProtobufCMessage *msg);
int validate_fd_table(const struct validation *v, const ProtobufCMessage *msg);
int validate_sighand(const struct validation *v, const ProtobufCMessage *msg);
int validate_socket_options(const struct validation *v, const ProtobufCMessage *msg);
int validate_unix_socket(const struct validation *v, const Coppice__UnixSocket *s);
int validate_fs(const struct validation *v, const ProtobufCMessage *msg);
int validate_user_ns(const struct validation *v, const ProtobufCMessage *msg);
int validate_pid_ns(const struct validation *v, const ProtobufCMessage *msg);
int validate_pty(const struct validation *v, const ProtobufCMessage *msg);
