/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/hello.h"

#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "daemon/handlers.h"
#include "daemon/making.h"
#include "daemon/rejoin.h"
#include "daemon/reply.h"

static void name_session(struct tn_hello_reply *hello_reply,
			 const struct session *session)
{
	hello_reply->features |= TN_FEATURE_SESSION;
	hello_reply->session = session->id;
	hello_reply->secret = session->secret;
}

/* The earlier session, once all is kept, or a new one. */
static int choose_session(struct session *session, const struct tn_hello *hello,
			  struct tn_hello_reply *hello_reply,
			  struct tn_packet *reply)
{
	struct keeper *keeper = &session->server->keeper;
	struct session *old = NULL;
	int r;

	if (hello->session)
		old = rejoin_find(session, hello);
	if (old) {
		session->making.rejoin = true;
		session->making.hello = *hello;
		hello_reply->flags = TN_HELLO_REJOINED;
		name_session(hello_reply, old);
		return keeper_connection(keeper, session);
	}
	r = session_begin(session, &reply->fds[0]);
	if (r < 0)
		return r;
	reply->n_fds = 1;
	name_session(hello_reply, session);
	return keeper_session(keeper, session);
}

/* Said before, and answered before, perhaps. */
static int hello_again(struct session *session,
		       struct tn_hello_reply *hello_reply,
		       struct tn_packet *reply)
{
	if (!session->id)
		return 0;
	name_session(hello_reply, session);
	if (LEDGER_NOTE_THING(session->again)) {
		hello_reply->flags = TN_HELLO_REJOINED;
		return 0;
	}
	reply->fds[0] = backing_reopen(&session->live, true);
	if (reply->fds[0] < 0)
		return reply->fds[0];
	reply->n_fds = 1;
	return 0;
}

static int begin_session(struct session *session, const struct tn_hello *hello,
			 struct tn_hello_reply *hello_reply,
			 struct tn_packet *reply)
{
	session->making.rejoin = false;
	if (hello->features & TN_FEATURE_SESSION)
		return choose_session(session, hello, hello_reply, reply);
	return keeper_session(&session->server->keeper, session);
}

int hello_handle(struct session *session, const void *body,
		 struct tn_packet *reply)
{
	struct tn_hello_reply hello_reply = { .layout_major = TN_LAYOUT_MAJOR };
	struct tn_hello hello;
	bool again;
	int r;

	memcpy(&hello, body, sizeof(hello));
	if (hello.max_version < TN_WIRE_MIN_VERSION ||
	    hello.min_version > TN_WIRE_VERSION) {
		reply_refuse(reply, -EPROTONOSUPPORT);
		return HANDLER_CLOSE;
	}
	hello_reply.version = (uint16_t)tn_min64(hello.max_version,
						 TN_WIRE_VERSION);
	hello_reply.features = hello.features & TN_FEATURE_MOVE;
	again = session->state != SESSION_NEW;
	r = again ? hello_again(session, &hello_reply, reply) :
	    begin_session(session, &hello, &hello_reply, reply);
	if (r < 0 && !again) {
		session->making.op = TN_MSG_HELLO;
		making_undo(session);
	}
	if (r < 0)
		return r;
	reply_append(reply, &hello_reply, sizeof(hello_reply));
	return again ? 0 : HANDLER_KEEP;
}
