/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/linger.h"

#include <errno.h>
#include <event2/event.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/cleanup.h"

/* No event tells that a packet was read. A user's are as many as it may have
 * connections, at some 200 ns each. */
static const struct timeval period = { .tv_sec = 1 };

struct lingerer {
	struct tn_list link;
	int fd;
	struct quota_charge charge, fds_charge;
};

bool linger_unread(int fd)
{
	int bytes;

	return ioctl(fd, SIOCOUTQ, &bytes) < 0 || bytes != 0;
}

static void lingerer_free(struct lingerer *one)
{
	tn_list_remove(&one->link);
	tn_closep(&one->fd);
	quota_refund(&one->charge);
	quota_refund(&one->fds_charge);
	free(one);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct lingerers *l = arg;

	(void)fd;
	(void)what;
	tn_list_for_each(link, &l->list) {
		struct lingerer *one = tn_list_entry(link, struct lingerer,
						     link);

		if (!linger_unread(one->fd))
			lingerer_free(one);
	}
	if (!tn_list_empty(&l->list))
		evtimer_add(l->timer, &period);
}

int lingerers_init(struct lingerers *l, struct event_base *base)
{
	l->timer = evtimer_new(base, on_timer, l);
	return l->timer ? 0 : -ENOMEM;
}

void lingerers_fini(struct lingerers *l)
{
	tn_list_for_each(link, &l->list)
		lingerer_free(tn_list_entry(link, struct lingerer, link));
	if (l->timer)
		event_free(l->timer);
	l->timer = NULL;
}

/* An empty packet reads like the end, but that only packets bring credentials,
 * for which alone there is room. */
static bool drop_one(int fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(struct ucred))];
	} control;
	char byte;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};

	if (recvmsg(fd, &msg, MSG_DONTWAIT) < 0)
		return errno == EINTR;
	return msg.msg_controllen;
}

/*
 * What the client has sent may be its own end of the connection (where the
 * kernel has no SO_PASSRIGHTS): lying here it would keep that end, and with it
 * what lies there, for ever. After shutdown() nothing more comes.
 */
static void drop_unread(int fd)
{
	const int on = 1;

	setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
	while (drop_one(fd))
		;
}

void linger_add(struct lingerers *l, int *fd, struct quota_charge *charge,
		struct quota_charge *fds_charge)
{
	struct lingerer *one = calloc(1, sizeof(*one));

	shutdown(*fd, SHUT_RDWR);
	drop_unread(*fd);
	if (!one) { /* then these few are not counted */
		tn_closep(fd);
		quota_refund(charge);
		quota_refund(fds_charge);
		return;
	}
	one->fd = tn_steal_fd(*fd);
	one->charge = *charge;
	one->fds_charge = *fds_charge;
	*charge = *fds_charge = (struct quota_charge)QUOTA_CHARGE_NONE;
	tn_list_append(&l->list, &one->link);
	if (!evtimer_pending(l->timer, NULL))
		evtimer_add(l->timer, &period);
}
