/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules that hold for all lists alike: dense ids, references, enums. Those of single messages
 * are in validate-process.c, validate-memory.c and validate-file.c.
 */
#include "image/validate.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "image/format.h"
#include "image/text.h"
#include "image/validate-internal.h"
#include "image/walk.h"
#include "util/context.h"

int invalid(const struct validation *v, const char *fmt, ...)
{
	char rest[ERR_TEXT];
	va_list ap;
	int r;

	va_start(ap, fmt);
	(void)vsnprintf(rest, sizeof(rest), fmt, ap);
	va_end(ap);
	if (v->list->label == PROTOBUF_C_LABEL_REPEATED)
		r = err_msg(v->ctx, -EBADMSG, "%s[%zu].%s", v->list->name, v->index, rest);
	else
		r = err_msg(v->ctx, -EBADMSG, "%s.%s", v->list->name, rest);
	return err_while(v->ctx, r, "checking %s%s, record %zu", v->list->name, IMAGE_SUFFIX,
			 v->index + 1);
}

/* ---- references ----------------------------------------------------------------------------- */

/* A field that holds the id of a record in another list. */
struct reference {
	const ProtobufCMessageDescriptor *in;
	const char *field;
	const char *list;
	bool required; /* 0, none, is no answer */
};

#define OPTIONAL(message, field, list)                                                             \
	{                                                                                          \
		&coppice__##message##__descriptor, field, list, false                              \
	}
#define REQUIRED(message, field, list)                                                             \
	{                                                                                          \
		&coppice__##message##__descriptor, field, list, true                               \
	}

static const struct reference references[] = {
	REQUIRED(origin, "root", "processes"),
	OPTIONAL(process, "parent", "processes"),
	OPTIONAL(process, "cow_parent", "processes"),
	OPTIONAL(process, "mm", "mms"),
	OPTIONAL(process, "fd_table", "fd_tables"),
	OPTIONAL(process, "fs", "fss"),
	OPTIONAL(process, "sighand", "sighands"),
	OPTIONAL(process, "pid_ns", "pid_namespaces"),
	OPTIONAL(process, "pid_ns_for_children", "pid_namespaces"),
	OPTIONAL(process, "user_ns", "user_namespaces"),
	OPTIONAL(user_ns, "parent", "user_namespaces"),
	OPTIONAL(pid_ns, "parent", "pid_namespaces"),
	OPTIONAL(pid_ns, "user_ns", "user_namespaces"),
	OPTIONAL(thread, "seccomp_filter", "seccomp_filters"),
	OPTIONAL(seccomp_filter, "parent", "seccomp_filters"),
	REQUIRED(fd, "file", "files"),
	OPTIONAL(mm, "exe", "inodes"),
	OPTIONAL(vma, "inode", "inodes"),
	OPTIONAL(vma, "file", "files"),
	REQUIRED(io_uring, "process", "processes"),
	OPTIONAL(io_uring, "eventfd", "files"),
	REQUIRED(io_uring_file, "file", "files"),
	REQUIRED(io_uring_task, "process", "processes"),
	OPTIONAL(page_run, "file", "page_files"),
	REQUIRED(regular_file, "inode", "inodes"),
	REQUIRED(memfd_file, "inode", "inodes"),
	REQUIRED(fifo, "inode", "inodes"),
	OPTIONAL(tty_file, "pty", "ptys"),
	REQUIRED(pty_master, "pty", "ptys"),
	OPTIONAL(ns_file, "pid_ns", "pid_namespaces"),
	OPTIONAL(ns_file, "user_ns", "user_namespaces"),
	REQUIRED(epoll_entry, "file", "files"),
	OPTIONAL(watched_inode, "inode", "inodes"),
	OPTIONAL(file_lock, "file", "files"),
	OPTIONAL(file_lock, "inode", "inodes"),
	OPTIONAL(file_lock, "process", "processes"),
};

static const ProtobufCFieldDescriptor *find(const ProtobufCMessageDescriptor *type,
					    const char *field)
{
	return protobuf_c_message_descriptor_get_field_by_name(type, field);
}

static int check_reference(const struct validation *v, const struct walk_path *path,
			   const struct reference *ref, const ProtobufCMessage *msg)
{
	const ProtobufCFieldDescriptor *field = find(msg->descriptor, ref->field);
	const ProtobufCFieldDescriptor *list = find(v->cp->base.descriptor, ref->list);
	uint32_t id = *(const uint32_t *)walk_value(msg, field, 0);
	size_t n = walk_count(&v->cp->base, list);
	char where[WALK_PATH_MAX];

	if (id <= n && (id > 0 || !ref->required))
		return 0;
	walk_path_format(path, where, sizeof(where));
	return invalid(v, "%s%s%s: %u is none of the %zu %s", where, path ? "." : "", ref->field,
		       id, n, ref->list);
}

struct reference_visit {
	const char *list;
	int (*visit)(void *data, uint32_t *id);
	void *data;
};

static int visit_references(void *data, const struct walk_path *path, const ProtobufCMessage *msg)
{
	const struct reference_visit *visit = data;
	int r = 0;

	(void)path;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(references); i++)
		if (references[i].in == msg->descriptor &&
		    strcmp(references[i].list, visit->list) == 0)
			r = visit->visit(
				visit->data,
				walk_value(msg, find(msg->descriptor, references[i].field), 0));
	return r;
}

int checkpoint_references(Coppice__Checkpoint *cp, const char *list,
			  int (*visit)(void *data, uint32_t *id), void *data)
{
	struct reference_visit references_of = {.list = list, .visit = visit, .data = data};

	return walk_messages(&cp->base, NULL, visit_references, &references_of);
}

static int check_enums(const struct validation *v, const struct walk_path *path,
		       const ProtobufCMessage *msg)
{
	for (unsigned int f = 0; f < msg->descriptor->n_fields; f++) {
		const ProtobufCFieldDescriptor *field = &msg->descriptor->fields[f];
		char where[WALK_PATH_MAX];

		if (field->type != PROTOBUF_C_TYPE_ENUM)
			continue;
		for (size_t i = 0; i < walk_count(msg, field); i++) {
			const void *value = walk_value(msg, field, i);

			if (text_enum(field, value))
				continue;
			walk_path_format(path, where, sizeof(where));
			return invalid(v, "%s%s%s: %d is not known", where, path ? "." : "",
				       field->name, *(const int *)value);
		}
	}
	return 0;
}

/* Messages that are part of several records, wherever they are. */
static const struct {
	const ProtobufCMessageDescriptor *type;
	int (*check)(const struct validation *v, const ProtobufCMessage *msg);
} parts[] = {
	{&coppice__socket_options__descriptor, validate_socket_options},
};

static int check_message(void *data, const struct walk_path *path, const ProtobufCMessage *msg)
{
	const struct validation *v = data;
	int r = check_enums(v, path, msg);

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(references); i++)
		if (references[i].in == msg->descriptor)
			r = check_reference(v, path, &references[i], msg);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(parts); i++)
		if (parts[i].type == msg->descriptor)
			r = parts[i].check(v, msg);
	return r;
}

/* ---- lists ---------------------------------------------------------------------------------- */

typedef int (*record_rule)(const struct validation *v, const ProtobufCMessage *msg);

static const struct {
	const ProtobufCMessageDescriptor *type;
	record_rule check;
} rules[] = {
	{&coppice__origin__descriptor, validate_origin},
	{&coppice__process__descriptor, validate_process},
	{&coppice__mm__descriptor, validate_mm},
	{&coppice__fs__descriptor, validate_fs},
	{&coppice__fd_table__descriptor, validate_fd_table},
	{&coppice__sighand__descriptor, validate_sighand},
	{&coppice__file__descriptor, validate_file},
	{&coppice__inode__descriptor, validate_inode},
	{&coppice__seccomp_filter__descriptor, validate_seccomp_filter},
	{&coppice__file_lock__descriptor, validate_file_lock},
	{&coppice__page_file__descriptor, validate_page_file},
	{&coppice__pty__descriptor, validate_pty},
	{&coppice__user_ns__descriptor, validate_user_ns},
	{&coppice__pid_ns__descriptor, validate_pid_ns},
};

static int check_id(const struct validation *v, const ProtobufCMessage *msg)
{
	const ProtobufCFieldDescriptor *field = find(msg->descriptor, "id");
	uint32_t id;

	if (!field)
		return 0;
	id = *(const uint32_t *)walk_value(msg, field, 0);
	if (id != v->index + 1)
		return invalid(v, "id: %u where %zu belongs", id, v->index + 1);
	return 0;
}

static int check_record(struct validation *v, const ProtobufCMessage *msg)
{
	int r = check_id(v, msg);

	if (r == 0)
		r = walk_messages(msg, NULL, check_message, v);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(rules); i++)
		if (rules[i].type == msg->descriptor)
			r = rules[i].check(v, msg);
	return r;
}

int checkpoint_validate(struct context *ctx, const Coppice__Checkpoint *cp)
{
	struct validation v = {.ctx = ctx, .cp = cp};

	if (!cp->origin)
		return err_msg(ctx, -EBADMSG, "the image has no origin%s", IMAGE_SUFFIX);
	v.page_size = cp->origin->page_size;
	for (unsigned int f = 0; f < cp->base.descriptor->n_fields; f++) {
		v.list = &cp->base.descriptor->fields[f];
		for (v.index = 0; v.index < walk_count(&cp->base, v.list); v.index++) {
			const void *value = walk_value(&cp->base, v.list, v.index);
			int r = check_record(&v, walk_message(value));

			if (r < 0)
				return r;
		}
	}
	return 0;
}
