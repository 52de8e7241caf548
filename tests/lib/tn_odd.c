/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/lib/tn_odd.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/tn_must.h"

/* A memfd that is nearly right: one thing, or all, is not as it must be. */
static int make_memfd(int like, unsigned how)
{
	char path[64], name[300] = "";
	struct stat st = { .st_size = 0 };
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", like);
	n = readlink(path, name, sizeof(name) - 1);
	if (how & 1 || n < 8 || strncmp(name, "/memfd:", 7) != 0)
		strcpy(name, "/memfd:tarn:p0:meta");
	else if (strstr(name, " (deleted)"))
		*strstr(name, " (deleted)") = '\0';
	fstat(like, &st);
	fd = memfd_create(name + 7, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	tn_must(fd >= 0);
	if (ftruncate(fd, (how & 2 ? st.st_size / 2 : st.st_size) +
			  (how & 4 ? 8 : 0)) < 0)
		return fd;
	fchmod(fd, how & 8 ? 0666 : 0600);
	if (!(how & 16))
		fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK |
				       F_SEAL_SEAL);
	else if (how & 32)
		fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL);
	return fd;
}

static int make_socket(int type)
{
	int fds[2];

	if (type < 0)
		return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
		       fds) < 0)
		return -1;
	close(fds[1]);
	return fds[0];
}

static int reopened(int like, int flags)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", like);
	return open(path, flags | O_CLOEXEC | O_NONBLOCK);
}

int tn_odd_fd(int like, unsigned kind, unsigned how)
{
	int fds[2];

	switch (kind % 12) {
	case 0:
		return open("/dev/null", O_RDWR | O_CLOEXEC);
	case 1:
		return open("/", O_PATH | O_CLOEXEC);
	case 2:
		return eventfd(0, EFD_CLOEXEC);
	case 3:
		return epoll_create1(EPOLL_CLOEXEC);
	case 4:
		if (pipe2(fds, O_CLOEXEC) < 0)
			return -1;
		close(fds[1]);
		return fds[0];
	case 5:
		return make_socket(SOCK_STREAM);
	case 6:
		return make_socket(SOCK_SEQPACKET);
	case 7:
		return make_socket(-1);
	case 8:
		return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	case 9:
		return reopened(like, O_RDONLY);
	case 10:
		return reopened(like, O_PATH);
	default:
		return make_memfd(like, how);
	}
}
