/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/peer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/cleanup.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* Linux 6.5 */
#endif
#ifndef PID_FS_MAGIC
#define PID_FS_MAGIC 0x50494446 /* Linux 6.9 */
#endif
#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif
#define GROUPS_FEW 32 /* more than most have; the kernel allows 65536 */

static int get_groups(struct peer *peer, int sock)
{
	tn_cleanup(tn_freep) gid_t *groups = NULL;
	gid_t few[GROUPS_FEW];
	socklen_t bytes = sizeof(few);
	bool all = !getsockopt(sock, SOL_SOCKET, SO_PEERGROUPS, few, &bytes);

	/* else it says how many there are; nothing changes in between */
	if (!all && errno != ERANGE)
		return tn_neg_errno();
	if (bytes == 0)
		return 0;
	groups = malloc(bytes);
	if (!groups)
		return -ENOMEM;
	if (all)
		memcpy(groups, few, bytes);
	else if (getsockopt(sock, SOL_SOCKET, SO_PEERGROUPS, groups,
			    &bytes) < 0)
		return tn_neg_errno();
	peer->n_groups = bytes / sizeof(*groups);
	peer->groups = tn_steal_ptr(groups);
	return 0;
}

/*
 * Without SO_PEERPIDFD there is only the number, and between connect and
 * here its process may have died and another may have it now. If after the
 * pidfd was opened nobody has closed the connection yet, then its maker, or
 * an heir of its descriptor, lived until then. What remains is an heir whose
 * maker's number was taken in these moments: then the pidfd is a stranger's,
 * and what the dead one held is given back only when the stranger is gone.
 * Late, never too early for anybody who lives.
 */
static int pidfd_by_pid(pid_t pid, int sock)
{
	tn_cleanup(tn_closep) int fd = -1;
	struct pollfd pfd = { .fd = sock };

	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (fd < 0)
		return tn_neg_errno();
	if (poll(&pfd, 1, 0) < 0)
		return tn_neg_errno();
	if (pfd.revents & POLLHUP)
		return -ESRCH;
	return tn_steal_fd(fd);
}

static int pidfd_of(pid_t pid, int sock, bool by_pid)
{
	socklen_t bytes = sizeof(int);
	int fd;

	if (!by_pid) {
		if (!getsockopt(sock, SOL_SOCKET, SO_PEERPIDFD, &fd, &bytes))
			return fd; /* the kernel makes it close-on-exec */
		if (errno != ENOPROTOOPT)
			return tn_neg_errno();
	}
	return pidfd_by_pid(pid, sock);
}

int peer_uid(int sock, struct peer *peer)
{
	struct ucred cred;
	socklen_t bytes = sizeof(cred);

	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &bytes) < 0)
		return tn_neg_errno();
	peer->pid = cred.pid;
	peer->uid = cred.uid;
	peer->gid = cred.gid;
	return 0;
}

int peer_init(struct peer *peer, int sock, bool by_pid)
{
	int r;

	*peer = (struct peer)PEER_NONE;
	r = peer_uid(sock, peer);
	if (r < 0)
		return r;
	r = pidfd_of(peer->pid, sock, by_pid);
	/* dead and reaped; kernels differ in how they say it */
	if (r == -ESRCH || r == -ENODATA || r == -EINVAL)
		return PEER_GONE;
	if (r < 0)
		return r;
	peer->pidfd = r;
	r = get_groups(peer, sock);
	if (r < 0)
		peer_fini(peer);
	return r;
}

/* By number it may be a stranger's: late, never too early (see above). */
static int find_lost_pidfd(struct peer *peer)
{
	int fd = peer->pid > 0 ? (int)syscall(SYS_pidfd_open, peer->pid, 0)
			       : -1;

	if (peer->pid <= 0 || (fd < 0 && errno == ESRCH))
		return PEER_GONE;
	if (fd < 0)
		return tn_neg_errno();
	peer->pidfd = fd;
	return 0;
}

bool peer_has_made(const struct peer *peer, int sock)
{
	struct peer maker = PEER_NONE;

	return peer_uid(sock, &maker) == 0 && maker.pid == peer->pid &&
	       maker.uid == peer->uid && maker.gid == peer->gid;
}

bool peer_is_lost(const struct peer *peer)
{
	return peer->pidfd < 0 && peer->pid <= 0;
}

int peer_restore(struct peer *peer, int sock)
{
	int r = sock < 0 ? 0 : get_groups(peer, sock);

	if (r == 0 && peer->pidfd < 0)
		r = find_lost_pidfd(peer);
	return r;
}

/* A name of the kernel's: pidfd:[inode], or before 6.9 anon_inode:[pidfd]. One
 * that was opened anew as O_PATH has it too, but tells of no death. */
static bool is_pidfd(int fd)
{
	int flags = fcntl(fd, F_GETFL);
	char path[32], is[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, is, sizeof(is) - 1);
	if (n < 0 || flags < 0 || flags & O_PATH)
		return false;
	is[n] = '\0';
	return !strncmp(is, "pidfd:[", 7) || !strcmp(is, "anon_inode:[pidfd]");
}

bool peer_is_pidfd(const struct peer *peer, int fd)
{
	char path[40], line[128];
	int pid = 0;
	bool told = false;
	FILE *info;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	info = is_pidfd(fd) ? fopen(path, "re") : NULL;
	if (!info)
		return false;
	while (!told && fgets(line, sizeof(line), info))
		told = sscanf(line, "Pid: %d", &pid) == 1;
	fclose(info);
	return told && (pid == -1 || pid == peer->pid);
}

void peer_fini(struct peer *peer)
{
	tn_freep(&peer->groups);
	peer->n_groups = 0;
	tn_closep(&peer->pidfd);
}

bool peer_is_dead(const struct peer *peer)
{
	struct pollfd pfd = { .fd = peer->pidfd, .events = POLLIN };

	return peer->pidfd < 0 || poll(&pfd, 1, 0) != 0;
}

/* A process's pidfds have one inode since they have any, of a number that is
 * not used again. Return: 1: the same; 0: not; -1: before Linux 6.9 */
static int same_inode(int a, int b)
{
	struct statfs fs;
	struct stat x, y;

	if (fstatfs(a, &fs) < 0 || fs.f_type != PID_FS_MAGIC ||
	    fstat(a, &x) < 0 || fstat(b, &y) < 0)
		return -1;
	return x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* Else by number, which belongs to one process as long as that lives. It is 0
 * for all whom our pid namespace does not show: they cannot be told apart. */
bool peer_same(const struct peer *a, const struct peer *b)
{
	int same = same_inode(a->pidfd, b->pidfd);

	if (a->uid != b->uid || peer_is_dead(a))
		return false;
	return same >= 0 ? same : a->pid && a->pid == b->pid;
}

bool peer_in_group(const struct peer *peer, gid_t gid)
{
	if (peer->gid == gid)
		return true;
	for (size_t i = 0; i < peer->n_groups; i++)
		if (peer->groups[i] == gid)
			return true;
	return false;
}
