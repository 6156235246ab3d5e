/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which packets are held back: those of all connections that are kept, from before the first of them
 * is read until the tree runs again. At restore from before the first is made.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "file/fdtable.h"
#include "file/inet-address.h"
#include "file/state.h"
#include "file/tcp-repair.h"
#include "file/tcp.h"
#include "util/cleanup.h"

bool tcp_has_peer(const Coppice__TcpSocket *socket)
{
	return socket->state != COPPICE__TCP_STATE__TCP_STATE_NONE &&
	       socket->state != COPPICE__TCP_STATE__TCP_STATE_CLOSE &&
	       socket->state != COPPICE__TCP_STATE__TCP_STATE_LISTEN;
}

bool tcp_fin_queued(const Coppice__TcpSocket *socket)
{
	switch (socket->state) {
	case COPPICE__TCP_STATE__TCP_STATE_FIN_WAIT1:
	case COPPICE__TCP_STATE__TCP_STATE_CLOSING:
	case COPPICE__TCP_STATE__TCP_STATE_LAST_ACK:
		return true;
	default:
		return false;
	}
}

bool tcp_fin_received(const Coppice__TcpSocket *socket)
{
	switch (socket->state) {
	case COPPICE__TCP_STATE__TCP_STATE_CLOSE_WAIT:
	case COPPICE__TCP_STATE__TCP_STATE_CLOSING:
	case COPPICE__TCP_STATE__TCP_STATE_LAST_ACK:
		return true;
	default:
		return false;
	}
}

struct hold_flow tcp_flow(const Coppice__TcpSocket *socket)
{
	union inet_sockaddr local, remote;

	(void)inet_address_get(socket->local, socket->family, &local);
	(void)inet_address_get(socket->remote, socket->family, &remote);
	return inet_flow(&local, &remote);
}

/* ---- dump ---------------------------------------------------------------------------------- */

static int compare_flows(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct hold_flow)); /* has no padding */
}

static int gather(struct collect *c)
{
	struct collect_files *files = c->files;

	files->tcp_flows = arena_new_n(c->arena, struct hold_flow, files->n_nodes + 1);
	if (!files->tcp_flows)
		return err_oom(c->ctx);
	for (size_t i = 0; i < files->n_nodes; i++) {
		const Coppice__File *msg = files->nodes[i]->msg;

		if (msg->kind_case == COPPICE__FILE__KIND_TCP && msg->tcp->remote)
			files->tcp_flows[files->n_tcp_flows++] = tcp_flow(msg->tcp);
	}
	qsort(files->tcp_flows, files->n_tcp_flows, sizeof(struct hold_flow), compare_flows);
	return 0;
}

static bool has_opposite(const struct collect *c, const struct hold_flow *flow)
{
	const struct collect_files *files = c->files;
	struct hold_flow opposite = {0};

	opposite.v6 = flow->v6;
	opposite.local = flow->remote;
	opposite.remote = flow->local;
	opposite.local_port = flow->remote_port;
	opposite.remote_port = flow->local_port;
	return bsearch(&opposite, files->tcp_flows, files->n_tcp_flows, sizeof(opposite),
		       compare_flows) != NULL;
}

bool tcp_peer_in_tree(const struct collect *c, const Coppice__TcpSocket *socket)
{
	struct hold_flow flow;

	if (!socket->remote || c->files->n_tcp_flows == 0)
		return false;
	flow = tcp_flow(socket);
	return has_opposite(c, &flow);
}

int tcp_hold_collect(struct collect *c)
{
	struct collect_files *files = c->files;
	struct hold_flow *held;
	size_t n = 0;
	int r;

	if (files->tcp_flows)
		return 0;
	r = gather(c);
	if (r >= 0)
		r = tcp_signed_collect(c);
	if (r < 0 || c->stubs || files->n_tcp_flows == 0)
		return r; /* of a restored tree they are held back already */
	held = arena_new_n(c->arena, struct hold_flow, files->n_tcp_flows);
	if (!held)
		return err_oom(c->ctx);
	for (size_t i = 0; i < files->n_tcp_flows; i++)
		if ((c->opt.tcp_established && !c->opt.tcp_close) ||
		    has_opposite(c, &files->tcp_flows[i]))
			held[n++] = files->tcp_flows[i];
	return n == 0 ? 0 : hold_begin(c->ctx, held, n, &c->hold_fd, &files->hold);
}

static int disarm_files(struct collect *c)
{
	struct collect_files *files = c->files;

	for (size_t i = 0; i < files->n_nodes; i++) {
		struct file_node *node = files->nodes[i];
		int r = node->kind->disarm ? node->kind->disarm(c, &node->probe, node->msg) : 0;

		if (r < 0)
			return err_while(c->ctx, r, "disarming fd %d (%s) of %s",
					 node->probe.number, node->probe.link,
					 collect_name(c, node->probe.process));
	}
	return 0;
}

static bool has_connections(const struct collect_files *files)
{
	for (size_t i = 0; i < files->n_nodes; i++)
		if (files->nodes[i]->msg->kind_case == COPPICE__FILE__KIND_TCP &&
		    tcp_has_peer(files->nodes[i]->msg->tcp))
			return true;
	return false;
}

int files_disarm(struct collect *c)
{
	const struct collect_process *root = &c->processes[0];
	struct hold *hold = c->files ? c->files->hold : NULL;
	int r = 0;

	/* Those that have ended before they were read need nobody's restore to let them through. */
	if (hold && has_connections(c->files))
		r = hold_keep(c->ctx, hold, root->pid, root->stat.start_time);
	return r < 0 || !c->files ? r : disarm_files(c);
}

const char *files_hold_id(const struct collect *c)
{
	return c->files && c->files->hold ? hold_id(c->files->hold) : NULL;
}

void files_unhold(struct collect *c)
{
	if (!c->files)
		return;
	hold_end(c->files->hold);
	c->files->hold = NULL;
}

/* ---- restore ------------------------------------------------------------------------------- */

int tcp_hold_rebuild(struct rebuild *r)
{
	struct rebuild_file_state *state = rebuild_file_state_get(r);
	struct hold_flow *flows;
	size_t n = 0;

	if (!state)
		return err_oom(r->ctx);
	if (state->hold)
		return 0;
	flows = arena_new_n(r->arena, struct hold_flow, r->n_files);
	if (!flows)
		return err_oom(r->ctx);
	for (size_t i = 0; i < r->n_files; i++) {
		const Coppice__File *msg = r->files[i].msg;

		if (msg->kind_case == COPPICE__FILE__KIND_TCP && tcp_has_peer(msg->tcp))
			flows[n++] = tcp_flow(msg->tcp);
	}
	return n == 0 ? 0 : hold_begin(r->ctx, flows, n, &r->hold_fd, &state->hold);
}

int rebuild_files_forget_held(struct rebuild *r)
{
	struct hold *hold = r->file_state ? r->file_state->hold : NULL;
	const char *id = r->cp->origin->hold;

	return hold && id[0] != '\0' ? hold_forget(r->ctx, hold, id) : 0;
}

/*
 * A connection that is not to be is dropped in repair mode: otherwise its remains would go on sending
 * a FIN to a peer that is not meant to know, and stand in the way of another restore.
 */
void rebuild_files_unhold(struct rebuild *r, bool runs)
{
	struct rebuild_file_state *state = r->file_state;

	if (!state)
		return;
	for (size_t i = 0; i < state->n_connections; i++) {
		if (!runs)
			(void)tcp_repair_on(r->ctx,
					    state->connections[i]); /* there is an error already */
		close_guard(&state->connections[i]);
	}
	state->n_connections = 0;
	hold_end(state->hold);
	state->hold = NULL;
}
