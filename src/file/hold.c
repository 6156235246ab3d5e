/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two tables, so that no rule outlives its purpose:
 *
 *  - While coppice reads or makes connections, a table that the kernel removes when its owner's
 *    netlink socket is closed (NFT_TABLE_F_OWNER), thus also when coppice is killed.
 *  - From the moment that a dumped tree is killed until its restore, a table without an owner. Its
 *    name says which image it belongs to, who made it, and whose death it waits for:
 *
 *	coppice-<id>-<PID namespace>-<coppice's PID>.<start>-<the root's PID>.<start>
 *
 *    It is made when the image is complete, right before the kill. If coppice is killed between the
 *    two, the root is found alive and its coppice dead, which is never so otherwise: a later
 *    coppice removes the table (sweep()), and the connections go on.
 *
 * Packets are dropped in the input and output hooks, before all other chains there. One set serves
 * both directions.
 */
#include "file/hold.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <nftables/libnftables.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel/proc.h"
#include "util/cleanup.h"
#include "util/context.h"
#include "util/strbuf.h"

#define TABLE_PREFIX "coppice-"

enum { TABLE_NAME = 160 };

struct hold {
	struct nft_ctx *nft; /* its socket owns the table */
	struct hold_flow *flows;
	size_t n_flows;
	char id[17];
};

void hold_end(struct hold *hold)
{
	if (!hold)
		return;
	if (hold->nft)
		nft_ctx_free(hold->nft);
	free(hold->flows);
	free(hold);
}

static void hold_endp(struct hold **hold)
{
	hold_end(*hold);
}

const char *hold_id(const struct hold *hold)
{
	return hold->id;
}

/* ---- libnftables --------------------------------------------------------------------------- */

/* libnftables tells errors as text only: "Error: Could not process rule: ...", then the rule. */
static int run(struct context *ctx, struct nft_ctx *nft, const char *commands)
{
	const char *text;

	if (nft_run_cmd_from_buffer(nft, commands) == 0)
		return 0;
	text = nft_ctx_get_error_buffer(nft);
	(void)err_msg(ctx, -EIO, "nftables: %.*s", (int)strcspn(text, "\n"), text);
	return err_hint(ctx, -EIO,
			"holding back packets needs CAP_NET_ADMIN and a kernel with nftables "
			"(CONFIG_NF_TABLES_INET)");
}

/* ---- what a dead coppice left over --------------------------------------------------------- */

struct mark {
	uint64_t pid_ns;
	pid_t coppice;
	uint64_t coppice_start;
	pid_t root;
	uint64_t root_start;
};

static uint64_t own_pid_ns(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) < 0 ? 0 : st.st_ino;
}

static bool is_alive(pid_t pid, uint64_t start)
{
	_cleanup_close_ int fd = -EBADF;
	struct proc_stat stat;

	return proc_open(pid, &fd) >= 0 && proc_read_stat(fd, &stat) >= 0 &&
	       stat.start_time == start && stat.state != 'Z' && stat.state != 'X';
}

static bool is_left_over(const char *name, uint64_t pid_ns)
{
	struct mark m;

	if (sscanf(name, TABLE_PREFIX "%*16[0-9a-f]-%" SCNu64 "-%d.%" SCNu64 "-%d.%" SCNu64,
		   &m.pid_ns, &m.coppice, &m.coppice_start, &m.root, &m.root_start) != 5)
		return false;
	return m.pid_ns == pid_ns && is_alive(m.root, m.root_start) &&
	       !is_alive(m.coppice, m.coppice_start);
}

/* Deletes those of coppice's tables that @chosen takes. */
static int delete_tables(struct context *ctx, struct nft_ctx *nft,
			 bool (*chosen)(const char *name, const void *data), const void *data)
{
	static const char head[] = "table inet ";
	_cleanup_free_ char *text = NULL;
	char *save = NULL;
	int r = run(ctx, nft, "list tables inet");

	if (r < 0)
		return r;
	text = strdup(nft_ctx_get_output_buffer(nft));
	if (!text)
		return err_oom(ctx);
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		const char *name = line + strlen(head);
		char command[TABLE_NAME + 32];

		if (strncmp(line, head, strlen(head)) != 0 ||
		    strncmp(name, TABLE_PREFIX, strlen(TABLE_PREFIX)) != 0 || !chosen(name, data))
			continue;
		(void)snprintf(command, sizeof(command), "delete table inet %s", name);
		r = run(ctx, nft, command);
		if (r < 0)
			return err_while(ctx, r, "deleting table %s", name);
	}
	return 0;
}

static bool choose_left_over(const char *name, const void *data)
{
	return is_left_over(name, *(const uint64_t *)data);
}

static int sweep(struct context *ctx, struct nft_ctx *nft)
{
	const uint64_t pid_ns = own_pid_ns();
	int r = delete_tables(ctx, nft, choose_left_over, &pid_ns);

	return r < 0 ? err_while(ctx, r, "removing what a killed coppice left over") : 0;
}

/* ---- rules --------------------------------------------------------------------------------- */

static void add_elements(struct strbuf *sb, const struct hold *hold, bool v6)
{
	const char *separator = "elements = { ";
	const int family = v6 ? AF_INET6 : AF_INET;
	bool any = false;

	for (size_t i = 0; i < hold->n_flows; i++) {
		const struct hold_flow *f = &hold->flows[i];
		char local[INET6_ADDRSTRLEN], remote[INET6_ADDRSTRLEN];

		if (f->v6 != v6)
			continue;
		(void)inet_ntop(family, &f->local, local, sizeof(local)); /* they fit */
		(void)inet_ntop(family, &f->remote, remote, sizeof(remote));
		strbuf_printf(sb, "%s%s . %u . %s . %u", separator, local, f->local_port, remote,
			      f->remote_port);
		separator = ", ";
		any = true;
	}
	if (any)
		strbuf_puts(sb, " }\n");
}

static void add_set(struct strbuf *sb, const struct hold *hold, const char *name, const char *ip,
		    bool v6)
{
	strbuf_printf(sb, "set %s { typeof %s daddr . tcp dport . %s saddr . tcp sport\n", name, ip,
		      ip);
	add_elements(sb, hold, v6);
	strbuf_puts(sb, "}\n");
}

static int add_table(struct context *ctx, struct hold *hold, const char *name, const char *flags)
{
	_cleanup_strbuf_ struct strbuf sb = {0};
	const char *text;

	strbuf_printf(&sb, "table inet %s {\n%s", name, flags);
	add_set(&sb, hold, "flows4", "ip", false);
	add_set(&sb, hold, "flows6", "ip6", true);
	strbuf_printf(&sb,
		      "chain in { type filter hook input priority -400; policy accept\n"
		      "meta mark %#x accept\n"
		      "ip daddr . tcp dport . ip saddr . tcp sport @flows4 drop\n"
		      "ip6 daddr . tcp dport . ip6 saddr . tcp sport @flows6 drop\n"
		      "}\n"
		      "chain out { type filter hook output priority -400; policy accept\n"
		      "meta mark %#x accept\n"
		      "ip saddr . tcp sport . ip daddr . tcp dport @flows4 drop\n"
		      "ip6 saddr . tcp sport . ip6 daddr . tcp dport @flows6 drop\n"
		      "}\n}\n",
		      HOLD_MARK, HOLD_MARK);
	text = strbuf_text(&sb);
	return text ? run(ctx, hold->nft, text) : err_oom(ctx);
}

/* ---- the holds ----------------------------------------------------------------------------- */

int hold_reserve(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* The library's socket gets the lowest number that is free. */
static int check_number(struct context *ctx)
{
	_cleanup_close_ int fd = hold_reserve();

	if (fd >= 0 && fd < FD_SETSIZE)
		return 0;
	return err_msg(ctx, -EMFILE, "no descriptor below %d is free, which libnftables needs",
		       FD_SETSIZE);
}

static int open_nft(struct context *ctx, struct hold *hold, int *reserved)
{
	int r;

	close_guard(reserved);
	*reserved = -EBADF;
	r = check_number(ctx);
	if (r < 0)
		return r;
	hold->nft = nft_ctx_new(NFT_CTX_DEFAULT);
	if (!hold->nft)
		return err_msg(ctx, -ENOMEM, "libnftables cannot be used");
	if (nft_ctx_buffer_error(hold->nft) != 0 || nft_ctx_buffer_output(hold->nft) != 0)
		return err_oom(ctx);
	return 0;
}

static int choose_id(struct context *ctx, struct hold *hold)
{
	uint64_t random;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return err_sys(ctx, -errno, "getrandom()");
	(void)snprintf(hold->id, sizeof(hold->id), "%016" PRIx64, random);
	return 0;
}

int hold_begin(struct context *ctx, const struct hold_flow *flows, size_t n, int *reserved,
	       struct hold **ret_hold)
{
	_cleanup_(hold_endp) struct hold *hold = calloc(1, sizeof(*hold));
	char name[TABLE_NAME];
	int r;

	if (!hold)
		return err_oom(ctx);
	hold->flows = calloc(n + 1, sizeof(*flows));
	if (!hold->flows)
		return err_oom(ctx);
	memcpy(hold->flows, flows, n * sizeof(*flows));
	hold->n_flows = n;
	r = choose_id(ctx, hold);
	if (r >= 0)
		r = open_nft(ctx, hold, reserved);
	if (r >= 0)
		r = sweep(ctx, hold->nft);
	if (r < 0)
		return r;
	(void)snprintf(name, sizeof(name), TABLE_PREFIX "%s-held", hold->id);
	r = add_table(ctx, hold, name, "flags owner\n");
	if (r < 0)
		return err_while(ctx, r, "holding back the packets of %zu connections", n);
	*ret_hold = TAKE_PTR(hold);
	return 0;
}

int hold_keep(struct context *ctx, struct hold *hold, pid_t root, uint64_t root_start)
{
	_cleanup_close_ int fd = -EBADF;
	struct proc_stat self;
	char name[TABLE_NAME];
	int r = proc_open(getpid(), &fd);

	if (r >= 0)
		r = proc_read_stat(fd, &self);
	if (r < 0)
		return err_sys(ctx, r, "reading /proc/self/stat");
	(void)snprintf(name, sizeof(name), TABLE_PREFIX "%s-%" PRIu64 "-%d.%" PRIu64 "-%d.%" PRIu64,
		       hold->id, own_pid_ns(), getpid(), self.start_time, root, root_start);
	r = add_table(ctx, hold, name, "");
	return r < 0 ? err_while(ctx, r, "holding back packets until the restore") : 0;
}

static bool choose_by_id(const char *name, const void *data)
{
	const char *id = data;
	const char *rest = name + strlen(TABLE_PREFIX);

	return strncmp(rest, id, strlen(id)) == 0 && strcmp(rest + strlen(id), "-held") != 0;
}

int hold_forget(struct context *ctx, struct hold *hold, const char *id)
{
	int r = delete_tables(ctx, hold->nft, choose_by_id, id);

	return r < 0 ? err_while(ctx, r, "letting packets through again") : 0;
}
