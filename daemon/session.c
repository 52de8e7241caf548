/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A session: a process, the connection it made, and what it is attached to.
 *
 *	          HELLO               hang-up
 *	  NEW ------------> OPEN ----------------> DETACHED
 *	   |  \               |   attached still     |     |
 *	   |   \ process      | process dead         |     `--> taken over by
 *	   |    `-----------. v                      |          the process's
 *	   |                DEAD <-------------------'          next connection
 *	   | hang-up          |       process dead, or
 *	   v                  v       nothing is mapped
 *	 freed              freed
 *	                       (an OPEN or DETACHED one with nothing attached is
 *	                        freed at its hang-up)
 *
 * A hang-up is: the other side closed or sent an empty packet; a header that
 * cannot be read; descriptors, which no request brings; no HELLO in time, or
 * something else first; an error of the socket. Except for the first, the log
 * tells. Whatever else is wrong with a request is answered, and we go on.
 *
 * A hang-up says nothing about what the process still has mapped: it may have
 * closed all descriptors, or exec'd. So its attachments stay until the kernel
 * says that it is dead (its pidfd becomes readable) or that its live file is
 * mapped no more (live.c), or it LEAVEs them. The live file is asked at the
 * hang-up; then ever more rarely, since exec may come later, and one who reads
 * /proc/PID/maps can keep what is unmapped there for a moment; and when
 * somebody asks who is attached. Only what the process cannot know of, since
 * the reply that would tell it was never sent, is ended at once.
 *
 * In OPEN and DETACHED another connection of the process may take everything
 * over (rejoin.c), and this struct is freed.
 *
 *   I1  one request at a time: while a reply waits for room in the socket, or
 *       a LEAVE for recovery, nothing is read. So at most one reply is held
 *       for a client, however many requests it sends ahead
 *   I2  one request a turn of the loop: nobody is served twice before
 *       everybody was served once
 *   I3  .fd >= 0 in NEW and OPEN, -1 in DETACHED and DEAD
 *   I4  the peer's uid and groups are those at connect, for ever
 *   I5  whoever frees the session returns to the loop without touching it
 *   I6  .timer is: in NEW, until HELLO must have come; in OPEN with .leaving,
 *       until the reply must be sent; in DETACHED, until the next probe
 */
#include "daemon/session.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "daemon/handlers.h"
#include "daemon/live.h"

#define HELLO_SECONDS 5 /* long for any program, short for a held descriptor */
#define LEAVE_SECONDS 1 /* a fifth of what a client waits for a reply */
#define PROBE_SECONDS 1 /* the first time; then twice as long ... */
#define PROBE_DOUBLINGS 6 /* ... up to about a minute */

enum { HANG_UP = 1 }; /* outcome: it is decided and, if need be, logged */

struct log_about session_about(const struct session *session)
{
	return (struct log_about){
		.has_peer = true,
		.pid = session->peer.pid,
		.uid = session->peer.uid,
	};
}

#define complain(session, ...) \
	do { \
		struct log_about about_ = session_about(session); \
		log_peer(&about_, __VA_ARGS__); \
	} while (0)

static void free_event(struct event **event)
{
	if (*event)
		event_free(*event);
	*event = NULL;
}

/* The connection goes, the rest stays. */
static void close_connection(struct session *s)
{
	free_event(&s->readable);
	free_event(&s->writable);
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

void session_free(struct session *s)
{
	if (!s)
		return;
	tn_list_for_each(link, &s->attachments)
		attachment_free(tn_list_entry(link, struct attachment, link));
	close_connection(s);
	free_event(&s->death);
	free_event(&s->timer);
	backing_fini(&s->live);
	peer_fini(&s->peer);
	tn_list_remove(&s->link);
	free(s);
}

static void free_if_idle(struct session *s)
{
	if (s->fd < 0 && tn_list_empty(&s->attachments))
		session_free(s);
}

static void start_timer(struct session *s, time_t seconds)
{
	const struct timeval after = { .tv_sec = seconds };

	evtimer_add(s->timer, &after);
}

/* The process has nothing to do with its attachments any more. */
static void end_all(struct session *s)
{
	s->state = SESSION_DEAD;
	s->fresh = NULL;
	s->leaving = 0;
	close_connection(s);
	tn_list_for_each(link, &s->attachments)
		attachment_end(tn_list_entry(link, struct attachment, link),
			       s->server->reaper);
}

void session_probe(struct session *s)
{
	struct log_about about = session_about(s);

	if (s->state != SESSION_DETACHED || !live_gone(&s->live))
		return;
	log_line(LOG_DEBUG, &about, "lives, but has unmapped its pools");
	end_all(s);
}

/* DETACHED, or DEAD and freed soon. */
static void probe_now_and_then(struct session *s)
{
	session_probe(s);
	if (s->state != SESSION_DETACHED || s->live.fd < 0)
		return;
	start_timer(s, PROBE_SECONDS << s->probes);
	if (s->probes < PROBE_DOUBLINGS)
		s->probes++;
}

static void hang_up(struct session *s)
{
	close_connection(s);
	if (s->fresh)
		attachment_end(s->fresh, s->server->reaper);
	s->fresh = NULL;
	if (s->state != SESSION_DEAD) {
		s->state = SESSION_DETACHED;
		probe_now_and_then(s);
	}
	free_if_idle(s);
}

/* I1 */
static void update_reading(struct session *s)
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

static void reply_to_leave(struct session *s)
{
	int r;

	s->leaving = 0;
	evtimer_del(s->timer);
	r = answer(s, TN_MSG_LEAVE, s->leave_id, 0);
	if (r < 0)
		hang_up(s);
	else
		update_reading(s);
}

static int call_handler(struct session *s, const struct tn_packet *packet,
			const struct tn_msg *msg)
{
	struct tn_packet reply;
	int called = handlers_call(s, packet, &reply), r;

	if (called == HANDLER_LATER)
		return 0;
	if (called < 0) {
		complain(s, "request %u: %s", (unsigned)msg->op,
			 strerror(-called));
		return answer(s, msg->op, msg->id, called);
	}
	r = send_reply(s, &reply);
	if (r < 0)
		return r;
	if (called == HANDLER_CLOSE) {
		complain(s, "hung up: versions have nothing in common");
		return HANG_UP;
	}
	if (msg->op == TN_MSG_HELLO) {
		s->state = SESSION_OPEN;
		evtimer_del(s->timer);
	}
	return 0;
}

static int serve(struct session *s, const struct tn_packet *packet)
{
	struct tn_msg msg;
	int wrong = tn_wire_check_request(packet->data, packet->bytes), r;

	if (packet->fds_cut) {
		complain(s, "hung up: it sent descriptors");
		return HANG_UP;
	}
	if (wrong == -EBADMSG) {
		complain(s, "hung up: %zu bytes that are no message",
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
	complain(s, "hung up: no HELLO, but request %u", (unsigned)msg.op);
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
		complain(s, "hung up: %s", strerror(-r));
	if (r)
		hang_up(s);
	else
		update_reading(s);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct session *s = arg;
	tn_cleanup(tn_freep) struct tn_packet *reply = tn_steal_ptr(s->unsent);
	int r = send_reply(s, reply);

	(void)fd;
	(void)what;
	if (r < 0)
		hang_up(s);
	else
		update_reading(s);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct session *s = arg;

	(void)fd;
	(void)what;
	if (s->state == SESSION_DETACHED) {
		probe_now_and_then(s);
	} else if (s->state == SESSION_NEW) {
		complain(s, "hung up: no HELLO in %d s", HELLO_SECONDS);
		hang_up(s);
	} else if (s->leaving) {
		reply_to_leave(s); /* recovery goes on all the same */
	}
}

static void on_death(evutil_socket_t fd, short what, void *arg)
{
	struct session *s = arg;

	(void)fd;
	(void)what;
	end_all(s);
	free_if_idle(s);
}

/* Recovery of an attachment is complete, and nothing of it is left. */
static void on_gone(void *owner, uint32_t number)
{
	struct session *s = owner;

	server_changed(s->server);
	if (s->leaving == number && s->fd >= 0)
		reply_to_leave(s);
	else
		free_if_idle(s);
}

/* Numbers are not used again, but that there are only so many of them. */
static uint32_t next_number(struct session *s)
{
	do
		s->last_number++;
	while (!s->last_number || session_attachment(s, s->last_number));
	return s->last_number;
}

void session_adopt(struct session *s, struct attachment *a)
{
	a->number = next_number(s);
	a->owner = s;
	a->gone = on_gone;
	tn_list_append(&s->attachments, &a->link);
	s->fresh = a;
	server_changed(s->server);
}

struct attachment *session_attachment(struct session *s, uint32_t number)
{
	tn_list_for_each(link, &s->attachments) {
		struct attachment *a = tn_list_entry(link, struct attachment,
						     link);

		if (a->number == number)
			return a;
	}
	return NULL;
}

int session_begin(struct session *s, int *ret_fd)
{
	int r, fd;

	if (getrandom(&s->secret, sizeof(s->secret), 0) != sizeof(s->secret))
		return tn_neg_errno();
	r = live_init(&s->live);
	if (r < 0)
		return r;
	fd = backing_reopen(&s->live, true);
	if (fd < 0) {
		backing_fini(&s->live);
		return fd;
	}
	if (!++s->server->last_session)
		s->server->last_session++;
	s->id = s->server->last_session;
	*ret_fd = fd;
	return 0;
}

void session_leave(struct session *s, struct attachment *a, uint32_t id)
{
	s->leaving = a->number;
	s->leave_id = id;
	start_timer(s, LEAVE_SECONDS);
	attachment_end(a, s->server->reaper);
}

/*
 * Too many connections of this user. It hears so as the answer to its HELLO,
 * sent already or not: nothing more can be sent to us, what was is read, and
 * so the answer is not lost in a reset.
 */
static void refuse(struct session *s)
{
	struct tn_packet packet, reply;
	struct tn_msg msg = { .id = 0 };

	shutdown(s->fd, SHUT_RD);
	if (tn_packet_recv(s->fd, &packet, 0) > 0 &&
	    tn_wire_check_request(packet.data, packet.bytes) == 0)
		memcpy(&msg, packet.data, sizeof(msg));
	handlers_reply(&reply, TN_MSG_HELLO, msg.id, -EDQUOT);
	tn_packet_send(s->fd, reply.data, reply.bytes, NULL, 0);
	complain(s, "refused: its user has too many connections");
}

static int make_events(struct session *s)
{
	struct event_base *base = s->server->base;

	s->readable = event_new(base, s->fd, EV_READ | EV_PERSIST, on_readable,
				s);
	s->writable = event_new(base, s->fd, EV_WRITE, on_writable, s);
	s->timer = evtimer_new(base, on_timer, s);
	s->death = event_new(base, s->peer.pidfd, EV_READ, on_death, s);
	if (!s->readable || !s->writable || !s->timer || !s->death ||
	    event_add(s->readable, NULL) < 0 || event_add(s->death, NULL) < 0)
		return -ENOMEM;
	start_timer(s, HELLO_SECONDS);
	return 0;
}

static int session_init(struct session *s)
{
	int r = peer_init(&s->peer, s->fd, false);

	if (r == PEER_GONE)
		return HANG_UP;
	if (r < 0)
		return r;
	r = quota_charge(&s->server->quota, &s->charge, s->peer.uid,
			 QUOTA_CONNECTIONS, 1, false);
	if (r == QUOTA_EXCEEDED) {
		refuse(s);
		return HANG_UP;
	}
	return r < 0 ? r : make_events(s);
}

void session_new(struct server *server, int fd)
{
	struct session *s = calloc(1, sizeof(*s));
	int r;

	if (!s) {
		close(fd);
		return;
	}
	s->server = server;
	s->state = SESSION_NEW;
	s->fd = fd;
	s->peer = (struct peer)PEER_NONE;
	s->live = (struct backing)BACKING_NONE;
	tn_list_init(&s->attachments);
	tn_list_append(&server->sessions, &s->link);
	server->n_sessions++;
	r = session_init(s);
	if (r < 0)
		log_error("a connection is lost: %s", strerror(-r));
	if (r)
		session_free(s);
	else
		server_changed(server);
}
