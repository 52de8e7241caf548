/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The client's end of the conversation (proto/README.md).
 *
 *   I1  under .lock at most one request is out, and its reply is read before
 *       the lock is let go, or .broken is set. So a reply that does not fit
 *       is never some earlier request's
 *   I2  only the process that made the connection locks, sends or receives;
 *       in a forked child .lock may be held by a thread that is not there
 *   I3  .fd is the connection's from open to the last unref
 *
 * Waiting is poll() up to a deadline, so that neither signals nor a daemon
 * that sends one byte a second make a call last longer than TN_CONN_MS; only
 * connect() waits by the socket's own time limit, while the backlog is full.
 */
#include "client/conn.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "proto/fdpass.h"

struct tn_conn {
	tn_a64 refs;
	pthread_mutex_t lock;
	int fd;
	pid_t maker;
	bool broken;
	uint32_t next_id;
};

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Return: 0: ready, or broken in a way that the next call will tell. */
static int wait_for(int fd, short events, int64_t deadline)
{
	struct pollfd pfd = { .fd = fd, .events = events };
	int64_t left;
	int n;

	do {
		left = deadline - now_ms();
		n = poll(&pfd, 1, left > 0 ? (int)left : 0);
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return tn_neg_errno();
	} while (left > 0);
	return -ETIMEDOUT;
}

/* What a connection that goes wrong looks like to callers. */
static int lost(int r)
{
	return r == -ETIMEDOUT || r == -ENOMEM ? r : -ECONNRESET;
}

static int send_by(int fd, const void *data, size_t bytes, int64_t deadline)
{
	int r;

	while ((r = tn_packet_send(fd, data, bytes, NULL, 0)) == -EAGAIN) {
		r = wait_for(fd, POLLOUT, deadline);
		if (r < 0)
			return r;
	}
	/* It hung up on us; it may have said why. */
	return r == -EPIPE ? 0 : r;
}

static int recv_by(int fd, struct tn_packet *packet, unsigned max_fds,
		   int64_t deadline)
{
	int r;

	while ((r = tn_packet_recv(fd, packet, max_fds)) == -EAGAIN) {
		r = wait_for(fd, POLLIN, deadline);
		if (r < 0)
			return r;
	}
	return r == 0 ? -ECONNRESET : r < 0 ? r : 0;
}

/* A request out, its reply in: .data has passed the check, and .fds are the
 * caller's. */
static int exchange(struct tn_conn *conn, uint16_t op, const void *req,
		    size_t req_bytes, unsigned max_fds,
		    struct tn_packet *packet)
{
	int64_t deadline = now_ms() + TN_CONN_MS;
	struct tn_msg msg = {
		.magic = TN_WIRE_MAGIC,
		.op = op,
		.bytes = (uint32_t)(sizeof(msg) + req_bytes),
		.id = conn->next_id++,
	};
	int r;

	if (req_bytes > sizeof(packet->data) - sizeof(msg))
		return -EINVAL;
	memcpy(packet->data, &msg, sizeof(msg));
	if (req_bytes)
		memcpy(packet->data + sizeof(msg), req, req_bytes);
	r = send_by(conn->fd, packet->data, msg.bytes, deadline);
	if (r < 0)
		return r;
	r = recv_by(conn->fd, packet, max_fds, deadline);
	if (r < 0)
		return r;
	if (!packet->cut &&
	    tn_wire_check_reply(packet->data, packet->bytes, op, msg.id,
				packet->fds_cut ? max_fds : packet->n_fds) == 0)
		return 0;
	tn_packet_close(packet);
	return -ECONNRESET;
}

/* Hand out what a good reply brought. */
static int deliver(struct tn_packet *packet, void *reply, size_t *reply_bytes,
		   int *fds, unsigned *n_fds)
{
	struct tn_msg msg;
	size_t bytes = packet->bytes - sizeof(msg);

	memcpy(&msg, packet->data, sizeof(msg));
	if (msg.status < 0)
		return msg.status;
	if (bytes > (reply ? *reply_bytes : 0)) {
		tn_packet_close(packet);
		return -EMSGSIZE;
	}
	if (reply) {
		memcpy(reply, packet->data + sizeof(msg), bytes);
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

int tn_conn_call(struct tn_conn *conn, uint16_t op, const void *req,
		 size_t req_bytes, void *reply, size_t *reply_bytes, int *fds,
		 unsigned *n_fds)
{
	struct tn_packet packet;
	int r = -ECONNRESET;

	if (conn->maker != getpid())
		return -ECHILD;
	pthread_mutex_lock(&conn->lock);
	if (!conn->broken) {
		r = exchange(conn, op, req, req_bytes,
			     fds ? TN_MSG_FDS_MAX : 0, &packet);
		conn->broken = r < 0 && r != -EINVAL;
		if (conn->broken)
			shutdown(conn->fd, SHUT_RDWR); /* tarnd need not wait */
	}
	pthread_mutex_unlock(&conn->lock);
	return r < 0 ? lost(r) : deliver(&packet, reply, reply_bytes, fds,
					 n_fds);
}

/* opening */

static int user_socket(char *ret, size_t bytes)
{
	const char *run = getenv("XDG_RUNTIME_DIR");
	int n;

	if (!run || !*run)
		return -ENOENT;
	n = snprintf(ret, bytes, "%s/tarn/tarn.sock", run);
	if (n < 0 || (size_t)n >= bytes)
		return -ENAMETOOLONG;
	return access(ret, F_OK) < 0 ? tn_neg_errno() : 0;
}

static int choose_path(const char *path, struct sockaddr_un *ret)
{
	if (!path || !*path)
		path = getenv("TARN_SOCKET");
	if (!path || !*path) {
		if (user_socket(ret->sun_path, sizeof(ret->sun_path)) == 0)
			return 0;
		path = "/run/tarn/tarn.sock";
	}
	if (strlen(path) >= sizeof(ret->sun_path))
		return -ENAMETOOLONG;
	strcpy(ret->sun_path, path);
	return 0;
}

static int connect_to(const char *path)
{
	static const struct timeval limit = {
		.tv_sec = TN_CONN_MS / 1000,
	};
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	tn_cleanup(tn_closep) int fd = -1;
	int r = choose_path(path, &sa);

	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return tn_neg_errno();
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	while (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		if (errno == EAGAIN)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return tn_neg_errno();
	}
	return tn_steal_fd(fd);
}

static int say_hello(struct tn_conn *conn)
{
	const struct tn_hello hello = {
		.min_version = TN_WIRE_MIN_VERSION,
		.max_version = TN_WIRE_VERSION,
	};
	struct tn_hello_reply reply;
	size_t bytes = sizeof(reply);
	int r;

	r = tn_conn_call(conn, TN_MSG_HELLO, &hello, sizeof(hello), &reply,
			 &bytes, NULL, NULL);
	if (r < 0)
		return r;
	if (reply.layout_major != TN_LAYOUT_MAJOR ||
	    reply.version < TN_WIRE_MIN_VERSION ||
	    reply.version > TN_WIRE_VERSION)
		return -EPROTONOSUPPORT;
	return 0;
}

int tn_conn_open(struct tn_conn **ret, const char *path)
{
	struct tn_conn *conn = calloc(1, sizeof(*conn));
	int r;

	if (!conn)
		return -ENOMEM;
	tn64_store_relaxed(&conn->refs, 1);
	conn->maker = getpid();
	pthread_mutex_init(&conn->lock, NULL);
	conn->fd = r = connect_to(path);
	if (r >= 0)
		r = say_hello(conn);
	if (r < 0)
		tn_conn_unref(conn);
	else
		*ret = conn;
	return r;
}

int tn_conn_fork(struct tn_conn *old, struct tn_conn **ret)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	socklen_t len = sizeof(sa) - 1; /* the path then ends in a NUL */

	if (getpeername(old->fd, (struct sockaddr *)&sa, &len) < 0)
		return tn_neg_errno();
	return tn_conn_open(ret, sa.sun_path);
}

struct tn_conn *tn_conn_ref(struct tn_conn *conn)
{
	/* who has a reference may give one away; there is nothing to order,
	 * but HB<> conn.refs costs nothing here */
	tn64_add_acq_rel(&conn->refs, 1);
	return conn;
}

void tn_conn_unref(struct tn_conn *conn)
{
	/* HB<> conn.refs: what the others did with it is over */
	if (!conn || tn64_add_acq_rel(&conn->refs, ~0ULL) != 1)
		return;
	tn_closep(&conn->fd);
	if (conn->maker == getpid())
		pthread_mutex_destroy(&conn->lock);
	free(conn);
}

/* requests */

int tn_conn_attach(struct tn_conn *conn, const char *name, uint32_t role,
		   struct tn_open_reply *ret, int ret_fds[3])
{
	struct tn_open open = { .role = role };
	struct tn_open_reply reply = { .attach = 0 };
	size_t bytes = sizeof(reply);
	unsigned n_fds;
	int r;

	strncpy(open.name, name, sizeof(open.name) - 1);
	/* tn_wire_check_reply() sees to the number of bytes and descriptors */
	r = tn_conn_call(conn, TN_MSG_OPEN, &open, sizeof(open), &reply,
			 &bytes, ret_fds, &n_fds);
	if (r == -EMFILE && reply.attach)
		tn_conn_leave(conn, reply.attach); /* attached, for nothing */
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
