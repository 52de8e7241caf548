/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How a session begins.
 *
 *	accept     who is it, and is there room for him: all wait for this, so
 *	           it is little
 *	complete   in its user's turn: his pidfd, the events, the wait for
 *	           HELLO; or, if there was no room, to tell him so; or nothing,
 *	           if he is gone by then
 *	restore    both, for one that was in the descriptor store: it is charged
 *	           whatever the limits say by now, for it is there
 *
 * Those to be told are not charged, so there are at most REFUSED_MAX of them.
 * If there are more, their connections are closed without a word, at once.
 */
#include "daemon/birth.h"

#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/connection.h"

#define CONNECTION_FDS 4 /* the socket, and up to three under way in it */
#define SESSION_FDS 2 /* pidfd, live file */
#define REFUSED_MAX 16 /* some two rounds of accept(); of all users together */

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	session_due(arg, SESSION_DUE_TIMER);
}

static void on_death(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	session_due(arg, SESSION_DUE_DEATH);
}

static int make_events(struct session *s)
{
	struct event_base *base = s->server->base;

	s->timer = evtimer_new(base, on_timer, s);
	s->death = event_new(base, s->peer.pidfd, EV_READ, on_death, s);
	if (!s->timer || !s->death || event_add(s->death, NULL) < 0)
		return -ENOMEM;
	session_start_timer(s, BIRTH_HELLO_SECONDS);
	return connection_open(s);
}

/* by a connection */

/* Return: 0, QUOTA_EXCEEDED or -ENOMEM */
static int charge(struct session *s, bool force)
{
	struct quota *quota = &s->server->quota;
	uid_t uid = s->peer.uid;
	int r = 0;

	if (s->fd >= 0)
		r = quota_charge(quota, &s->charge, uid, QUOTA_CONNECTIONS, 1,
				 force);
	if (r == 0 && s->fd >= 0)
		r = quota_charge(quota, &s->fds_charge, uid, QUOTA_DESCRIPTORS,
				 CONNECTION_FDS, force);
	if (r == 0)
		r = quota_charge(quota, &s->own_fds_charge, uid,
				 QUOTA_DESCRIPTORS, SESSION_FDS, force);
	return r;
}

static int session_init(struct session *s)
{
	struct server *server = s->server;
	int r = peer_uid(s->fd, &s->peer);

	if (r == 0)
		r = charge(s, false);
	if (r == QUOTA_EXCEEDED && server->n_refused < REFUSED_MAX) {
		server->n_refused++;
		s->refused = true;
		return 0;
	}
	if (r < 0)
		session_complain(s, "a connection is lost: %s", strerror(-r));
	return r;
}

static struct session *make_struct(struct server *server, int fd)
{
	struct session *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->server = server;
	s->state = SESSION_NEW;
	s->fd = fd;
	s->peer = (struct peer)PEER_NONE;
	s->live = (struct backing)BACKING_NONE;
	fair_item_init(&s->turn);
	tn_list_init(&s->attachments);
	tn_list_append(&server->sessions, &s->link);
	if (fd >= 0)
		server->n_sessions++;
	return s;
}

void birth_accept(struct server *server, int fd)
{
	struct session *s = make_struct(server, fd);

	if (!s) {
		close(fd);
		return;
	}
	if (session_init(s))
		session_free(s);
	else
		session_due(s, SESSION_DUE_OPEN);
	server_changed(server);
}

/* Both ways, or closed. */
static bool hung_up(int fd)
{
	struct pollfd pfd = { .fd = fd };

	return poll(&pfd, 1, 0) > 0;
}

static void refuse(struct session *s)
{
	s->server->n_refused--;
	connection_refuse(s);
	session_free(s);
}

void birth_complete(struct session *s)
{
	int r = PEER_GONE;

	if (s->refused) {
		refuse(s);
		return;
	}
	if (!hung_up(s->fd))
		r = peer_init(&s->peer, s->fd, false);
	if (r == 0)
		r = make_events(s);
	if (r < 0)
		session_complain(s, "a connection is lost: %s", strerror(-r));
	if (r)
		session_free(s);
}

/* after a restart of tarnd */

static int restore_peer(struct session *s, const struct ledger_session *record,
			int pidfd)
{
	int r;

	s->peer.pid = (pid_t)record->pid;
	s->peer.uid = record->uid;
	s->peer.gid = record->gid;
	s->peer.pidfd = pidfd;
	r = peer_restore(&s->peer, s->fd);
	if (r < 0)
		return r;
	if (r == PEER_GONE)
		s->state = SESSION_DEAD;
	return charge(s, true);
}

static int restore_events(struct session *s)
{
	s->timer = evtimer_new(s->server->base, on_timer, s);
	if (!s->timer)
		return -ENOMEM;
	if (s->state == SESSION_DEAD)
		return 0;
	s->death = event_new(s->server->base, s->peer.pidfd, EV_READ, on_death,
			     s);
	if (!s->death || event_add(s->death, NULL) < 0)
		return -ENOMEM;
	return s->fd < 0 ? 0 : connection_open(s);
}

int birth_restore(struct session **ret, struct server *server, uint32_t index,
		  int sock, int pidfd, int live)
{
	const struct ledger_session *record =
		ledger_session(&server->keeper.ledger, index);
	struct session *s = make_struct(server, sock);
	int r;

	if (!s)
		return -ENOMEM;
	s->state = sock < 0 ? SESSION_DETACHED : SESSION_OPEN;
	s->id = record->id;
	s->secret = record->secret;
	s->last_number = (uint32_t)tn64_load_relaxed(&record->last_number);
	r = restore_peer(s, record, pidfd);
	if (r == 0)
		r = restore_events(s);
	if (r < 0) {
		s->peer.pidfd = -1;
		quota_refund(&s->charge);
		quota_refund(&s->fds_charge);
		server->n_sessions -= sock >= 0;
		s->fd = -1;
		session_free(s);
		return r;
	}
	s->live.fd = live;
	s->kept = (struct kept){ &server->keeper, index, true };
	*ret = s;
	return 0;
}
