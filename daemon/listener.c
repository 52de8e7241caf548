/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/listener.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/cleanup.h"
#include "daemon/log.h"

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83 /* Linux 6.16 */
#endif
/* It is first come, first served, whoever comes: a full one is some 3 ms of
 * waiting. Who finds it full waits in connect(), behind those who do, too. */
#define BACKLOG 128

static int unix_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK,
			0);

	return fd < 0 ? tn_neg_errno() : fd;
}

static void make_directory(const char *path, int private)
{
	char dir[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char *slash;

	strcpy(dir, path);
	slash = strrchr(dir, '/');
	if (!slash || slash == dir)
		return;
	*slash = '\0';
	mkdir(dir, private ? 0700 : 0755); /* bind() tells if it is not there */
}

/* A socket to which nobody listens is left over; a file is not for us. */
static int remove_stale(const struct sockaddr_un *sa)
{
	tn_cleanup(tn_closep) int fd = unix_socket();
	struct stat st;

	if (lstat(sa->sun_path, &st) < 0)
		return 0;
	if (!S_ISSOCK(st.st_mode))
		return -ENOTSOCK;
	if (fd < 0)
		return fd;
	if (connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) == 0 ||
	    errno == EAGAIN)
		return -EADDRINUSE;
	if (errno == ECONNREFUSED && unlink(sa->sun_path) < 0)
		return tn_neg_errno();
	return 0;
}

static int listen_at(const char *path, int private)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	tn_cleanup(tn_closep) int fd = -1;
	int r;

	if (strlen(path) >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	strcpy(sa.sun_path, path);
	make_directory(path, private);
	r = remove_stale(&sa);
	if (r < 0)
		return r;
	fd = unix_socket();
	if (fd < 0)
		return fd;
	/* nobody can connect before listen() */
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
	    chmod(path, private ? 0600 : 0666) < 0 || listen(fd, BACKLOG) < 0)
		return tn_neg_errno();
	return tn_steal_fd(fd);
}

/* What is accepted has it from its listener. */
void listener_refuse_rights(int fd)
{
	const int off = 0;

	setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof(off));
}

int listener_open(const char *path, int private)
{
	int fd = listen_at(path, private);

	if (fd == -EADDRINUSE)
		log_error("%s: another tarnd listens there", path);
	else if (fd < 0)
		log_error("%s: %s", path, strerror(-fd));
	return fd;
}
