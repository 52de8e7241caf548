/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The client's end of the conversation (proto/README.md).
 *
 *	                no link, or it is not our socket any more
 *	call ------.  .-------------------------------------------.
 *	           |  |                                           v
 *	           v  |         HELLO with the last session   connect
 *	          turn  <-----------------------------------------'
 *	           |            REJOINED: all is as it was
 *	           |            else: a new session, nothing attached
 *	           v
 *	        exchange ---- reply ----> deliver
 *	           |
 *	           | lost: link closed; if nothing was sent, or the request may
 *	           `-----> be repeated: once more from the top; else -ECONNRESET
 *
 *   I1  a call has its turn (.busy) alone, and its reply is read before that
 *       ends, or the link is closed. So a reply that does not fit is never
 *       some earlier request's
 *   I2  only the process that made the connection takes turns, sends or
 *       receives; in a forked child .busy may be a thread's that is not there
 *   I3  one deadline for a whole call: for its turn, connecting and all tries
 *   I4  a thread is not cancelled in its turn, which would never end
 */
#include "client/conn.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "client/link.h"
#include "client/session.h"

#define CONNECT_TRIES 8 /* tarnd may die so often while it says hello */

struct tn_conn {
	tn_a64 refs;
	pthread_mutex_t lock;    /* of .busy alone, and held for a moment */
	pthread_cond_t idle;
	bool busy;               /* a call is under way */
	struct sockaddr_un sa;
	pid_t maker;
	struct tn_link link;
	uint32_t features;       /* granted on the link */
	struct tn_session *session; /* the present one; NULL before the first */
};

struct call {
	uint16_t op;
	const void *req;
	size_t req_bytes;
	unsigned max_fds;
	int64_t deadline;
};

/* What a connection that goes wrong looks like to callers. */
static int lost(int r)
{
	return r == -ETIMEDOUT || r == -ENOMEM ? r : -ECONNRESET;
}

static int status_of(const struct tn_packet *packet)
{
	struct tn_msg msg;

	memcpy(&msg, packet->data, sizeof(msg));
	return msg.status;
}

/* connecting */

static int hello_reply_ok(const struct tn_conn *conn,
			  const struct tn_hello_reply *reply)
{
	if (reply->layout_major != TN_LAYOUT_MAJOR ||
	    reply->version < TN_WIRE_MIN_VERSION ||
	    reply->version > TN_WIRE_VERSION)
		return -EPROTONOSUPPORT;
	if ((reply->flags & TN_HELLO_REJOINED) &&
	    (!conn->session || conn->session->id != reply->session))
		return -EBADMSG;
	return 0;
}

static int take_hello_reply(struct tn_conn *conn,
			    const struct tn_packet *packet)
{
	struct tn_hello_reply reply;
	int r = status_of(packet);

	if (r < 0)
		return r;
	memcpy(&reply, packet->data + sizeof(struct tn_msg), sizeof(reply));
	conn->features = reply.features;
	r = hello_reply_ok(conn, &reply);
	if (r < 0 || (reply.flags & TN_HELLO_REJOINED))
		return r;
	if (packet->fds_cut)
		return -EMFILE;
	return tn_session_begin(&conn->session, &reply,
				packet->n_fds ? packet->fds[0] : -1);
}

static int say_hello(struct tn_conn *conn, int64_t deadline)
{
	struct tn_hello hello = {
		.min_version = TN_WIRE_MIN_VERSION,
		.max_version = TN_WIRE_VERSION,
		.features = TN_FEATURES_KNOWN,
	};
	struct tn_packet packet;
	int r;

	tn_session_name(conn->session, &hello);
	r = tn_link_exchange(&conn->link, TN_MSG_HELLO, &hello, sizeof(hello),
			     1, deadline, &packet);
	if (r)
		return r == TN_LINK_UNSENT ? -ECONNRESET : r;
	r = take_hello_reply(conn, &packet);
	tn_packet_close(&packet);
	return r;
}

/* Return: 0, -errno; @ret_again: it was accepted, and then lost */
static int try_connect(struct tn_conn *conn, int64_t deadline, bool *ret_again)
{
	int r = tn_link_open(&conn->link, &conn->sa, deadline);

	*ret_again = false;
	if (r < 0)
		return r;
	r = say_hello(conn, deadline);
	*ret_again = r == -ECONNRESET;
	if (r < 0)
		tn_link_close(&conn->link);
	return r;
}

/* A connection that tarnd has accepted and not yet put by dies with it; the
 * next tarnd listens at the same socket, so who connects again waits there. */
static int be_connected(struct tn_conn *conn, int64_t deadline)
{
	bool again = true;
	int r = 0;

	if (tn_link_ours(&conn->link))
		return 0;
	tn_link_drop(&conn->link); /* it is another's, or nobody's */
	for (int i = 0; i < CONNECT_TRIES && again; i++)
		r = try_connect(conn, deadline, &again);
	return r == -EBADMSG ? -ECONNRESET : r;
}

/* calls */

/* What is about an attachment begins with its number, of our count. */
static bool is_about(uint16_t op)
{
	return op == TN_MSG_LEAVE || op == TN_MSG_MOVE;
}

static uint32_t attach_of(const struct call *c)
{
	uint32_t attach;

	memcpy(&attach, c->req, sizeof(attach));
	return attach;
}
static_assert(!offsetof(struct tn_leave, attach) &&
	      !offsetof(struct tn_move_request, attach), "attach_of()");

/* To our count. */
static void note_attached(struct tn_conn *conn, struct tn_packet *packet)
{
	uint8_t *at = packet->data + sizeof(struct tn_msg) +
		      offsetof(struct tn_open_reply, attach);
	uint32_t number;

	memcpy(&number, at, sizeof(number));
	number = tn_session_opened(conn->session, number);
	memcpy(at, &number, sizeof(number));
}

static void note(struct tn_conn *conn, const struct call *c,
		 struct tn_packet *packet)
{
	int status = status_of(packet);

	if (c->op == TN_MSG_OPEN && status == 0)
		note_attached(conn, packet);
	else if (c->op == TN_MSG_LEAVE && status == 0)
		tn_session_left(&conn->session, attach_of(c));
}

static int exchange(struct tn_conn *conn, const struct call *c,
		    struct tn_packet *packet)
{
	uint8_t req[sizeof(struct tn_move_request)];
	uint32_t attach;

	if (!is_about(c->op))
		return tn_link_exchange(&conn->link, c->op, c->req,
					c->req_bytes, c->max_fds, c->deadline,
					packet);
	attach = attach_of(c) - conn->session->base;
	memcpy(req, c->req, c->req_bytes);
	memcpy(req, &attach, sizeof(attach));
	return tn_link_exchange(&conn->link, c->op, req, c->req_bytes,
				c->max_fds, c->deadline, packet);
}

static bool may_repeat(uint16_t op, int r)
{
	if (r == TN_LINK_UNSENT)
		return true;
	return (r == -ECONNRESET || r == -EBADMSG) &&
	       (op == TN_MSG_PING || op == TN_MSG_STAT || op == TN_MSG_LIST ||
		op == TN_MSG_LEAVE || op == TN_MSG_CONTROLS ||
		op == TN_MSG_COMPACT || op == TN_MSG_MOVE);
}

/* Return: 0: a reply; -errno: for the caller; @ret_again: but try again */
static int try_call(struct tn_conn *conn, const struct call *c,
		    struct tn_packet *packet, bool *ret_again)
{
	int r = be_connected(conn, c->deadline);

	*ret_again = false;
	if (r < 0)
		return lost(r);
	if (c->op == TN_MSG_MOVE && !(conn->features & TN_FEATURE_MOVE))
		return -ENOSYS; /* it is an earlier version's */
	if (is_about(c->op) &&
	    tn_session_of(conn->session, attach_of(c)) != conn->session) {
		if (c->op == TN_MSG_LEAVE)
			tn_session_left(&conn->session, attach_of(c));
		return -ENOENT;
	}
	r = exchange(conn, c, packet);
	if (r == 0) {
		note(conn, c, packet);
		return 0;
	}
	tn_link_close(&conn->link);
	*ret_again = may_repeat(c->op, r);
	return lost(r);
}

/* A LEAVE whose first reply was lost may find nothing to do the next time. */
static int call_in_turn(struct tn_conn *conn, const struct call *c,
		       struct tn_packet *packet)
{
	bool again;
	int r = try_call(conn, c, packet, &again);

	if (!again)
		return r;
	r = try_call(conn, c, packet, &again);
	if (r == 0 && c->op == TN_MSG_LEAVE && status_of(packet) == -ENOENT) {
		struct tn_msg msg = { .op = c->op, .bytes = sizeof(msg) };

		memcpy(packet->data, &msg, sizeof(msg));
		note(conn, c, packet);
	}
	return r;
}

/* Hand out what a good reply brought. */
static int deliver(struct tn_packet *packet, void *reply, size_t *reply_bytes,
		   int *fds, unsigned *n_fds)
{
	size_t bytes = packet->bytes - sizeof(struct tn_msg);
	int status = status_of(packet);

	if (status < 0)
		return status;
	if (bytes > (reply ? *reply_bytes : 0)) {
		tn_packet_close(packet);
		return -EMSGSIZE;
	}
	if (reply) {
		memcpy(reply, packet->data + sizeof(struct tn_msg), bytes);
		*reply_bytes = bytes;
	}
	if (packet->fds_cut)
		return -EMFILE; /* the kernel found no room for them */
	if (fds) {
		memcpy(fds, packet->fds, packet->n_fds * sizeof(int));
		*n_fds = packet->n_fds;
	}
	return 0;
}

/* By a flag, for a mutex knows no deadline that the clock cannot move. */
static int take_turn(struct tn_conn *conn, int64_t deadline)
{
	const struct timespec ts = {
		.tv_sec = deadline / 1000,
		.tv_nsec = deadline % 1000 * 1000000,
	};
	int r = 0;

	pthread_mutex_lock(&conn->lock);
	while (conn->busy && r == 0)
		r = pthread_cond_timedwait(&conn->idle, &conn->lock, &ts);
	if (!conn->busy)
		r = 0;
	if (r == 0)
		conn->busy = true;
	pthread_mutex_unlock(&conn->lock);
	return -r;
}

static void end_turn(struct tn_conn *conn)
{
	pthread_mutex_lock(&conn->lock);
	conn->busy = false;
	pthread_cond_signal(&conn->idle);
	pthread_mutex_unlock(&conn->lock);
}

static void init_lock(struct tn_conn *conn)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&conn->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&conn->idle, &attr);
	pthread_condattr_destroy(&attr);
}

int64_t tn_conn_deadline(void)
{
	return tn_link_now_ms() + TN_CONN_MS;
}

int tn_conn_call_by(struct tn_conn *conn, int64_t deadline, uint16_t op,
		    const void *req, size_t req_bytes, void *reply,
		    size_t *reply_bytes, int *fds, unsigned *n_fds)
{
	const struct call c = {
		.op = op, .req = req, .req_bytes = req_bytes,
		.max_fds = fds ? TN_MSG_FDS_MAX : 0, .deadline = deadline,
	};
	struct tn_packet packet;
	int r, cancel;

	if (conn->maker != getpid())
		return -ECHILD;
	if (req_bytes > sizeof(packet.data) - sizeof(struct tn_msg) ||
	    (op == TN_MSG_LEAVE && req_bytes != sizeof(struct tn_leave)) ||
	    (op == TN_MSG_MOVE && req_bytes != sizeof(struct tn_move_request)))
		return -EINVAL;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	r = take_turn(conn, deadline);
	if (r == 0) {
		r = call_in_turn(conn, &c, &packet);
		end_turn(conn);
	}
	pthread_setcancelstate(cancel, NULL);
	return r < 0 ? r : deliver(&packet, reply, reply_bytes, fds, n_fds);
}

int tn_conn_call(struct tn_conn *conn, uint16_t op, const void *req,
		 size_t req_bytes, void *reply, size_t *reply_bytes, int *fds,
		 unsigned *n_fds)
{
	return tn_conn_call_by(conn, tn_conn_deadline(), op, req, req_bytes,
			       reply, reply_bytes, fds, n_fds);
}

/* life */

static int open_at(struct tn_conn **ret, const struct sockaddr_un *sa)
{
	struct tn_conn *conn = calloc(1, sizeof(*conn));
	int r;

	if (!conn)
		return -ENOMEM;
	tn64_store_relaxed(&conn->refs, 1);
	conn->maker = getpid();
	conn->sa = *sa;
	conn->link = (struct tn_link)TN_LINK_NONE;
	init_lock(conn);
	r = be_connected(conn, tn_conn_deadline());
	if (r < 0)
		tn_conn_unref(conn);
	else
		*ret = conn;
	return r;
}

int tn_conn_open(struct tn_conn **ret, const char *path)
{
	struct sockaddr_un sa;
	int r = tn_link_path(path, &sa);

	return r < 0 ? r : open_at(ret, &sa);
}

int tn_conn_fork(struct tn_conn *old, struct tn_conn **ret)
{
	if (old->maker == getpid())
		return -EINVAL;
	tn_link_drop(&old->link);
	return open_at(ret, &old->sa);
}

struct tn_conn *tn_conn_ref(struct tn_conn *conn)
{
	/* who has a reference may give one away; there is nothing to order,
	 * but HB<> conn.refs costs nothing here */
	tn64_add_acq_rel(&conn->refs, 1);
	return conn;
}

/* The pages first, so that tarnd finds them gone when it sees the hang-up. */
void tn_conn_unref(struct tn_conn *conn)
{
	bool forked;

	/* HB<> conn.refs: what the others did with it is over */
	if (!conn || tn64_add_acq_rel(&conn->refs, ~0ULL) != 1)
		return;
	forked = conn->maker != getpid();
	tn_session_end_all(&conn->session, forked);
	if (forked) {
		tn_link_drop(&conn->link);
	} else {
		tn_link_close(&conn->link);
		pthread_cond_destroy(&conn->idle);
		pthread_mutex_destroy(&conn->lock);
	}
	free(conn);
}

/* requests */

int tn_conn_attach(struct tn_conn *conn, const char *name, uint32_t role,
		   struct tn_open_reply *ret, int ret_fds[3])
{
	int64_t deadline = tn_conn_deadline();
	struct tn_open open = { .role = role };
	struct tn_open_reply reply = { .attach = 0 };
	size_t bytes = sizeof(reply);
	struct tn_leave leave;
	unsigned n_fds;
	int r;

	strncpy(open.name, name, sizeof(open.name) - 1);
	/* tn_wire_check_reply() sees to the number of bytes and descriptors */
	r = tn_conn_call_by(conn, deadline, TN_MSG_OPEN, &open, sizeof(open),
			    &reply, &bytes, ret_fds, &n_fds);
	if (r == -EMFILE && reply.attach) { /* attached, for nothing */
		leave = (struct tn_leave){ .attach = reply.attach };
		tn_conn_call_by(conn, deadline, TN_MSG_LEAVE, &leave,
				sizeof(leave), NULL, NULL, NULL, NULL);
	}
	if (r == 0)
		*ret = reply;
	return r;
}

int tn_conn_leave(struct tn_conn *conn, uint32_t attach)
{
	const struct tn_leave leave = { .attach = attach };

	return tn_conn_call(conn, TN_MSG_LEAVE, &leave, sizeof(leave), NULL,
			    NULL, NULL, NULL);
}

int tn_conn_move(struct tn_conn *conn, uint32_t attach, uint64_t handle,
		 uint32_t flags, int64_t deadline)
{
	const struct tn_move_request move = {
		.attach = attach, .flags = flags, .handle = handle,
	};

	return tn_conn_call_by(conn, deadline, TN_MSG_MOVE, &move,
			       sizeof(move), NULL, NULL, NULL, NULL);
}

int tn_conn_controls(struct tn_conn *conn, const char *name, uint32_t after,
		     struct tn_controls_reply *ret, int *ret_fd)
{
	struct tn_controls controls = { .after = after };
	struct tn_controls_reply reply;
	size_t bytes = sizeof(reply);
	int fds[TN_MSG_FDS_MAX], r;
	unsigned n_fds;

	strncpy(controls.name, name, sizeof(controls.name) - 1);
	r = tn_conn_call(conn, TN_MSG_CONTROLS, &controls, sizeof(controls),
			 &reply, &bytes, fds, &n_fds);
	if (r < 0)
		return r;
	*ret = reply;
	*ret_fd = fds[0];
	return 0;
}
