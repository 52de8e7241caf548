/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The connection of a session: packets in, replies out.
 *
 * A hang-up is: the other side closed or sent an empty packet; a header that
 * cannot be read; descriptors, which no request brings; no HELLO in time, or
 * something else first; an error of the socket. Except for the first, the log
 * tells. Whatever else is wrong with a request is answered, and we go on.
 *
 *   I1  one request at a time: while a reply waits for room in the socket, or
 *       a LEAVE for recovery, nothing is read. So at most one reply is held
 *       for a client, however many requests it sends ahead
 *   I2  one request a turn of the loop: nobody is served twice before
 *       everybody was served once
 *   I3  the descriptors in a reply are the connection's from the handler's
 *       return on, whatever becomes of it
 */
#include "daemon/connection.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "daemon/handlers.h"

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
	if (s->unsent)
		tn_packet_close(s->unsent);
	tn_freep(&s->unsent);
	if (s->fd < 0)
		return;
	tn_closep(&s->fd);
	quota_refund(&s->charge);
	s->server->n_sessions--;
	server_changed(s->server);
}

/* I1 */
static void go_on(struct session *s)
{
	if (s->unsent || s->leaving)
		event_del(s->readable);
	else
		event_add(s->readable, NULL);
}

/* Returns 0 (it is on its way, or held until there is room) or -errno. Takes
 * over the descriptors. */
static int send_reply(struct session *s, struct tn_packet *reply)
{
	int r = tn_packet_send(s->fd, reply->data, reply->bytes, reply->fds,
			       reply->n_fds);

	if (r == -EAGAIN) {
		s->unsent = malloc(sizeof(*s->unsent));
		if (s->unsent) {
			*s->unsent = *reply;
			event_add(s->writable, NULL);
			return 0;
		}
		r = -ENOMEM;
	}
	if (r == 0) {
		s->fds_unread = s->fds_unread || reply->n_fds;
		s->fresh = NULL;
	}
	tn_packet_close(reply);
	return r;
}

static int answer(struct session *s, uint16_t op, uint32_t id, int status)
{
	struct tn_packet reply;

	handlers_reply(&reply, op, id, status);
	return send_reply(s, &reply);
}

void connection_answer(struct session *s, uint16_t op, uint32_t id, int status)
{
	if (answer(s, op, id, status) < 0)
		session_hang_up(s);
	else
		go_on(s);
}

static int call_handler(struct session *s, const struct tn_packet *packet,
			const struct tn_msg *msg)
{
	struct tn_packet reply;
	int called = handlers_call(s, packet, &reply), r;

	if (called == HANDLER_LATER)
		return 0;
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
	if (msg->op == TN_MSG_HELLO)
		session_opened(s);
	return 0;
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
	if (!wrong && (packet->cut ||
		       (msg.op == TN_MSG_HELLO) != (s->state == SESSION_NEW)))
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
	struct session *s = arg;
	struct tn_packet packet;
	int r = tn_packet_recv(s->fd, &packet, 0);

	(void)fd;
	(void)what;
	if (r == -EAGAIN)
		return;
	if (r == 0)
		r = HANG_UP; /* the end, or an empty packet */
	else if (r > 0)
		r = serve(s, &packet);
	if (r < 0)
		session_complain(s, "hung up: %s", strerror(-r));
	if (r)
		session_hang_up(s);
	else
		go_on(s);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct session *s = arg;
	tn_cleanup(tn_freep) struct tn_packet *reply = tn_steal_ptr(s->unsent);
	int r = send_reply(s, reply);

	(void)fd;
	(void)what;
	if (r < 0)
		session_hang_up(s);
	else
		go_on(s);
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
	handlers_reply(&reply, TN_MSG_HELLO, msg.id, -EDQUOT);
	tn_packet_send(s->fd, reply.data, reply.bytes, NULL, 0);
	session_complain(s, "refused: its user has too many connections");
}

int connection_open(struct session *s)
{
	struct event_base *base = s->server->base;

	s->readable = event_new(base, s->fd, EV_READ | EV_PERSIST, on_readable,
				s);
	s->writable = event_new(base, s->fd, EV_WRITE, on_writable, s);
	if (!s->readable || !s->writable || event_add(s->readable, NULL) < 0)
		return -ENOMEM;
	return 0;
}
