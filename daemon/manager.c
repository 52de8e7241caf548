/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages to the service manager that carry descriptors, and never block.
 * libsystemd's would: if the manager does not read, its socket fills up, and
 * all clients would wait for a slow PID 1. What has no room waits in .queue,
 * with copies of its descriptors, and all that come later behind it, so that
 * messages arrive in the order in which they were sent.
 */
#include "daemon/manager.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/cleanup.h"
#include "daemon/log.h"

static int open_socket(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	tn_cleanup(tn_closep) int fd = -1;
	size_t len = path ? strlen(path) : 0;

	if (len < 2 || len >= sizeof(sa.sun_path) ||
	    (*path != '/' && *path != '@'))
		return -EINVAL;
	memcpy(sa.sun_path, path, len);
	if (*path == '@')
		sa.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sa,
			      (socklen_t)(offsetof(struct sockaddr_un,
						   sun_path) + len)) < 0)
		return tn_neg_errno();
	return tn_steal_fd(fd);
}

static int send_now(struct manager *manager, const struct manager_message *m)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(MANAGER_FDS_MAX * sizeof(int))];
	} control = { .bytes = { 0 } };
	struct iovec iov = { .iov_base = (void *)m->text,
			     .iov_len = strlen(m->text) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;

	if (m->n_fds) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(m->n_fds * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(m->n_fds * sizeof(int));
		memcpy(CMSG_DATA(c), m->fds, m->n_fds * sizeof(int));
	}
	while (sendmsg(manager->sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		if (errno != EINTR)
			return tn_neg_errno();
	return 0;
}

static void message_free(struct manager_message *m)
{
	if (!m)
		return;
	for (unsigned i = 0; i < m->n_fds; i++)
		tn_closep(&m->fds[i]);
	tn_list_remove(&m->link);
	free(m);
}

static void message_freep(struct manager_message **m)
{
	message_free(*m);
}

static int enqueue(struct manager *manager, const struct manager_message *m)
{
	tn_cleanup(message_freep) struct manager_message *copy =
		calloc(1, sizeof(*copy));

	if (!copy)
		return -ENOMEM;
	tn_list_init(&copy->link);
	memcpy(copy->text, m->text, sizeof(copy->text));
	for (; copy->n_fds < m->n_fds; copy->n_fds++) {
		int fd = fcntl(m->fds[copy->n_fds], F_DUPFD_CLOEXEC, 3);

		if (fd < 0)
			return tn_neg_errno();
		copy->fds[copy->n_fds] = fd;
	}
	if (event_add(manager->room, NULL) < 0)
		return -ENOMEM;
	tn_list_append(&manager->queue, &copy->link);
	tn_steal_ptr(copy);
	return 0;
}

int manager_say(struct manager *manager, const struct manager_message *m)
{
	int r = -EAGAIN;

	if (tn_list_empty(&manager->queue))
		r = send_now(manager, m);
	return r == -EAGAIN ? enqueue(manager, m) : r;
}

void manager_flush(struct manager *manager)
{
	tn_list_for_each(link, &manager->queue) {
		struct manager_message *m =
			tn_list_entry(link, struct manager_message, link);
		int r = send_now(manager, m);

		if (r == -EAGAIN) {
			event_add(manager->room, NULL);
			return;
		}
		if (r < 0)
			log_error("the service manager does not hear: %s",
				  strerror(-r));
		message_free(m);
	}
}


static void on_room(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	manager_flush(arg);
}

int manager_init(struct manager *manager, struct event_base *base)
{
	int r;

	*manager = (struct manager){ .sock = -1 };
	tn_list_init(&manager->queue);
	if (!getenv("NOTIFY_SOCKET"))
		return 0;
	r = open_socket();
	if (r < 0) {
		log_error("NOTIFY_SOCKET: %s", strerror(-r));
		return r;
	}
	manager->sock = r;
	manager->room = event_new(base, r, EV_WRITE, on_room, manager);
	if (manager->room)
		return 1;
	log_error("NOTIFY_SOCKET: %s", strerror(ENOMEM));
	return -ENOMEM;
}

void manager_fini(struct manager *manager)
{
	if (manager->room)
		event_free(manager->room);
	manager->room = NULL;
	tn_list_for_each(link, &manager->queue)
		message_free(tn_list_entry(link, struct manager_message, link));
	tn_closep(&manager->sock);
}
