/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The live file: one a session, mapped for writing by the client, who touches
 * nothing in it. It tells apart what looks the same from the socket's end:
 *
 *	                         socket   pidfd    mapping
 *	closefrom(), daemonize   EOF      alive    there     keep
 *	fork holds the socket    open     dead     any       death: recover
 *	exec                     EOF      alive    gone      recover
 *	exit, kill               EOF      dead     gone      recover
 *
 * The kernel refuses F_SEAL_WRITE with EBUSY while any writable mapping is
 * there, and allows none afterwards. So the question is the attempt to seal,
 * and yes is for good. A client that makes it impossible (with F_SEAL_SEAL, or
 * a mapping in another process) is not believed to be gone, and recovered at
 * its death: it harms nobody. The control files cannot serve: tarnd has them
 * mapped for writing itself, and must.
 *
 * The file is empty and cannot grow. A mapping needs no bytes behind it to be
 * counted, there is nothing to charge to anybody, and no page that a client
 * could pin, for which sealing would wait (memfd_wait_for_pins: 150 ms).
 */
#include "daemon/live.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/cleanup.h"

#define LIVE_NAME "tarn:live"

int live_init(struct backing *live)
{
	tn_cleanup(tn_closep) int fd = backing_memfd(LIVE_NAME);

	*live = (struct backing)BACKING_NONE;
	if (fd < 0)
		return fd;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0)
		return tn_neg_errno();
	live->fd = tn_steal_fd(fd);
	return 0;
}

bool live_check(int fd)
{
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW;
	int has = fcntl(fd, F_GET_SEALS);
	struct stat st;

	return backing_named(fd, LIVE_NAME) && fstat(fd, &st) == 0 &&
	       st.st_size == 0 && has >= 0 && (has & seals) == seals;
}

bool live_gone(const struct backing *live)
{
	return live->fd >= 0 && fcntl(live->fd, F_ADD_SEALS, F_SEAL_WRITE) == 0;
}
