/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/systemd.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "base/cleanup.h"
#include "daemon/log.h"

static bool inherited;

/* One to listen at, or one that somebody tries to pass as that: not a
 * connection, which can only be from the store. */
static bool may_listen(int fd)
{
	struct sockaddr_storage sa;
	socklen_t bytes = sizeof(sa);

	return sd_is_socket(fd, AF_UNSPEC, 0, -1) > 0 &&
	       getpeername(fd, (struct sockaddr *)&sa, &bytes) < 0;
}

static int take_listener(struct inheritance *in, int fd)
{
	int r = sd_is_socket_unix(fd, SOCK_SEQPACKET, 1, NULL, 0);

	if (r <= 0) {
		log_error("the socket passed in is no listening unix socket "
			  "of type SOCK_SEQPACKET (ListenSequentialPacket=)");
		return -EINVAL;
	}
	r = fcntl(fd, F_GETFL);
	if (r < 0 || fcntl(fd, F_SETFL, r | O_NONBLOCK) < 0)
		return tn_neg_errno();
	in->listener = fd;
	return 0;
}

static void sort_in(struct inheritance *in, int fd, const char *name,
		    int *n_sockets)
{
	struct inherited i = { .fd = fd, .name = name };

	if (!store_parse(name, &i.schema, &i.kind, &i.index)) {
		i.kind = 0;
		i.index = (uint32_t)fd; /* each by itself */
	}
	if (!i.schema && may_listen(fd)) {
		in->listener = fd;
		++*n_sockets;
	} else {
		in->all[in->n++] = i;
		inherited = true;
	}
}

int systemd_inherit(struct inheritance *ret)
{
	struct inheritance in = INHERITANCE_NONE;
	int n = sd_listen_fds_with_names(1, &in.names), n_sockets = 0;

	*ret = in;
	if (n < 0) {
		log_error("LISTEN_FDS cannot be read");
		return -EINVAL;
	}
	in.all = calloc((size_t)n + 1, sizeof(*in.all));
	if (!in.all) {
		log_error("what was passed in cannot be looked at: %s",
			  strerror(ENOMEM));
		return -ENOMEM;
	}
	for (int i = 0; i < n; i++)
		sort_in(&in, SD_LISTEN_FDS_START + i, in.names[i], &n_sockets);
	*ret = in;
	if (n_sockets > 1) {
		log_error("%d sockets were passed in, 1 is wanted", n_sockets);
		return -EINVAL;
	}
	return n_sockets ? take_listener(ret, in.listener) : 0;
}

void systemd_disinherit(struct inheritance *in)
{
	for (size_t i = 0; i < in->n; i++)
		tn_closep(&in->all[i].fd);
	free(in->all);
	for (char **name = in->names; name && *name; name++)
		free(*name);
	free(in->names);
	*in = (struct inheritance)INHERITANCE_NONE;
}

/* Before systemd_inherit() the names are still in the environment. */
bool systemd_inherited(void)
{
	const char *names = getenv("LISTEN_FDNAMES");
	tn_cleanup(tn_freep) char *copy = strdup(names ? names : "");
	char *next = copy, *name, kind;
	unsigned schema;
	uint32_t index;

	while (next && (name = strsep(&next, ":"))) {
		store_parse(name, &schema, &kind, &index);
		inherited = inherited || schema;
	}
	return inherited;
}

bool systemd_present(void)
{
	return getenv("NOTIFY_SOCKET");
}

void systemd_ready(const char *status)
{
	sd_notifyf(0, "READY=1\nSTATUS=%s", status);
}

void systemd_status(const char *status)
{
	sd_notifyf(0, "STATUS=%s", status);
}

void systemd_reloading(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
		   (uint64_t)now.tv_sec * 1000000 +
		   (uint64_t)now.tv_nsec / 1000);
}

void systemd_stopping(void)
{
	sd_notify(0, "STOPPING=1\nSTATUS=");
}

uint64_t systemd_watchdog_usec(void)
{
	uint64_t usec;

	/* half of the period, so that one late tick does no harm */
	return sd_watchdog_enabled(0, &usec) > 0 ? usec / 2 : 0;
}

void systemd_watchdog(void)
{
	sd_notify(0, "WATCHDOG=1");
}
