/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * HELLO, CREATE and OPEN make something that must outlive tarnd. They do so in
 * three steps, in the order of keeper.c:
 *
 *	handler   makes it, puts its descriptors into the store, and a reply
 *	          beside it; the request still lies in the socket
 *	          -- the manager looks --
 *	finish    notes: begun; writes the record; notes: done
 *	          -- reply is sent, request is taken out of the socket --
 *
 * Killed before the record is written: a new tarnd drops what is in the store
 * without one, and does the request, which it finds in the socket. After that:
 * it finds the record and the note of the same request, and answers again
 * (handlers_again()); the client lets a second reply to one request pass. The
 * note is not taken back: a client's next request has another id.
 *
 * A client that goes away meanwhile leaves something that nobody knows of, and
 * it is undone. A pool that is revoked meanwhile takes the attachment along:
 * the client is told what it would be told now, that there is no such pool.
 */
#include "daemon/making.h"

#include "base/cleanup.h"
#include "daemon/rejoin.h"

static void finish_create(struct session *s)
{
	struct pool *pool = s->making.pool;
	struct log_about about = session_about(s);

	keeper_begun(s, TN_MSG_CREATE, s->making.id, pool->kept.index);
	registry_show(pool);
	keeper_done(s);
	about.pool = pool->spec.name;
	log_peer(&about, "created, %llu bytes",
		 (unsigned long long)pool->spec.bytes);
	server_changed(s->server);
}

static void finish_open(struct session *s)
{
	keeper_begun(s, TN_MSG_OPEN, s->making.id, s->fresh->kept.index);
	keeper_attachment_there(s, s->fresh);
	keeper_done(s);
}

static bool finish_hello(struct session *s)
{
	if (s->making.rejoin && !rejoin(s, &s->making.hello, s->making.id))
		return false;
	if (!s->making.rejoin)
		keeper_session_there(s, s->making.id);
	session_opened(s);
	return true;
}

bool making_lost(const struct session *s)
{ return s->making.op == TN_MSG_OPEN && !s->fresh; }

bool making_finish(struct session *s)
{
	switch (s->making.op) {
	case TN_MSG_CREATE:
		finish_create(s);
		return true;
	case TN_MSG_OPEN:
		finish_open(s);
		return true;
	default:
		return finish_hello(s);
	}
}

static void undo_hello(struct session *s)
{
	keeper_session_gone(s);
	backing_fini(&s->live);
	s->id = 0;
	s->secret = 0;
}

void making_undo(struct session *s)
{
	switch (s->making.op) {
	case TN_MSG_CREATE:
		registry_remove(&s->server->registry, s->making.pool);
		break;
	case TN_MSG_OPEN:
		attachment_free(tn_steal_ptr(s->fresh));
		break;
	default:
		undo_hello(s);
	}
}
