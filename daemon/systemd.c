/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/systemd.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "base/cleanup.h"
#include "daemon/log.h"

int systemd_listener(int *ret_fd)
{
	int n = sd_listen_fds(1), fd = SD_LISTEN_FDS_START, r;

	if (n < 0) {
		log_error("LISTEN_FDS cannot be read");
		return -EINVAL;
	}
	if (n == 0)
		return 0;
	if (n > 1) {
		log_error("%d sockets were passed in, 1 is wanted", n);
		return -EINVAL;
	}
	r = sd_is_socket_unix(fd, SOCK_SEQPACKET, 1, NULL, 0);
	if (r <= 0) {
		log_error("the socket passed in is no listening unix socket "
			  "of type SOCK_SEQPACKET (ListenSequentialPacket=)");
		return -EINVAL;
	}
	r = fcntl(fd, F_GETFL);
	if (r < 0 || fcntl(fd, F_SETFL, r | O_NONBLOCK) < 0)
		return tn_neg_errno();
	*ret_fd = fd;
	return 1;
}

bool systemd_present(void)
{
	return getenv("NOTIFY_SOCKET");
}

void systemd_ready(unsigned pools, unsigned clients)
{
	sd_notifyf(0, "READY=1\nSTATUS=%u pools, %u clients", pools, clients);
}

void systemd_status(unsigned pools, unsigned clients)
{
	sd_notifyf(0, "STATUS=%u pools, %u clients", pools, clients);
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
