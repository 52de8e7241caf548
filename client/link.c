/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Waiting is poll() up to the deadline, so that neither signals nor a daemon
 * that sends one byte a second make it last longer; connect(), which waits
 * while the backlog is full, does so by the socket's own time limit.
 *
 * A descriptor is a number, and the application may close all of them and open
 * others. So before it is used, and before it is closed, the kernel is asked
 * whether it is still our socket (SO_COOKIE). What another thread closes in
 * the middle of a call is beyond us.
 *
 * .fd is set as soon as there is a socket, for a child that another thread may
 * fork at any time to know it; it is taken out before it is closed.
 */
#include "client/link.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"

#ifndef SO_COOKIE
#define SO_COOKIE 57 /* Linux 4.12 */
#endif

int64_t tn_link_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* where */

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

/* A relative path stays one if the absolute one has no room. */
static int put_path(const char *path, struct sockaddr_un *ret)
{
	size_t len = strlen(path), cwd_len = 0;
	char cwd[sizeof(ret->sun_path)];

	if (len >= sizeof(ret->sun_path))
		return -ENAMETOOLONG;
	if (*path != '/' && getcwd(cwd, sizeof(cwd)))
		cwd_len = strlen(cwd);
	if (cwd_len && cwd_len + 1 + len < sizeof(ret->sun_path)) {
		memcpy(ret->sun_path, cwd, cwd_len);
		ret->sun_path[cwd_len++] = '/';
	} else {
		cwd_len = 0;
	}
	memcpy(ret->sun_path + cwd_len, path, len + 1);
	return 0;
}

int tn_link_path(const char *path, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (!path || !*path)
		path = getenv("TARN_SOCKET");
	if (!path || !*path) {
		if (user_socket(ret->sun_path, sizeof(ret->sun_path)) == 0)
			return 0;
		path = "/run/tarn/tarn.sock";
	}
	return put_path(path, ret);
}

/* life */

static int cookie_of(int fd, uint64_t *ret)
{
	socklen_t bytes = sizeof(*ret);

	return getsockopt(fd, SOL_SOCKET, SO_COOKIE, ret, &bytes) < 0 ?
	       tn_neg_errno() : 0;
}

static int connect_by(int fd, const struct sockaddr_un *sa, int64_t deadline)
{
	for (;;) {
		int64_t left = deadline - tn_link_now_ms();
		struct timeval limit = {
			.tv_sec = left / 1000, .tv_usec = left % 1000 * 1000,
		};

		if (left <= 0)
			return -ETIMEDOUT;
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
		if (connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) == 0)
			return 0;
		if (errno == EAGAIN)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return tn_neg_errno();
	}
}

int tn_link_open(struct tn_link *link, const struct sockaddr_un *sa,
		 int64_t deadline)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), r;

	if (fd < 0)
		return tn_neg_errno();
	link->next_id = 0;
	r = cookie_of(fd, &link->cookie);
	link->fd = fd;
	if (r == 0)
		r = connect_by(fd, sa, deadline);
	if (r < 0)
		tn_link_close(link);
	return r;
}

bool tn_link_ours(const struct tn_link *link)
{
	uint64_t cookie;

	return link->fd >= 0 && cookie_of(link->fd, &cookie) == 0 &&
	       cookie == link->cookie;
}

void tn_link_drop(struct tn_link *link)
{
	bool ours = tn_link_ours(link);
	int fd = tn_steal_fd(link->fd);

	if (ours)
		close(fd);
}

void tn_link_close(struct tn_link *link)
{
	if (tn_link_ours(link))
		shutdown(link->fd, SHUT_RDWR);
	tn_link_drop(link);
}

/* use */

/* Return: 0: ready, or broken in a way that the next call will tell. */
static int wait_for(int fd, short events, int64_t deadline)
{
	struct pollfd pfd = { .fd = fd, .events = events };
	int64_t left;
	int n;

	do {
		left = deadline - tn_link_now_ms();
		n = poll(&pfd, 1, left > 0 ? (int)left : 0);
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return tn_neg_errno();
	} while (left > 0);
	return -ETIMEDOUT;
}

static int send_by(int fd, const void *data, size_t bytes, int64_t deadline)
{
	int r;

	while ((r = tn_packet_send(fd, data, bytes, NULL, 0)) == -EAGAIN) {
		r = wait_for(fd, POLLOUT, deadline);
		if (r < 0)
			return r;
	}
	return r == -EPIPE || r == -ECONNRESET ? TN_LINK_UNSENT : r;
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

/* What came with more descriptors than the kernel found room for is told by
 * its header how many they were. */
static unsigned n_fds_sent(const struct tn_packet *packet)
{
	struct tn_msg msg = { 0 };

	if (!packet->fds_cut)
		return packet->n_fds;
	if (packet->bytes >= sizeof(msg))
		memcpy(&msg, packet->data, sizeof(msg));
	return msg.n_fds;
}

/*
 * A second reply to an earlier request: tarnd died after it had sent the first,
 * and before it had noted that. Ids ascend.
 */
static bool is_stale(const struct tn_packet *packet, uint32_t id)
{
	struct tn_msg msg;

	if (packet->bytes < sizeof(msg))
		return false;
	memcpy(&msg, packet->data, sizeof(msg));
	return msg.magic == TN_WIRE_MAGIC && (int32_t)(msg.id - id) < 0;
}

static int recv_reply(int fd, uint32_t id, struct tn_packet *packet,
		      unsigned max_fds, int64_t deadline)
{
	int r;

	for (;;) {
		r = recv_by(fd, packet, max_fds, deadline);
		if (r < 0 || !is_stale(packet, id))
			return r;
		tn_packet_close(packet);
		if (tn_link_now_ms() > deadline)
			return -ETIMEDOUT;
	}
}

int tn_link_exchange(struct tn_link *link, uint16_t op, const void *req,
		     size_t req_bytes, unsigned max_fds, int64_t deadline,
		     struct tn_packet *packet)
{
	struct tn_msg msg = {
		.magic = TN_WIRE_MAGIC,
		.op = op,
		.bytes = (uint32_t)(sizeof(msg) + req_bytes),
		.id = link->next_id++,
	};
	int r;

	memcpy(packet->data, &msg, sizeof(msg));
	if (req_bytes)
		memcpy(packet->data + sizeof(msg), req, req_bytes);
	r = send_by(link->fd, packet->data, msg.bytes, deadline);
	/* who is refused at the door hears why before it can speak */
	if (r < 0 || (r == TN_LINK_UNSENT && op != TN_MSG_HELLO))
		return r;
	r = recv_reply(link->fd, msg.id, packet, max_fds, deadline);
	if (r < 0)
		return r == -ETIMEDOUT || r == -ENOMEM ? r : -ECONNRESET;
	if (!packet->cut &&
	    tn_wire_check_reply(packet->data, packet->bytes, op, msg.id,
				n_fds_sent(packet)) == 0)
		return 0;
	tn_packet_close(packet);
	return -EBADMSG;
}
