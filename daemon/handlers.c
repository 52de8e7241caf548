/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/handlers.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/cleanup.h"
#include "daemon/hello.h"
#include "daemon/linger.h"
#include "daemon/log.h"
#include "daemon/mover.h"
#include "daemon/pages.h"
#include "daemon/reply.h"

static int handle_ping(struct session *session, const void *body,
		       struct tn_packet *reply)
{
	(void)session;
	(void)body;
	(void)reply;
	return 0;
}

static int handle_create(struct session *session, const void *body,
			 struct tn_packet *reply)
{
	struct server *server = session->server;
	const struct peer *peer = &session->peer;
	struct tn_create create;
	struct pool_spec spec;
	int r;

	memcpy(&create, body, sizeof(create));
	spec = (struct pool_spec){
		.bytes = create.bytes,
		.kind = create.kind,
		.policy = create.policy,
		.flags = create.flags,
		.access.uid = peer->uid,
		.access.gid = create.gid == UINT32_MAX ? peer->gid : create.gid,
		.access.mode = create.mode,
		.compact = compact_rule_unpack(create.compact),
	};
	memcpy(spec.name, create.name, sizeof(spec.name));
	if (pool_spec_check(&spec))
		return reply_refuse(reply, -EINVAL);
	if (!policy_may_create(peer, spec.access.gid))
		return reply_refuse(reply, -EACCES);
	r = registry_add(&server->registry, &spec, &server->quota, false,
			 &session->making.pool);
	if (r == REGISTRY_EXISTS)
		return reply_refuse(reply, -EEXIST);
	if (r == REGISTRY_NO_QUOTA)
		return reply_refuse(reply, -EDQUOT);
	if (r < 0 || !(spec.flags & TN_POOL_RESERVE))
		return r < 0 ? r : HANDLER_KEEP;
	session_await(session, session->making.pool, TN_MSG_CREATE,
		      reply_header(reply).id);
	registry_reserve(&server->registry, session->making.pool);
	return HANDLER_LATER;
}

static struct pool *find(struct session *session, const char *name)
{
	return registry_find(&session->server->registry, name);
}

/* Whoever has it open: it is not theirs any more. */
static void take_from_all(struct session *session, struct pool *pool)
{
	pool_revoke(pool);
	reaper_drop(session->server->reaper, &pool->queue);
	tn_list_for_each(link, &pool->attachments) {
		struct attachment *a = tn_list_entry(link, struct attachment,
						     of_pool);

		session_lose(a->owner, a);
	}
}

/* Return: HANDLER_LATER: the reply waits until its memory is given back. What
 * is given back at once is, before this returns. */
static int end_pool(struct session *session, struct pool *pool, uint16_t op,
		    uint32_t id)
{
	bool attached = !tn_list_empty(&pool->attachments), later;

	later = attached ? op == TN_MSG_REVOKE : !pages_few(pool);
	if (later)
		session_await(session, pool, op, id);
	if (op == TN_MSG_REVOKE)
		take_from_all(session, pool);
	keeper_begun(session, op, id, pool->kept.index);
	registry_remove(&session->server->registry, pool);
	keeper_done(session);
	server_changed(session->server);
	return later ? HANDLER_LATER : 0;
}

/* REVOKE too */
static int handle_destroy(struct session *session, const void *body,
			  struct tn_packet *reply)
{
	struct log_about about = session_about(session);
	struct tn_msg msg = reply_header(reply);
	struct tn_by_name by_name;
	struct pool *pool;

	memcpy(&by_name, body, sizeof(by_name));
	pool = find(session, by_name.name);
	if (!pool)
		return reply_refuse(reply, -ENOENT);
	if (!policy_may_destroy(&session->peer, &pool->spec.access))
		return reply_refuse(reply, -EPERM);
	about.pool = by_name.name;
	log_peer(&about, "%s, %u clients have it open",
		 msg.op == TN_MSG_REVOKE ? "revoked" : "destroyed",
		 pool_n_clients(pool));
	return end_pool(session, pool, msg.op, msg.id);
}

/* Somebody asks who is there: those without a connection may be gone. */
static void probe(struct pool *pool)
{
	tn_list_for_each(link, &pool->attachments)
		session_probe(tn_list_entry(link, struct attachment,
					    of_pool)->owner);
}

static int handle_stat(struct session *session, const void *body,
		       struct tn_packet *reply)
{
	struct tn_by_name by_name;
	struct tn_info info;
	struct pool *pool;

	memcpy(&by_name, body, sizeof(by_name));
	pool = find(session, by_name.name);
	if (!pool)
		return reply_refuse(reply, -ENOENT);
	if (!policy_may_see(&session->peer, &pool->spec.access))
		return reply_refuse(reply, -EACCES);
	probe(pool);
	pool_info(pool, &info);
	reply_append(reply, &info, sizeof(info));
	return 0;
}

/* The next pool after @name that the peer may open. */
static struct pool *next_seen(const struct session *session, const char *name)
{
	const struct registry *registry = &session->server->registry;
	struct pool *pool = registry_after(registry, name);

	while (pool && !policy_may_see(&session->peer, &pool->spec.access))
		pool = registry_after(registry, pool->spec.name);
	return pool;
}

static int handle_list(struct session *session, const void *body,
		       struct tn_packet *reply)
{
	struct tn_list_reply list = { 0 };
	struct tn_by_name by_name;
	struct tn_info info;
	struct pool *pool;
	size_t list_off = reply->bytes;

	memcpy(&by_name, body, sizeof(by_name));
	reply_append(reply, &list, sizeof(list));
	for (pool = next_seen(session, by_name.name);
	     pool && list.n < TN_LIST_MAX;
	     pool = next_seen(session, pool->spec.name)) {
		pool_info(pool, &info);
		reply_append(reply, &info, sizeof(info));
		list.n++;
	}
	list.more = pool != NULL;
	memcpy(reply->data + list_off, &list, sizeof(list));
	return 0;
}

/*
 * Descriptors under way count against what tarnd itself may have open, until
 * they are read. So one reply with descriptors at a time: there may be no
 * other while one may lie unread.
 */
static bool fds_unread(struct session *session)
{
	session->fds_unread = session->fds_unread &&
			      linger_unread(session->fd);
	return session->fds_unread;
}

static int may_open(struct session *session, const struct tn_open *open,
		    struct pool *pool)
{
	if (open->role < TN_PRODUCER || open->role > TN_OBSERVER)
		return -EINVAL;
	if (!pool)
		return -ENOENT;
	if (!policy_may_open(&session->peer, &pool->spec.access, open->role))
		return -EACCES;
	/* to look at what is left does no harm */
	if (pool->poisoned && open->role != TN_OBSERVER)
		return -EUCLEAN;
	return fds_unread(session) ? -EBUSY : 0;
}

static int attach(struct session *session, struct pool *pool, uint32_t role,
		  struct tn_packet *reply)
{
	struct attachment *a;
	int r;

	r = attachment_new(&a, pool, &session->peer, &session->server->quota,
			   role, reply->fds);
	if (r)
		return r;
	session_adopt(session, a);
	r = keeper_attachment(session, a);
	if (r < 0) {
		attachment_free(tn_steal_ptr(session->fresh));
		for (int i = 0; i < 3; i++)
			close(reply->fds[i]);
		return r;
	}
	reply->n_fds = 3;
	return 0;
}

static void append_attachment(struct tn_packet *reply,
			      const struct attachment *a)
{
	const struct pool *pool = a->pool;
	const struct tn_open_reply open_reply = {
		.data_bytes = pool->geo.data_bytes,
		.meta_bytes = pool->geo.meta_bytes,
		.control_bytes = pool->geo.control_bytes,
		.mark = pool->mark,
		.kind = pool->spec.kind,
		.policy = pool->spec.policy,
		.flags = pool->spec.flags,
		.role = a->role,
		.client = a->client,
		.attach = a->number,
	};

	reply_append(reply, &open_reply, sizeof(open_reply));
}

static int handle_open(struct session *session, const void *body,
		       struct tn_packet *reply)
{
	struct tn_open open;
	struct pool *pool;
	int r;

	memcpy(&open, body, sizeof(open));
	pool = find(session, open.name);
	r = may_open(session, &open, pool);
	if (r < 0)
		return reply_refuse(reply, r);
	r = attach(session, pool, open.role, reply);
	if (r == ATTACHMENT_NO_QUOTA)
		return reply_refuse(reply, -EDQUOT);
	if (r == ATTACHMENT_FULL)
		return reply_refuse(reply, -EUSERS);
	if (r < 0)
		return r;
	append_attachment(reply, session->fresh);
	return HANDLER_KEEP;
}

static int open_again(struct session *session, struct tn_packet *reply)
{
	uint32_t index = LEDGER_NOTE_THING(session->again);
	int r;

	tn_list_for_each(link, &session->attachments) {
		struct attachment *a = tn_list_entry(link, struct attachment,
						     link);

		if (a->kept.index != index)
			continue;
		r = attachment_fds(a, reply->fds);
		if (r < 0)
			return r;
		reply->n_fds = 3;
		append_attachment(reply, a);
		return 0;
	}
	return reply_refuse(reply, -ENOENT); /* it was ended since */
}

static int handle_leave(struct session *session, const void *body,
			struct tn_packet *reply)
{
	struct attachment *a;
	struct tn_leave leave;

	memcpy(&leave, body, sizeof(leave));
	a = session_attachment(session, leave.attach);
	if (!a && session->again)
		return 0; /* an earlier tarnd saw to that */
	if (!a)
		return reply_refuse(reply, -ENOENT);
	keeper_begun(session, TN_MSG_LEAVE, reply_header(reply).id,
		     a->kept.index);
	session_leave(session, a, reply_header(reply).id);
	return HANDLER_LATER;
}

static int may_audit(struct session *session, struct pool *pool)
{
	if (!pool)
		return -ENOENT;
	if (!policy_may_audit(&session->peer, &pool->spec.access))
		return -EPERM;
	return fds_unread(session) ? -EBUSY : 0;
}

/* The next after @client: an attachment's control file, or tarnd's own. */
static const struct backing *next_control(const struct pool *pool,
					  uint32_t client,
					  struct tn_controls_reply *ret)
{
	const struct attachment *a = attachment_after(pool, client);

	*ret = (struct tn_controls_reply){
		.state = TN_CONTROLS_ALIVE,
		.control_bytes = pool->geo.control_bytes,
	};
	if (client < TN_DAEMON_SLOT && (!a || a->client > TN_DAEMON_SLOT)) {
		ret->client = TN_DAEMON_SLOT;
		ret->more = a != NULL;
		return &pool->self;
	}
	if (!a)
		return NULL;
	ret->client = a->client;
	if (a->ending)
		ret->state = TN_CONTROLS_DEAD;
	ret->more = a->client < TN_DAEMON_SLOT ||
		    attachment_after(pool, a->client);
	return &a->control;
}

static int handle_controls(struct session *session, const void *body,
			   struct tn_packet *reply)
{
	struct tn_controls_reply controls_reply;
	struct tn_controls controls;
	const struct backing *control;
	struct pool *pool;
	int r;

	memcpy(&controls, body, sizeof(controls));
	pool = find(session, controls.name);
	r = may_audit(session, pool);
	if (r < 0)
		return reply_refuse(reply, r);
	probe(pool);
	control = next_control(pool, controls.after, &controls_reply);
	if (!control)
		return reply_refuse(reply, -ESRCH);
	r = backing_reopen(control, false);
	if (r < 0)
		return r;
	reply->fds[0] = r;
	reply->n_fds = 1;
	reply_append(reply, &controls_reply, sizeof(controls_reply));
	return 0;
}

bool handlers_done_before(const struct session *session,
			  const struct tn_msg *msg)
{
	return session->again && LEDGER_NOTE_OP(session->again) == msg->op &&
	       LEDGER_NOTE_ID(session->again) == msg->id;
}

/* HELLO and LEAVE see by themselves what is left to be done. */
static int call_again(struct session *session, const void *body,
		      struct tn_packet *reply)
{
	switch (LEDGER_NOTE_OP(session->again)) {
	case TN_MSG_HELLO:
		return hello_handle(session, body, reply);
	case TN_MSG_LEAVE:
		return handle_leave(session, body, reply);
	case TN_MSG_OPEN:
		return open_again(session, reply);
	default:
		return 0;
	}
}

static int handle_compact(struct session *session, const void *body,
			  struct tn_packet *reply)
{
	struct compact_order order = { .unasked = false };
	struct tn_compact_request request;
	struct tn_compaction status;
	struct pool *pool;
	int r = 0;

	memcpy(&request, body, sizeof(request));
	pool = find(session, request.name);
	if (!pool)
		return reply_refuse(reply, -ENOENT);
	if (!policy_may_open(&session->peer, &pool->spec.access,
			     request.percent ? TN_PRODUCER : TN_OBSERVER))
		return reply_refuse(reply, -EACCES);
	order.percent = request.percent;
	if (request.percent)
		r = compactor_start(session->server, pool, &order);
	if (r < 0)
		return reply_refuse(reply, r);
	compactor_status(pool, &status);
	status.rule = housekeeper_rule(session->server, pool);
	reply_append(reply, &status, sizeof(status));
	return 0;
}

static int handle_move(struct session *session, const void *body,
		       struct tn_packet *reply)
{
	struct tn_move_request move;
	struct attachment *a;
	int r;

	memcpy(&move, body, sizeof(move));
	a = session_attachment(session, move.attach);
	if (!a || a->ending)
		return reply_refuse(reply, -ENOENT);
	if (a->role == TN_OBSERVER)
		return reply_refuse(reply, -EACCES);
	r = mover_move(session, a, &move, reply_header(reply).id);
	return r < 0 ? reply_refuse(reply, r) : HANDLER_LATER;
}

int handlers_call(struct session *session, const struct tn_packet *packet,
		  struct tn_packet *reply)
{
	static int (*const handlers[TN_MSG_N_OPS])(
		struct session *, const void *, struct tn_packet *) = {
		[TN_MSG_HELLO] = hello_handle,
		[TN_MSG_PING] = handle_ping,
		[TN_MSG_CREATE] = handle_create,
		[TN_MSG_DESTROY] = handle_destroy,
		[TN_MSG_STAT] = handle_stat,
		[TN_MSG_LIST] = handle_list,
		[TN_MSG_OPEN] = handle_open,
		[TN_MSG_LEAVE] = handle_leave,
		[TN_MSG_CONTROLS] = handle_controls,
		[TN_MSG_REVOKE] = handle_destroy,
		[TN_MSG_COMPACT] = handle_compact,
		[TN_MSG_MOVE] = handle_move,
	};
	struct tn_msg msg = reply_header(packet);
	int r;

	reply_init(reply, msg.op, msg.id, 0);
	if (handlers_done_before(session, &msg)) {
		r = call_again(session, packet->data + sizeof(msg), reply);
	} else {
		session->again = 0;
		r = handlers[msg.op](session, packet->data + sizeof(msg),
				     reply);
	}
	if (r < 0)
		reply_refuse(reply, 0);
	else
		reply_seal(reply);
	return r;
}
