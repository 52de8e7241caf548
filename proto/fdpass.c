/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Descriptors over SCM_RIGHTS.
 *
 * The kernel installs as many of the sender's descriptors as the receiver's
 * control buffer has room for, and discards the rest with MSG_CTRUNC set. So:
 *
 *   - who wants none passes no control buffer at all, and then none is ever
 *     installed, whatever the other side sends;
 *   - who wants some gives room for TN_MSG_FDS_MAX, and every descriptor that
 *     arrives is either in packet->fds or closed before the call returns. When
 *     any was cut off, all are closed: half a set is of no use.
 *
 * A packet longer than the buffer is cut by the kernel (MSG_TRUNC) and comes
 * back with .cut set; SOCK_SEQPACKET keeps the next packet whole.
 */
#include "proto/fdpass.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(TN_MSG_FDS_MAX * sizeof(int))];
};

int tn_packet_send(int sock, const void *data, size_t bytes, const int *fds,
		   unsigned n_fds)
{
	union control control = { 0 };
	struct iovec iov = { .iov_base = (void *)data, .iov_len = bytes };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;

	if (n_fds > TN_MSG_FDS_MAX)
		return -EINVAL;
	if (n_fds) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
	}
	while (sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		if (errno != EINTR)
			return tn_neg_errno();
	return 0;
}

/* Move what arrived into the packet; close what it has no room for. */
static void collect(struct tn_packet *packet, struct msghdr *msg)
{
	struct cmsghdr *c;

	for (c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (packet->n_fds < TN_MSG_FDS_MAX) {
				packet->fds[packet->n_fds++] = fd;
			} else {
				packet->fds_cut = true;
				close(fd);
			}
		}
	}
}

static int receive(int sock, struct tn_packet *ret, unsigned max_fds, int flags)
{
	union control control;
	struct iovec iov = { .iov_base = ret->data,
			     .iov_len = sizeof(ret->data) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	ret->n_fds = 0;
	if (max_fds) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
	}
	do
		n = recvmsg(sock, &msg,
			    MSG_DONTWAIT | MSG_CMSG_CLOEXEC | flags);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return tn_neg_errno();
	ret->bytes = (size_t)n;
	ret->cut = msg.msg_flags & MSG_TRUNC;
	ret->fds_cut = msg.msg_flags & MSG_CTRUNC;
	collect(ret, &msg);
	if (ret->n_fds > max_fds)
		ret->fds_cut = true;
	if (ret->fds_cut)
		tn_packet_close(ret);
	return n > 0;
}

int tn_packet_recv(int sock, struct tn_packet *ret, unsigned max_fds)
{
	return receive(sock, ret, max_fds, 0);
}

int tn_packet_peek(int sock, struct tn_packet *ret)
{
	return receive(sock, ret, 0, MSG_PEEK);
}

void tn_packet_skip(int sock)
{
	char byte;

	while (recv(sock, &byte, 1, MSG_DONTWAIT) < 0 && errno == EINTR)
		;
}

void tn_packet_close(struct tn_packet *packet)
{
	while (packet->n_fds)
		tn_closep(&packet->fds[--packet->n_fds]);
}
