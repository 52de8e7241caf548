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
 * What a hang-up is, and how requests are served, tells connection.c. It says
 * nothing about what the process still has mapped: it may have closed all
 * descriptors, or exec'd. So its attachments stay until the kernel says that
 * it is dead (its pidfd becomes readable) or that its live file is mapped no
 * more (live.c), or it LEAVEs them. The live file is asked at the hang-up;
 * then ever more rarely, since exec may come later, and one who reads
 * /proc/PID/maps can keep what is unmapped there for a moment; and when
 * somebody asks who is attached. Only what the process cannot know of, since
 * the reply that would tell it was never sent, is ended at once.
 *
 * In OPEN and DETACHED another connection of the process may take everything
 * over (rejoin.c), and this struct is freed.
 *
 *   I1  .fd >= 0 in NEW and OPEN, -1 in DETACHED and DEAD
 *   I2  the peer's uid and groups are those at connect, for ever
 *   I3  whoever frees the session returns to the loop without touching it
 *   I4  events only note what is due; it is done by session_turn(), one thing
 *       at a time, in the turn of the user (turns.c)
 *   I5  .timer is: in NEW, until HELLO must have come; in OPEN with .leaving
 *       or .awaited, until the reply must be sent; in DETACHED, until the next
 *       probe
 */
#include "daemon/session.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/cleanup.h"
#include "daemon/birth.h"
#include "daemon/connection.h"
#include "daemon/live.h"

#define LEAVE_SECONDS 1 /* a fifth of what a client waits for a reply */
#define PROBE_SECONDS 1 /* the first time; then twice as long ... */
#define PROBE_DOUBLINGS 6 /* ... up to about a minute */

struct log_about session_about(const struct session *session)
{
	return (struct log_about){
		.has_peer = true,
		.pid = session->peer.pid,
		.uid = session->peer.uid,
	};
}

void session_free(struct session *s)
{
	if (!s)
		return;
	connection_close(s);
	tn_list_for_each(link, &s->attachments)
		attachment_free(tn_list_entry(link, struct attachment, link));
	keeper_session_gone(s);
	fair_remove(&s->turn);
	quota_refund(&s->own_fds_charge);
	if (s->death)
		event_free(s->death);
	if (s->timer)
		event_free(s->timer);
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

void session_start_timer(struct session *s, time_t seconds)
{
	const struct timeval after = { .tv_sec = seconds };

	session_not_due(s, SESSION_DUE_TIMER);
	evtimer_add(s->timer, &after);
}

static void stop_timer(struct session *s)
{
	session_not_due(s, SESSION_DUE_TIMER);
	evtimer_del(s->timer);
}

/* The process has nothing to do with its attachments any more. */
static void end_all(struct session *s)
{
	connection_close(s);
	s->state = SESSION_DEAD;
	s->fresh = NULL;
	s->leaving = 0;
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
	session_start_timer(s, PROBE_SECONDS << s->probes);
	if (s->probes < PROBE_DOUBLINGS)
		s->probes++;
}

void session_hang_up(struct session *s)
{
	connection_close(s);
	if (s->fresh)
		attachment_end(s->fresh, s->server->reaper);
	s->fresh = NULL;
	if (s->state != SESSION_DEAD) {
		s->state = SESSION_DETACHED;
		probe_now_and_then(s);
	}
	free_if_idle(s);
}

static void reply_to_leave(struct session *s)
{
	s->leaving = 0;
	stop_timer(s);
	connection_answer(s, TN_MSG_LEAVE, s->leave_id, 0);
}

void session_opened(struct session *s)
{
	s->state = SESSION_OPEN;
	stop_timer(s);
}

static void time_is_up(struct session *s)
{
	if (s->state == SESSION_DETACHED) {
		probe_now_and_then(s);
	} else if (s->state == SESSION_NEW) {
		session_complain(s, "hung up: no HELLO in %d s",
				 BIRTH_HELLO_SECONDS);
		session_hang_up(s);
	} else if (s->leaving) {
		reply_to_leave(s); /* recovery goes on all the same */
	} else if (s->awaited) {
		session_forget_awaited(s);
		session_tell(s, 0); /* and so does the work on its pages */
	}
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

void session_adopt_restored(struct session *s, struct attachment *a,
			    uint32_t number)
{
	a->number = number;
	a->owner = s;
	a->gone = on_gone;
	tn_list_append(&s->attachments, &a->link);
}

void session_adopt(struct session *s, struct attachment *a)
{
	session_adopt_restored(s, a, next_number(s));
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
	session_start_timer(s, LEAVE_SECONDS);
	attachment_end(a, s->server->reaper);
}

void session_await(struct session *s, struct pool *pool, uint16_t op,
		   uint32_t id)
{
	s->awaited = pool;
	s->awaited_op = op;
	s->awaited_id = id;
	pool->told = (struct pool_told){ session_tell, s };
	if (op != TN_MSG_CREATE)
		session_start_timer(s, LEAVE_SECONDS);
}

void session_tell(void *session, int result)
{
	struct session *s = session;
	uint16_t op = s->awaited_op;

	s->awaited = NULL;
	s->awaited_op = 0;
	stop_timer(s);
	if (op == TN_MSG_CREATE && result == 0)
		connection_keep(s, op, s->awaited_id);
	else
		connection_answer(s, op, s->awaited_id, result);
}

void session_forget_awaited(struct session *s)
{
	if (s->awaited)
		s->awaited->told.who = NULL;
	s->awaited = NULL;
}

void session_lose(struct session *s, struct attachment *a)
{
	if (s->fresh == a)
		s->fresh = NULL;
	attachment_end(a, s->server->reaper);
}

/* turns */

/* While a reply is due nothing is read (I1 of connection.c). */
static void schedule(struct session *s)
{
	bool busy = s->unsent || s->leaving || s->making.waiting ||
		    s->awaited_op || s->move;

	if (s->due & ~(busy ? SESSION_DUE_READ : 0U))
		turns_add(&s->server->turns, &s->turn, s->peer.uid);
	else
		fair_remove(&s->turn);
}

void session_due(struct session *s, unsigned what)
{
	s->due |= what;
	schedule(s);
}

void session_not_due(struct session *s, unsigned what)
{
	s->due &= ~what;
	schedule(s);
}

/* The lowest bit is what comes first. Reading is due until nothing is there. */
void session_turn(struct session *s)
{
	unsigned what = s->due & -s->due;

	session_not_due(s, what & ~SESSION_DUE_READ);
	switch (what) {
	case SESSION_DUE_OPEN:
		birth_complete(s);
		break;
	case SESSION_DUE_DEATH:
		end_all(s);
		free_if_idle(s);
		break;
	case SESSION_DUE_TIMER:
		time_is_up(s);
		break;
	case SESSION_DUE_WRITE:
		connection_write(s);
		break;
	default:
		connection_read(s);
	}
}

void session_restored(struct session *s)
{
	if (s->state == SESSION_DEAD)
		end_all(s);
	else if (s->state == SESSION_DETACHED)
		probe_now_and_then(s);
	free_if_idle(s);
}
