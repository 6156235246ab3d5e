/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The options of SOL_SOCKET (struct sock, sk_setsockopt() in net/core/sock.c).
 *
 * Most are integers that come back as they were set: a table. An option that a family or a kernel
 * does not have reads as zero, and is set only where the new socket has it otherwise, so that no
 * privilege is needed for what is as it always is (SO_MARK, SO_DEBUG).
 *
 * Cannot be read: SO_BUSY_POLL_BUDGET, SO_INQ, programs attached to a group of SO_REUSEPORT, and
 * whether SO_TXTIME was set to the clock and flags that it has when it was not. eBPF filters are
 * refused (sk_get_filter() gives EACCES: only classic ones keep their text). Numbers that count
 * what was sent (SOF_TIMESTAMPING_OPT_ID, SO_ZEROCOPY) start anew in a new socket and cannot be set,
 * so sockets that use them are refused too.
 */
#include "file/socket-options.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/filter.h>
#include <linux/net_tstamp.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "file/state.h"
#include "kernel/uapi.h"
#include "util/cleanup.h"
#include "util/macro.h"

/* ---- those that are integers --------------------------------------------------------------- */

struct option {
	int number;
	const char *name;
	size_t offset; /* of the 32-bit field in Coppice__SocketOptions */
	enum socket_phase phase;
};

#define OPTION(number, field, phase)                                                               \
	{                                                                                          \
		number, #number, offsetof(Coppice__SocketOptions, field), phase                    \
	}

/* In the order in which they are set. */
static const struct option options_table[] = {
	OPTION(SO_REUSEADDR, reuse_addr, SOCKET_EARLY),
	OPTION(SO_REUSEPORT, reuse_port, SOCKET_EARLY),
	OPTION(SO_BROADCAST, broadcast, SOCKET_EARLY),
	OPTION(SO_DONTROUTE, dont_route, SOCKET_EARLY),
	OPTION(SO_MARK, mark, SOCKET_EARLY),
	OPTION(SO_NO_CHECK, no_check, SOCKET_EARLY),
	/* After IP_TOS, which sets it as well (do_ip_setsockopt()). */
	OPTION(SO_PRIORITY, priority, SOCKET_LATE),
	OPTION(SO_DEBUG, debug, SOCKET_LATE),
	OPTION(SO_KEEPALIVE, keep_alive, SOCKET_LATE),
	OPTION(SO_OOBINLINE, oob_inline, SOCKET_LATE),
	OPTION(SO_PASSCRED, pass_credentials, SOCKET_LATE),
	OPTION(SO_PASSPIDFD, pass_pidfd, SOCKET_LATE),
	OPTION(SO_PASSSEC, pass_security, SOCKET_LATE),
	OPTION(SO_PASSRIGHTS, pass_rights, SOCKET_LATE),
	OPTION(SO_TIMESTAMP_OLD, timestamp, SOCKET_LATE),
	OPTION(SO_TIMESTAMPNS_OLD, timestamp_ns, SOCKET_LATE),
	OPTION(SO_TIMESTAMP_NEW, timestamp_new, SOCKET_LATE),
	OPTION(SO_TIMESTAMPNS_NEW, timestamp_ns_new, SOCKET_LATE),
	OPTION(SO_PEEK_OFF, peek_offset, SOCKET_LATE),
	OPTION(SO_RXQ_OVFL, receive_overflow, SOCKET_LATE),
	OPTION(SO_WIFI_STATUS, wifi_status, SOCKET_LATE),
	OPTION(SO_NOFCS, no_fcs, SOCKET_LATE),
	OPTION(SO_SELECT_ERR_QUEUE, select_error_queue, SOCKET_LATE),
	OPTION(SO_BUSY_POLL, busy_poll_us, SOCKET_LATE),
	OPTION(SO_PREFER_BUSY_POLL, prefer_busy_poll, SOCKET_LATE),
	OPTION(SO_RESERVE_MEM, reserved_memory, SOCKET_LATE),
	OPTION(SO_TXREHASH, tx_rehash, SOCKET_LATE),
	OPTION(SO_RCVMARK, receive_mark, SOCKET_LATE),
	OPTION(SO_RCVPRIORITY, receive_priority, SOCKET_LATE),
	/* Sets the receive buffer of TCP as well: before that. */
	OPTION(SO_RCVLOWAT, receive_low_water, SOCKET_LATE),
};

/* After the filter. */
static const struct option lock_filter = OPTION(SO_LOCK_FILTER, lock_filter, SOCKET_LATE);

static int *field_of(const struct option *o, const Coppice__SocketOptions *options)
{
	return (int *)((char *)options + o->offset);
}

/* An option that is not there reads as zero. */
static int get(int fd, int number, void *value, socklen_t size)
{
	socklen_t len = size;

	memset(value, 0, size);
	if (getsockopt(fd, SOL_SOCKET, number, value, &len) >= 0)
		return 0;
	memset(value, 0, size);
	return errno == ENOPROTOOPT || errno == EOPNOTSUPP ? 0 : -errno;
}

static int set(struct rebuild *r, int fd, int number, const char *name, const void *value,
	       socklen_t size)
{
	if (setsockopt(fd, SOL_SOCKET, number, value, size) < 0)
		return err_sys(r->ctx, -errno, "setsockopt(%s)", name);
	return 0;
}

/* An integer, where it is another one. */
static int set_int(struct rebuild *r, int fd, int number, const char *name, int value)
{
	int now, result = get(fd, number, &now, sizeof(now));

	if (result < 0)
		return err_sys(r->ctx, result, "getsockopt(%s)", name);
	if (now == value)
		return 0;
	result = set(r, fd, number, name, &value, sizeof(value));
	return result < 0 ? err_while(r->ctx, result, "setting %s from %d to %d", name, now, value)
			  : 0;
}

/* ---- collect ------------------------------------------------------------------------------- */

int socket_domain(const struct file_probe *probe)
{
	int domain;
	socklen_t len = sizeof(domain);

	if (!S_ISSOCK(probe->st.st_mode) || probe->info.flags & O_PATH ||
	    getsockopt(probe->fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0)
		return -1;
	return domain;
}

static int read_option(struct collect *c, int fd, int number, const char *name, void *value,
		       socklen_t size)
{
	int r = get(fd, number, value, size);

	return r < 0 ? err_sys(c->ctx, r, "getsockopt(%s)", name) : 0;
}

static int collect_integers(struct collect *c, int fd, Coppice__SocketOptions *options)
{
	for (size_t i = 0; i < ARRAY_SIZE(options_table); i++) {
		const struct option *o = &options_table[i];
		int r = read_option(c, fd, o->number, o->name, field_of(o, options), sizeof(int));

		if (r < 0)
			return r;
	}
	return read_option(c, fd, SO_LOCK_FILTER, "SO_LOCK_FILTER", &options->lock_filter,
			   sizeof(int));
}

/*
 * SO_SNDBUF is set to half of what it is to be. What a buffer grew to by itself (tcp_rcv_space_adjust())
 * may be odd, and is rounded up so that it can be set at all.
 */
static int collect_buffers(struct collect *c, int fd, Coppice__SocketOptions *options)
{
	uint32_t *size[] = {&options->send_buffer, &options->receive_buffer};
	int r = read_option(c, fd, SO_SNDBUF, "SO_SNDBUF", size[0], sizeof(int));

	if (r >= 0)
		r = read_option(c, fd, SO_RCVBUF, "SO_RCVBUF", size[1], sizeof(int));
	if (r >= 0)
		r = read_option(c, fd, SO_BUF_LOCK, "SO_BUF_LOCK", &options->buffer_locks,
				sizeof(int));
	for (size_t i = 0; i < ARRAY_SIZE(size); i++)
		*size[i] = ALIGN_UP(*size[i], 2U);
	return r;
}

static int collect_timeout(struct collect *c, int fd, int number, const char *name, int64_t *ret_us)
{
	struct timeval tv;
	int r = read_option(c, fd, number, name, &tv, sizeof(tv));

	if (r < 0)
		return r;
	*ret_us = tv.tv_sec * INT64_C(1000000) + tv.tv_usec;
	return 0;
}

static int collect_linger(struct collect *c, int fd, Coppice__SocketOptions *options)
{
	struct linger linger;
	int r = read_option(c, fd, SO_LINGER, "SO_LINGER", &linger, sizeof(linger));

	options->linger = r >= 0 && linger.l_onoff;
	options->linger_s = r >= 0 ? linger.l_linger : 0;
	return r;
}

static int collect_device(struct collect *c, const struct file_probe *probe,
			  Coppice__SocketOptions *options)
{
	char name[IFNAMSIZ];
	socklen_t len = sizeof(name);

	memset(name, 0, sizeof(name));
	if (getsockopt(probe->fd, SOL_SOCKET, SO_BINDTODEVICE, name, &len) < 0) {
		if (errno == ENODEV)
			return collect_refuse(c, NULL,
					      "%s, fd %d (%s): the network device that it is bound "
					      "to does not exist any more",
					      collect_name(c, probe->process), probe->number,
					      probe->link);
		return err_sys(c->ctx, -errno, "getsockopt(SO_BINDTODEVICE)");
	}
	if (name[0] == '\0')
		return 0;
	options->device = arena_strdup(c->arena, name);
	return options->device ? 0 : err_oom(c->ctx);
}

static int refuse_counter(struct collect *c, const struct file_probe *probe, const char *option)
{
	return collect_refuse(c, NULL,
			      "%s, fd %d (%s): the kernel numbers what it sends (%s), and lets "
			      "nobody set the number",
			      collect_name(c, probe->process), probe->number, probe->link, option);
}

static int collect_timestamping(struct collect *c, const struct file_probe *probe,
				Coppice__SocketOptions *options)
{
	int32_t old[2], new[2]; /* struct so_timestamping: flags, bind_phc */
	int r = read_option(c, probe->fd, SO_TIMESTAMPING_OLD, "SO_TIMESTAMPING", old, sizeof(old));

	if (r >= 0)
		r = read_option(c, probe->fd, SO_TIMESTAMPING_NEW, "SO_TIMESTAMPING_NEW", new,
				sizeof(new));
	if (r < 0)
		return r;
	options->timestamping = (uint32_t)old[0];
	options->timestamping_phc = old[1];
	options->timestamping_new = new[0] != 0;
	if (options->timestamping & SOF_TIMESTAMPING_OPT_ID)
		return refuse_counter(c, probe, "SOF_TIMESTAMPING_OPT_ID");
	return 0;
}

static int collect_sending(struct collect *c, const struct file_probe *probe,
			   Coppice__SocketOptions *options)
{
	struct {
		int32_t clock;
		uint32_t flags;
	} txtime;
	int zerocopy;
	int r = read_option(c, probe->fd, SO_TXTIME, "SO_TXTIME", &txtime, sizeof(txtime));

	if (r >= 0)
		r = read_option(c, probe->fd, SO_MAX_PACING_RATE, "SO_MAX_PACING_RATE",
				&options->max_pacing_rate, sizeof(uint64_t));
	if (r >= 0)
		r = read_option(c, probe->fd, SO_ZEROCOPY, "SO_ZEROCOPY", &zerocopy, sizeof(int));
	if (r < 0)
		return r;
	options->txtime_clock = txtime.clock;
	options->txtime_flags = txtime.flags;
	return zerocopy ? refuse_counter(c, probe, "SO_ZEROCOPY") : 0;
}

/* Unlike everywhere else the length is in instructions. */
static int collect_filter(struct collect *c, const struct file_probe *probe,
			  Coppice__SocketOptions *options)
{
	ProtobufCBinaryData *filter = &options->filter;
	socklen_t n = 0;

	if (getsockopt(probe->fd, SOL_SOCKET, SO_GET_FILTER, NULL, &n) < 0) {
		if (errno == EACCES)
			return collect_refuse(
				c, "detach it (SO_DETACH_FILTER)",
				"%s, fd %d (%s): an eBPF program is attached to it as filter",
				collect_name(c, probe->process), probe->number, probe->link);
		return err_sys(c->ctx, -errno, "getsockopt(SO_GET_FILTER)");
	}
	if (n == 0)
		return 0;
	filter->len = n * sizeof(struct sock_filter);
	filter->data = arena_alloc(c->arena, filter->len);
	if (!filter->data)
		return err_oom(c->ctx);
	if (getsockopt(probe->fd, SOL_SOCKET, SO_GET_FILTER, filter->data, &n) < 0)
		return err_sys(c->ctx, -errno, "getsockopt(SO_GET_FILTER)");
	return 0;
}

/* A namespace's cookie never comes back, so it tells them apart without a descriptor of either. */
static int own_netns_cookie(struct collect *c, uint64_t *ret)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(*ret);

	if (fd < 0)
		return err_sys(c->ctx, -errno, "socket(AF_UNIX)");
	if (getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, ret, &len) < 0)
		return err_sys(c->ctx, -errno, "getsockopt(SO_NETNS_COOKIE)");
	return 0;
}

static int check_netns(struct collect *c, const struct file_probe *probe)
{
	struct collect_files *files = c->files;
	uint64_t cookie;
	socklen_t len = sizeof(cookie);
	int r = files->netns_cookie ? 0 : own_netns_cookie(c, &files->netns_cookie);

	if (r < 0)
		return r;
	if (getsockopt(probe->fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len) < 0)
		return err_sys(c->ctx, -errno, "getsockopt(SO_NETNS_COOKIE)");
	if (cookie == files->netns_cookie)
		return 0;
	return collect_refuse(c, "run coppice in the network namespace of the socket",
			      "%s, fd %d (%s): a socket of another network namespace than "
			      "coppice's",
			      collect_name(c, probe->process), probe->number, probe->link);
}

int socket_options_collect(struct collect *c, const struct file_probe *probe,
			   Coppice__SocketOptions **ret_options)
{
	Coppice__SocketOptions *options = arena_new(c->arena, Coppice__SocketOptions);
	int fd = probe->fd;
	int r;

	if (!options)
		return err_oom(c->ctx);
	coppice__socket_options__init(options);
	options->uid = probe->st.st_uid;
	options->gid = probe->st.st_gid;
	r = check_netns(c, probe);
	if (r >= 0)
		r = collect_integers(c, fd, options);
	if (r >= 0)
		r = collect_buffers(c, fd, options);
	if (r >= 0)
		r = collect_timeout(c, fd, SO_RCVTIMEO, "SO_RCVTIMEO",
				    &options->receive_timeout_us);
	if (r >= 0)
		r = collect_timeout(c, fd, SO_SNDTIMEO, "SO_SNDTIMEO", &options->send_timeout_us);
	if (r >= 0)
		r = collect_linger(c, fd, options);
	if (r >= 0)
		r = collect_device(c, probe, options);
	if (r >= 0)
		r = collect_timestamping(c, probe, options);
	if (r >= 0)
		r = collect_sending(c, probe, options);
	if (r >= 0)
		r = collect_filter(c, probe, options);
	if (r >= 0)
		*ret_options = options;
	return r;
}

/* ---- restore ------------------------------------------------------------------------------- */

int socket_options_check(struct rebuild *r, const Coppice__SocketOptions *options)
{
	if (options->device[0] == '\0' || if_nametoindex(options->device) != 0)
		return 0;
	return rebuild_refuse(r, "create it, or restore where it is",
			      "a socket is bound to network device %s, which does not exist here",
			      options->device);
}

static int set_integers(struct rebuild *r, const Coppice__SocketOptions *options, int fd,
			enum socket_phase phase)
{
	for (size_t i = 0; i < ARRAY_SIZE(options_table); i++) {
		const struct option *o = &options_table[i];
		int result = o->phase == phase
				     ? set_int(r, fd, o->number, o->name, *field_of(o, options))
				     : 0;

		if (result < 0)
			return result;
	}
	return 0;
}

/* The options that ignore net.core.wmem_max want CAP_NET_ADMIN; without it the others may do. */
static int set_buffer(struct rebuild *r, int fd, int number, int force, const char *name,
		      uint32_t size)
{
	int half = (int)(size / 2);
	uint32_t now;
	int result = get(fd, number, &now, sizeof(now));

	if (result < 0)
		return err_sys(r->ctx, result, "getsockopt(%s)", name);
	if (ALIGN_UP(now, 2U) == size ||
	    setsockopt(fd, SOL_SOCKET, force, &half, sizeof(half)) >= 0)
		return 0;
	if (errno != EPERM)
		return err_sys(r->ctx, -errno, "setsockopt(%sFORCE, %d)", name, half);
	return set(r, fd, number, name, &half, sizeof(half));
}

static int set_buffers(struct rebuild *r, const Coppice__SocketOptions *options, int fd)
{
	int result =
		set_buffer(r, fd, SO_SNDBUF, SO_SNDBUFFORCE, "SO_SNDBUF", options->send_buffer);

	if (result >= 0)
		result = set_buffer(r, fd, SO_RCVBUF, SO_RCVBUFFORCE, "SO_RCVBUF",
				    options->receive_buffer);
	return result < 0 ? result
			  : set_int(r, fd, SO_BUF_LOCK, "SO_BUF_LOCK", (int)options->buffer_locks);
}

static int set_timeout(struct rebuild *r, int fd, int number, const char *name, int64_t us)
{
	const struct timeval tv = {.tv_sec = us / 1000000, .tv_usec = us % 1000000};
	struct timeval now;
	int result = get(fd, number, &now, sizeof(now));

	if (result < 0)
		return err_sys(r->ctx, result, "getsockopt(%s)", name);
	if (now.tv_sec == tv.tv_sec && now.tv_usec == tv.tv_usec)
		return 0;
	return set(r, fd, number, name, &tv, sizeof(tv));
}

/* The time can only be set together with switching it on. */
static int set_linger(struct rebuild *r, const Coppice__SocketOptions *options, int fd)
{
	struct linger linger = {.l_onoff = 1, .l_linger = options->linger_s};
	int result = 0;

	if (options->linger || options->linger_s != 0)
		result = set(r, fd, SO_LINGER, "SO_LINGER", &linger, sizeof(linger));
	if (result >= 0 && !options->linger && options->linger_s != 0) {
		linger.l_onoff = 0;
		result = set(r, fd, SO_LINGER, "SO_LINGER", &linger, sizeof(linger));
	}
	return result;
}

static int set_sending(struct rebuild *r, const Coppice__SocketOptions *options, int fd)
{
	const int32_t timestamping[2] = {(int32_t)options->timestamping, options->timestamping_phc};
	const struct {
		int32_t clock;
		uint32_t flags;
	} txtime = {options->txtime_clock, options->txtime_flags};
	uint64_t rate;
	int result = get(fd, SO_MAX_PACING_RATE, &rate, sizeof(rate));

	if (result < 0)
		return err_sys(r->ctx, result, "getsockopt(SO_MAX_PACING_RATE)");
	if (rate != options->max_pacing_rate)
		result = set(r, fd, SO_MAX_PACING_RATE, "SO_MAX_PACING_RATE",
			     &options->max_pacing_rate, sizeof(rate));
	if (result >= 0 && options->timestamping != 0)
		result = set(r, fd,
			     options->timestamping_new ? SO_TIMESTAMPING_NEW : SO_TIMESTAMPING_OLD,
			     "SO_TIMESTAMPING", timestamping, sizeof(timestamping));
	if (result >= 0 && (txtime.clock != 0 || txtime.flags != 0))
		result = set(r, fd, SO_TXTIME, "SO_TXTIME", &txtime, sizeof(txtime));
	return result;
}

static int set_filter(struct rebuild *r, const Coppice__SocketOptions *options, int fd)
{
	const struct sock_fprog program = {
		.len = (unsigned short)(options->filter.len / sizeof(struct sock_filter)),
		.filter = (struct sock_filter *)options->filter.data,
	};
	int result = 0;

	if (program.len > 0)
		result =
			set(r, fd, SO_ATTACH_FILTER, "SO_ATTACH_FILTER", &program, sizeof(program));
	return result < 0 ? result
			  : set_int(r, fd, lock_filter.number, lock_filter.name,
				    *field_of(&lock_filter, options));
}

static int set_early(struct rebuild *r, const Coppice__SocketOptions *options, int fd)
{
	int result = set_integers(r, options, fd, SOCKET_EARLY);

	if (result >= 0 && options->device[0] != '\0')
		result = set(r, fd, SO_BINDTODEVICE, "SO_BINDTODEVICE", options->device,
			     (socklen_t)strlen(options->device));
	return result < 0 ? result : set_buffers(r, options, fd);
}

static int set_late(struct rebuild *r, const Coppice__SocketOptions *options, int fd)
{
	int result = set_integers(r, options, fd, SOCKET_LATE);

	if (result >= 0)
		result = set_buffers(r, options, fd);
	if (result >= 0)
		result =
			set_timeout(r, fd, SO_RCVTIMEO, "SO_RCVTIMEO", options->receive_timeout_us);
	if (result >= 0)
		result = set_timeout(r, fd, SO_SNDTIMEO, "SO_SNDTIMEO", options->send_timeout_us);
	if (result >= 0)
		result = set_linger(r, options, fd);
	if (result >= 0)
		result = set_sending(r, options, fd);
	/* SO_PEERCRED's like for who asks sock_diag; sockfs_setattr() */
	if (result >= 0 && fchown(fd, options->uid, options->gid) < 0)
		result = err_sys(r->ctx, -errno, "fchown(%u, %u)", options->uid, options->gid);
	return result < 0 ? result : set_filter(r, options, fd);
}

int socket_options_set(struct rebuild *r, const Coppice__SocketOptions *options, int fd,
		       enum socket_phase phase)
{
	int result = phase == SOCKET_EARLY ? set_early(r, options, fd) : set_late(r, options, fd);

	return result < 0 ? err_while(r->ctx, result, "setting the options of a socket") : 0;
}
