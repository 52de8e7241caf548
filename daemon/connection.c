/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The connection of a session: packets in, replies out.
 *
 * A hang-up is: the other side closed or sent an empty packet; a header that
 * cannot be read; descriptors, which no request brings; no HELLO in time, or
 * something else first; an error of the socket. Except for the first, the log
 * tells. Whatever else is wrong with a request is answered, and we go on.
 *
 *   I1  one request at a time: while a reply waits for room in the socket, a
 *       LEAVE for recovery or a MOVE for its turn, nothing is read. So at most
 *       one reply is held for a client, however many requests it sends ahead
 *   I2  one request a turn of the session, and a turn of the session in turn
 *       with others of its user, and the user with others (turns.c)
 *   I3  the descriptors in a reply are the connection's from the handler's
 *       return on, whatever becomes of it
 *   I4  a request stays in the socket until its reply is sent: it is looked
 *       at, and taken out then. So if tarnd dies, the next one finds it, and
 *       what is known of it in the session's note (making.c). A reply may thus
 *       be sent twice, one that was refused, too
 *
 * The events are edge-triggered: a session has something to read from the
 * edge until poll() tells that there is nothing, so nothing need be said to
 * the kernel from request to request, and one that is not read costs no
 * wake-ups. Behind an edge there is no second one for the same packet, nor for
 * the end: that recv() finds nothing is believed only if poll() says so, too.
 *
 *	edge -> due -> peek -> a packet  -> ... reply, skip; poll -> nothing
 *	                 |                                     `---> due still
 *	                 `---> -EAGAIN -> poll -> nothing: not due
 *	                                    `---> peek -> -EAGAIN: hang up
 *
 * poll() is asked after each reply, where else peek would be; so the usual way
 * of one request at a time takes as many system calls as if recv() were
 * believed. A socket that has something and twice does not give it is out of
 * order, like one that returns an error; it must not keep us busy.
 */
#include "daemon/connection.h"

#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "daemon/handlers.h"
#include "daemon/linger.h"
#include "daemon/making.h"
#include "daemon/mover.h"
#include "daemon/reply.h"

enum { HANG_UP = 1 }; /* outcome: it is decided and, if need be, logged */

static void drop_event(struct event **event)
{
	if (*event)
		event_free(*event);
	*event = NULL;
}

void connection_close(struct session *s)
{
	drop_event(&s->readable);
	drop_event(&s->writable);
	if (s->timer)
		evtimer_del(s->timer);
	session_not_due(s, ~(unsigned)SESSION_DUE_DEATH);
	session_forget_awaited(s);
	s->awaited_op = 0;
	mover_forget(s);
	if (s->unsent)
		tn_packet_close(s->unsent);
	tn_freep(&s->unsent);
	if (s->making.waiting) {
		store_forget(&s->making.wait);
		s->making.waiting = false;
		making_undo(s);
	}
	if (s->fd < 0)
		return;
	keeper_connection_gone(s);
	if (s->fds_unread && linger_unread(s->fd))
		linger_add(&s->server->lingerers, &s->fd, &s->charge,
			   &s->fds_charge);
	tn_closep(&s->fd);
	quota_refund(&s->charge);
	quota_refund(&s->fds_charge);
	s->server->n_sessions--;
	server_changed(s->server);
}

/* Returns 0 or -ENOMEM; then the descriptors are closed. */
static int hold(struct session *s, struct tn_packet *reply)
{
	s->unsent = malloc(sizeof(*s->unsent));
	if (s->unsent)
		*s->unsent = *reply;
	else
		tn_packet_close(reply);
	return s->unsent ? 0 : -ENOMEM;
}

/* Is there a packet, or the end? Below 0: it cannot be told. */
static int has_more(const struct session *s)
{
	struct pollfd pfd = { .fd = s->fd, .events = POLLIN };

	return poll(&pfd, 1, 0);
}

/* The next look need not be made if it would find nothing. */
static void skip_request(struct session *s)
{
	tn_packet_skip(s->fd);
	if (has_more(s) == 0)
		session_not_due(s, SESSION_DUE_READ);
}

/*
 * Returns 0 (it is on its way, or held until there is room) or -errno. Takes
 * over the descriptors. A second reply, to what an earlier tarnd had answered,
 * may lie there until the client comes by it, and must not stop the next.
 */
static int send_reply(struct session *s, struct tn_packet *reply)
{
	int r = tn_packet_send(s->fd, reply->data, reply->bytes, reply->fds,
			       reply->n_fds);

	if (r == -EAGAIN) {
		r = hold(s, reply);
		if (r == 0 && event_add(s->writable, NULL) < 0)
			r = -ENOMEM;
		return r;
	}
	if (r == 0) {
		skip_request(s);
		s->fds_unread = s->fds_unread || (reply->n_fds && !s->again);
		s->fresh = NULL;
		s->again = 0;
	}
	tn_packet_close(reply);
	return r;
}

static int answer(struct session *s, uint16_t op, uint32_t id, int status)
{
	struct tn_packet reply;

	reply_init(&reply, op, id, status);
	return send_reply(s, &reply);
}

void connection_answer(struct session *s, uint16_t op, uint32_t id, int status)
{
	if (answer(s, op, id, status) < 0)
		session_hang_up(s);
	else
		session_due(s, 0); /* what waited for that */
}

/* What was made is kept, or is not. Takes over the reply. */
static int made(struct session *s, int kept, struct tn_packet *reply)
{
	if (kept == 0 && making_lost(s))
		kept = -ENOENT;
	if (kept == 0)
		return making_finish(s) ? send_reply(s, reply) : HANG_UP;
	tn_packet_close(reply);
	making_undo(s);
	session_complain(s, "request %u: not to be kept: %s",
			 (unsigned)s->making.op, strerror(-kept));
	return answer(s, s->making.op, s->making.id, kept);
}

static void on_made(struct store_wait *wait, int kept)
{
	struct session *s = tn_list_entry(wait, struct session, making.wait);
	tn_cleanup(tn_freep) struct tn_packet *reply = tn_steal_ptr(s->unsent);

	s->making.waiting = false;
	if (made(s, kept, reply))
		session_hang_up(s);
	else
		session_due(s, 0);
}

static int keep(struct session *s, const struct tn_msg *msg,
		struct tn_packet *reply)
{
	struct making *m = &s->making;
	int r;

	m->op = msg->op;
	m->id = msg->id;
	m->wait.done = on_made;
	r = store_confirm(&s->server->keeper.store, &m->wait);
	if (r <= 0)
		return made(s, r, reply);
	m->waiting = true;
	return hold(s, reply);
}

void connection_keep(struct session *s, uint16_t op, uint32_t id)
{
	const struct tn_msg msg = { .op = op, .id = id };
	struct tn_packet reply;

	reply_init(&reply, op, id, 0);
	if (keep(s, &msg, &reply))
		session_hang_up(s);
	else
		session_due(s, 0);
}

static int call_handler(struct session *s, const struct tn_packet *packet,
			const struct tn_msg *msg)
{
	struct tn_packet reply;
	int called = handlers_call(s, packet, &reply), r;

	if (called == HANDLER_LATER)
		return 0;
	if (called == HANDLER_KEEP)
		return keep(s, msg, &reply);
	if (called < 0) {
		session_complain(s, "request %u: %s", (unsigned)msg->op,
				 strerror(-called));
		return answer(s, msg->op, msg->id, called);
	}
	r = send_reply(s, &reply);
	if (r < 0)
		return r;
	if (called == HANDLER_CLOSE) {
		session_complain(s, "hung up: versions have nothing in common");
		return HANG_UP;
	}
	return 0;
}

/* Is it HELLO's turn? It may be one that an earlier tarnd has carried out. */
static bool fits_state(const struct session *s, const struct tn_msg *msg)
{
	return (msg->op == TN_MSG_HELLO) == (s->state == SESSION_NEW) ||
	       handlers_done_before(s, msg);
}

static int serve(struct session *s, const struct tn_packet *packet)
{
	struct tn_msg msg;
	int wrong = tn_wire_check_request(packet->data, packet->bytes), r;

	if (packet->fds_cut) {
		session_complain(s, "hung up: it sent descriptors");
		return HANG_UP;
	}
	if (wrong == -EBADMSG) {
		session_complain(s, "hung up: %zu bytes that are no message",
				 packet->bytes);
		return HANG_UP;
	}
	memcpy(&msg, packet->data, sizeof(msg));
	if (!wrong && (packet->cut || !fits_state(s, &msg)))
		wrong = -EPROTO;
	if (!wrong)
		return call_handler(s, packet, &msg);
	r = answer(s, msg.op, msg.id, wrong);
	if (r < 0 || s->state != SESSION_NEW)
		return r;
	session_complain(s, "hung up: no HELLO, but request %u",
			 (unsigned)msg.op);
	return HANG_UP;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	session_due(arg, SESSION_DUE_READ);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	session_due(arg, SESSION_DUE_WRITE);
}

void connection_read(struct session *s)
{
	struct tn_packet packet;
	int r = tn_packet_peek(s->fd, &packet);

	if (r == -EAGAIN && has_more(s) <= 0) {
		session_not_due(s, SESSION_DUE_READ);
		return;
	}
	if (r == -EAGAIN)
		r = tn_packet_peek(s->fd, &packet);
	if (r == 0)
		r = HANG_UP; /* the end, or an empty packet */
	else if (r > 0)
		r = serve(s, &packet);
	if (r < 0)
		session_complain(s, "hung up: %s", strerror(-r));
	if (r)
		session_hang_up(s);
	else
		session_due(s, 0); /* or not, if now a reply waits */
}

void connection_write(struct session *s)
{
	tn_cleanup(tn_freep) struct tn_packet *reply = NULL;

	if (!s->unsent || s->making.waiting)
		return;
	reply = tn_steal_ptr(s->unsent);
	if (send_reply(s, reply) < 0)
		session_hang_up(s);
	else
		session_due(s, 0);
}

/*
 * Too many connections of this user. It hears so as the answer to its HELLO,
 * sent already or not: nothing more can be sent to us, what was is read, and
 * so the answer is not lost in a reset.
 */
void connection_refuse(struct session *s)
{
	struct tn_packet packet, reply;
	struct tn_msg msg = { .id = 0 };

	shutdown(s->fd, SHUT_RD);
	if (tn_packet_recv(s->fd, &packet, 0) > 0 &&
	    tn_wire_check_request(packet.data, packet.bytes) == 0)
		memcpy(&msg, packet.data, sizeof(msg));
	reply_init(&reply, TN_MSG_HELLO, msg.id, -EDQUOT);
	tn_packet_send(s->fd, reply.data, reply.bytes, NULL, 0);
	session_complain(s, "refused: its user has too many connections, or "
			 "they take too many descriptors");
}

int connection_open(struct session *s)
{
	struct event_base *base = s->server->base;

	s->readable = event_new(base, s->fd, EV_READ | EV_ET | EV_PERSIST,
				on_readable, s);
	s->writable = event_new(base, s->fd, EV_WRITE | EV_ET, on_writable, s);
	if (!s->readable || !s->writable || event_add(s->readable, NULL) < 0)
		return -ENOMEM;
	return 0;
}

bool connection_check(int fd)
{
	int type, domain, listens;
	socklen_t bytes = sizeof(int);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &bytes) == 0 &&
	       getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &bytes) == 0 &&
	       getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens,
			  &bytes) == 0 &&
	       type == SOCK_SEQPACKET && domain == AF_UNIX && !listens;
}
